# SPDX-License-Identifier: PostgreSQL
"""Errors of the migration tool.

The command line prints ``error: ...`` and exits with 1 (2 for usage); ``--debug`` shows the traceback. Texts never
hold a password: a connection string enters a message only through :func:`ruvector_fdw.migrate.sqlrun.mask`.
"""

from __future__ import annotations

from ..errors import RuvectorError


class MigrateError(RuvectorError):
    """A migration cannot go on. ``hint`` says what to do about it."""

    sqlstate = "55000"


class RequestError(MigrateError):
    """What is asked for does not exist or does not fit together (exit status 2)."""

    sqlstate = "22023"


class BusyError(MigrateError):
    """A lock was not to be had within the retries; nothing was changed."""

    sqlstate = "55P03"


class DriftError(MigrateError):
    """The schema changed under a running migration in a way that cannot be carried over."""

    sqlstate = "55006"
