# SPDX-License-Identifier: PostgreSQL
"""The report: result files as one Markdown page with plots. Every number on the page stands in a file beside it.

python bench/report.py [--text-only] RESULTS PAGE     from result files that are there already
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suites import DATA, NO_DATA

from ruvector_fdw.demo import plot
from ruvector_fdw.demo.measure import Point, latency_at

Suites = Mapping[str, Any]
_PLOTTED = ("hnsw", "ivf", "halfvec", "quantization", "foreign")
_HEAD = """# Benchmarks

pgvector and ruvector side by side: one server, one client on the same machine, in turns in one run. `make bench` writes
this page from the result files in [benchmarks/](benchmarks/), which also carry the settings of the server and every
point of every curve:

    make bench BENCH="--docs"                            the vectors that come with the source, 5,000 of 384 dimensions
    make bench BENCH="--data DIR/others_base.npy --docs"   others

Times are full round trips of a prepared statement with a binary parameter: the median of all queries, and of several
runs the median run. Recall is recall@10 against the exact answer. `times better` is above 1 where ruvector needs less
(or does more); `-` stands where a curve does not reach that recall. pgvector has the same `m`, `ef_construction` and
`lists`, and the memory that its builds ask for. Compare ratios: another machine has other milliseconds, and so has this one when
it is busy (the load average stands below each table).
"""


def cell(value: Any) -> str:
    """A figure as people read it: three digits that count."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"
    return str(value)


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    lines = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)], *[[cell(v) for v in row.values()] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _points(suite: Mapping[str, Any]) -> dict[str, list[Point]]:
    return {
        name: [Point(**{**point, "runs_ms": tuple(point["runs_ms"])}) for point in points]
        for name, points in suite["curves"].items()
    }


def _spread(points: Iterable[Point]) -> float | None:
    """The largest distance between two runs of a point, as a share of their median."""
    shares = [(max(one.runs_ms) - min(one.runs_ms)) / one.median_ms for one in points if len(one.runs_ms) > 1]
    return max(shares, default=None)


def _measured(suite: Mapping[str, Any]) -> str:
    """How the figures of a suite came about, in a line."""
    origin = suite["provenance"]
    changed = " with changes" if origin["uncommitted_changes"] else ""
    parts = [origin["date"][:10], f"commit `{origin['commit'][:10]}`{changed}", f"`{' '.join(origin['command'])}`"]
    parts.append(f"load average {origin['machine']['load_average']}")
    spread = _spread([one for points in _points(suite).values() for one in points])
    if spread is not None:
        parts.append(f"{origin['rounds']} runs, at most {spread:.0%} apart")
    facts = [f"{name}: {cell(value)}" for name, value in suite["facts"].items() if not isinstance(value, (dict, float))]
    return "; ".join(parts + facts) + "\n"


def _against_targets(suites: Suites) -> list[dict[str, Any]]:
    """The rows of the table of targets that these suites have measured."""
    rows: list[dict[str, Any]] = []

    def compare(what: str, left: float | None, right: float | None, *, more: bool = False) -> None:
        better = (right / left if more else left / right) if left and right else None
        ratio = None if better is None else f"{better:.1f}x"
        rows.append({"": what, "pgvector": left, "ruvector": right, "times better": ratio})

    for suite, recalls in (("hnsw", (0.95, 0.99)), ("ivf", (0.90, 0.95))):
        if suite in suites:
            theirs, ours, *_ = suites[suite]["rows"]
            for recall in recalls:
                column = f"ms at recall {recall:.2f}"
                compare(f"{suite}: {column}", theirs[column], ours[column])
            for column in ("build s", "size MB"):
                compare(f"{suite}: {column}", theirs[column], ours[column])
    if "inserts" in suites:
        compare("inserts/s, indexed table", *(row["rows/s"] for row in suites["inserts"]["rows"][:2]), more=True)
    if "clients" in suites:
        column = "16 clients, queries/s"
        compare(f"{column}, recall 0.95", *(row[column] for row in suites["clients"]["rows"][:2]), more=True)
    if "threshold" in suites:
        found = suites["threshold"]["rows"]
        for theirs, ours in zip(found[::3], found[1::3], strict=True):
            share = theirs["system"].split(", ")[1]
            compare(f"threshold, {share}: ms ({theirs['plan']})", theirs["median ms"], ours["median ms"])
    return rows


def _machines(documents: Mapping[str, Suites]) -> str:
    found = {
        f"{where['cpu']}, {where['cores']} cores, {where['memory_mb'] // 1024} GB, Linux {where['kernel'].split('-')[0]}; "
        f"{origin['server'].split(' on ')[0]}, pgvector {origin['extensions'].get('vector')}, "
        f"ruvector {origin['extensions'].get('ruvector')} ({origin['simd']})"
        for document in documents.values()
        for suite in document.values()
        for origin in (suite["provenance"],)
        for where in (origin["machine"],)
    }
    return "\n".join(f"Measured on: {one}." for one in sorted(found)) + "\n"


def _plots(name: str, suite: str, figures: Mapping[str, Any], pictures: Path, *, draw: bool) -> list[str]:
    """Draw what a suite has to show; the files' names."""
    curves = _points(figures)
    if suite == "growth":
        wanted = {f"{name}-growth.png": None}
    elif suite == "quantization":
        methods = sorted({label.split()[0] for label in curves})
        wanted = {
            f"{name}-{suite}-{one}.png": {k: v for k, v in curves.items() if k.startswith(one)} for one in methods
        }
    else:
        wanted = {f"{name}-{suite}.png": curves} if suite in _PLOTTED else {}
    for file, chosen in wanted.items():
        if draw and chosen is None:
            plot.latency_by_rows(_by_rows(figures), "generated, 128 dimensions, recall 0.95", pictures / file)
        elif draw and chosen is not None:
            plot.recall_latency(chosen, f"{name}, {suite}", pictures / file)
    return list(wanted)


def _by_rows(figures: Mapping[str, Any]) -> dict[str, list[tuple[int, float]]]:
    """For each system: (rows, ms at recall 0.95)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for label, points in _points(figures).items():
        system, rows = label.rsplit(", ", 1)
        at = latency_at(points, 0.95)
        if at is not None:
            found.setdefault(system, []).append((int(rows.split()[0].replace(",", "")), at))
    return found


def write(results: Path, page: Path, pictures: Path, *, draw: bool = True) -> Path:
    """Write the page of every result file in a directory, and its plots; without `draw`, the page alone."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    documents = {name: suites for name, suites in documents.items() if name.split("-")[0] != "store"}
    titles = {name: (suite.__doc__ or "").splitlines()[0] for name, suite in {**DATA, **NO_DATA}.items()}
    parts = [_HEAD, _machines(documents)]
    for name, suites in documents.items():
        some = next(iter(suites.values()))["provenance"].get("dataset")
        about = (
            f"{some['rows']:,} × {some['dims']}, {some['queries']} queries, sha256 `{some['sha256'][:16]}…`"
            if some
            else ""
        )
        parts.append(f"## {name}\n\n{about}\n" if about else f"## {name}\n")
        if targets := _against_targets(suites):
            parts.append(_table(targets))
        for suite in [one for one in titles if one in suites]:
            figures = suites[suite]
            parts.append(f"### {name}: {suite}\n\n{titles[suite]}\n")
            if figures["rows"]:
                parts.append(_table(figures["rows"]))
            for file in _plots(name, suite, figures, pictures, draw=draw):
                where = file if pictures == page.parent else f"{pictures.name}/{file}"
                parts.append(f"![{name}, {suite}]({where})\n")
            parts.append(_measured(figures))
    page.write_text("\n".join(parts))
    return page


if __name__ == "__main__":
    text_only = "--text-only" in sys.argv
    results, page = (Path(argument) for argument in sys.argv[1:] if argument != "--text-only")
    write(results, page, results, draw=not text_only)
