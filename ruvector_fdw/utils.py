# SPDX-License-Identifier: PostgreSQL
"""Logging for wrappers, with the names and rules of Multicorn's `multicorn.utils`."""

from __future__ import annotations

from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING

from ruvector_fdw import host
from ruvector_fdw.host import check_interrupts

REPORT_CODES = {DEBUG: 0, INFO: 1, WARNING: 2, ERROR: 3, CRITICAL: 4}


class MulticornException(Exception):
    """Raised by `log_to_postgres` at ERROR and CRITICAL; the host turns it into that PostgreSQL error."""

    def __init__(self, message: str, code: int, hint: str | None, detail: str | None) -> None:
        super().__init__(message)
        self._is_multicorn_exception = True
        self.message = message
        self.code = code
        self.hint = hint
        self.detail = detail


def log_to_postgres(message: object, level: int = INFO, hint: object = None, detail: object = None) -> None:
    """Anything that is not a str is printed as one.

    :raise KeyError: `level` is none of logging's DEBUG, INFO, WARNING, ERROR, CRITICAL."""
    if level not in REPORT_CODES:
        raise KeyError("Not a valid log level")
    text = str(message)
    more = [None if part is None else str(part) for part in (hint, detail)]
    if level >= ERROR:
        raise MulticornException(text, REPORT_CODES[level], *more)
    host.log(text, level, *more)


__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "WARNING", "MulticornException", "check_interrupts", "log_to_postgres"]
