# SPDX-License-Identifier: PostgreSQL
"""The Python half of the foreign data wrapper, without PostgreSQL: the classes of the protocol, conditions with NULLs,
and our wrapper as an ordinary Multicorn wrapper."""

from __future__ import annotations

import datetime
import pickle
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ruvector_fdw import abc, host, jsontext, utils
from ruvector_fdw.abc import ColumnDefinition, Qual, SortKey, TableDefinition, TransactionAwareForeignDataWrapper
from ruvector_fdw.errors import OptionError, RuvectorError
from ruvector_fdw.multicorn_compat import get_class
from ruvector_fdw.request import AnyQual, BoolQual, NullQual, VectorQual
from ruvector_fdw.store import Store
from ruvector_fdw.unknown import without_unknown
from ruvector_fdw.wrapper import RuvectorForeignDataWrapper


def test_quals_as_multicorn_has_them() -> None:
    plain, listed = Qual("a", "=", 1), Qual("a", ("=", True), [1, 2])
    assert (plain.is_list_operator, plain.list_any_or_all) == (False, None)
    assert (listed.is_list_operator, listed.list_any_or_all) == (True, abc.ANY)
    assert Qual("a", ("<>", False), [1]).list_any_or_all is abc.ALL
    assert [repr(plain), repr(listed)] == ["a = 1", "a = ANY([1, 2])"]
    assert plain == Qual("a", "=", 1)
    assert plain != Qual("a", "=", 2)
    assert len({plain, Qual("a", "=", 1)}) == 1


def test_definitions_write_statements() -> None:
    column = ColumnDefinition('a"b', type_name="text", options={"k": "it's"})
    assert column.to_statement() == "\"a\"\"b\" text OPTIONS ( k 'it''s' )"
    assert ColumnDefinition("n", type_name="int", not_null=True).to_statement() == '"n" int NOT NULL'
    table = TableDefinition("t", columns=[column], options={"b": "2", "a": "1"}).to_statement("s", "far")
    assert (
        table.split()
        == (
            'CREATE FOREIGN TABLE "s"."t" ( "a""b" text OPTIONS ( k \'it\'\'s\' ) ) SERVER "far" OPTIONS ( a \'1\', b \'2\' )'
        ).split()
    )


def test_the_transaction_aware_class_queues() -> None:
    wrapper = TransactionAwareForeignDataWrapper({}, {})
    wrapper.insert({"a": 1})
    wrapper.update(1, {"a": 2})
    wrapper.delete(3)
    assert wrapper.current_transaction_state == [("insert", {"a": 1}), ("update", (1, {"a": 2})), ("delete", 3)]
    wrapper.rollback()
    assert wrapper.current_transaction_state == []


def test_errors_of_log_to_postgres() -> None:
    with pytest.raises(utils.MulticornException) as caught:
        utils.log_to_postgres("text", utils.CRITICAL, hint="h", detail="d")
    assert (caught.value.message, caught.value.code, caught.value.hint, caught.value.detail) == ("text", 4, "h", "d")
    with pytest.raises(KeyError):
        utils.log_to_postgres("text", 99)


def test_anything_can_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="ruvector_fdw"):
        utils.log_to_postgres(SortKey("a", 1, False, False, None), hint=3)
    assert caplog.messages == ["SortKey(attname='a', attnum=1, is_reversed=False, nulls_first=False, collate=None)"]
    with pytest.raises(utils.MulticornException) as caught:
        utils.log_to_postgres(ValueError("odd"), utils.ERROR, detail=1.5)
    assert (caught.value.message, caught.value.detail) == ("odd", "1.5")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("1.50", Decimal("1.50")),
        ("12345678901234567890.5", Decimal("12345678901234567890.5")),
        ("1E+400", Decimal("1E+400")),
        ("123456789012345678901", 123456789012345678901),
        ('{"a":[1,null,true],"\u00e9":{"b":0.10}}', {"a": [1, None, True], "\u00e9": {"b": Decimal("0.10")}}),
        ("null", jsontext.NULL_DOCUMENT),
        ('"null"', "null"),
    ],
)
def test_documents_keep_their_digits(text: str, value: object) -> None:
    assert jsontext.loads(text) == value
    assert type(jsontext.loads(text)) is type(value)
    assert jsontext.dumps(jsontext.loads(text)) == text


