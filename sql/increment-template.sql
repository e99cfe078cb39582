-- SPDX-License-Identifier: PostgreSQL
--
-- How an increment, sql/ruvector--OLD--NEW.sql, begins and ends; its own statements come in between, written as in the
-- parts of the full script. As there, new objects are made in a schema of their own; ours are looked up where they are,
-- so that halfvec means ours beside pgvector too; and everything is moved to where it belongs at the end.

\echo Use "ALTER EXTENSION ruvector UPDATE" to load this file. \quit

CREATE SCHEMA ruvector_install;
SELECT set_config('search_path', format('ruvector_install, %s, @extschema@', t.typnamespace::regnamespace), true)
FROM pg_type AS t JOIN pg_depend AS d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
	JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'ruvector' AND t.typname = 'halfvec';

-- the statements of the increment

CREATE FUNCTION ruvector_place(regnamespace) RETURNS void
	AS 'MODULE_PATHNAME', 'ruvector_place' LANGUAGE C STRICT;
SELECT ruvector_place('@extschema@');
DROP FUNCTION @extschema@.ruvector_place(regnamespace);
DROP SCHEMA ruvector_install;
