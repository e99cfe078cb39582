# SPDX-License-Identifier: PostgreSQL
"""The wrapper class behind every server with a `kind`: the host's questions, put to a store.

Under our own host it answers whole requests. It also is an ordinary Multicorn wrapper: under a real Multicorn (option
`wrapper 'ruvector_fdw.wrapper.RuvectorForeignDataWrapper'`, `kind` beside it) the Multicorn methods below serve the
same stores with what that host can push down, vectors as text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from ruvector_fdw import guest
from ruvector_fdw.abc import ColumnDefinition, SortKey, TableDefinition, VectorForeignDataWrapper
from ruvector_fdw.errors import UnsupportedError
from ruvector_fdw.request import (
    AnyQual,
    Batch,
    BoolQual,
    Estimate,
    PushLevel,
    SearchRequest,
    TableStore,
    VectorSortKey,
)
from ruvector_fdw.stores import open_table, store_class
from ruvector_fdw.unknown import without_unknown

# A line of a store's explain() that brings its own label, as in "Remote SQL: SELECT 1".
_LABELLED = re.compile(r"(?P<label>[A-Z][A-Za-z ]{0,30}): (?P<text>.*)", re.DOTALL)


class RuvectorForeignDataWrapper(VectorForeignDataWrapper):
    """One foreign table over one `TableStore`."""

    def __init__(self, fdw_options: Mapping[str, str], fdw_columns: Mapping[str, ColumnDefinition]) -> None:
        super().__init__(fdw_options, fdw_columns)
        self.store: TableStore = open_table(fdw_options, fdw_columns)
        self.columns = dict(fdw_columns)

    # ---- planning ---------------------------------------------------------------------------------------------

    def can_push(self, qual: AnyQual) -> PushLevel:
        if isinstance(qual, BoolQual):
            # all parts as far as the least of them; a store need not know of trees it cannot take
            least = min((self.can_push(arg) for arg in qual.args), default=PushLevel.NONE)
            return min(least, self.store.can_push(qual)) if least else PushLevel.NONE
        return self.store.can_push(qual)

    def can_sort(self, sortkeys: list[Any]) -> Sequence[Any]:
        ours = [key if isinstance(key, VectorSortKey) else SortKey(*key) for key in sortkeys]
        for count in range(len(sortkeys), 0, -1):
            if self.store.can_sort(ours[:count]):
                return sortkeys[:count]
        return []

    def accepts_limit(self, request: SearchRequest) -> bool:
        return self.store.can_limit(request)

    def estimate(self, request: SearchRequest) -> Estimate:
        return self.store.estimate(request)

    def get_path_keys(self) -> Sequence[tuple[Sequence[str], float]]:
        return self.store.equality_columns()

    def explain_scan(self, request: SearchRequest, verbose: bool) -> Iterable[tuple[str, str]]:
        lines = [_LABELLED.fullmatch(line) or line for line in self.store.explain(request)]
        plain = [line for line in lines if isinstance(line, str)]
        yield ("Foreign Store", ", ".join([self.store.kind, *plain]))
        for line in lines:
            if not isinstance(line, str):
                yield (line["label"], line["text"])

    # ---- reading ----------------------------------------------------------------------------------------------

    def scan(self, request: SearchRequest) -> Iterator[Batch]:
        quals = without_unknown(request.quals)
        if quals is None:
            return iter(())
        if quals != request.quals:
            request = dataclasses.replace(request, quals=quals)
        return iter(self.store.scan(request))

    def end_scan(self) -> None:
        self.store.end_scan()

    # ---- writing ----------------------------------------------------------------------------------------------

    def check_writable(self) -> None:
        if not self.store.writable:
            raise UnsupportedError(f'a foreign table of kind "{self.store.kind}" cannot be changed')

    def insert_batch(self, batch: Batch) -> Batch | None:
        return self.store.insert(batch)

    def update_row(self, rowid: int, batch: Batch) -> Literal[False] | None:
        return None if self.store.update([rowid], batch) else False

    def delete_row(self, rowid: int) -> Literal[False] | None:
        return None if self.store.delete([rowid]) else False

    def truncate(self) -> None:
        self.check_writable()
        self.store.truncate()

    # ---- transactions -----------------------------------------------------------------------------------------

    def begin(self, serializable: bool) -> None:
        self.store.begin(bool(serializable))

    def pre_commit(self) -> None:
        self.store.prepare()

    def commit(self) -> None:
        self.store.commit()

    def rollback(self) -> None:
        self.store.rollback()

    def sub_begin(self, level: int) -> None:
        self.store.savepoint(level)

    def sub_commit(self, level: int) -> None:
        self.store.release(level)

    def sub_rollback(self, level: int) -> None:
        self.store.rollback_to(level)

    def close(self) -> None:
        self.store.close()

    @classmethod
    def import_schema(
        cls,
        schema: str,
        srv_options: Mapping[str, str],
        options: Mapping[str, str],
        restriction_type: str | None,
        restricts: list[str],
    ) -> list[TableDefinition]:
        kind = srv_options.get("kind", "store")
        try:
            return store_class(kind).import_schema(schema, srv_options, options, restriction_type, restricts)
        except NotImplementedError as ex:
            raise UnsupportedError(f'kind "{kind}" has no foreign schemas to import') from ex

    # ---- under a real Multicorn -------------------------------------------------------------------------------

    def _multicorn_request(
        self, quals: Iterable[Any], columns: Iterable[str], sortkeys: Iterable[Any] | None
    ) -> SearchRequest:
        """What of these quals the store takes; Multicorn checks all of them again."""
        read = [guest.qual_of(qual, self.columns) for qual in quals]
        pushed = tuple(qual for qual in read if qual is not None and self.store.can_push(qual))
        wanted = set(columns)
        order = tuple(guest.sort_keys(sortkeys or ()))
        return SearchRequest(tuple(name for name in self.columns if name in wanted), pushed, order)

    def get_rel_size(self, quals: list[Any], columns: Any) -> tuple[float, int]:
        estimate = self.store.estimate(self._multicorn_request(quals, columns, None))
        return (int(estimate.rows), estimate.width)

    def explain(
        self,
        quals: list[Any],
        columns: Any,
        sortkeys: list[Any] | None = None,
        verbose: bool = False,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Iterator[str]:
        for label, text in self.explain_scan(self._multicorn_request(quals, columns, sortkeys), verbose):
            yield f"{label}: {text}"

    def execute(
        self,
        quals: list[Any],
        columns: Any,
        sortkeys: list[Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        request = self._multicorn_request(quals, columns, sortkeys)
        known = without_unknown(request.quals)
        if known is None:
            return
        for batch in self.store.scan(dataclasses.replace(request, quals=known)):
            yield from guest.rows_of(batch, self.columns)

    @property
    def rowid_column(self) -> str:
        raise UnsupportedError("changing a store needs the host of ruvector_fdw")
