# SPDX-License-Identifier: PostgreSQL
"""The one exception of the embedded server: lower case, no period, names what to do where that is known."""

from ruvector_fdw.errors import RuvectorError


class ServerError(RuvectorError):
    """A server could not be found, installed into, started or stopped."""

    sqlstate = "58000"
