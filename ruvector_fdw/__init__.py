# SPDX-License-Identifier: PostgreSQL
"""ruvector_fdw: the Python half of ruvector.

Foreign tables over vector stores (the wrapper that runs inside PostgreSQL, and its stores), the migration tool, the
embedded server and the `ruvector` command. Importing the package starts nothing and imports none of its parts: the
PostgreSQL host pays only for what a foreign table uses. `ruvector_fdw.Store` is loaded when it is first named.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Store", "__version__"]
__version__ = _version("ruvector-fdw")


def __getattr__(name: str) -> Any:
    if name == "Store":
        from .store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
