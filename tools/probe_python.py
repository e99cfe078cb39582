# SPDX-License-Identifier: PostgreSQL
"""Says whether this interpreter can build and host ruvector_fdw. Runs on any Python 3; used by pick-python, preflight.

Prints `complete PATH`, `private PATH` (complete, but another user cannot reach it and we are root) or
`lacks WHAT: PACKAGE`, one line for each thing.
"""

import importlib.util
import os
import sys
import sysconfig

major, minor = sys.version_info[:2]
short = "%d.%d" % (major, minor)  # noqa: UP031
lacks = []
if not (3, 10) <= (major, minor) <= (3, 13):
    lacks.append("a supported version (this is %s): Python 3.10 to 3.13" % short)  # noqa: UP031
else:
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        lacks.append("Python.h: python3-dev (python%s-dev)" % short)  # noqa: UP031
    library = sysconfig.get_config_var("LDLIBRARY") or ""
    folders = [sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "LIBPL")]
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        lacks.append("a shared libpython: an interpreter built with --enable-shared, as libpython%s is" % short)  # noqa: UP031
    elif not any(os.path.exists(os.path.join(folder, library)) for folder in folders):
        lacks.append("%s: libpython%s-dev" % (library, short))  # noqa: UP031
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        lacks.append("venv: python3-venv (python%s-venv)" % short)  # noqa: UP031


def reachable(path):
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


if lacks:
    for line in lacks:
        print("lacks " + line)
elif os.geteuid() == 0 and not reachable(os.path.realpath(sys.base_prefix)):
    print("private " + sys.executable)
else:
    print("complete " + sys.executable)
