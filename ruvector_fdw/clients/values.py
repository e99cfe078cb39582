# SPDX-License-Identifier: PostgreSQL
"""The values that go to and come from the server, under one roof for all modules here: pgvector-python's classes where it is
installed (0.5 or later), so that an application has one class for a vector; else our own, which do the same."""

from __future__ import annotations

try:
    from pgvector import Bit, HalfVector, SparseVector, Vector
except ImportError:  # also raised by a pgvector-python older than these names
    from .own_values import Bit, HalfVector, SparseVector, Vector  # type: ignore[assignment]

__all__ = ["Bit", "HalfVector", "SparseVector", "Vector"]
