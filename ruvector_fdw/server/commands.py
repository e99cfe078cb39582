# SPDX-License-Identifier: PostgreSQL
"""`ruvector up`, `psql`, `down` and `install`.

Clusters live below the environment they were started from (.venv/var/ruvector), or below the user's state directory
when that is not writable. The file `current` there names the one that `psql` and `down` mean when told nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .cluster import Cluster
from .errors import ServerError
from .installation import Installation
from .places import state_dir

_pg = click.option("--pg", metavar="16|18|PG_CONFIG", help="Major version, or the path of a pg_config.  [default: 18]")
_data = click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="The data directory.")


def _current() -> Path:
    return state_dir() / "current"


def locate(pg: str | None, data: Path | None) -> Cluster:
    """The cluster that the options name; a new one's version is `pg`, or the default."""
    if data is not None and pg is None and (data / "PG_VERSION").exists():
        pg = _installation_of(data)
    installation = Installation.find(pg)
    return Cluster(installation, data or state_dir() / installation.tag)


def _installation_of(data: Path) -> str:
    """What a cluster was made with: the pg_config noted beside it, else its version."""
    note = data / "ruvector.pg_config"
    return note.read_text().strip() if note.exists() else (data / "PG_VERSION").read_text().strip()


def up_cluster(
    pg: str | None = None, data: Path | None = None, settings: dict[str, str] | None = None, *, reuse: bool = False
) -> Cluster:
    """Install the extension files, start the cluster, and make it the current one.

    :param reuse: leave one that runs already as it is, whatever its settings.
    """
    cluster = locate(pg, data)
    cluster.installation.ensure_extension()
    if not (reuse and cluster.pid() is not None):
        cluster.start(settings or None)
    (cluster.data / "ruvector.pg_config").write_text(f"{cluster.installation.pg_config}\n")
    _current().parent.mkdir(parents=True, exist_ok=True)
    _current().write_text(f"{cluster.data}\n")
    return cluster


def _running(pg: str | None, data: Path | None) -> Cluster:
    if pg is None and data is None:
        if not _current().exists():
            raise ServerError("no server is up: run ruvector up")
        data = Path(_current().read_text().strip())
        if not (data / "PG_VERSION").exists():
            raise ServerError(f'no server is up: "{data}" is gone')
    return locate(pg, data)


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise click.BadParameter(f'"{name}" is not name=value', param_hint="--set")
    return {name: value for name, _, value in pairs}


@click.command()
@_pg
@_data
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
def up(pg: str | None, data: Path | None, settings: tuple[str, ...]) -> None:
    """Start (or find) a server with the extension files installed, and print its libpq URI."""
    click.echo(up_cluster(pg, data, _pairs(settings)).uri())


@click.command()
@_pg
@_data
@click.option("-d", "--database", default="postgres", show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(pg: str | None, data: Path | None, database: str, arguments: tuple[str, ...]) -> None:
    """Open psql on the server that is up; arguments after -- are psql's."""
    cluster = _running(pg, data)
    if cluster.pid() is None:
        raise ServerError("no server is up: run ruvector up")
    program = cluster.installation.program("psql")
    sys.stdout.flush()
    os.execv(program, [str(program), "--dbname", cluster.uri(database), *arguments])


@click.command()
@_pg
@_data
def down(pg: str | None, data: Path | None) -> None:
    """Stop the server that is up; its data stays."""
    _running(pg, data).stop()


@click.command()
@click.option(
    "--pg-config", "pg", required=True, metavar="PG_CONFIG|MAJOR", help="The server: its pg_config, or 14 to 18."
)
@click.option(
    "--destdir", type=click.Path(path_type=Path, file_okay=False), help="Stage the files below this directory."
)
def install(pg: str, destdir: Path | None) -> None:
    """Build the extensions for a server and put them into it (its development files are needed)."""
    Installation.find(pg).install_extension(destdir)
