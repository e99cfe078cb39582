# SPDX-License-Identifier: PostgreSQL
"""validate finds what it is there to find: each kind of difference, made on purpose behind the triggers' back."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import World


@pytest.fixture
def migrated(world: World) -> World:
    world.ruvector("migrate", "--strategy", "parallel", "--table", "plain")
    return world


def verdict(world: World, code: int) -> Any:
    document = world.ruvector_json("validate", "--queries", "5", code=code)
    [table] = document["tables"]
    assert document["passed"] == (code == 0)
    return table


def test_equal_tables_pass(migrated: World) -> None:
    table = verdict(migrated, 0)
    assert table["rows"] == [500, 500]
    assert table["dims"] == {"v": [[4], [4]]}
    [near] = table["neighbours"]
    assert near["queries"] == 5
    assert near["max_difference"] < 1e-4
    assert near["same_rows"] > 0.9
    assert min(near["recall"]) > 0.9


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ("DELETE FROM plain_ruvector WHERE id = 7", "1 rows are missing"),
        ("INSERT INTO plain_ruvector VALUES (-1, '[1,2,3,4]')", "1 rows are too many"),
        ("UPDATE plain_ruvector SET v = '[1,2,3,5]' WHERE id = 7", "1 rows are different"),
        ("UPDATE plain_ruvector SET v = NULL WHERE id = 7", 'NULLs of "v": 0 are 1'),
        ("UPDATE plain_ruvector SET v = v + '[0.01,0,0,0]'", 'distances of "v" differ by'),
    ],
)
def test_each_difference_is_found(migrated: World, change: str, failure: str) -> None:
    if "0.01" in change:  # one part of every vector changes: the distances to a fixed query do too
        change = "UPDATE plain_ruvector SET v = v * '[1.01,1,1,1]'"
    migrated.execute(change)
    assert any(failure in text for text in verdict(migrated, 1)["failures"])


def test_nothing_to_validate_is_said(world: World) -> None:
    text = world.ruvector("validate", code=1)
    assert "error: no migration is going on in this database" in text
