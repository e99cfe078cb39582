# SPDX-License-Identifier: PostgreSQL
"""SQLAlchemy 2: column types with distance methods, reflection, and indexes of our access methods. SQLModel takes the same types.

    embedding = mapped_column(RUVECTOR(384))
    ruhnsw_index("items_embedding_idx", Item.embedding, "cosine", m=16, quantization="sq8")
    session.scalars(select(Item).order_by(Item.embedding.cosine_distance(query)).limit(10))

HALFVEC and SPARSEVEC take ``schema=``: where pgvector holds the plain names, ours are in schema ``ruvector``.
"""

from __future__ import annotations

from typing import Any

from pgvector.sqlalchemy import BIT, avg, sum
from pgvector.sqlalchemy import HALFVEC as PgvectorHalfvec
from pgvector.sqlalchemy import SPARSEVEC as PgvectorSparsevec
from pgvector.sqlalchemy import VECTOR as PgvectorVector
from sqlalchemy import Index
from sqlalchemy.dialects.postgresql.base import ischema_names

__all__ = ["BIT", "HALFVEC", "RUVECTOR", "SPARSEVEC", "avg", "ruhnsw_index", "ruivfflat_index", "sum"]


class RUVECTOR(PgvectorVector):
    """``ruvector(dim)``: takes lists, numpy arrays and Vector, gives lists."""

    cache_ok = True

    def get_col_spec(self, **kw: Any) -> str:
        return "RUVECTOR" if self.dim is None else f"RUVECTOR({self.dim:d})"


class HALFVEC(PgvectorHalfvec):
    """``halfvec(dim)``, in ``schema`` if it is given."""

    cache_ok = True

    def __init__(self, dim: int | None = None, *, schema: str | None = None) -> None:
        super().__init__(dim)
        self.schema = schema

    def get_col_spec(self, **kw: Any) -> str:
        return _spec("HALFVEC", self.dim, self.schema)


class SPARSEVEC(PgvectorSparsevec):
    """``sparsevec(dim)``, in ``schema`` if it is given."""

    cache_ok = True

    def __init__(self, dim: int | None = None, *, schema: str | None = None) -> None:
        super().__init__(dim)
        self.schema = schema

    def get_col_spec(self, **kw: Any) -> str:
        return _spec("SPARSEVEC", self.dim, self.schema)


def _spec(name: str, dim: int | None, schema: str | None) -> str:
    home = "" if schema is None else f"{schema}."
    return f"{home}{name}" if dim is None else f"{home}{name}({dim:d})"


def ruhnsw_index(name: str, column: Any, metric: str = "l2", **options: Any) -> Index:
    """An Index using ruhnsw. ``metric``: l2, ip, cosine, l1, or a whole operator class; ``options``: m, ef_construction, …"""
    return _index("ruhnsw", name, column, metric, options)


def ruivfflat_index(name: str, column: Any, metric: str = "l2", **options: Any) -> Index:
    """An Index using ruivfflat; ``options``: lists, …"""
    return _index("ruivfflat", name, column, metric, options)


def _index(method: str, name: str, column: Any, metric: str, options: dict[str, Any]) -> Index:
    shown = getattr(column, "expression", column)
    schema = getattr(shown.type, "schema", None)
    opclass = metric
    if not metric.endswith("_ops"):
        opclass = ("" if schema is None else f"{schema}.") + f"{_kind(shown.type)}_{metric}_ops"
    settings = {"postgresql_where": options.pop("where")} if "where" in options else {}
    return Index(
        name, column, postgresql_using=method, postgresql_ops={shown.key: opclass}, postgresql_with=options, **settings
    )


def _kind(column_type: Any) -> str:
    for base, kind in ((RUVECTOR, "ruvector"), (PgvectorHalfvec, "halfvec"), (PgvectorSparsevec, "sparsevec")):
        if isinstance(column_type, base):
            return kind
    return "bit"


class _SchemaHalfvec(HALFVEC):
    """What reflection finds under ``ruvector.halfvec``."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim, schema="ruvector")


class _SchemaSparsevec(SPARSEVEC):
    """What reflection finds under ``ruvector.sparsevec``."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim, schema="ruvector")


ischema_names["ruvector"] = RUVECTOR
ischema_names["halfvec"] = HALFVEC
ischema_names["sparsevec"] = SPARSEVEC
ischema_names["ruvector.halfvec"] = _SchemaHalfvec
ischema_names["ruvector.sparsevec"] = _SchemaSparsevec
