-- SPDX-License-Identifier: PostgreSQL
-- The foreign data wrapper: its two C functions, then the wrapper itself.
\echo Use "CREATE EXTENSION ruvector_fdw" to load this file. \quit

CREATE FUNCTION ruvector_fdw_handler() RETURNS fdw_handler
	LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ruvector_fdw_handler() IS 'handler of foreign data wrapper ruvector_fdw';

CREATE FUNCTION ruvector_fdw_validator(text[], oid) RETURNS void
	LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION ruvector_fdw_validator(text[], oid) IS 'option checks of foreign data wrapper ruvector_fdw';

CREATE FOREIGN DATA WRAPPER ruvector_fdw HANDLER ruvector_fdw_handler VALIDATOR ruvector_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER ruvector_fdw IS 'vector stores, and classes written for Multicorn, as foreign tables';
