# SPDX-License-Identifier: PostgreSQL
"""The errors that a user can cause, each with the SQLSTATE that PostgreSQL reports for it.

Messages follow PostgreSQL's style (lower case, no period, names in double quotes); `detail` and `hint` are sentences.
The host turns any RuvectorError into one ERROR of that SQLSTATE; the command line prints ``error: <message>``.
SQLSTATEs: PostgreSQL manual, appendix A.
"""

from __future__ import annotations

import errno


class RuvectorError(Exception):
    """Base of all errors raised on purpose; `sqlstate` may be overridden for one error."""

    sqlstate = "XX000"

    def __init__(
        self, message: str, *, detail: str | None = None, hint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        if sqlstate is not None:
            self.sqlstate = sqlstate


class OptionError(RuvectorError):
    """An option is missing, unknown, or has a value that cannot be used."""

    sqlstate = "HV00D"


class InvalidValueError(RuvectorError):
    """A value handed in does not fit its column, or a vector has the wrong dimensions or is not finite."""

    sqlstate = "22000"


class UnsupportedError(RuvectorError):
    """The request is well formed, but this kind of store does not do it."""

    sqlstate = "0A000"


class StoreError(RuvectorError):
    """Something is wrong with a store as a whole."""

    sqlstate = "HV000"


class StoreNotFoundError(StoreError):
    """There is no store where one was named, or it has vanished."""

    sqlstate = "58P01"


class StoreExistsError(StoreError):
    """A store is to be created where something already is."""

    sqlstate = "58P02"


# As PostgreSQL's errcode_for_file_access() chooses them.
_STATE_OF_ERRNO = {
    errno.EPERM: "42501",
    errno.EACCES: "42501",
    errno.EROFS: "42501",
    errno.ENOENT: "58P01",
    errno.ENOTDIR: "58P01",
    errno.ENOSPC: "53100",
    errno.EDQUOT: "53100",
    errno.EMFILE: "53000",
    errno.ENFILE: "53000",
}


class StoreAccessError(StoreError):
    """The operating system refuses: permissions, a read-only file system, a full disk."""

    sqlstate = "58030"

    @classmethod
    def of(cls, message: str, ex: OSError) -> StoreAccessError:
        """The error for one of the operating system, whose reason is added to the message."""
        return cls(f"{message}: {ex.strerror or ex}", sqlstate=_STATE_OF_ERRNO.get(ex.errno or 0))


class StoreFormatError(StoreError):
    """The file is not what its kind says, or was written by a newer version."""

    sqlstate = "0A000"


class StoreCorruptError(StoreError):
    """A checksum or a structure does not hold: the file is damaged."""

    sqlstate = "XX001"


class StoreBusyError(StoreError):
    """Another process held the write lock for longer than the timeout."""

    sqlstate = "55P03"


class SerializationError(StoreError):
    """Another transaction has changed the row; running the transaction again may work."""

    sqlstate = "40001"


class RemoteError(StoreError):
    """A remote server refused a connection or a query."""

    sqlstate = "HV00N"
