# SPDX-License-Identifier: PostgreSQL
"""Our types against pgvector's, in one server: thousands of generated expressions, malformed input included.

Both sides must give the same text or the same error (SQLSTATE, message, detail), with the names of types replaced. Sums
of float32 depend on the order of addition, so distances may differ by 1e-6 of the size of their terms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import psycopg
import pytest
from fuzz.types_cases import OURS, THEIRS, TYPES, Case, Generator, binary
from harness import Database, Server, needs_extension

SEED = 77001
COUNT = 120000
CHUNK = 500
SHOWN = 400

ATTEMPT = """
CREATE FUNCTION attempt(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
BEGIN
    EXECUTE 'SELECT (' || expression || ')::text' INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN 'error ' || SQLSTATE || ': ' || SQLERRM || ' ' || detail;
END $$
"""

# Objects that have a name of their own on either side.
OUR_NAMES = {
    **OURS,
    "prefix_vector": "ruvector_", "prefix_halfvec": "halfvec_", "prefix_sparsevec": "sparsevec_",
    "bits": "OPERATOR(ruvector.", "hamming": "ruvector.hamming_distance", "jaccard": "ruvector.jaccard_distance",
}  # fmt: skip
THEIR_NAMES = {
    **THEIRS,
    "prefix_vector": "vector_", "prefix_halfvec": "halfvec_", "prefix_sparsevec": "sparsevec_",
    "bits": "OPERATOR(public.", "hamming": "hamming_distance", "jaccard": "jaccard_distance",
}  # fmt: skip


@pytest.fixture
def both(server: Server) -> Iterator[Database]:
    needs_extension(server, "vector")
    made = server.database(("vector", "ruvector"))
    made.execute(ATTEMPT)
    yield made
    made.close()
    server.drop(made.name)


def as_pgvector(text: str) -> str:
    """The text of an error with pgvector's names."""
    return re.sub(r"\bruvector\b", "vector", re.sub(r"\bruvector\.", "", text)).replace("ruvector_", "vector_")


def write(case: Case, names: dict[str, str]) -> str:
    return re.sub(r"(OPERATOR\(\w+\.)\((\S+)\)", r"\1\2)", case.written_for(names))


def same(ours: str, theirs: str, scale: float | None) -> bool:
    if as_pgvector(ours) == as_pgvector(theirs):
        return True
    if scale is None:
        return False
    try:
        x, y = float(ours), float(theirs)
    except ValueError:
        return False
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or math.isinf(y):
        return str(x) == str(y)
    return abs(x - y) <= 1e-6 * max(abs(y), scale)


def around(text: str, other: str) -> str:
    """The part of a text where it begins to differ from another."""
    at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    return text[max(0, at - 40) : at + 160]


def attempt(db: Database, expressions: list[str]) -> list[str]:
    found: list[str] = []
    for at in range(0, len(expressions), CHUNK):
        query = "SELECT attempt(e) FROM unnest(%s::text[]) WITH ORDINALITY AS t(e, n) ORDER BY n"
        found += db.column(query, [expressions[at : at + CHUNK]])
    return found


@pytest.mark.core
def test_generated_expressions_agree(both: Database) -> None:
    cases = list(Generator(SEED).cases(COUNT))
    ours = attempt(both, [write(case, OUR_NAMES) for case in cases])
    theirs = attempt(both, [write(case, THEIR_NAMES) for case in cases])
    different = [
        f"{case.expression[:SHOWN]}\n  ours   {around(our, their)}\n  theirs {around(their, our)}"
        for case, our, their in zip(cases, ours, theirs, strict=True)
        if not same(our, their, case.scale)
    ]
    errors = sum(text.startswith("error") for text in theirs)
    assert COUNT / 10 < errors < COUNT / 2, f"seed {SEED} makes {errors} errors of {COUNT}: too few of one kind"
    assert not different, f"seed {SEED}: {len(different)} of {COUNT} differ\n" + "\n".join(different[:20])


@pytest.mark.core
@pytest.mark.parametrize("dims", [1536, 16000])
def test_distances_of_wide_vectors_agree(both: Database, dims: int) -> None:
    """Sums of float32 in another order: still within 1e-6, of the sizes of both for an inner product."""
    both.execute(
        "CREATE TABLE wide AS SELECT a, b, a::vector AS c, b::vector AS d"
        f" FROM generate_series(1, 20) AS i, ruvector_random({dims}, i) AS a, ruvector_random({dims}, -i) AS b"
    )
    for kind in TYPES:
        ours, theirs = OURS[kind], THEIRS[kind]
        size = "vector_norm(c) * vector_norm(d)"
        for operator, scale in (("<->", "0"), ("<+>", "0"), ("<=>", "1"), ("<#>", size)):
            one = f"(a::{ours} {operator} b::{ours})"
            other = f"(c::{theirs} {operator} d::{theirs})"
            worst = both.value(
                f"SELECT max(abs({one} - {other}) / greatest(abs({other}), {scale}::float8)) FROM wide"
            )
            assert worst <= 1e-6, (kind, operator)


def type_oid(db: Database, name: str) -> int:
    return int(db.value("SELECT %s::regtype::oid", [name]))


def receive(conn: psycopg.Connection[tuple[object, ...]], oid: int, data: bytes) -> str:
    result = conn.pgconn.exec_params(b"SELECT $1::text", [data], [oid], [1])
    if result.status == psycopg.pq.ExecStatus.TUPLES_OK:
        value = result.get_value(0, 0)
        return value.decode() if value is not None else "NULL"
    fields = (psycopg.pq.DiagnosticField.SQLSTATE, psycopg.pq.DiagnosticField.MESSAGE_PRIMARY)
    return "error " + ": ".join((result.error_field(field) or b"").decode() for field in fields)


@pytest.mark.core
def test_binary_messages_agree(both: Database) -> None:
    oids = {name: (type_oid(both, OURS[name]), type_oid(both, THEIRS[name])) for name in TYPES}
    messages = list(binary(SEED, 2000))
    different = []
    errors = 0
    for kind, data in messages:
        ours, theirs = (receive(both.conn, oid, data) for oid in oids[kind])
        errors += theirs.startswith("error")
        if as_pgvector(ours) != theirs:
            different.append(f"{kind} {data.hex()}\n  ours   {ours}\n  theirs {theirs}")
    assert 200 < errors < 1800
    assert not different, f"seed {SEED}: {len(different)} differ\n" + "\n".join(different[:20])


@pytest.mark.core
def test_bytes_on_disk_and_on_the_wire_are_pgvectors(both: Database) -> None:
    generator = Generator(SEED)
    for kind in TYPES:
        wire, ours, theirs = f"wire_{kind}", OURS[kind], THEIRS[kind]
        both.execute(f"CREATE TABLE {wire} (theirs {theirs}, ours {ours})")
        for _ in range(50):
            text = generator.text(kind, generator.dims())
            both.execute(f"TRUNCATE {wire}")
            both.execute(f"INSERT INTO {wire} VALUES (%s, %s)", [text, text])
            cursor = both.conn.cursor(binary=True)
            query = f"SELECT theirs, ours, pg_column_size(theirs), pg_column_size(ours) FROM {wire}"
            row = cursor.execute(query.encode()).fetchone()
            assert row is not None
            assert bytes(row[0]) == bytes(row[1])
            assert row[2] == row[3]
            # Relabelled, not converted: each side's functions read the other's bytes
            assert both.value(f"SELECT ours::{theirs} = theirs AND theirs::{ours} = ours FROM {wire}")


@pytest.mark.core
def test_copy_agrees(both: Database) -> None:
    generator = Generator(SEED)
    for kind in TYPES:
        rows = [generator.text(kind, 5) for _ in range(200)]
        outputs = []
        for names in (THEIRS, OURS):
            both.execute("DROP TABLE IF EXISTS copied")
            both.execute(f"CREATE TABLE copied (v {names[kind]}(5))")
            with both.conn.cursor() as cursor:
                with cursor.copy("COPY copied FROM STDIN") as sink:
                    sink.write("".join(row + "\n" for row in rows))
                formats = []
                for form in ("text", "binary", "csv"):
                    with cursor.copy(f"COPY copied TO STDOUT (FORMAT {form})") as source:
                        formats.append(b"".join(bytes(block) for block in source))
            outputs.append(formats)
        assert outputs[0] == outputs[1]
