# SPDX-License-Identifier: PostgreSQL
"""The memory that the types take: none is left after a million calls, and a sort needs what its rows need.

Measured is the most memory that the backend's process ever had (VmHWM of /proc/PID/status), shared buffers that it
touched included. A sort compares in memory that lives as long as the sort: copies of toasted values that a comparison
left there would add up to gigabytes.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from harness import Database

# What a backend of a server with 64 MB of shared buffers may have: those, its own code and caches, work_mem.
ROOM_MB = 150


def peak_mb(conn: psycopg.Connection[tuple[object, ...]]) -> float:
    status = Path(f"/proc/{conn.info.backend_pid}/status")
    if not status.exists():
        pytest.skip("a process's peak memory is read from /proc")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


# Each of these depends on the row, or it would be calculated once.
CALLS = [
    "r <-> q", "r <#> q", "r <=> q", "r <+> q", "r::text::ruvector", "r::real[]::ruvector", "r::jsonb::ruvector", "r + q",
    "r * q", "r || q", "l2_normalize(r)", "ruvector_norm(r)", "binary_quantize(r) <~> binary_quantize(q)",
    "subvector(r, 2, 5)", "r < q", "ruvector_hash(r)", "ruvector_random(8, i)", "r::halfvec <-> q::halfvec",
    "r::halfvec + q::halfvec", "r::halfvec::text::halfvec", "halfvec_hash(r::halfvec)", "r::halfvec < q::halfvec",
    "r::sparsevec <=> q::sparsevec", "r::sparsevec::text::sparsevec", "r::sparsevec < q::sparsevec",
]  # fmt: skip
ROWS = 1_000_000 // len(CALLS)


def test_a_million_calls_leave_nothing(db: Database) -> None:
    calls = ", ".join(f"count({call})" for call in CALLS)
    query = (
        f"SELECT {calls}, avg(r), sum(r), avg(r::halfvec), avg(r::sparsevec)"
        " FROM generate_series(1, {}) AS i, ruvector_random(8, i) AS r, ruvector_random(8, -i) AS q"
    )
    db.execute(query.format(100))
    contexts = "SELECT sum(used_bytes) FROM pg_backend_memory_contexts"
    used, peak = db.value(contexts), peak_mb(db.conn)
    db.execute(query.format(ROWS))
    assert db.value(contexts) - used < 100_000
    assert peak_mb(db.conn) - peak < 20


@pytest.mark.parametrize("kind", ["ruvector", "halfvec", "sparsevec"])
def test_a_sort_of_toasted_values_keeps_no_copies(db: Database, kind: str) -> None:
    """2000 rows are 12 MB, compared some 20000 times, each time two copies of 6 kB."""
    db.execute(f"CREATE TABLE t AS SELECT ruvector_random(1536, i)::{kind} AS v FROM generate_series(1, 2000) AS i")
    assert db.value("SELECT pg_table_size('t') > 2 * pg_relation_size('t')")
    db.execute("SET enable_hashagg = off; SET enable_hashjoin = off; SET enable_nestloop = off")
    for query in (
        "SELECT count(*) FROM (SELECT v FROM t ORDER BY v OFFSET 0) AS s",
        "SELECT count(DISTINCT v) FROM t",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.v = b.v",
    ):
        assert db.value(query) == 2000
    assert peak_mb(db.conn) < ROOM_MB