def test_what_is_no_document() -> None:
    for wrong in ({1, 2}, {"a": object()}, {1: Decimal("0.10")}):
        with pytest.raises(TypeError):
            jsontext.dumps(wrong)
    assert pickle.loads(pickle.dumps(jsontext.NULL_DOCUMENT)) is jsontext.NULL_DOCUMENT


def test_classes_by_path() -> None:
    assert get_class("ruvector_fdw.abc.Qual") is Qual
    with pytest.raises(OptionError, match="invalid wrapper"):
        get_class("Qual")


def test_outside_a_server_multicorn_is_left_alone() -> None:
    code = "import sys, ruvector_fdw.multicorn_compat; print('multicorn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert not host.in_server()
    assert (host.current_xid(), host.cluster_id(), host.interrupt_flag_address()) == (0, "", None)


TRUE, UNKNOWN = Qual("a", "=", 1), Qual("a", "=", None)


@pytest.mark.parametrize(
    ("quals", "expected"),
    [
        ((TRUE,), (TRUE,)),
        ((TRUE, UNKNOWN), None),
        ((NullQual("a", True),), "same"),
        ((Qual("a", ("=", True), [1, None]),), (Qual("a", ("=", True), [1]),)),
        ((Qual("a", ("=", True), [[1, None], [2, 3]]),), (Qual("a", ("=", True), [1, 2, 3]),)),
        ((Qual("a", ("=", True), [None]),), None),
        ((Qual("a", ("=", True), []),), None),
        ((Qual("a", ("<>", False), [1, None]),), None),
        ((Qual("a", ("<>", False), []),), (Qual("a", ("<>", False), []),)),
        ((VectorQual("v", "<->", None, "<", 1.0),), None),
        ((VectorQual("v", "<->", [1.0], "<", None),), None),
        ((BoolQual("AND", (TRUE, UNKNOWN)),), None),
        ((BoolQual("OR", (UNKNOWN, UNKNOWN)),), None),
    ],
)
def test_unknown_conditions_are_taken_out(quals: tuple[AnyQual, ...], expected: object) -> None:
    assert without_unknown(quals) == (quals if expected == "same" else expected)


def test_an_unknown_part_of_an_or_leaves_the_others() -> None:
    found = without_unknown((BoolQual("OR", (UNKNOWN, TRUE, BoolQual("AND", (TRUE, UNKNOWN)))),))
    assert found is not None
    [qual] = found
    assert isinstance(qual, BoolQual)
    assert qual.args == (TRUE,)


@pytest.fixture
def mounted(tmp_path: Path) -> RuvectorForeignDataWrapper:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(tmp_path / "v.npy", vectors)
    columns = {
        "id": ColumnDefinition("id", type_name="bigint", base_type_name="bigint"),
        "embedding": ColumnDefinition("embedding", type_name="ruvector(3)", base_type_name="ruvector"),
    }
    return RuvectorForeignDataWrapper({"kind": "numpy", "path": str(tmp_path / "v.npy")}, columns)


class Foreign(NamedTuple):
    """Multicorn's own SortKey, and a condition of its own class."""

    attname: str
    attnum: int
    is_reversed: bool
    nulls_first: bool
    collate: str | None


class Condition:
    def __init__(self, field_name: str, operator: Any, value: Any) -> None:
        self.field_name, self.operator, self.value = field_name, operator, value


