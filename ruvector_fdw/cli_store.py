# SPDX-License-Identifier: PostgreSQL
"""The command group ``ruvector store``: create, load, compact, check, stats.

Only arguments, output and exit status are decided here; the work is `ruvector_fdw.store.Store`. What a script may
read goes to stdout, progress to stderr.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from ruvector_fdw.errors import InvalidValueError, OptionError, StoreAccessError, StoreError
from ruvector_fdw.store import Store
from ruvector_fdw.stores.store.schema import INDEX_KINDS, LIMITS, QUANTIZATIONS
from ruvector_fdw.stores.vector_file import VectorFile
from ruvector_fdw.stores.vectors import METRICS_OF_ELEMENT

_METRICS = ("l2", "ip", "cosine", "l1", "hamming", "jaccard")
_STORE = click.argument("path", type=click.Path(path_type=Path))


@click.group()
def store() -> None:
    """Vector stores: directories that a foreign table of kind `store` reads and writes."""


@store.command()
@_STORE
@click.option("--dims", type=int, required=True, help="Elements of every vector.")
@click.option(
    "--metric",
    type=click.Choice(_METRICS),
    default="l2",
    show_default=True,
    help="The distance that is indexed; the last two are for bits.",
)
@click.option(
    "--index", type=click.Choice(INDEX_KINDS), default="hnsw", show_default=True, help="flat is exact, and slower."
)
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default="sq8",
    show_default=True,
    help="How the index codes vectors; the full ones are always kept beside.",
)
@click.option(
    "--element",
    type=click.Choice(list(METRICS_OF_ELEMENT)),
    default="f32",
    show_default=True,
    help="What a vector is made of: ruvector, halfvec, bit or sparsevec.",
)
@click.option("--column", "columns", multiple=True, metavar="NAME:TYPE", help="A payload column (repeatable).")
@click.option("--indexed", multiple=True, metavar="NAME", help="A column that is often filtered by (repeatable).")
@click.option("--not-null", multiple=True, metavar="NAME", help="A column that must have a value (repeatable).")
@click.option(
    "--vector-column", metavar="NAME", default="embedding", show_default=True, help="The name of the column of vectors."
)
@click.option("--set", "limits", multiple=True, metavar="NAME=NUMBER", help=f"One of {', '.join(LIMITS)}.")
def create(
    path: Path,
    dims: int,
    columns: tuple[str, ...],
    indexed: tuple[str, ...],
    not_null: tuple[str, ...],
    limits: tuple[str, ...],
    **options: Any,
) -> None:
    """Make an empty store in the directory PATH."""
    typed = dict(_pair(column, ":", "--column") for column in columns)
    numbers: dict[str, Any] = {
        name: _number(value, name) for name, value in (_pair(limit, "=", "--set") for limit in limits)
    }
    with Store.create(
        path, dims=dims, columns=typed, indexed=list(indexed), not_null=list(not_null), **options, **numbers
    ) as made:
        click.echo(f"created store {path}: {', '.join(f'{c.name} {c.type_name}' for c in made.spec.columns)}")


@store.command()
@_STORE
@click.argument("vectors", type=click.Path(path_type=Path))
@click.option("--number", metavar="NAME", help="Give this column the number of the row in the file, from 0.")
@click.option("--payload", type=click.Path(path_type=Path), help="CSV with a header: the other columns, row by row.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def load(path: Path, vectors: Path, number: str | None, payload: Path | None, quiet: bool) -> None:
    """Add the rows of a file VECTORS (.npy, .fvecs or .bvecs)."""
    file = VectorFile(vectors)
    file.check()
    data = file.vectors
    columns: dict[str, Any] = _payload(payload, len(data)) if payload is not None else {}
    if number is not None:
        columns[number] = np.arange(len(data))
    with Store(path) as opened:
        for column in opened.spec.payload:
            if column.name in columns and isinstance(columns[column.name], list):
                columns[column.name] = [_typed(text, column.codec.sqlite_type) for text in columns[column.name]]
        rows = opened.load(data, progress=not quiet, **columns)
        click.echo(f"loaded {rows.size} rows, {len(opened)} in all")


@store.command()
@_STORE
@click.option("--rebuild", is_flag=True, help="Build all segments again, also damaged or missing ones.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def compact(path: Path, rebuild: bool, quiet: bool) -> None:
    """Make one segment of all rows, without the dead.

    Others may read and write meanwhile. Gives the space of dead rows back.
    """
    with Store(path) as opened:
        opened.compact(rebuild, progress=not quiet)
        found = opened.stats()
    plural = "" if found["segments"] == 1 else "s"
    click.echo(f"{found['rows']} rows in {found['segments']} segment{plural}, {_size(found['segment_bytes'])}")


@store.command()
@_STORE
def check(path: Path) -> None:
    """Verify checksums, links and counts.

    Prints what is wrong, and exits with status 1 when something is.
    """
    with Store(path) as opened:
        problems = opened.check()
    for problem in problems:
        click.echo(problem)
    if problems:
        raise StoreError(f'store "{path}" is not sound: {len(problems)} found')
    click.echo("sound")


@store.command()
@_STORE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def stats(path: Path, as_json: bool) -> None:
    """What a store holds, and the space it takes."""
    with Store(path) as opened:
        found, spec = opened.stats(), opened.spec
    if as_json:
        click.echo(json.dumps({"spec": json.loads(spec.to_json()), **found}, indent=2))
        return
    click.echo(f"{spec.index} over {spec.dims} x {spec.element}, {spec.metric}, {spec.quantization}")
    for name in ("rows", "segments", "segment_keys", "delta_rows", "dead_rows", "pending_transactions"):
        click.echo(f"{name.replace('_', ' '):22}{found[name]:>14,}")
    for name in ("database_bytes", "segment_bytes"):
        click.echo(f"{name.split('_')[0] + ' size':22}{_size(found[name]):>14}")


def _pair(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name or not value:
        raise click.UsageError(f"{option} takes NAME{separator}VALUE, not {text!r}")
    return name, value


def _number(text: str, name: str) -> int:
    if not text.isdigit():
        raise OptionError(f'invalid value for option "{name}": "{text}"', hint="It is a number.")
    return int(text)


def _payload(path: Path, count: int) -> dict[str, list[str | None]]:
    """A CSV file by column; an empty field is NULL."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as ex:
        raise StoreAccessError.of(f'could not read file "{path}"', ex) from ex
    except UnicodeDecodeError as ex:
        raise InvalidValueError(f'file "{path}" is not in UTF-8: {ex}', sqlstate="22021") from ex
    with io.StringIO(text, newline="") as opened:
        rows = csv.reader(opened)
        names = next(rows, [])
        columns: dict[str, list[str | None]] = {name: [] for name in names}
        for line, row in enumerate(rows, 2):
            if len(row) != len(names):
                raise click.UsageError(f"{path}, line {line}: {len(row)} fields, not {len(names)}")
            for name, value in zip(names, row, strict=True):
                columns[name].append(value or None)
    if any(len(values) != count for values in columns.values()):
        raise click.UsageError(f"{path} has another number of rows than the vectors, {count}")
    return columns


def _typed(text: str | None, sqlite_type: str) -> Any:
    """A field of a CSV file for a column; what is no number where one belongs is left for the column to refuse."""
    if text is None or sqlite_type not in ("INTEGER", "REAL"):
        return text
    words = {"t": True, "true": True, "f": False, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text) if sqlite_type == "INTEGER" else float(text)
    except ValueError:
        return text


def _size(count: int) -> str:
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 10240 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:,.0f} {units[0]}"
