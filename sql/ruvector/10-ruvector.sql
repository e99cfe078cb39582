-- SPDX-License-Identifier: PostgreSQL
--
-- ruvector(n): the type, its functions, operators, aggregates and casts.

CREATE TYPE ruvector;

CREATE FUNCTION ruvector_in(cstring, oid, integer) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_in(cstring, oid, integer) IS 'text input';

CREATE FUNCTION ruvector_out(ruvector) RETURNS cstring
	AS 'MODULE_PATHNAME', 'ruvector_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_out(ruvector) IS 'text output';

CREATE FUNCTION ruvector_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_typmod_in(cstring[]) IS 'the number of dimensions of ruvector(n)';

CREATE FUNCTION ruvector_recv(internal, oid, integer) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_recv(internal, oid, integer) IS 'binary input';

CREATE FUNCTION ruvector_send(ruvector) RETURNS bytea
	AS 'MODULE_PATHNAME', 'ruvector_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_send(ruvector) IS 'binary output';

CREATE TYPE ruvector (
	INPUT = ruvector_in,
	OUTPUT = ruvector_out,
	TYPMOD_IN = ruvector_typmod_in,
	RECEIVE = ruvector_recv,
	SEND = ruvector_send,
	ALIGNMENT = int4,
	STORAGE = external,
	PREFERRED = true
);
COMMENT ON TYPE ruvector IS 'vector of float32, 1 to 16000 dimensions';

-- distances, under pgvector's names and ours

CREATE FUNCTION l2_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_distance(ruvector, ruvector) IS 'Euclidean distance';

