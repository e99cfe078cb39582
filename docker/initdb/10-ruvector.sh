#!/usr/bin/env bash
# SPDX-License-Identifier: PostgreSQL
# Once, when the container's cluster is made: the extension in the database that POSTGRES_DB names and in template1, so that
# every database made later has it. RUVECTOR_FDW=1 adds the foreign data wrapper.
set -euo pipefail

for database in template1 "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"; do
	psql -X -q -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$database" \
		-c "CREATE EXTENSION IF NOT EXISTS ruvector"
	if [ "${RUVECTOR_FDW:-0}" = 1 ]; then
		psql -X -q -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$database" \
			-c "CREATE EXTENSION IF NOT EXISTS ruvector_fdw"
	fi
done
