# SPDX-License-Identifier: PostgreSQL
"""Migration from pgvector to ruvector: assess, three strategies, validation, cutover, rollback.

names (pgvector's names to ours) and catalog (what a database holds) know nothing of strategies; ddl and sync write
SQL from them; sqlrun is the only module that runs SQL, and prints it; state keeps a run in schema
``ruvector_migration`` of the database itself, so that a killed run goes on or rolls back; parallel, inplace and
bluegreen put these together (following and agreement: how green follows blue, and whether it has).
"""
