# SPDX-License-Identifier: PostgreSQL
"""An application at work: writers that remember what they wrote, readers that search; nothing may fail while a migration runs.

Every writer owns the rows it inserts and a share of the old ones, so writers never wait for each other by the test's own doing,
and what each row must be in the end is known. Statements name neither vector nor ruvector, as an application's do not.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import psycopg

Row = tuple[str, str, str | None]


def vector(rng: random.Random) -> str:
    return "[" + ",".join(f"{rng.randint(-999, 999) / 100:g}" for _ in range(8)) + "]"


class Load:
    """Threads until :meth:`stop`; then ``failures`` (must be empty), ``expected`` rows by id, and the slowest statement."""

    def __init__(self, dsn: str, writers: int = 3, readers: int = 2, seed: int = 7) -> None:
        self.dsn = dsn
        self.failures: list[str] = []
        self.expected: dict[int, Row | None] = {}
        self.statements = 0
        self.slowest_ms = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(self._write, n, seed)) for n in range(writers)]
        self.threads += [threading.Thread(target=self._work, args=(self._read, n, seed)) for n in range(readers)]
        self.writers = writers

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self.threads:
            thread.join()

    def _work(self, action: Any, number: int, seed: int) -> None:
        rng = random.Random(seed * 1000 + number)
        mine: dict[int, Row] = {}
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            # Without these pgvector's own indexes give fewer than 5 rows: hnsw once most of what it finds is dead,
            # ivfflat (4 lists, made before there was a row) when the nearest list is all but empty.
            conn.execute("SET hnsw.iterative_scan = strict_order")
            conn.execute("SET ivfflat.probes = 4")
            while not self._stop.is_set():
                started = time.monotonic()
                try:
                    action(conn, rng, number, mine)
                except Exception as ex:
                    self.failures.append(f"{type(ex).__name__}: {ex}")
                    return
                took = (time.monotonic() - started) * 1000
                with self._lock:
                    self.statements += 1
                    self.slowest_ms = max(self.slowest_ms, took)
                time.sleep(0.002)

    def _write(self, conn: psycopg.Connection[Any], rng: random.Random, number: int, mine: dict[int, Row]) -> None:
        with conn.transaction():
            done: dict[int, Row | None] = {}
            for _ in range(rng.randint(1, 3)):
                self._one(conn, rng, number, mine, done)
        with self._lock:
            self.expected.update(done)

    def _one(
        self,
        conn: psycopg.Connection[Any],
        rng: random.Random,
        number: int,
        mine: dict[int, Row],
        done: dict[int, Row | None],
    ) -> None:
        what = rng.random()
        if what < 0.35 or not mine:
            slug, text = f"w{number}-{rng.random()}", vector(rng)
            row = conn.execute(
                "INSERT INTO items (slug, category_id, embedding, body) VALUES (%s, %s, %s, 'new') RETURNING id",
                (slug, rng.randint(1, 10), text),
            ).fetchone()
            assert row is not None
            mine[row[0]] = done[row[0]] = (slug, text, "new")
        elif what < 0.6:
            key = rng.choice(list(mine))
            text = vector(rng)
            conn.execute("UPDATE items SET embedding = %s WHERE id = %s", (text, key))
            mine[key] = done[key] = (mine[key][0], text, mine[key][2])
        elif what < 0.75:
            key = rng.choice(list(mine))
            conn.execute("DELETE FROM items WHERE id = %s", (key,))
            done[key] = None
            del mine[key]
        else:  # an old row, of those that are this writer's
            key = rng.randrange(1, 390) * self.writers + number + 1
            slug, text, body = f"old{key}-{rng.random()}", vector(rng), rng.choice(["x", "long" * 700])
            conn.execute("UPDATE items SET slug = %s, embedding = %s, body = %s WHERE id = %s", (slug, text, body, key))
            done[key] = (slug, text, body)

    def _read(self, conn: psycopg.Connection[Any], rng: random.Random, number: int, mine: dict[int, Row]) -> None:
        rows = conn.execute("SELECT id FROM items ORDER BY embedding <-> %s LIMIT 5", (vector(rng),)).fetchall()
        assert len(rows) == 5, rows
        conn.execute("SELECT count(d) FROM items_near2 WHERE id < 50").fetchall()
        conn.execute("SELECT count(*) FROM items_mv").fetchall()

    def check(self, conn: psycopg.Connection[Any], relation: str) -> None:
        """Every row that was written is in ``relation`` as it was written last; every deleted one is gone."""
        found = {
            row[0]: row[1:]
            for row in conn.execute(f"SELECT id, slug, embedding::text, body FROM {relation}").fetchall()  # type: ignore[arg-type]
        }
        wrong = {key: (row, found.get(key)) for key, row in self.expected.items() if found.get(key) != row}
        assert not wrong, f"{len(wrong)} of {len(self.expected)} rows in {relation}, e.g. {list(wrong.items())[:2]}"
