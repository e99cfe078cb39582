# SPDX-License-Identifier: PostgreSQL
"""Options as the host has them checked: those of a server when it is created or altered.

Options of tables and columns are for the store to judge when it opens, because only then is the kind known. Names that
libpq or PostgreSQL itself would reject never get here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ruvector_fdw.errors import OptionError
from ruvector_fdw.stores import store_class

# Every user of a database can read the options of servers and tables, but not those of other users' mappings.
SECRETS = ("password", "sslpassword")


def check(catalog: str, options: Mapping[str, str]) -> None:
    """:raise OptionError: the options of this catalog ("server" or "table") cannot be used."""
    for name in SECRETS:
        if name in options:
            raise OptionError(
                f'option "{name}" cannot be set on a {catalog}',
                hint="Every user can read it there: it belongs in a user mapping.",
            )
    if catalog == "server":
        store_class(options.get("kind", "store"))
