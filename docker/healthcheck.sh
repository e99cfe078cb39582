#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# Healthy: the server takes connections, and ruvector's library loads and answers. It uses libpq's variables, with the
# image's POSTGRES_USER and POSTGRES_DB in their place where they are not set.
set -euo pipefail

export PGUSER=${PGUSER:-${POSTGRES_USER:-postgres}}
export PGDATABASE=${PGDATABASE:-${POSTGRES_DB:-$PGUSER}}
pg_isready -q
# During initdb the extension is not there yet: then answering is enough to be starting, and not to be healthy.
test "$(psql -XAtq -c "SELECT ruvector_version() <> ''")" = t
