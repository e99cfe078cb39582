# SPDX-License-Identifier: PostgreSQL
"""Tables and views from what was written down when the run was planned, or at cutover.

After a cutover the catalog shows the old table with its keys, triggers and names of standing by; what it was like
when it served is in the state schema. Fields that a signature leaves out (sizes, comments) come back as nothing: no
caller of a revived table reads them.
"""

from __future__ import annotations

from typing import Any

from .model import Column, Constraint, Grant, Index, Policy, Rule, Statistics, Table, Trigger, View

_NOTHING: dict[str, Any] = {"comment": None, "validated": True, "valid": True, "size_bytes": 0}


def table_from(signature: dict[str, Any]) -> Table:
    """The table and its partitions as they were planned."""
    plain = dict(signature)

    def every(key: str, kind: type, *left_out: str) -> list[Any]:
        return [kind(**{name: _NOTHING[name] for name in left_out}, **value) for value in plain.pop(key)]

    columns = every("columns", Column, "comment")
    indexes = every("indexes", Index, "comment", "valid", "size_bytes")
    constraints = every("constraints", Constraint, "comment", "validated")
    triggers = every("triggers", Trigger, "comment")
    policies = every("policies", Policy, "comment")
    grants = every("grants", Grant)
    statistics = every("statistics", Statistics, "comment")
    partitions = [table_from(p) for p in plain.pop("partitions")]
    return Table(
        **plain,
        rows_estimate=0,
        heap_bytes=0,
        total_bytes=0,
        comment=None,
        columns=columns,
        indexes=indexes,
        constraints=constraints,
        triggers=triggers,
        policies=policies,
        grants=grants,
        statistics=statistics,
        partitions=partitions,
    )


def view_from(kept: dict[str, Any]) -> View:
    """A view as it was at cutover, complete."""
    plain = dict(kept)
    plain["grants"] = [Grant(**g) for g in plain["grants"]]
    plain["triggers"] = [Trigger(**t) for t in plain["triggers"]]
    plain["rules"] = [Rule(**r) for r in plain["rules"]]
    return View(**plain)
