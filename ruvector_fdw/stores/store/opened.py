# SPDX-License-Identifier: PostgreSQL
"""A store opened by this process: what readers, writers and maintenance share."""

from __future__ import annotations

from pathlib import Path

from ruvector_fdw.stores.store import schema
from ruvector_fdw.stores.store.database import Database
from ruvector_fdw.stores.store.quick import KeptRows
from ruvector_fdw.stores.store.segment import check_supported
from ruvector_fdw.stores.store.snapshot import Outcomes, Snapshot, SnapshotCache
from ruvector_fdw.stores.vectors import VectorCodec


class OpenStore:
    """One store, one process; not for two threads at once."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.directory = database.directory
        self.spec = database.spec
        self.codec = VectorCodec(self.spec.element, self.spec.dims)
        self.outcome = Outcomes()
        self.cache = SnapshotCache(self)
        self.kept: dict[tuple[str, ...], KeptRows] = {}

    @classmethod
    def create(cls, directory: Path, spec: schema.Spec) -> OpenStore:
        spec.check()
        check_supported(spec)
        bits = {"f32": 32, "f16": 16, "bit": 1, "sparse": 0}[spec.element]
        return cls(Database.create(directory, spec, spec.dims * bits // 8))

    @classmethod
    def open(cls, directory: Path) -> OpenStore:
        """:raise StoreError: it is not there, not a store, damaged, or from a newer version."""
        return cls(Database(directory))

    def snapshot(self, own_tx: int | None = None, rows_only: bool = False) -> Snapshot:
        """:param own_tx: a transaction of this process, whose changes are seen.
        :param rows_only: without segments and delta: what is damaged or missing there does no harm."""
        self.database.check_alive()
        with self.database.translated():
            return Snapshot(self, own_tx, rows_only)

    def ended(self, origin: str, xid: int, prepared: bool) -> str:
        """How a staged transaction ended. One that PostgreSQL committed had been prepared here before: another that
        bears its number after a crash is not it."""
        outcome = self.outcome(origin, xid)
        return "aborted" if outcome == "committed" and not prepared else outcome

    def close(self) -> None:
        self.cache.close()
        self.database.close()
