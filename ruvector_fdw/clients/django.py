# SPDX-License-Identifier: PostgreSQL
"""Django 4.2 and later: fields, indexes, the migration operation that creates the extension; distances are pgvector-python's.

class Migration(migrations.Migration):
    operations = [RuVectorExtension(), ...]

class Item(models.Model):
    embedding = RuVectorField(dimensions=384)
    class Meta:
        indexes = [RuHnswIndex(fields=["embedding"], name="item_embedding", opclasses=["ruvector_cosine_ops"], m=16)]

Item.objects.order_by(CosineDistance("embedding", query))[:10]
"""

from __future__ import annotations

from typing import Any

from django import VERSION
from django.contrib.postgres.operations import CreateExtension
from pgvector.django import (
    BitField,
    CosineDistance,
    HalfVectorField,
    HammingDistance,
    HnswIndex,
    IvfflatIndex,
    JaccardDistance,
    L1Distance,
    L2Distance,
    MaxInnerProduct,
    SparseVectorField,
    VectorField,
)

__all__ = [
    "BitField",
    "CosineDistance",
    "HalfVectorField",
    "HammingDistance",
    "JaccardDistance",
    "L1Distance",
    "L2Distance",
    "MaxInnerProduct",
    "RuHnswIndex",
    "RuIvfflatIndex",
    "RuVectorExtension",
    "RuVectorField",
    "SparseVectorField",
]


class RuVectorExtension(CreateExtension):  # type: ignore[misc]
    """Migration operation: CREATE EXTENSION ruvector."""

    def __init__(self, hints: Any = None) -> None:
        if VERSION[0] >= 6:
            super().__init__("ruvector", hints=hints)
        else:
            self.name = "ruvector"


class RuVectorField(VectorField):
    """A column of type ``ruvector(dimensions)``."""

    description = "RuVector"

    def db_type(self, connection: Any) -> str:
        return "ruvector" if self.dimensions is None else f"ruvector({self.dimensions:d})"


class _Options:
    """The storage parameters that both access methods have beyond pgvector's."""

    _names: tuple[str, ...] = ()

    def __init__(self, *expressions: Any, **kwargs: Any) -> None:
        self._values = {name: kwargs.pop(name) for name in self._names if kwargs.get(name) is not None}
        super().__init__(*expressions, **kwargs)

    def deconstruct(self) -> tuple[Any, Any, Any]:
        path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        return path, args, {**kwargs, **self._values}

    def get_with_params(self) -> list[str]:
        params: list[str] = super().get_with_params()  # type: ignore[misc]
        return params + [f"{name} = {value}" for name, value in self._values.items()]


class RuHnswIndex(_Options, HnswIndex):
    """An index using ruhnsw: ``m``, ``ef_construction``, ``quantization``, ``ef_search``; metrics by ``opclasses``."""

    suffix = "ruhnsw"
    _names = ("quantization", "ef_search")


class RuIvfflatIndex(_Options, IvfflatIndex):
    """An index using ruivfflat: ``lists``, ``quantization``, ``probes``; metrics by ``opclasses``."""

    suffix = "ruivfflat"
    _names = ("quantization", "probes")
