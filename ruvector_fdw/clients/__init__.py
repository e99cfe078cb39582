# SPDX-License-Identifier: PostgreSQL
"""Client libraries that know ruvector's types: one module for each driver or ORM, imported only when asked for.

Our types have pgvector's bytes on the wire and pgvector's text, so only the names differ. An application that used pgvector-python
(package ``pgvector``) changes its imports and nothing else:

=========== ======================================= =====================================================
module      registers or defines                    instead of
=========== ======================================= =====================================================
psycopg     register_ruvector, …_async              pgvector.psycopg.register_vector, …_async
psycopg2    register_ruvector                       pgvector.psycopg2.register_vector
asyncpg     register_ruvector                       pgvector.asyncpg.register_vector
pg8000      register_ruvector                       pgvector.pg8000.register_vector
sqlalchemy  RUVECTOR, HALFVEC, SPARSEVEC, BIT       pgvector.sqlalchemy.VECTOR, …
django      RuVectorField, RuHnswIndex, …           pgvector.django.VectorField, HnswIndex, …
peewee      RuVectorField, …                        pgvector.peewee.VectorField, …
=========== ======================================= =====================================================

``ruvector_fdw.clients.values`` has Vector, HalfVector, SparseVector and Bit: pgvector-python's where 0.5 or later of it is installed,
else our own with the same methods. The drivers need nothing more; sqlalchemy, django and peewee extend pgvector-python's classes.
"""
