# SPDX-License-Identifier: PostgreSQL
"""Which layer may use which, by reading every include and import (the table is in docs/design/README.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
KERNELS = TOP / "kernels"
LAYERS = ("distance", "engine", "types", "index", "fdw", "python")

# layer: the kernels headers it may include, as patterns of paths below kernels/
MAY_INCLUDE = {
    "distance": r"distance/",
    "engine": r"engine/|distance/distance\.h",
    "types": r"types/|distance/distance\.h|compat\.h",
    "index": r"index/|types/|distance/distance\.h|engine/engine\.h|compat\.h",
    "fdw": r"fdw/|types/|compat\.h",
    "python": r"python/|engine/engine\.h|distance/distance\.h",
}
# layer: system headers it must not include
NEVER_SYSTEM = {
    "distance": r"postgres|Python\.h|malloc\.h|stdio\.h|errno\.h",
    "engine": r"postgres|Python\.h|iostream|fstream",
    "types": r"Python\.h",
    "index": r"Python\.h",
    "fdw": r"$^",
    "python": r"postgres",
}
# Whole modules of the package that a part must not import, unless the pattern of its path says so.
PSYCOPG_IN = r"migrate/|cli_migrate|stores/pgvector|clients/|server/|demo/|django/|sqlalchemy"


def sources(layer: str) -> list[Path]:
    return sorted(path for path in (KERNELS / layer).rglob("*") if path.suffix in (".c", ".cpp", ".h", ".hpp"))


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)


def included(path: Path) -> Iterator[tuple[str, bool]]:
    """(what it includes, whether it is ours); ours as a path below kernels/."""
    for bracket, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', without_comments(path), re.MULTILINE):
        beside = path.parent / name
        if beside.exists():
            yield str(beside.resolve().relative_to(KERNELS)), True
        elif (KERNELS / name).exists():
            yield name, True
        else:
            assert bracket in '<"'
            yield name, False


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_includes_only_what_is_below_it(layer: str) -> None:
    wrong = [
        f"{path.relative_to(TOP)} includes {name}"
        for path in sources(layer)
        for name, ours in included(path)
        if (ours and not re.match(MAY_INCLUDE[layer], name)) or (not ours and re.match(NEVER_SYSTEM[layer], name))
    ]
    assert wrong == []


def test_the_engine_leaves_the_process_alone() -> None:
    """No exit, no output, and no exception type but bad_alloc named: failures are status codes."""
    calls = re.compile(r"\b(?:std::)?(?:exit|_exit|abort|printf|puts|fprintf|perror)\s*\(|std::(?:cout|cerr)")
    found = [
        f"{path.relative_to(TOP)}: {hit[0]}"
        for layer in ("distance", "engine")
        for path in sources(layer)
        for hit in calls.finditer(without_comments(path))
    ]
    assert found == []


def test_the_kernels_of_distance_allocate_nothing() -> None:
    calls = re.compile(r"\b(?:malloc|calloc|realloc|palloc\w*|free|ereport|elog)\s*\(")
    found = [str(path.relative_to(TOP)) for path in sources("distance") if calls.search(without_comments(path))]
    assert found == []


def test_python_h_is_only_in_py_files() -> None:
    found = [path.name for path in sources("fdw") if any(name == "Python.h" for name, _ in included(path))]
    assert [name for name in found if not re.match(r"py(_|\.h)", name)] == []


def test_index_and_types_are_c() -> None:
    found = [path.name for layer in ("types", "index", "fdw") for path in sources(layer) if path.suffix == ".cpp"]
    assert found == []


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_psycopg_stays_where_a_remote_server_is_meant() -> None:
    package = TOP / "ruvector_fdw"
    found = [
        str(path.relative_to(package))
        for path in sorted(package.rglob("*.py"))
        if "psycopg" in imports(path) and not re.match(PSYCOPG_IN, str(path.relative_to(package)))
    ]
    assert found == []


def test_stores_do_not_reach_past_the_engine_module() -> None:
    """No ctypes: the engine is used through ruvector_fdw._engine alone."""
    package = TOP / "ruvector_fdw"
    assert [str(path) for path in package.rglob("*.py") if imports(path) & {"ctypes", "cffi"}] == []


def test_every_source_names_its_licence() -> None:
    suffixes = {".c", ".h", ".cpp", ".hpp", ".py", ".sql"}
    folders = ("kernels", "ruvector_fdw", "sql", "tests", "bench", "tools")
    missing = [
        str(path.relative_to(TOP))
        for folder in folders
        for path in sorted((TOP / folder).rglob("*"))
        if path.suffix in suffixes
        and "regress" not in path.parts
        and "SPDX-License-Identifier: PostgreSQL" not in path.read_text()[:300]
    ]
    assert missing == []
