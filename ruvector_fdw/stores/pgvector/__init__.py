# SPDX-License-Identifier: PostgreSQL
"""Kind `pgvector`: a table of another server. `table` is what PostgreSQL sees of it."""
