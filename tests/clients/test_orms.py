# SPDX-License-Identifier: PostgreSQL
"""SQLAlchemy, SQLModel, Django and Peewee against a live server: tables, indexes, distances, reflection, migrations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import Database, needs_extension

pytest.importorskip("pgvector", reason="pgvector-python is not installed")

VECTORS = {1: [1.0, 1.0, 1.0], 2: [2.0, 2.0, 3.0], 3: [1.0, 1.0, 2.0]}
BY_L2 = [1, 3, 2]


def url(db: Database, driver: str = "psycopg") -> Any:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    parts = psycopg.conninfo.conninfo_to_dict(db.dsn)
    return sqlalchemy.URL.create(
        f"postgresql+{driver}", username=str(parts["user"]), database=str(parts["dbname"]),
        query={"host": str(parts["host"]), "port": str(parts.get("port", 5432))},
    )  # fmt: skip


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy(db: Database, driver: str) -> None:
    sa = pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    pytest.importorskip(driver, reason=f"{driver} is not installed")
    from ruvector_fdw.clients.sqlalchemy import HALFVEC, RUVECTOR, SPARSEVEC, avg, ruhnsw_index

    engine = sa.create_engine(url(db, driver))
    meta = sa.MetaData()
    items = sa.Table(
        "items", meta, sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", RUVECTOR(3)),
        sa.Column("h", HALFVEC(3)), sa.Column("s", SPARSEVEC(5)),
    )  # fmt: skip
    ruhnsw_index("items_v", items.c.v, "cosine", m=8, ef_construction=32)
    try:
        meta.create_all(engine)
        with engine.begin() as conn:
            conn.execute(items.insert(), [{"id": i, "v": v, "h": v} for i, v in VECTORS.items()])
            query = [1.0, 1.0, 1.0]
            near = sa.select(items.c.id).order_by(items.c.v.l2_distance(query))
            assert conn.execute(near).scalars().all() == BY_L2
            assert conn.execute(sa.select(items.c.v).where(items.c.id == 2)).scalar() == [2.0, 2.0, 3.0]
            within = sa.select(items.c.id).where(items.c.v.l2_distance(query) < 1.5).order_by(items.c.id)
            assert conn.execute(within).scalars().all() == [1, 3]
            assert conn.execute(sa.select(avg(items.c.v))).scalar() is not None
            assert conn.execute(sa.select(items.c.id).order_by(items.c.v.max_inner_product(query))).scalar() == 2
        assert db.value("SELECT indexdef FROM pg_indexes WHERE indexname = 'items_v'") == (
            "CREATE INDEX items_v ON public.items USING ruhnsw (v ruvector_cosine_ops) WITH (m='8', ef_construction='32')"
        )
        inspector = sa.inspect(engine)
        columns = {c["name"]: c["type"] for c in inspector.get_columns("items")}
        assert isinstance(columns["v"], RUVECTOR)
        assert columns["v"].dim == 3
        assert isinstance(columns["h"], HALFVEC)
        assert isinstance(columns["s"], SPARSEVEC)
        [index] = inspector.get_indexes("items")
        assert index["dialect_options"]["postgresql_using"] == "ruhnsw"
        assert index["dialect_options"]["postgresql_with"]["m"] == "8"
        again = sa.Table("items", sa.MetaData(), autoload_with=engine)
        assert again.c.v.type.dim == 3
    finally:
        engine.dispose()


def items_of(sa: Any, schema: str | None) -> Any:
    """A table of all types with an index of each kind, for a database where halfvec and sparsevec are in ``schema``."""
    from ruvector_fdw.clients.sqlalchemy import HALFVEC, RUVECTOR, SPARSEVEC, ruhnsw_index, ruivfflat_index

    items = sa.Table(
        "items", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("v", RUVECTOR(3)),
        sa.Column("h", HALFVEC(3, schema=schema)), sa.Column("s", SPARSEVEC(5, schema=schema)),
        sa.Column("a", sa.ARRAY(RUVECTOR(3), dimensions=1)),
    )  # fmt: skip
    ruhnsw_index("items_v", items.c.v, "l1", quantization="sq8", where=items.c.id > 1)
    ruivfflat_index("items_h", items.c.h, "ip", lists=3)
    ruhnsw_index("items_s", items.c.s, "cosine")
    return items


NEAREST = {"l2_distance": [1, 3], "cosine_distance": [1, 2], "l1_distance": [1, 3], "max_inner_product": [2, 3]}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async"])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside pgvector"])
def test_sqlalchemy_async(db: Database, driver: str, beside: bool) -> None:
    sa = pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    pytest.importorskip("greenlet", reason="greenlet (sqlalchemy[asyncio]) is not installed")
    if driver == "asyncpg":
        pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    if beside:
        needs_extension(db.server, "vector")
        db.execute("CREATE EXTENSION vector")
    from sqlalchemy.ext.asyncio import create_async_engine

    from ruvector_fdw.clients.values import SparseVector

    items = items_of(sa, "ruvector" if beside else None)

    async def work() -> None:
        engine = create_async_engine(url(db, driver))
        try:
            async with engine.begin() as conn:
                await conn.run_sync(items.metadata.create_all)
                rows = [{"id": i, "v": v, "h": v, "s": SparseVector([0, *v, 0])} for i, v in VECTORS.items()]
                await conn.execute(items.insert(), rows)
                for method, expected in NEAREST.items():
                    for column in (items.c.v, items.c.h):
                        query = (
                            sa.select(items.c.id).order_by(getattr(column, method)([1, 1, 1.2]), items.c.id).limit(2)
                        )
                        assert (await conn.execute(query)).scalars().all() == expected, method
                sparse = SparseVector([0, *VECTORS[3], 0])
                near = sa.select(items.c.s).order_by(items.c.s.l2_distance(sparse)).limit(1)
                assert (await conn.execute(near)).scalar().to_list() == sparse.to_list()
        finally:
            await engine.dispose()

    asyncio.run(work())
    definitions = db.column(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'items' AND indexname <> 'items_pkey' ORDER BY 1"
    )
    home = "ruvector." if beside else ""
    assert definitions == [
        f"CREATE INDEX items_h ON public.items USING ruivfflat (h {home}halfvec_ip_ops) WITH (lists='3')",
        f"CREATE INDEX items_s ON public.items USING ruhnsw (s {home}sparsevec_cosine_ops)",
        "CREATE INDEX items_v ON public.items USING ruhnsw (v ruvector_l1_ops) WITH (quantization=sq8) WHERE (id > 1)",
    ]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy_reflects_and_reads_arrays_beside_pgvector(db: Database, driver: str) -> None:
    """Arrays need the driver's registration on each connection, as with pgvector-python."""
    sa = pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    pytest.importorskip(driver, reason=f"{driver} is not installed")
    needs_extension(db.server, "vector")
    db.execute("CREATE EXTENSION vector")
    import importlib

    from ruvector_fdw.clients.sqlalchemy import HALFVEC, RUVECTOR, SPARSEVEC

    register = importlib.import_module(f"ruvector_fdw.clients.{driver}").register_ruvector
    items = items_of(sa, "ruvector")
    engine = sa.create_engine(url(db, driver))
    sa.event.listen(engine, "connect", lambda conn, record: register(conn))
    try:
        with engine.begin() as conn:
            items.metadata.create_all(conn)
            conn.execute(items.insert(), [{"id": 1, "v": [1, 2, 3], "a": [[1, 2, 3], [4, 5, 6]]}])
            assert conn.execute(sa.select(items.c.v, items.c.a)).one() == ([1, 2, 3], [[1, 2, 3], [4, 5, 6]])
            found = {c["name"]: c["type"] for c in sa.inspect(conn).get_columns("items")}
        assert (type(found["v"]), found["v"].dim) == (RUVECTOR, 3)
        for name, kind, dim in (("h", HALFVEC, 3), ("s", SPARSEVEC, 5)):
            assert isinstance(found[name], kind)
            assert (found[name].dim, found[name].schema) == (dim, "ruvector")
        assert isinstance(found["a"].item_type, RUVECTOR)
    finally:
        engine.dispose()


