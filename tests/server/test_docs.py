# SPDX-License-Identifier: PostgreSQL
"""Every example in README.md and docs/ runs and prints what the page says.

The ```sql blocks of a page run in their order, each by one psql, in a database made for the page; where a ```text block
follows, it is what psql prints (a line `...` stands for any lines). ```python blocks run in between, with one namespace
for the page. /srv/vectors in an example is a directory that the test and the server may both write to; a `postgresql://`
URI in one is the page's database.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Server, needs_extension

TOP = Path(__file__).resolve().parents[2]
# Pages that need more than one server: tests/server/test_shards.py runs this one.
_ELSEWHERE = {"sharding.md"}
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
_BLOCK = re.compile(r"^```(sql|python)\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def _pages() -> list[str]:
    pages = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
    return [str(page.relative_to(TOP)) for page in pages if page.name not in _ELSEWHERE and _BLOCK.search(page.read_text())]


def _matches(expected: str, printed: str) -> bool:
    lines = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "\n".join(r"(?:.*\n?)*?" if line == "..." else re.escape(line) for line in lines)
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())) is not None


@pytest.mark.parametrize("page", _pages())
def test_the_examples_of_a_page_run_as_printed(page: str, server: Server, shared_dir: Path) -> None:
    text = (TOP / page).read_text()
    for extension in set(re.findall(r"CREATE EXTENSION (?:IF NOT EXISTS )?(\w+)", text)):
        needs_extension(server, extension)
    database = server.create(extensions=())
    namespace: dict[str, Any] = {"__name__": "__docs__"}

    def local(code: str) -> str:
        return re.sub(r"postgresql://[^\s\"']*", server.dsn(database), code).replace("/srv/vectors", str(shared_dir))

    for language, code, expected in _BLOCK.findall(text):
        if language == "python":
            exec(compile(local(code), page, "exec"), namespace)
            for path in shared_dir.rglob("*"):
                server.account.give(path)
            continue
        psql = [server.installation.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.dsn(database)]
        done = subprocess.run(psql, input=local(code), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        if expected:
            printed = done.stdout.replace(str(shared_dir), "/srv/vectors")
            assert _matches(expected, printed), f"{code}\nprints\n{printed}"
    server.drop(database)


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made where Markdown is shown."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """(file, anchor) of every link of a page that stays in the tree."""
    for target, anchor in _LINK.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)):
        if "://" not in target:
            yield (page.parent / target).resolve() if target else page, anchor


def test_every_link_leads_somewhere() -> None:
    wrong = [
        f"{page.relative_to(TOP)}: {target.name}#{anchor}"
        for page in [TOP / "README.md", *(TOP / "docs").rglob("*.md")]
        for target, anchor in _links(page)
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text()))
    ]
    assert wrong == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), [TOP / "README.md"]
    while new:
        page = new.pop()
        if page not in reached:
            reached.add(page)
            new += [target for target, _ in _links(page) if target.suffix == ".md" and target.exists()]
    assert [str(page.relative_to(TOP)) for page in (TOP / "docs").rglob("*.md") if page not in reached] == []


def test_troubleshooting_has_every_entry_of_the_guide() -> None:
    """The guide's four issues, each with what its error says or what it is called there."""
    titles = [line for line in (TOP / "docs/troubleshooting.md").read_text().splitlines() if line.startswith("## ")]
    for entry in ("cannot cast type vector to ruvector", "out of memory", "Slower than pgvector", "Results differ"):
        assert any(entry in title for title in titles), entry
