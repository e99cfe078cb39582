-- SPDX-License-Identifier: PostgreSQL
--
-- What the extension says of itself.

CREATE FUNCTION ruvector_version() RETURNS text
	AS 'MODULE_PATHNAME', 'ruvector_version' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_version() IS 'version of the extension library';

CREATE FUNCTION ruvector_simd_info() RETURNS text
	AS 'MODULE_PATHNAME', 'ruvector_simd_info' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_simd_info() IS 'SIMD level that the distance kernels use, and what the machine has';
