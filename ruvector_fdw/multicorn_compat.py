# SPDX-License-Identifier: PostgreSQL
"""The modules `multicorn` and `multicorn.utils`, so that a wrapper written for Multicorn imports and runs unchanged.

Our host imports this module when it starts. It always puts ours in place, also where Multicorn's own Python package is
installed: that one's logging needs Multicorn's own library in the process. Its further modules, the wrappers it comes
with (`multicorn.csvfdw`, `multicorn.sqlalchemyfdw`, …), are found there and run with our classes. Outside our host
nothing is replaced.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from ruvector_fdw import abc, host, utils
from ruvector_fdw.errors import OptionError

_NAMES = (
    "ALL",
    "ANY",
    "UNBOUND",
    "ColumnDefinition",
    "ForeignDataWrapper",
    "Qual",
    "SortKey",
    "TableDefinition",
    "TransactionAwareForeignDataWrapper",
    "dict_to_optionstring",
    "quote_identifier",
    "quote_option",
)


def get_class(path: str) -> Any:
    """The class that `package.module.Class` names, imported.

    :raise OptionError: the path has no module.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise OptionError(f'invalid wrapper "{path}"', hint='The form is "package.module.Class".', sqlstate="22023")
    return getattr(importlib.import_module(module), name)


def _installed_folders() -> list[str]:
    """Where Multicorn's own package is, if it is installed; it is not imported for this."""
    try:
        found = importlib.util.find_spec("multicorn")
    except ValueError:  # something named multicorn was put in place without a spec
        found = None
    return list(found.submodule_search_locations or ()) if found is not None else []


def install() -> None:
    """Make `import multicorn` give our classes."""
    folders = _installed_folders()
    package = ModuleType("multicorn", "Multicorn's Python protocol, as ruvector_fdw implements it.")
    for name in _NAMES:
        setattr(package, name, getattr(abc, name))
    package.get_class = get_class  # type: ignore[attr-defined]
    package.utils = utils  # type: ignore[attr-defined]
    package.import_module = importlib.import_module  # type: ignore[attr-defined]
    package.__version__ = "3.2"  # type: ignore[attr-defined]
    package.__path__ = folders
    sys.modules["multicorn"] = package
    sys.modules["multicorn.utils"] = utils


if host.in_server():
    install()
