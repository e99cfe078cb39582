-- SPDX-License-Identifier: PostgreSQL
--
-- Living beside pgvector: what names the types of both, and who makes room for whom.

CREATE FUNCTION ruvector_link_pgvector() RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_link_pgvector' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_link_pgvector() IS 'makes casts and operator classes for the types of extension vector; returns how many objects were made';

CREATE FUNCTION ruvector_unlink_pgvector() RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_unlink_pgvector' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_unlink_pgvector() IS 'drops what ruvector_link_pgvector() made; returns how many objects were dropped';

CREATE FUNCTION ruvector_before_ddl() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'ruvector_before_ddl' LANGUAGE C SECURITY DEFINER;
COMMENT ON FUNCTION ruvector_before_ddl() IS 'moves shared names out of the way of extension vector; explains what stops a conversion; replaces links';

CREATE FUNCTION ruvector_after_ddl() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'ruvector_after_ddl' LANGUAGE C SECURITY DEFINER;
COMMENT ON FUNCTION ruvector_after_ddl() IS 'moves shared names back when extension vector has gone';

CREATE EVENT TRIGGER ruvector_before_ddl ON ddl_command_start
	WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION', 'DROP EXTENSION', 'ALTER TABLE', 'CREATE CAST',
		'CREATE OPERATOR CLASS', 'CREATE OPERATOR FAMILY')
	EXECUTE FUNCTION ruvector_before_ddl();
COMMENT ON EVENT TRIGGER ruvector_before_ddl IS 'moves shared names out of the way of extension vector; explains what stops a conversion; replaces links';

CREATE EVENT TRIGGER ruvector_after_ddl ON ddl_command_end
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED', 'ALTER EXTENSION')
	EXECUTE FUNCTION ruvector_after_ddl();
COMMENT ON EVENT TRIGGER ruvector_after_ddl IS 'moves shared names back when extension vector has gone';
