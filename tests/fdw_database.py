# SPDX-License-Identifier: PostgreSQL
"""A database for tests of the foreign data wrapper: what the wrappers log is collected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from harness import Database, Server


class FdwDatabase(Database):
    def __init__(self, server: Server, name: str, wrappers: Path) -> None:
        with psycopg.connect(server.dsn(name), autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} SET ruvector_fdw.python_path = '{wrappers}'")
        super().__init__(server, name)
        self.notices: list[str] = []
        self._listen()

    def _listen(self) -> None:
        self.conn.add_notice_handler(lambda diagnostic: self.notices.append(diagnostic.message_primary or ""))

    def reconnect(self) -> None:
        super().reconnect()
        self._listen()

    def said(self) -> list[str]:
        """What was logged since the last call."""
        found, self.notices[:] = list(self.notices), []
        return found

    def server_for(self, wrapper: str, name: str = "s") -> None:
        self.execute(f"CREATE SERVER {name} FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (wrapper '{wrapper}')")

    def table(self, name: str, columns: str, server: str = "s", **options: Any) -> None:
        given = ", ".join(f"{key} '{value}'" for key, value in options.items())
        clause = f" OPTIONS ({given})" if given else ""
        self.execute(f"CREATE FOREIGN TABLE {name} ({columns}) SERVER {server}{clause}")

    def state(self, statement: str) -> tuple[str, str]:
        """SQLSTATE and message of the error that the statement raises."""
        try:
            self.execute(statement)
        except psycopg.Error as error:
            return error.sqlstate or "", error.diag.message_primary or ""
        raise AssertionError(f"no error: {statement}")

    def growth_kb(self, queries: Sequence[str], failing: str, rounds: int) -> int:
        """Growth of the backend's resident memory over `rounds` queries, after a warm-up; every 50th one fails."""
        resident = (
            "SELECT (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmRSS:\\s+(\\d+)'))[1]::int"
        )
        marks = []
        for part in range(2):
            for n in range(rounds if part else max(rounds // 4, 300)):
                self.execute(queries[n % len(queries)])
                if n % 50 == 0:
                    self.state(failing)
            marks.append(self.value(resident))
        return int(marks[1] - marks[0])
