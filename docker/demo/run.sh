#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# From pgvector on one server (RUVECTOR_DSN) to ruvector on another (RUVECTOR_TARGET_DSN): every step of a blue-green
# migration, and the same search before and after it.
set -euo pipefail

: "${RUVECTOR_DSN:?}" "${RUVECTOR_TARGET_DSN:?}"
search="SELECT id, title FROM articles
ORDER BY embedding <=> (SELECT embedding FROM articles WHERE id = 42), id LIMIT 5"
step() { printf '\n== %s\n' "$*"; }

step "the search, by pgvector"
psql -X "$RUVECTOR_DSN" -c "$search"
step "what is there, and what it will cost"
ruvector assess
step "the schema and the rows, to the new server, which follows from then on"
ruvector migrate --strategy blue-green ${PG_DUMP:+--pg-dump "$PG_DUMP"}
psql -Xq "$RUVECTOR_DSN" -c "INSERT INTO articles (author, title, embedding) SELECT 1, 'written meanwhile', embedding FROM articles WHERE id = 42"
step "the same on both sides?"
ruvector validate
step "the switch"
ruvector cutover ${PG_DUMP:+--pg-dump "$PG_DUMP"}
step "the search, by ruvector"
psql -X "$RUVECTOR_TARGET_DSN" -c "$search"
