-- SPDX-License-Identifier: PostgreSQL
--
-- Moves what the script made to the extension's schema, or to schema ruvector where pgvector holds a name; then links
-- with pgvector when that is there.

CREATE FUNCTION ruvector_place(regnamespace) RETURNS void
	AS 'MODULE_PATHNAME', 'ruvector_place' LANGUAGE C STRICT;
SELECT ruvector_place('@extschema@');
DROP FUNCTION @extschema@.ruvector_place(regnamespace);
DROP SCHEMA ruvector_install;

SELECT @extschema@.ruvector_link_pgvector();