def test_sqlmodel(db: Database) -> None:
    sqlmodel = pytest.importorskip("sqlmodel", reason="sqlmodel is not installed")
    from ruvector_fdw.clients.sqlalchemy import RUVECTOR

    class ClientItem(sqlmodel.SQLModel, table=True):  # type: ignore[misc, call-arg, name-defined]
        id: int | None = sqlmodel.Field(default=None, primary_key=True)
        v: Any = sqlmodel.Field(sa_type=RUVECTOR(3))

    engine = sqlmodel.create_engine(url(db))
    try:
        sqlmodel.SQLModel.metadata.create_all(engine)
        with sqlmodel.Session(engine) as session:
            session.add_all([ClientItem(id=i, v=v) for i, v in VECTORS.items()])
            session.commit()
            found = session.exec(sqlmodel.select(ClientItem.id).order_by(ClientItem.v.l2_distance([1, 1, 1]))).all()
            assert found == BY_L2
    finally:
        engine.dispose()


def test_peewee(db: Database) -> None:
    peewee = pytest.importorskip("peewee", reason="peewee is not installed")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    from ruvector_fdw.clients.peewee import RuVectorField

    parts = psycopg.conninfo.conninfo_to_dict(db.dsn)
    database = peewee.PostgresqlDatabase(
        parts["dbname"], user=parts["user"], host=parts["host"], port=parts.get("port", 5432)
    )

    class PeeweeItem(peewee.Model):  # type: ignore[misc, name-defined]
        v = RuVectorField(dimensions=3)

        class Meta:
            database: Any = None

    PeeweeItem.bind(database)
    try:
        database.create_tables([PeeweeItem])
        for key, value in VECTORS.items():
            PeeweeItem.create(id=key, v=value)
        found = [item.id for item in PeeweeItem.select().order_by(PeeweeItem.v.l2_distance([1, 1, 1]))]
        assert found == BY_L2
        assert PeeweeItem.get_by_id(2).v == [2.0, 2.0, 3.0]
    finally:
        database.close()


