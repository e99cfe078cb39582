# SPDX-License-Identifier: PostgreSQL
"""What a person sees: tables of text from the results of assess, validate and status. JSON is the command line's
business.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from .assess import Assessment, Estimate
from .validate import TableVerdict

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: float | None) -> str:
    """Bytes with a unit, as pg_size_pretty rounds."""
    if count is None:
        return "?"
    unit = 0
    while abs(count) >= 10240 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_UNITS[unit]}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 1:
        return "< 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def console() -> Console:
    """Stdout, as wide as a report needs when it is not a terminal, so that nothing is cut in a log."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=160)


def print_assessment(a: Assessment) -> None:
    out = console()
    out.print(
        f"{a.server} (database {a.database}), PostgreSQL {a.server_version}, wal_level {a.wal_level}", markup=False
    )
    ours = a.ruvector or (
        f"{a.ruvector_available} available, not created" if a.ruvector_available else "not on this server"
    )
    out.print(f"pgvector {a.pgvector or 'not installed'}; ruvector {ours}", markup=False)
    grid = Grid(title="Tables", title_justify="left", show_lines=True)
    for name in (
        "table",
        "rows",
        "size",
        "vector columns",
        "vector indexes",
        "guide: time, disk, RAM",
        "measured here",
        "strategies",
    ):
        grid.add_column(name, overflow="fold", justify="right" if name in ("rows", "size") else "left")
    for t in a.tables:
        parts = f"\n{t.partitions} partitions" if t.partitions else ""
        grid.add_row(
            t.name + parts,
            f"{t.rows:,.0f}",
            size(t.total_bytes),
            "\n".join(t.columns) or "-",
            "\n".join(t.indexes) or "-",
            _guide(t.estimate),
            _measured(t.estimate),
            "\n".join(t.strategies) or "none",
        )
    if a.tables:
        out.print(grid)
    for title, lines in (
        ("Views to be made again", a.views),
        (
            "To look at",
            [f"{f.object}: {f.problem}" + (f" (not {', not '.join(f.stops)})" if f.stops else "") for f in a.findings],
        ),
        ("Blockers", a.blockers),
    ):
        if lines:
            out.print(f"{title}:", markup=False)
            for line in lines:
                out.print(f"  {line}", markup=False, soft_wrap=True)
    out.print(_verdict(a), markup=False)


def _guide(e: Estimate) -> str:
    low, high = e.guide_minutes
    span = f"{duration(low * 60)} to {duration(high * 60)}" if high else f"over {duration(low * 60)}"
    return f"{span}\n{size(e.guide_disk_bytes)} in all\n{e.guide_ram_gib} GB"


def _measured(e: Estimate) -> str:
    if e.measured_copy_s is None:
        return e.note or "?"
    text = f"copy {duration(e.measured_copy_s)}, indexes {duration(e.measured_index_s)}\n"
    text += f"{size(e.measured_extra_bytes)} extra"
    text += f"\nmaintenance_work_mem {size(e.measured_index_ram_bytes)}"
    return text + (f"\n({e.note})" if e.note else "")


def _verdict(a: Assessment) -> str:
    if a.blockers:
        return "Verdict: cannot migrate yet, see the blockers."
    if not a.tables:
        return "Verdict: nothing to migrate."
    short = [t.name for t in a.tables if not t.strategies]
    if short:
        return f"Verdict: {len(short)} of {len(a.tables)} tables need work first: {', '.join(short)}."
    return "Verdict: ready. Next: ruvector migrate --strategy parallel --dry-run"


def print_verdicts(verdicts: list[TableVerdict]) -> None:
    out = console()
    grid = Grid(title="Validation (old, new)", title_justify="left", show_lines=True)
    for name in ("table", "rows", "NULLs and dims", "checksums", "neighbours", "recall", "latency (median)", "verdict"):
        grid.add_column(name, overflow="fold")
    for v in verdicts:
        nulls = [f"{c}: {a} / {b} NULL, {v.dims[c][0]} / {v.dims[c][1]}" for c, (a, b) in v.nulls.items()]
        near = [f"{n.column} {n.operator}: max {n.max_difference:.1e} avg {n.avg_difference:.1e}" for n in v.neighbours]
        sums = f"{v.missing} missing, {v.extra} extra, {v.different} differ" if v.checksums else "one table: same bytes"
        recall = [f"{n.recall[0]:.3f} / {n.recall[1]:.3f}" for n in v.neighbours]
        latency = [f"{n.latency_ms[0]:.2f} / {n.latency_ms[1]:.2f} ms" for n in v.neighbours]
        verdict = "\n".join(v.failures) or "passed"
        lists = ("\n".join(x) or "-" for x in (nulls, near, recall, latency))
        nulls_text, near_text, recall_text, latency_text = lists
        rows = f"{v.rows[0]:,} / {v.rows[1]:,}"
        cells = (v.table, rows, nulls_text, sums, near_text, recall_text, latency_text, verdict)
        grid.add_row(*(escape(cell) for cell in cells))
    out.print(grid)
    bad = [v.table for v in verdicts if v.failures]
    text = f"Verdict: {len(bad)} of {len(verdicts)} tables differ: {', '.join(bad)}." if bad else "Verdict: passed."
    out.print(text, markup=False)
