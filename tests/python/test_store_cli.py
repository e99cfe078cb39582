# SPDX-License-Identifier: PostgreSQL
"""`ruvector store`: what it makes is what the Python API opens, and a failure is one line and exit status 1 or 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from ruvector_fdw.store import Store


def ruvector(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from ruvector_fdw.cli import main; main()"
    command = [sys.executable, "-c", code, "store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_create_load_stats_compact_check(tmp_path: Path) -> None:
    path, data = tmp_path / "s", np.random.default_rng(2).standard_normal((200, 6)).astype(np.float32)
    np.save(tmp_path / "v.npy", data)
    lines = ["title,price,sold", *(f"t{i},{i}.5,{'t' if i % 2 else ''}" for i in range(200))]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    columns = ["--column", "id:int8", "--column", "title:text", "--column", "price:float8", "--column", "sold:bool"]
    made = ruvector("create", path, "--dims", "6", *columns, "--indexed", "id", "--set", "seal_rows=64")
    assert (made.returncode, made.stderr) == (0, "")
    loaded = ruvector("load", path, tmp_path / "v.npy", "--number", "id", "--payload", tmp_path / "p.csv", "--quiet")
    assert (loaded.stdout, loaded.stderr) == ("loaded 200 rows, 200 in all\n", "")
    with Store(path) as store:
        found = store.search(data[7], 1)
        assert found.columns["title"] == ["t7"] and found.columns["sold"] == [True]
        assert found.columns["price"].tolist() == [7.5]
        store.delete(found.row_ids.tolist())
    told = json.loads(ruvector("stats", path, "--json").stdout)
    assert (told["rows"], told["dead_rows"], told["segment_keys"]) == (199, 1, 200)
    assert told["spec"]["metric"] == "l2"
    assert "199 rows in 1 segment" in ruvector("compact", path, "--quiet").stdout
    assert ruvector("check", path).stdout == "sound\n"
    assert "hnsw over 6 x f32, l2, sq8" in ruvector("stats", path).stdout


def test_failures(tmp_path: Path) -> None:
    Store.create(tmp_path / "s", dims=6, columns={"n": "int4"}).close()
    np.save(tmp_path / "v.npy", np.ones((2, 5), np.float32))
    (tmp_path / "p.csv").write_text("n\n1\n")
    for arguments, status, message in [
        (("create", tmp_path / "s", "--dims", "6"), 1, "already exists"),
        (("create", tmp_path / "t", "--dims", "0"), 1, "dimensions"),
        (("create", tmp_path / "t", "--dims", "6", "--column", "x"), 2, "--column takes NAME:VALUE"),
        (("create", tmp_path / "t", "--dims", "6", "--metric", "l3"), 2, "l3"),
        (("load", tmp_path / "s", tmp_path / "v.npy", "--quiet"), 1, "expected 6 dimensions, not 5"),
        (("load", tmp_path / "s", tmp_path / "v.npy", "--payload", tmp_path / "p.csv"), 2, "another number of rows"),
        (("load", tmp_path / "s", tmp_path / "v.npy", "--payload", tmp_path / "no.csv"), 1, 'could not read file "'),
        (("load", tmp_path / "s", tmp_path / "v.npy", "--payload", tmp_path / "v.npy"), 1, "is not in UTF-8"),
        (("create", tmp_path / "t", "--dims", "6", "--set", "m=1"), 1, "detail: 2 to 100."),
        (("stats", tmp_path / "none"), 1, 'hint: Make one with "ruvector store create"'),
    ]:
        done = ruvector(*arguments)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert message in done.stderr and "Traceback" not in done.stderr
    segment = next((tmp_path / "s" / "segments").iterdir(), None)
    assert segment is None and len(Store(tmp_path / "s")) == 0
