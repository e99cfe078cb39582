# SPDX-License-Identifier: PostgreSQL
"""Builds the Python package: the version from sql/ruvector.control, the engine module by the kernels' makefile.

Everything compiled goes through kernels/Makefile, which rebuilds only what changed; this file only carries the
finished module to where setuptools wants it. The PostgreSQL libraries are no part of the package: they belong to one
server. A wheel carries their sources instead (ruvector_fdw/_source), of which `ruvector install --pg-config ...` and
`ruvector up` build what that server needs; from a checkout it is `make install PG_CONFIG=...`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

TOP = Path(__file__).resolve().parent
# What builds the PostgreSQL libraries, by pattern below TOP.
SOURCES = ("kernels/**/Makefile", "kernels/**/*.[ch]", "kernels/**/*.cpp", "sql/*.control", "sql/**/*.sql",
           "tools/preflight", "tools/probe_python.py")  # fmt: skip


def version() -> str:
    found = re.search(r"^default_version\s*=\s*'([^']+)'", (TOP / "sql/ruvector.control").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("error: sql/ruvector.control names no default_version")
    return found[1]


class MakeExtension(build_ext):
    def build_extension(self, ext: Extension) -> None:
        out = f"build/py{sys.version_info[0]}{sys.version_info[1]}"
        subprocess.run(
            ["make", "-s", "-C", str(TOP / "kernels"), "python", f"PYTHON={sys.executable}", f"PYOUT={TOP / out}"],
            check=True,
        )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Replaced, never rewritten in place: a server may have the module mapped.
        fresh = target.with_name(f".{target.name}.new")
        shutil.copy2(TOP / out / "_engine.so", fresh)
        fresh.replace(target)


class WithSources(build_py):
    """Adds the sources of the PostgreSQL libraries to what is packed; an editable install has the checkout's."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for pattern in SOURCES:
            for path in TOP.glob(pattern):
                target = Path(self.build_lib) / "ruvector_fdw/_source" / path.relative_to(TOP)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)


setup(
    version=version(),
    ext_modules=[Extension("ruvector_fdw._engine", sources=[])] if any(TOP.glob("kernels/python/*.cpp")) else [],
    cmdclass={"build_ext": MakeExtension, "build_py": WithSources},
)