CREATE FUNCTION inner_product(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION inner_product(ruvector, ruvector) IS 'inner product';

CREATE FUNCTION cosine_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION cosine_distance(ruvector, ruvector) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION l1_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l1_distance(ruvector, ruvector) IS 'taxicab distance';

CREATE FUNCTION ruvector_l2_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l2_distance(ruvector, ruvector) IS 'Euclidean distance';

CREATE FUNCTION ruvector_ip_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_ip_distance(ruvector, ruvector) IS 'inner product';

CREATE FUNCTION ruvector_inner_product(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_inner_product(ruvector, ruvector) IS 'inner product';

CREATE FUNCTION ruvector_cosine_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_cosine_distance(ruvector, ruvector) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION ruvector_l1_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l1_distance(ruvector, ruvector) IS 'taxicab distance';

CREATE FUNCTION ruvector_l2_squared_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_l2_squared_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l2_squared_distance(ruvector, ruvector) IS 'squared Euclidean distance';

CREATE FUNCTION ruvector_negative_inner_product(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_negative_inner_product(ruvector, ruvector) IS 'negative inner product, the <#> operator';

CREATE FUNCTION ruvector_spherical_distance(ruvector, ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_spherical_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_spherical_distance(ruvector, ruvector) IS 'angle between two unit vectors, as a fraction of half a turn';

-- functions of one value

CREATE FUNCTION ruvector_dims(ruvector) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_dims(ruvector) IS 'number of dimensions';

CREATE FUNCTION vector_dims(ruvector) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_dims(ruvector) IS 'number of dimensions';

CREATE FUNCTION ruvector_norm(ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_norm(ruvector) IS 'Euclidean norm';

CREATE FUNCTION l2_norm(ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_norm(ruvector) IS 'Euclidean norm';

CREATE FUNCTION vector_norm(ruvector) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_norm(ruvector) IS 'Euclidean norm';

CREATE FUNCTION ruvector_normalize(ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_normalize(ruvector) IS 'the vector scaled to norm 1; zero stays zero';

CREATE FUNCTION l2_normalize(ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_normalize(ruvector) IS 'the vector scaled to norm 1; zero stays zero';

CREATE FUNCTION binary_quantize(ruvector) RETURNS bit
	AS 'MODULE_PATHNAME', 'ruvector_binary_quantize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION binary_quantize(ruvector) IS 'one bit a dimension: is it above zero';

CREATE FUNCTION subvector(ruvector, integer, integer) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_subvector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION subvector(ruvector, integer, integer) IS 'the dimensions from the second argument (first is 1), as many as the third';

CREATE FUNCTION ruvector_random(dims integer, seed bigint) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_random' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_random(integer, bigint) IS 'repeatable test data: numbers in [-1, 1)';

-- arithmetic

CREATE FUNCTION ruvector_add(ruvector, ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_add' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_add(ruvector, ruvector) IS 'element-wise sum';

CREATE FUNCTION ruvector_sub(ruvector, ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_sub' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sub(ruvector, ruvector) IS 'element-wise difference';

CREATE FUNCTION ruvector_mul(ruvector, ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_mul' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_mul(ruvector, ruvector) IS 'element-wise product';

CREATE FUNCTION ruvector_concat(ruvector, ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_concat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_concat(ruvector, ruvector) IS 'concatenation';

CREATE OPERATOR + (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_add,
	COMMUTATOR = +
);
COMMENT ON OPERATOR + (ruvector, ruvector) IS 'element-wise sum';

CREATE OPERATOR - (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_sub
);
COMMENT ON OPERATOR - (ruvector, ruvector) IS 'element-wise difference';

CREATE OPERATOR * (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_mul,
	COMMUTATOR = *
);
COMMENT ON OPERATOR * (ruvector, ruvector) IS 'element-wise product';

CREATE OPERATOR || (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_concat
);
COMMENT ON OPERATOR || (ruvector, ruvector) IS 'concatenation';

-- distance operators

CREATE OPERATOR <-> (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = l2_distance,
	COMMUTATOR = <->
);
COMMENT ON OPERATOR <-> (ruvector, ruvector) IS 'Euclidean distance';

CREATE OPERATOR <#> (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_negative_inner_product,
	COMMUTATOR = <#>
);
COMMENT ON OPERATOR <#> (ruvector, ruvector) IS 'negative inner product';

CREATE OPERATOR <=> (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = cosine_distance,
	COMMUTATOR = <=>
);
COMMENT ON OPERATOR <=> (ruvector, ruvector) IS 'cosine distance';

CREATE OPERATOR <+> (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = l1_distance,
	COMMUTATOR = <+>
);
COMMENT ON OPERATOR <+> (ruvector, ruvector) IS 'taxicab distance';

-- order, equality and hash

CREATE FUNCTION ruvector_lt(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_lt(ruvector, ruvector) IS 'less than';

CREATE FUNCTION ruvector_le(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_le(ruvector, ruvector) IS 'less than or equal';

CREATE FUNCTION ruvector_eq(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_eq(ruvector, ruvector) IS 'equal';

CREATE FUNCTION ruvector_ne(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_ne(ruvector, ruvector) IS 'not equal';

CREATE FUNCTION ruvector_ge(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_ge(ruvector, ruvector) IS 'greater than or equal';

CREATE FUNCTION ruvector_gt(ruvector, ruvector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_gt(ruvector, ruvector) IS 'greater than';

CREATE FUNCTION ruvector_cmp(ruvector, ruvector) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_cmp(ruvector, ruvector) IS 'three-way comparison';

CREATE FUNCTION ruvector_hash(ruvector) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_hash(ruvector) IS 'hash';

CREATE FUNCTION ruvector_hash_extended(ruvector, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'ruvector_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_hash_extended(ruvector, bigint) IS 'seeded 64-bit hash';

CREATE OPERATOR < (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_lt,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (ruvector, ruvector) IS 'less than';

CREATE OPERATOR <= (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_le,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (ruvector, ruvector) IS 'less than or equal';

CREATE OPERATOR = (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_eq,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (ruvector, ruvector) IS 'equal';

CREATE OPERATOR <> (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_ne,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (ruvector, ruvector) IS 'not equal';

CREATE OPERATOR >= (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_ge,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (ruvector, ruvector) IS 'greater than or equal';

CREATE OPERATOR > (
	LEFTARG = ruvector, RIGHTARG = ruvector, FUNCTION = ruvector_gt,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (ruvector, ruvector) IS 'greater than';

CREATE OPERATOR FAMILY ruvector_ops USING btree;
COMMENT ON OPERATOR FAMILY ruvector_ops USING btree IS 'order of ruvector: element by element, then by dimensions';

CREATE OPERATOR CLASS ruvector_ops
	DEFAULT FOR TYPE ruvector USING btree FAMILY ruvector_ops AS
	OPERATOR 1 <,
	OPERATOR 2 <=,
	OPERATOR 3 =,
	OPERATOR 4 >=,
	OPERATOR 5 >,
	FUNCTION 1 ruvector_cmp(ruvector, ruvector);
COMMENT ON OPERATOR CLASS ruvector_ops USING btree IS 'order of ruvector: element by element, then by dimensions';

CREATE OPERATOR FAMILY ruvector_ops USING hash;
COMMENT ON OPERATOR FAMILY ruvector_ops USING hash IS 'hash of ruvector, for joins, grouping and partitions';

CREATE OPERATOR CLASS ruvector_ops
	DEFAULT FOR TYPE ruvector USING hash FAMILY ruvector_ops AS
	OPERATOR 1 =,
	FUNCTION 1 ruvector_hash(ruvector),
	FUNCTION 2 ruvector_hash_extended(ruvector, bigint);
COMMENT ON OPERATOR CLASS ruvector_ops USING hash IS 'hash of ruvector, for joins, grouping and partitions';

-- aggregates

CREATE FUNCTION ruvector_accum(double precision[], ruvector) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'ruvector_accum' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_accum(double precision[], ruvector) IS 'avg: adds one value to the state (count, sums)';

CREATE FUNCTION ruvector_avg(double precision[]) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_avg' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_avg(double precision[]) IS 'avg: the mean of a state';

CREATE FUNCTION ruvector_combine(double precision[], double precision[]) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'ruvector_combine' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_combine(double precision[], double precision[]) IS 'avg: joins two states';

CREATE FUNCTION ruvector_sum_step(ruvector, ruvector) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_sum_step' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sum_step(ruvector, ruvector) IS 'sum: adds one value to the state in place';

CREATE AGGREGATE avg(ruvector) (
	SFUNC = ruvector_accum,
	STYPE = double precision[],
	FINALFUNC = ruvector_avg,
	COMBINEFUNC = ruvector_combine,
	INITCOND = '{0}',
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(ruvector) IS 'mean, element by element';

CREATE AGGREGATE sum(ruvector) (
	SFUNC = ruvector_sum_step,
	STYPE = ruvector,
	COMBINEFUNC = ruvector_sum_step,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(ruvector) IS 'sum, element by element';

-- casts

CREATE FUNCTION ruvector_typmod_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_typmod_support' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_typmod_support(internal) IS 'planner support: drops a length coercion that changes nothing';

CREATE FUNCTION ruvector(ruvector, integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_apply_typmod' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT ruvector_typmod_support;
COMMENT ON FUNCTION ruvector(ruvector, integer, boolean) IS 'checks a value against ruvector(n)';

CREATE CAST (ruvector AS ruvector)
	WITH FUNCTION ruvector(ruvector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (ruvector AS ruvector) IS 'checks the number of dimensions';

CREATE FUNCTION ruvector_to_float4(ruvector, integer, boolean) RETURNS real[]
	AS 'MODULE_PATHNAME', 'ruvector_to_float4' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_to_float4(ruvector, integer, boolean) IS 'the elements as an array';

CREATE CAST (ruvector AS real[])
	WITH FUNCTION ruvector_to_float4(ruvector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (ruvector AS real[]) IS 'the elements as an array';

CREATE FUNCTION ruvector_from_array(integer[], integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_from_array(integer[], integer, boolean) IS 'ruvector of an array';

CREATE FUNCTION ruvector_from_array(real[], integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_from_array(real[], integer, boolean) IS 'ruvector of an array';

CREATE FUNCTION ruvector_from_array(double precision[], integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_from_array(double precision[], integer, boolean) IS 'ruvector of an array';

CREATE FUNCTION ruvector_from_array(numeric[], integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_from_array(numeric[], integer, boolean) IS 'ruvector of an array';

CREATE CAST (integer[] AS ruvector)
	WITH FUNCTION ruvector_from_array(integer[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (integer[] AS ruvector) IS 'ruvector of an array';

CREATE CAST (real[] AS ruvector)
	WITH FUNCTION ruvector_from_array(real[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (real[] AS ruvector) IS 'ruvector of an array';

CREATE CAST (double precision[] AS ruvector)
	WITH FUNCTION ruvector_from_array(double precision[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (double precision[] AS ruvector) IS 'ruvector of an array';

CREATE CAST (numeric[] AS ruvector)
	WITH FUNCTION ruvector_from_array(numeric[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (numeric[] AS ruvector) IS 'ruvector of an array';

CREATE FUNCTION ruvector_from_jsonb(jsonb, integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'ruvector_from_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_from_jsonb(jsonb, integer, boolean) IS 'ruvector of a JSON array of numbers';

CREATE FUNCTION ruvector_to_jsonb(ruvector) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'ruvector_to_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_to_jsonb(ruvector) IS 'the elements as a JSON array';

CREATE CAST (jsonb AS ruvector)
	WITH FUNCTION ruvector_from_jsonb(jsonb, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (jsonb AS ruvector) IS 'ruvector of a JSON array of numbers';

CREATE CAST (ruvector AS jsonb)
	WITH FUNCTION ruvector_to_jsonb(ruvector) AS ASSIGNMENT;
COMMENT ON CAST (ruvector AS jsonb) IS 'the elements as a JSON array';
