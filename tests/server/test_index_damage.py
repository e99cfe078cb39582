# SPDX-License-Identifier: PostgreSQL
"""ruvector_index_check finds whatever is changed in an index's pages behind the server's back.

Page checksums would find it first; they are ignored here, so that it is the check itself that must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from harness import Database, Server
from index_tables import make_index, make_table

PAGE = 8192
CONTENTS = 24
SPECIAL = PAGE - 24  # docs/design/pages.md
SEGMENT, TOMBSTONES, DELTA, FREE = 2, 3, 4, 5
OWNER, NEXT, NUMBER, KIND = SPECIAL, SPECIAL + 8, SPECIAL + 12, SPECIAL + 16
FIRST_ENTRY = CONTENTS + 120  # of the meta page's list of segments


class Pages:
    """An index's file, changed in place."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes = path, bytearray(path.read_bytes())

    def of_kind(self, kind: int) -> list[int]:
        """Offsets of the pages of that kind, in the order of their chain."""
        pages = [at for at in range(PAGE, len(self.bytes), PAGE) if self.number(at + KIND, 2) == kind]
        return sorted(pages, key=lambda at: self.number(at + NUMBER, 4))

    def number(self, at: int, size: int) -> int:
        return int.from_bytes(self.bytes[at : at + size], "little")

    def write(self, at: int, size: int, value: int) -> None:
        self.bytes[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")

    def add(self, at: int, size: int, by: int = 1) -> None:
        self.write(at, size, self.number(at, size) + by)

    def flip(self, at: int, bit: int = 0) -> None:
        self.bytes[at] ^= 1 << bit


@dataclass(frozen=True)
class Damage:
    name: str
    apply: Callable[[Pages], None]
    place: str  # in which a problem is said to be; the check raises for what has no place: "raised"


def swap_tombstones(pages: Pages) -> None:
    """One row that is dead comes to life and one that lives dies: their number stays."""
    [at] = pages.of_kind(TOMBSTONES)
    bits = pages.number(at + CONTENTS, 8)
    dead = next(bit for bit in range(64) if bits >> bit & 1)
    alive = next(bit for bit in range(64) if not bits >> bit & 1)
    pages.write(at + CONTENTS, 8, bits ^ 1 << dead ^ 1 << alive)


def item_of(pages: Pages, page: int) -> int:
    """Where the first item of a page is."""
    return page + (pages.number(page + CONTENTS, 4) & 0x7FFF)


def cut(pages: Pages) -> None:
    pages.write(pages.of_kind(DELTA)[0] + NEXT, 4, 0xFFFFFFFF)


def kill_item(pages: Pages) -> None:
    line = pages.of_kind(DELTA)[0] + CONTENTS
    pages.write(line, 4, pages.number(line, 4) | 3 << 15)


DAMAGES = [
    Damage("segment_payload", lambda p: p.flip(p.of_kind(SEGMENT)[1] + 3000, 2), "segment 0"),
    Damage("segment_first_byte", lambda p: p.flip(p.of_kind(SEGMENT)[0] + CONTENTS), "segment 0"),
    Damage("segment_last_byte", lambda p: p.flip(p.of_kind(SEGMENT)[-1] + p.number(p.of_kind(SEGMENT)[-1] + 12, 2) - 1),
           "segment 0"),
    Damage("segment_owner", lambda p: p.flip(p.of_kind(SEGMENT)[1] + OWNER), "segment 0"),
    Damage("segment_number", lambda p: p.add(p.of_kind(SEGMENT)[2] + NUMBER, 4, 100), "segment 0"),
    Damage("segment_next", lambda p: p.add(p.of_kind(SEGMENT)[0] + NEXT, 4), "segment 0"),
    Damage("segment_freed", lambda p: p.write(p.of_kind(SEGMENT)[1] + KIND, 2, FREE), "segment 0"),
    Damage("page_of_nobody", lambda p: p.flip(p.of_kind(SEGMENT)[1] + KIND + 2), "block"),
    Damage("tombstones_bit", lambda p: p.flip(p.of_kind(TOMBSTONES)[0] + CONTENTS), "segment 0"),
    Damage("tombstones_swapped", swap_tombstones, "table"),
    Damage("tombstones_freed", lambda p: p.write(p.of_kind(TOMBSTONES)[0] + KIND, 2, FREE), "segment 0"),
    Damage("delta_value", lambda p: p.flip(item_of(p, p.of_kind(DELTA)[1]) + 16 + 8 + 9), "delta"),
    Damage("delta_dims", lambda p: p.flip(item_of(p, p.of_kind(DELTA)[1]) + 16 + 4), "delta"),
    Damage("delta_length", lambda p: p.flip(item_of(p, p.of_kind(DELTA)[1]) + 16 + 1, 6), "delta"),
    Damage("delta_total", lambda p: p.flip(item_of(p, p.of_kind(DELTA)[1]) + 8, 2), "table"),
    Damage("delta_tid", lambda p: p.flip(item_of(p, p.of_kind(DELTA)[1]) + 5, 6), "keys"),
    Damage("delta_dead_item", kill_item, "table"),
    Damage("delta_cut", cut, "delta"),
    Damage("delta_number", lambda p: p.add(p.of_kind(DELTA)[1] + NUMBER, 4, 7), "delta"),
    Damage("delta_freed", lambda p: p.write(p.of_kind(DELTA)[1] + KIND, 2, FREE), "delta"),
    Damage("meta_magic", lambda p: p.flip(CONTENTS), "raised"),
    Damage("meta_version", lambda p: p.flip(CONTENTS + 4), "raised"),
    Damage("meta_kind", lambda p: p.flip(CONTENTS + 24, 1), "segment 0"),
    Damage("meta_metric", lambda p: p.flip(CONTENTS + 26, 1), "meta"),
    Damage("meta_quantization", lambda p: p.flip(CONTENTS + 30), "segment 0"),
    Damage("meta_dims", lambda p: p.flip(CONTENTS + 32), "meta"),
    Damage("meta_m", lambda p: p.flip(CONTENTS + 36), "segment 0"),
    Damage("meta_delta_head", lambda p: p.write(CONTENTS + 48, 4, 0xFFFFFFFF), "delta"),
    Damage("meta_delta_tail", lambda p: p.write(CONTENTS + 52, 4, 1), "delta"),
    Damage("meta_delta_pages", lambda p: p.add(CONTENTS + 56, 4), "delta"),
    Damage("meta_segment_lost", lambda p: p.write(CONTENTS + 60, 4, 0), "table"),
    Damage("entry_uid", lambda p: p.flip(FIRST_ENTRY), "segment 0"),
    Damage("entry_bytes", lambda p: p.add(FIRST_ENTRY + 8, 8, -64), "segment 0"),
    Damage("entry_first", lambda p: p.add(FIRST_ENTRY + 16, 4), "segment 0"),
    Damage("entry_pages", lambda p: p.add(FIRST_ENTRY + 20, 4, -1), "segment 0"),
    Damage("entry_slots", lambda p: p.add(FIRST_ENTRY + 24, 4), "segment 0"),
    Damage("entry_nodes", lambda p: p.add(FIRST_ENTRY + 28, 4), "segment 0"),
    Damage("entry_crc", lambda p: p.flip(FIRST_ENTRY + 32), "segment 0"),
    Damage("entry_dead", lambda p: p.add(FIRST_ENTRY + 36, 4), "segment 0"),
    Damage("entry_no_tombstones", lambda p: p.write(FIRST_ENTRY + 40, 4, 0xFFFFFFFF), "segment 0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def damaged(server: Server) -> Iterator[Database]:
    """One table for every damage: a segment with tombstones and a delta of several pages, and then the damage."""
    folder = server.folder.with_name(f"{server.folder.name}-damaged")
    made = Server(server.installation, folder, {"autovacuum": "off"})
    db = made.database()
    db.execute("SET ruvector.background_maintenance = off")
    files = {}
    make_table(db, 250, dims=16)
    make_index(db)
    for damage in DAMAGES:
        table = damage.name
        db.execute(f"CREATE TABLE {table} (LIKE items)")
        db.execute(f"INSERT INTO {table} SELECT * FROM items")
        make_index(db, table=table)
        db.execute(f"INSERT INTO {table} SELECT id + 1000, category, embedding FROM items")
        db.execute(f"DELETE FROM {table} WHERE id % 4 = 0 AND id < 1000")
        db.execute(f"VACUUM {table}")
        files[damage.name] = db.value(f"SELECT pg_relation_filepath('{table}_idx')")
        assert db.rows(f"SELECT * FROM ruvector_index_check('{table}_idx')") == []
    db.close()
    made.stop()
    for damage in DAMAGES:
        pages = Pages(made.cluster.data / files[damage.name])
        damage.apply(pages)
        pages.path.write_bytes(bytes(pages.bytes))
    made.start()
    db = Database(made, db.name)
    db.execute("SET ignore_checksum_failure = on; SET client_min_messages = error")
    yield db
    db.close()
    made.stop("immediate")


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_check_finds_planted_damage(damaged: Database, damage: Damage) -> None:
    query = f"SELECT place, problem FROM ruvector_index_check('{damage.name}_idx')"
    if damage.place == "raised":
        with pytest.raises((psycopg.errors.IndexCorrupted, psycopg.errors.FeatureNotSupported)):
            damaged.rows(query)
        return
    problems = damaged.rows(query)
    assert any(place.startswith(damage.place) for place, _ in problems), problems


def test_what_is_damaged_is_not_searched(damaged: Database) -> None:
    """A scan either raises or, where the image is still right, goes on; the server lives."""
    for damage in DAMAGES:
        try:
            damaged.rows(f"SELECT id FROM {damage.name} ORDER BY embedding <-> array_fill(1, '{{16}}')::ruvector LIMIT 5")
        except psycopg.Error as error:
            assert error.sqlstate in ("XX001", "XX002", "0A000", "22000"), (damage.name, error)