DJANGO = """
import sys
import django
from django.conf import settings
user, name, host, port = sys.argv[1:]
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "USER": user, "NAME": name,
    "HOST": host, "PORT": port}}, INSTALLED_APPS=["django.contrib.postgres"], DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter
from ruvector_fdw.clients.django import (CosineDistance, HalfVectorField, L1Distance, L2Distance, MaxInnerProduct, RuHnswIndex,
    RuIvfflatIndex, RuVectorExtension, RuVectorField, SparseVectorField)
from ruvector_fdw.clients.values import SparseVector

index = RuHnswIndex(fields=["v"], name="django_v", opclasses=["ruvector_cosine_ops"], m=8, ef_construction=32,
    quantization="sq8")
fields = [("id", models.AutoField(primary_key=True)), ("v", RuVectorField(dimensions=3)),
    ("h", HalfVectorField(dimensions=3, null=True)), ("s", SparseVectorField(dimensions=5, null=True))]
lists = RuIvfflatIndex(fields=["h"], name="django_h", opclasses=["halfvec_l2_ops"], lists=2, probes=2)

class Migration(migrations.Migration):
    operations = [RuVectorExtension(), migrations.CreateModel("Item", fields),
        migrations.AddIndex("item", index), migrations.AddIndex("item", lists)]

state = MigrationLoader(connection).project_state()
with connection.schema_editor() as editor:
    state = Migration("0001_initial", "shop").apply(state, editor)
written = MigrationWriter(Migration("0001_initial", "shop")).as_string()
assert "ruvector_fdw.clients.django.RuHnswIndex" in written, written
assert "quantization='sq8'" in written, written
Item = state.apps.get_model("shop", "item")
for key, value in {1: [1, 1, 1], 2: [2, 2, 3], 3: [1, 1, 2]}.items():
    Item.objects.create(id=key, v=value, h=value, s=SparseVector([0, *value, 0]))
print([i.id for i in Item.objects.order_by(L2Distance("v", [1, 1, 1]))])
print(Item.objects.get(id=2).v)
print([i.id for i in Item.objects.alias(d=CosineDistance("v", [1, 1, 1])).filter(d__lt=0.01).order_by("id")])
print([i.id for i in Item.objects.order_by(L1Distance("h", [2, 2, 3]))], Item.objects.order_by(MaxInnerProduct("v", [1, 1, 1]))[0].id)
print(Item.objects.get(id=2).s.to_list(), Item.objects.get(id=3).h)
with connection.cursor() as cursor:
    cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'django_h'")
    print(cursor.fetchone()[0])
with connection.schema_editor() as editor:
    editor.remove_index(Item, lists)
"""


def test_django(db: Database, tmp_path: Path) -> None:
    """In a process of its own: Django is configured once for each."""
    pytest.importorskip("django", reason="django is not installed")
    db.execute("DROP EXTENSION ruvector")
    parts = psycopg.conninfo.conninfo_to_dict(db.dsn)
    script = tmp_path / "shop.py"
    script.write_text(DJANGO)
    arguments = [str(parts[k]) for k in ("user", "dbname", "host")] + [str(parts.get("port", 5432))]
    with warnings.catch_warnings():
        done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[1, 3, 2]", "[2.0, 2.0, 3.0]", "[1]", "[2, 3, 1] 2", "[0.0, 2.0, 2.0, 3.0, 0.0] [1.0, 1.0, 2.0]",
        "CREATE INDEX django_h ON public.shop_item USING ruivfflat (h halfvec_l2_ops) WITH (lists='2', probes='2')",
    ]  # fmt: skip
    assert db.value("SELECT indexdef FROM pg_indexes WHERE indexname = 'django_v'") == (
        "CREATE INDEX django_v ON public.shop_item USING ruhnsw (v ruvector_cosine_ops)"
        " WITH (m='8', ef_construction='32', quantization=sq8)"
    )
