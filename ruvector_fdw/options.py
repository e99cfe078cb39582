# SPDX-License-Identifier: PostgreSQL
"""Options as the host has them checked: those of a server when it is created or altered.

Options of tables and columns are for the store to judge when it opens, because only then is the kind known. Names that
libpq or PostgreSQL itself would reject never get here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ruvector_fdw.stores import store_class


def check(catalog: str, options: Mapping[str, str]) -> None:
    """:raise OptionError: the options of this catalog ("server") cannot be used."""
    if catalog == "server":
        store_class(options.get("kind", "store"))