def test_our_wrapper_under_multicorn(mounted: RuvectorForeignDataWrapper) -> None:
    assert mounted.get_rel_size([], {"id"})[0] == 4
    assert list(mounted.execute([], set())) == [{}] * 4  # count(*)
    # bigint comes as text
    rows = list(mounted.execute([Condition("id", ">", "1")], {"id", "embedding"}))
    assert {row["id"]: row["embedding"] for row in rows} == {2: "[6.0,7.0,8.0]", 3: "[9.0,10.0,11.0]"}
    assert all(type(row["id"]) is int for row in rows)
    assert [row["id"] for row in mounted.execute([Condition("id", ("=", True), ["0", None, "3"])], {"id"})] == [0, 3]
    assert list(mounted.execute([Condition("id", ("=", True), [None])], {"id"})) == []
    # not known yet, and nothing we can read: Multicorn checks by itself
    for value in (object(), "x", 1.5j):
        assert len(list(mounted.execute([Condition("id", "=", value)], {"id"}))) == 4
    assert mounted.get_rel_size([Condition("id", "=", object())], {"id"})[0] == 4
    assert list(mounted.explain([Condition("id", "=", "1")], {"id"}))[0].startswith("Foreign Store: numpy")
    assert mounted.can_sort([Foreign("embedding", 2, False, False, None)]) == []
    with pytest.raises(RuvectorError):
        _ = mounted.rowid_column


def test_every_type_under_multicorn(tmp_path: Path) -> None:
    types = {
        "id": "bigint", "name": "text", "ok": "boolean", "u": "uuid", "f": "double precision", "n": "numeric",
        "at": "timestamptz", "j": "jsonb", "a": "int[]", "t": "text[]", "iv": "interval", "b": "bytea",
    }  # fmt: skip
    first = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    when = datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)
    with Store.create(tmp_path / "s", dims=2, columns=types) as store:
        store.load(
            np.ones((3, 2), np.float32), progress=False, id=[1, 2, 3], name=["Ab", "b", None], ok=[True, False, None],
            u=[first, None, None], f=[0.1, 0.5, None], n=[Decimal("1.10"), None, None], at=[when, None, None],
            j=[{"a": [1, None]}, None, None], a=[[[1, None], [2, 3]], [], None], t=[['a"b\\', None, "NULL"], None, None],
            iv=[datetime.timedelta(days=-1, seconds=5), None, None], b=[b"\0a", None, None],
        )  # fmt: skip
    shown = {"timestamptz": "timestamp with time zone", "int[]": "integer[]"}
    columns = {
        name: ColumnDefinition(name, type_name=kind, base_type_name=shown.get(kind, kind)) for name, kind in types.items()
    } | {"embedding": ColumnDefinition("embedding", type_name="ruvector(2)", base_type_name="ruvector")}
    wrapper = RuvectorForeignDataWrapper({"kind": "store", "path": str(tmp_path / "s")}, columns)
    [row] = list(wrapper.execute([Condition("id", "=", "1")], set(columns)))
    assert row == {
        "id": 1, "name": "Ab", "ok": True, "u": first, "f": 0.1, "n": Decimal("1.10"), "at": when,
        "j": '{"a":[1,null]}', "a": '{{"1",NULL},{"2","3"}}', "t": '{"a\\"b\\\\",NULL,"NULL"}',
        "iv": "-1 days 5 seconds 0 microseconds", "b": b"\0a", "embedding": "[1.0,1.0]",
    }  # fmt: skip

    def found(*quals: Condition) -> list[int]:
        return [row["id"] for row in wrapper.execute(list(quals), {"id"})]

    assert found(Condition("ok", "=", "t")) == [1] and found(Condition("ok", "<>", True)) == [2]
    assert found(Condition("name", "=", None)) == [3] and found(Condition("name", "<>", None)) == [1, 2]
    assert found(Condition("u", "=", str(first)), Condition("name", "~~", "A%")) == [1]
    # what cannot be said without loss is left out: the order of text, floats, numeric, timestamps
    for qual in (("name", "<", "B"), ("f", "=", "0.2"), ("n", "=", 7.5), ("at", "<", when.replace(year=1996))):
        assert found(Condition(*qual)) == [1, 2, 3]
    keys = [Foreign("id", 1, True, True, None), Foreign("name", 2, False, False, None)]
    assert wrapper.can_sort(keys) == keys[:1]
    assert [row["id"] for row in wrapper.execute([], {"id"}, sortkeys=keys[:1])] == [3, 2, 1]
