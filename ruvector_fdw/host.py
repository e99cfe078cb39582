# SPDX-License-Identifier: PostgreSQL
"""What Python code may ask of the PostgreSQL backend it runs in.

Inside our host the functions come from the built-in module `_ruvector_host` (kernels/fdw/py_host.c); outside they do
the nearest sensible thing, so that stores are the same code in a server, in a script and in a test.

PostgreSQL knows of one thread. From another, messages go to Python's own logging (the server log, by its standard error), and
there is no query to cancel.
"""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any


def _find_host() -> Any:
    try:
        return importlib.import_module("_ruvector_host")
    except ImportError:
        return None


_host = _find_host()

_logger = logging.getLogger("ruvector_fdw")


def in_server() -> bool:
    return _host is not None


def _may_ask() -> bool:
    return _host is not None and threading.current_thread() is threading.main_thread()


def log(message: str, level: int = logging.INFO, hint: str | None = None, detail: str | None = None) -> None:
    """Send a message below ERROR to client and server log: DEBUG (debug1), INFO (notice rules apply), WARNING."""
    if _may_ask():
        _host.log(message, level, hint, detail)
    else:
        _logger.log(level, "%s", message)


def check_interrupts() -> None:
    """Raise when the query was cancelled. Call it in long loops of C code; Python code is interrupted by itself."""
    if _may_ask():
        _host.check_interrupts()


def interrupt_flag_address() -> int | None:
    """Address of a C int that is not zero when the query should stop: for engine searches. None outside a server."""
    return int(_host.interrupt_flag_address()) if _host is not None else None


def current_xid() -> int:
    """The 64-bit number of the top transaction, assigned if need be; 0 outside a server."""
    return int(_host.current_xid()) if _host is not None else 0


def secure_xid() -> None:
    """Before a store remembers `current_xid` for good: make that number survive a crash (a number that only memory
    knows is given out again), and the commit synchronous. Nothing outside a server."""
    if _host is not None:
        _host.secure_xid()


def xact_status(xid: int) -> str | None:
    """How a transaction of `cluster_id()` ended: "committed", "aborted", "in progress"; None when too old to know."""
    if _host is None:
        raise RuntimeError("transaction status is known inside PostgreSQL only")
    status: str | None = _host.xact_status(xid)
    return status


def cluster_id() -> str:
    """Names the cluster whose transaction numbers `current_xid` gives; empty outside a server."""
    return str(_host.cluster_id()) if _host is not None else ""


def is_superuser() -> bool:
    """Whether the role whose user mapping counts is a superuser (the owner of the view through which a table is used, else
    the current role); outside a server there is nobody to keep out."""
    return bool(_host.is_superuser()) if _host is not None else True


def type_oid(name: str) -> int | None:
    """The OID `name` (as in SQL) resolves to, None when there is no such type."""
    oid: int | None = _host.type_oid(name) if _host is not None else None
    return oid
