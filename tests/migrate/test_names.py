# SPDX-License-Identifier: PostgreSQL
"""From pgvector's names to ours in SQL text; and names that fit."""

from __future__ import annotations

import pytest

from ruvector_fdw.migrate.names import Extension, Mapper, derived, literal, quote
from ruvector_fdw.migrate.sqlrun import mask

PGVECTOR = Extension(
    "vector", "0.8.5", "public", {"vector": "public", "halfvec": "public", "sparsevec": "public"},
    {"l2_distance": "public", "vector_dims": "public", "hamming_distance": "public"}, {"<->": "public", "<~>": "public"},
)  # fmt: skip
OURS = Extension(
    "ruvector", "0.1.19", "public", {"ruvector": "public", "halfvec": "ruvector", "sparsevec": "ruvector"},
    {"l2_distance": "public", "ruvector_dims": "public", "hamming_distance": "ruvector"},
    {"<->": "public", "<~>": "ruvector"},
)  # fmt: skip
MAPPER = Mapper.between(PGVECTOR, OURS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'[1,2]'::public.vector(2)", "'[1,2]'::public.ruvector(2)"),
        ("x::public.halfvec", "x::ruvector.halfvec"),
        ('x::"public"."vector"[]', "x::public.ruvector[]"),
        ("public . vector", "public . ruvector"),
        ("'public.vector'", "'public.vector'"),
        ("E'it\\'s public.vector'", "E'it\\'s public.vector'"),
        ("$a$ public.vector $a$ || public.vector", "$a$ public.vector $a$ || public.ruvector"),
        ("/* public.vector */ -- public.vector", "/* public.vector */ -- public.vector"),
        ("other.vector", "other.vector"),
        ("db.public.vector", "db.public.vector"),
        ("public.vector_dims(e)", "public.ruvector_dims(e)"),
        ("public.vector_dims.e", "public.vector_dims.e"),
        ("a OPERATOR(public.<->) b", "a OPERATOR(public.<->) b"),
        ("a OPERATOR(public.<~>) b", "a OPERATOR(ruvector.<~>) b"),
        ("public.vectors", "public.vectors"),
        ('"Public".vector', '"Public".vector'),
    ],
)
def test_rewrite(text: str, expected: str) -> None:
    assert MAPPER.rewrite(text) == expected


def test_names_that_fit() -> None:
    assert derived("items", "_ruvector") == "items_ruvector"
    long = "n" * 54
    assert derived(long, "_ruvector") == long + "_ruvector"
    cut = derived(long + "n", "_ruvector")
    assert len(cut) == 63
    assert cut.endswith("_ruvector")
    assert cut != derived(long + "m", "_ruvector")
    assert len(derived("ü" * 40, "_pgvector_old").encode()) <= 63


def test_quoting() -> None:
    assert quote("items") == "items"
    assert quote("Items") == '"Items"'
    assert quote("select") == '"select"'
    assert quote('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"
    assert literal("a\\'b") == "E'a\\\\''b'"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:s3cret@host/db",
        "host=x password=s3cret dbname=y",
        "password = 's3cret' x",
        "PASSWORD='s3\\'cret s3cret'",
    ],
)
def test_passwords_are_masked(text: str) -> None:
    assert "s3cret" not in mask(text)
    assert "****" in mask(text)
