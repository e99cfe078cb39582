# SPDX-License-Identifier: PostgreSQL
"""Peewee: a field of type ruvector with the distance methods; the other fields are pgvector-python's."""

from __future__ import annotations

from pgvector.peewee import FixedBitField, HalfVectorField, SparseVectorField, VectorField

__all__ = ["FixedBitField", "HalfVectorField", "RuVectorField", "SparseVectorField"]


class RuVectorField(VectorField):
    """A column of type ``ruvector(dimensions)``; use ``Model.add_index(field, using="ruhnsw")`` or SQL for indexes."""

    field_type = "ruvector"
