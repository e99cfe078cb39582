# SPDX-License-Identifier: PostgreSQL
"""The `ruvector` command.

Every subcommand is a click command in a module of its own, imported when it is called: `ruvector psql` must not wait
for numpy. A failure that the user can mend is one line, `error: …`, and exit status 1 (2 for usage); a traceback only
with `--debug`.
"""

from __future__ import annotations

import importlib
import sys
import traceback

import click

from . import __version__
from .errors import RuvectorError

# subcommand: (module below ruvector_fdw, name of the click command there, what --help says)
_COMMANDS = {
    "up": ("server.commands", "up", "Start (or find) a server with the extension; prints its URI."),
    "psql": ("server.commands", "psql", "Open psql on the server that is up."),
    "down": ("server.commands", "down", "Stop the server that is up."),
    "install": ("server.commands", "install", "Build the extensions for your server and put them into it."),
    "assess": ("cli_migrate", "assess", "Look at a database with pgvector, and what migrating it will cost."),
    "migrate": ("cli_migrate", "migrate", "Migrate it: --strategy parallel, blue-green or in-place; or go on."),
    "validate": ("cli_migrate", "validate", "Compare the new tables with the old: rows, bytes, neighbours, latency."),
    "cutover": ("cli_cutover", "cutover", "Let the new tables, or the new server, serve."),
    "rollback": ("cli_cutover", "rollback", "Go back one step of a migration."),
    "status": ("cli_cutover", "status", "Where a migration stands."),
    "store": ("cli_store", "store", "Vector stores: create, load, compact, check, stats."),
    "demo": ("demo.command", "demo", "The whole path on real vectors, every SQL statement shown."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ruvector")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Vector search in PostgreSQL: servers, the demonstration, and migration from pgvector."""


def _show_usage(ex: click.UsageError) -> None:
    """click's own words, in the form that every error of ours has."""
    if isinstance(ex, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        ex.show()
        return
    if ex.ctx is not None:
        print(f"{ex.ctx.get_usage()}\nTry '{ex.ctx.command_path} --help' for help.\n", file=sys.stderr)
    message = ex.format_message().rstrip(".")
    print(f"error: {message[:1].lower()}{message[1:]}", file=sys.stderr)


def main() -> None:
    """Entry point of the console script."""
    debug = "--debug" in sys.argv[1:]
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as ex:
        sys.exit(ex.exit_code)
    except click.UsageError as ex:
        _show_usage(ex)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as ex:
        if debug:
            traceback.print_exc()
        message = ex.format_message() if isinstance(ex, click.ClickException) else str(ex)
        print(f"error: {message or type(ex).__name__}", file=sys.stderr)
        if isinstance(ex, RuvectorError):
            for label, text in (("detail", ex.detail), ("hint", ex.hint)):
                if text:
                    print(f"{label}: {text}", file=sys.stderr)
        sys.exit(1)
