# SPDX-License-Identifier: PostgreSQL
"""SQLAlchemy, SQLModel, Django and Peewee against a live server: tables, indexes, distances, reflection, migrations."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import psycopg
import pytest
from harness import Database

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
from ruvector_fdw.clients.django import (CosineDistance, HalfVectorField, L2Distance, RuHnswIndex, RuVectorExtension,
    RuVectorField)

index = RuHnswIndex(fields=["v"], name="django_v", opclasses=["ruvector_cosine_ops"], m=8, ef_construction=32,
    quantization="sq8")
fields = [("id", models.AutoField(primary_key=True)), ("v", RuVectorField(dimensions=3)),
    ("h", HalfVectorField(dimensions=3, null=True))]

class Migration(migrations.Migration):
    operations = [RuVectorExtension(), migrations.CreateModel("Item", fields),
        migrations.AddIndex("item", index)]

state = MigrationLoader(connection).project_state()
with connection.schema_editor() as editor:
    state = Migration("0001_initial", "shop").apply(state, editor)
written = MigrationWriter(Migration("0001_initial", "shop")).as_string()
assert "ruvector_fdw.clients.django.RuHnswIndex" in written, written
assert "quantization='sq8'" in written, written
Item = state.apps.get_model("shop", "item")
for key, value in {1: [1, 1, 1], 2: [2, 2, 3], 3: [1, 1, 2]}.items():
    Item.objects.create(id=key, v=value)
print([i.id for i in Item.objects.order_by(L2Distance("v", [1, 1, 1]))])
print(Item.objects.get(id=2).v)
print([i.id for i in Item.objects.alias(d=CosineDistance("v", [1, 1, 1])).filter(d__lt=0.01).order_by("id")])
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
    assert done.stdout.splitlines() == ["[1, 3, 2]", "[2.0, 2.0, 3.0]", "[1]"]
    assert db.value("SELECT indexdef FROM pg_indexes WHERE indexname = 'django_v'") == (
        "CREATE INDEX django_v ON public.shop_item USING ruhnsw (v ruvector_cosine_ops)"
        " WITH (m='8', ef_construction='32', quantization=sq8)"
    )
