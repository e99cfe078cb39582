# SPDX-License-Identifier: PostgreSQL
"""The embedded server: find a PostgreSQL, put the extension files into it, and run clusters of it.

`installation` finds servers and installs the extension, `account` decides which system user runs them, `cluster`
starts and stops one data directory. The `ruvector` command, the tests and the benchmarks all use these three.
"""

from .account import Account
from .cluster import Cluster
from .errors import ServerError
from .installation import Installation

__all__ = ["Account", "Cluster", "Installation", "ServerError"]
