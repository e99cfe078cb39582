# SPDX-License-Identifier: PostgreSQL
"""What a person sees: tables of text from the results of assess, validate and status. JSON is the command line's
business.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from .assess import Assessment, Estimate, TableReport, guide_row
from .names import qualified
from .state import CLOSED, Relation, Run
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
    if a.tables:
        out.print(_tables(a))
        _footnotes(out, a)
    for title, lines in (
        ("Views to be made again", [", ".join(a.views)] if a.views else []),
        ("To look at", _grouped(a)),
        ("Blockers", a.blockers),
    ):
        if lines:
            out.print(f"{title}:", markup=False)
            for line in lines:
                out.print(f"  {line}", markup=False, soft_wrap=True)
    out.print(_verdict(a), markup=False)


def _tables(a: Assessment) -> Grid:
    """One line for a table, more only for what it has many of; the largest first."""
    grid = Grid(title="Tables", title_justify="left", show_footer=True)
    total = sum(t.total_bytes for t in a.tables)
    known = [t.estimate for t in a.tables if t.estimate.measured_copy_s is not None]
    seconds = sum((e.measured_copy_s or 0) + (e.measured_index_s or 0) for e in known)
    extra = sum(e.measured_extra_bytes or 0 for e in known)
    _, low, high, _ = guide_row(sum(t.rows for t in a.tables))
    for name, foot in (
        ("table", f"{len(a.tables)} in all"),
        ("rows", f"{sum(t.rows for t in a.tables):,.0f}"),
        ("size", size(total)),
        ("vector columns", ""),
        ("vector indexes", ""),
        ("guide: time, disk, RAM", f"{_span((low, high))}, {size(sum(t.estimate.guide_disk_bytes for t in a.tables))}"),
        ("measured: time, disk, RAM", f"{duration(seconds)}, {size(extra)} more" if known else ""),
        ("strategies", ""),
    ):
        right = "right" if name in ("rows", "size") else "left"
        grid.add_column(name, foot, overflow="fold", justify=right)  # type: ignore[arg-type]
    for t in sorted(a.tables, key=lambda t: (-t.total_bytes, t.name)):
        parts = f" ({t.partitions} partitions)" if t.partitions else ""
        e = t.estimate
        guide = f"{_span(e.guide_minutes)}, {size(e.guide_disk_bytes)}, {e.guide_ram_gib} GB"
        lists = ("\n".join(t.columns) or "-", "\n".join(t.indexes) or "-")
        cells = (t.name + parts, f"{t.rows:,.0f}", size(t.total_bytes), *lists, guide, _measured(e), _fits(t))
        grid.add_row(*(escape(cell) for cell in cells))
    return grid


def _footnotes(out: Console, a: Assessment) -> None:
    out.print(
        "  measured: copy and index builds, and disk beside the table for --strategy parallel; in-place needs",
        markup=False,
    )
    out.print("  the index builds alone. RAM: maintenance_work_mem for the largest build at once.", markup=False)
    for note in sorted(
        {t.estimate.note for t in a.tables if t.estimate.note and t.estimate.measured_copy_s is not None}
    ):
        out.print(f"  {note}", markup=False)


def _grouped(a: Assessment) -> list[str]:
    """One line for each problem, with everything that has it; what stops a strategy first."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for f in sorted(a.findings, key=lambda f: (-len(f.stops), f.problem)):
        found.setdefault((f.problem, f.stops), []).append(f.object)
    return [
        f"{', '.join(objects)}: {problem}" + (f" (not {', not '.join(stops)})" if stops else "")
        for (problem, stops), objects in found.items()
    ]


def _span(minutes: tuple[int, int | None]) -> str:
    low, high = minutes
    if high is None:
        return f"over {duration(low * 60)}"
    return f"{low}-{high} min" if high < 120 else f"{low / 60:g}-{high / 60:g} h"


def _measured(e: Estimate) -> str:
    if e.measured_copy_s is None:
        return e.note or "?"
    seconds = e.measured_copy_s + (e.measured_index_s or 0)
    return f"{duration(seconds)}, {size(e.measured_extra_bytes)}, {size(e.measured_index_ram_bytes)}"


def _fits(t: TableReport) -> str:
    every = ["parallel", "in-place", "blue-green"]
    missing = [s for s in every if s not in t.strategies]
    return "all" if not missing else "none" if len(missing) == len(every) else f"not {', not '.join(missing)}"


def _verdict(a: Assessment) -> str:
    if a.blockers:
        return "Verdict: cannot migrate yet, see the blockers."
    if not a.tables:
        return "Verdict: nothing to migrate."
    fits = {s: sum(s in t.strategies for t in a.tables) for s in ("parallel", "in-place", "blue-green")}
    if len(a.tables) in fits.values():
        text = "Verdict: ready."
    else:
        short = [t.name for t in a.tables if not t.strategies]
        text = f"Verdict: no strategy fits all tables{', none fits ' + ', '.join(short) if short else ''}."
    text += " " + "; ".join(f"{s} fits {n if n < len(a.tables) else 'all'} of {len(a.tables)}" for s, n in fits.items())
    best = max(fits, key=lambda s: fits[s])
    return f"{text}.\nNext: ruvector migrate --strategy {best} --dry-run"


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


def print_status(run: Run, relations: list[Relation], left: dict[str, int]) -> None:
    """How much of the copy and of the steps is done."""
    if run.phase in CLOSED:
        return
    out = console()
    if run.strategy == "parallel":
        for r in relations:
            rows = (
                f"all {r.rows_done:,} rows copied"
                if r.complete
                else f"{r.rows_done:,} of about {r.rows_total:,} rows copied"
            )
            out.print(f"-- {qualified(r.schema, r.name)}: {rows}", markup=False, highlight=False)
    elif run.strategy == "in-place":
        out.print(f"-- undo script: {run.options['undo_file']}", markup=False, highlight=False, soft_wrap=True)
    if left:
        steps = ", ".join(f"{phase} {count}" for phase, count in left.items())
        out.print(f"-- steps left: {steps}", markup=False, highlight=False)
