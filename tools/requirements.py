# SPDX-License-Identifier: PostgreSQL
"""Prints the requirements of pyproject.toml, every extra included, without the project itself.

Python 3.10 has no tomllib, and nothing is installed yet when this runs: the file's own layout (one list on a line)
is all that is read.
"""

import re
import sys
from pathlib import Path

names: list[str] = []
for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
    found = re.match(r"(dependencies|server|usearch|demo|clients|docker|build|test|lint) = \[(.*)\]$", line)
    if found:
        names += re.findall(r'"([^"]+)"', found[2])
if not any(name.startswith("numpy") for name in names):
    raise SystemExit("error: pyproject.toml lists its requirements in a form this script does not read")
print("\n".join(dict.fromkeys(names)))
