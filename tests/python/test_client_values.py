# SPDX-License-Identifier: PostgreSQL
"""Our own values beside pgvector-python's: each reads what the other writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ruvector_fdw.clients import own_values

theirs = pytest.importorskip("pgvector", reason="pgvector-python is not installed")

CASES: list[tuple[str, tuple[Any, ...]]] = [
    ("Vector", ([1, -2.5, 1e-30],)),
    ("Vector", (np.array([0.1, 3e38], dtype=np.float32),)),
    ("HalfVector", ([1, -2.5, 65504],)),
    ("HalfVector", (np.array([0.1], dtype=np.float64),)),
    ("SparseVector", ({4: 2.5, 0: 1.0, 2: 0}, 6)),
    ("SparseVector", ([0, 1, 0, -2.5],)),
    ("SparseVector", ({}, 3)),
    ("Bit", ("10110",)),
    ("Bit", ([True, False, True],)),
    ("Bit", (b"\x0f\x80",)),
    ("Bit", (np.array([True] * 9),)),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_a_value_is_the_same_in_both(name: str, arguments: tuple[Any, ...]) -> None:
    our_class, their_class = getattr(own_values, name), getattr(theirs, name)
    ours, other = our_class(*arguments), their_class(*arguments)
    assert ours.to_list() == other.to_list()
    assert np.array_equal(ours.to_numpy(), np.asarray(other.to_list(), dtype=ours.to_numpy().dtype))
    assert ours.to_binary() == other.to_binary()
    assert repr(ours) == repr(other)
    assert their_class.from_text(ours.to_text()).to_list() == other.to_list()
    assert our_class.from_text(other.to_text()) == ours == our_class.from_binary(other.to_binary())
    assert our_class.from_binary(memoryview(ours.to_binary())) == ours
    assert ours != our_class.from_text({"Bit": "111", "SparseVector": "{1:9}/9"}.get(name, "[9,9]"))
    assert len({ours, our_class(*arguments)}) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Vector", ("abc",), "expected a list of numbers"),
        ("Vector", ([[1, 2]],), "one dimension"),
        ("SparseVector", ({0: 1.0},), "missing dimensions"),
        ("SparseVector", ({3: 1.0}, 3), "indices must be from 0 to 2"),
        ("SparseVector", ({-1: 1.0}, 3), "indices must be from 0 to 2"),
        ("Bit", ("102",), "0 and 1"),
        ("Bit", ([2],), "expected booleans"),
    ],
)
def test_what_is_no_value_is_refused(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(own_values, name)(*arguments)


@pytest.mark.parametrize("name", ["Vector", "HalfVector", "SparseVector", "Bit"])
def test_text_and_bytes_that_are_cut_short_are_refused(name: str) -> None:
    value = getattr(own_values, name)(*(("101",) if name == "Bit" else ([1, 2, 3],)))
    with pytest.raises(ValueError, match="invalid binary form"):
        type(value).from_binary(value.to_binary()[:-1])
    if name != "Bit":
        with pytest.raises(ValueError, match="expected a"):
            type(value).from_text(value.to_text()[:-2])
