# SPDX-License-Identifier: PostgreSQL
"""The values that go to and come from the server: pgvector-python's classes, under one roof for all modules here."""

from __future__ import annotations

try:
    from pgvector import Bit, HalfVector, SparseVector, Vector
except ImportError as ex:  # also raised by a pgvector-python older than these names
    raise ImportError("ruvector_fdw.clients needs pgvector-python 0.5 or later: pip install 'pgvector>=0.5'") from ex

__all__ = ["Bit", "HalfVector", "SparseVector", "Vector"]
