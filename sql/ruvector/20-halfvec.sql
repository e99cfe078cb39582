-- SPDX-License-Identifier: PostgreSQL
--
-- halfvec(n): the type, its functions, operators, aggregates and casts. Names whose arguments do not tell them from
-- pgvector's begin with ruvector_, so that only the types themselves can collide.

CREATE TYPE halfvec;

CREATE FUNCTION ruvector_halfvec_in(cstring, oid, integer) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_in(cstring, oid, integer) IS 'text input';

CREATE FUNCTION ruvector_halfvec_out(halfvec) RETURNS cstring
	AS 'MODULE_PATHNAME', 'rv_halfvec_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_out(halfvec) IS 'text output';

CREATE FUNCTION ruvector_halfvec_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_halfvec_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_typmod_in(cstring[]) IS 'the number of dimensions of halfvec(n)';

CREATE FUNCTION ruvector_halfvec_recv(internal, oid, integer) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_recv(internal, oid, integer) IS 'binary input';

CREATE FUNCTION ruvector_halfvec_send(halfvec) RETURNS bytea
	AS 'MODULE_PATHNAME', 'rv_halfvec_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_send(halfvec) IS 'binary output';

CREATE TYPE halfvec (
	INPUT = ruvector_halfvec_in,
	OUTPUT = ruvector_halfvec_out,
	TYPMOD_IN = ruvector_halfvec_typmod_in,
	RECEIVE = ruvector_halfvec_recv,
	SEND = ruvector_halfvec_send,
	ALIGNMENT = int4,
	STORAGE = external
);
COMMENT ON TYPE halfvec IS 'vector of float16, 1 to 16000 dimensions';

-- distances, under pgvector's names and ours

CREATE FUNCTION l2_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_distance(halfvec, halfvec) IS 'Euclidean distance';

CREATE FUNCTION inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION inner_product(halfvec, halfvec) IS 'inner product';

CREATE FUNCTION cosine_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION cosine_distance(halfvec, halfvec) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION l1_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l1_distance(halfvec, halfvec) IS 'taxicab distance';

CREATE FUNCTION ruvector_l2_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l2_distance(halfvec, halfvec) IS 'Euclidean distance';

CREATE FUNCTION ruvector_ip_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_ip_distance(halfvec, halfvec) IS 'inner product';

CREATE FUNCTION ruvector_inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_inner_product(halfvec, halfvec) IS 'inner product';

CREATE FUNCTION ruvector_cosine_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_cosine_distance(halfvec, halfvec) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION ruvector_l1_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l1_distance(halfvec, halfvec) IS 'taxicab distance';

CREATE FUNCTION halfvec_l2_squared_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_l2_squared_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_l2_squared_distance(halfvec, halfvec) IS 'squared Euclidean distance';

CREATE FUNCTION halfvec_negative_inner_product(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_negative_inner_product(halfvec, halfvec) IS 'negative inner product, the <#> operator';

CREATE FUNCTION halfvec_spherical_distance(halfvec, halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_spherical_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_spherical_distance(halfvec, halfvec) IS 'angle between two unit vectors, as a fraction of half a turn';

-- functions of one value

CREATE FUNCTION ruvector_dims(halfvec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_halfvec_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_dims(halfvec) IS 'number of dimensions';

CREATE FUNCTION vector_dims(halfvec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_halfvec_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_dims(halfvec) IS 'number of dimensions';

CREATE FUNCTION ruvector_norm(halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_norm(halfvec) IS 'Euclidean norm';

CREATE FUNCTION l2_norm(halfvec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_halfvec_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_norm(halfvec) IS 'Euclidean norm';

CREATE FUNCTION ruvector_normalize(halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_normalize(halfvec) IS 'the vector scaled to norm 1; zero stays zero';

CREATE FUNCTION l2_normalize(halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_normalize(halfvec) IS 'the vector scaled to norm 1; zero stays zero';

CREATE FUNCTION binary_quantize(halfvec) RETURNS bit
	AS 'MODULE_PATHNAME', 'rv_halfvec_binary_quantize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION binary_quantize(halfvec) IS 'one bit a dimension: is it above zero';

CREATE FUNCTION subvector(halfvec, integer, integer) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_subvector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION subvector(halfvec, integer, integer) IS 'the dimensions from the second argument (first is 1), as many as the third';

-- arithmetic

CREATE FUNCTION halfvec_add(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_add' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_add(halfvec, halfvec) IS 'element-wise sum';

CREATE FUNCTION halfvec_sub(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_sub' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_sub(halfvec, halfvec) IS 'element-wise difference';

CREATE FUNCTION halfvec_mul(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_mul' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_mul(halfvec, halfvec) IS 'element-wise product';

CREATE FUNCTION halfvec_concat(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_concat' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_concat(halfvec, halfvec) IS 'concatenation';

CREATE OPERATOR + (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_add,
	COMMUTATOR = +
);
COMMENT ON OPERATOR + (halfvec, halfvec) IS 'element-wise sum';

CREATE OPERATOR - (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_sub
);
COMMENT ON OPERATOR - (halfvec, halfvec) IS 'element-wise difference';

CREATE OPERATOR * (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_mul,
	COMMUTATOR = *
);
COMMENT ON OPERATOR * (halfvec, halfvec) IS 'element-wise product';

CREATE OPERATOR || (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_concat
);
COMMENT ON OPERATOR || (halfvec, halfvec) IS 'concatenation';

-- distance operators

CREATE OPERATOR <-> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = l2_distance,
	COMMUTATOR = <->
);
COMMENT ON OPERATOR <-> (halfvec, halfvec) IS 'Euclidean distance';

CREATE OPERATOR <#> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_negative_inner_product,
	COMMUTATOR = <#>
);
COMMENT ON OPERATOR <#> (halfvec, halfvec) IS 'negative inner product';

CREATE OPERATOR <=> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = cosine_distance,
	COMMUTATOR = <=>
);
COMMENT ON OPERATOR <=> (halfvec, halfvec) IS 'cosine distance';

CREATE OPERATOR <+> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = l1_distance,
	COMMUTATOR = <+>
);
COMMENT ON OPERATOR <+> (halfvec, halfvec) IS 'taxicab distance';

-- order, equality and hash

CREATE FUNCTION halfvec_lt(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_lt(halfvec, halfvec) IS 'less than';

CREATE FUNCTION halfvec_le(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_le(halfvec, halfvec) IS 'less than or equal';

CREATE FUNCTION halfvec_eq(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_eq(halfvec, halfvec) IS 'equal';

CREATE FUNCTION halfvec_ne(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_ne(halfvec, halfvec) IS 'not equal';

CREATE FUNCTION halfvec_ge(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_ge(halfvec, halfvec) IS 'greater than or equal';

CREATE FUNCTION halfvec_gt(halfvec, halfvec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_halfvec_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_gt(halfvec, halfvec) IS 'greater than';

CREATE FUNCTION halfvec_cmp(halfvec, halfvec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_halfvec_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_cmp(halfvec, halfvec) IS 'three-way comparison';

CREATE FUNCTION halfvec_hash(halfvec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_halfvec_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_hash(halfvec) IS 'hash';

CREATE FUNCTION halfvec_hash_extended(halfvec, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'rv_halfvec_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_hash_extended(halfvec, bigint) IS 'seeded 64-bit hash';

CREATE OPERATOR < (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_lt,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (halfvec, halfvec) IS 'less than';

CREATE OPERATOR <= (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_le,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (halfvec, halfvec) IS 'less than or equal';

CREATE OPERATOR = (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_eq,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (halfvec, halfvec) IS 'equal';

CREATE OPERATOR <> (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_ne,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (halfvec, halfvec) IS 'not equal';

CREATE OPERATOR >= (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_ge,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (halfvec, halfvec) IS 'greater than or equal';

CREATE OPERATOR > (
	LEFTARG = halfvec, RIGHTARG = halfvec, FUNCTION = halfvec_gt,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (halfvec, halfvec) IS 'greater than';

CREATE OPERATOR FAMILY halfvec_ops USING btree;
COMMENT ON OPERATOR FAMILY halfvec_ops USING btree IS 'order of halfvec: element by element, then by dimensions';

CREATE OPERATOR CLASS halfvec_ops
	DEFAULT FOR TYPE halfvec USING btree FAMILY halfvec_ops AS
	OPERATOR 1 <,
	OPERATOR 2 <=,
	OPERATOR 3 =,
	OPERATOR 4 >=,
	OPERATOR 5 >,
	FUNCTION 1 halfvec_cmp(halfvec, halfvec);
COMMENT ON OPERATOR CLASS halfvec_ops USING btree IS 'order of halfvec: element by element, then by dimensions';

CREATE OPERATOR FAMILY halfvec_ops USING hash;
COMMENT ON OPERATOR FAMILY halfvec_ops USING hash IS 'hash of halfvec, for joins, grouping and partitions';

CREATE OPERATOR CLASS halfvec_ops
	DEFAULT FOR TYPE halfvec USING hash FAMILY halfvec_ops AS
	OPERATOR 1 =,
	FUNCTION 1 halfvec_hash(halfvec),
	FUNCTION 2 halfvec_hash_extended(halfvec, bigint);
COMMENT ON OPERATOR CLASS halfvec_ops USING hash IS 'hash of halfvec, for joins, grouping and partitions';

-- aggregates

CREATE FUNCTION ruvector_halfvec_accum(double precision[], halfvec) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'rv_halfvec_accum' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_accum(double precision[], halfvec) IS 'avg: adds one value to the state (count, sums)';

CREATE FUNCTION ruvector_halfvec_avg(double precision[]) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_avg' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_avg(double precision[]) IS 'avg: the mean of a state';

CREATE FUNCTION ruvector_halfvec_sum_step(halfvec, halfvec) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_sum_step' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_sum_step(halfvec, halfvec) IS 'sum: adds one value to the state in place';

CREATE AGGREGATE avg(halfvec) (
	SFUNC = ruvector_halfvec_accum,
	STYPE = double precision[],
	FINALFUNC = ruvector_halfvec_avg,
	COMBINEFUNC = ruvector_combine,
	INITCOND = '{0}',
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(halfvec) IS 'mean, element by element';

CREATE AGGREGATE sum(halfvec) (
	SFUNC = ruvector_halfvec_sum_step,
	STYPE = halfvec,
	COMBINEFUNC = ruvector_halfvec_sum_step,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(halfvec) IS 'sum, element by element';

-- casts

CREATE FUNCTION halfvec(halfvec, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_apply_typmod' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT ruvector_typmod_support;
COMMENT ON FUNCTION halfvec(halfvec, integer, boolean) IS 'checks a value against halfvec(n)';

CREATE CAST (halfvec AS halfvec)
	WITH FUNCTION halfvec(halfvec, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (halfvec AS halfvec) IS 'checks the number of dimensions';

CREATE FUNCTION ruvector_halfvec_to_float4(halfvec, integer, boolean) RETURNS real[]
	AS 'MODULE_PATHNAME', 'rv_halfvec_to_float4' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_to_float4(halfvec, integer, boolean) IS 'the elements as an array';

CREATE CAST (halfvec AS real[])
	WITH FUNCTION ruvector_halfvec_to_float4(halfvec, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (halfvec AS real[]) IS 'the elements as an array';

CREATE FUNCTION ruvector_halfvec_from_array(integer[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_from_array(integer[], integer, boolean) IS 'halfvec of an array';

CREATE FUNCTION ruvector_halfvec_from_array(real[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_from_array(real[], integer, boolean) IS 'halfvec of an array';

CREATE FUNCTION ruvector_halfvec_from_array(double precision[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_from_array(double precision[], integer, boolean) IS 'halfvec of an array';

CREATE FUNCTION ruvector_halfvec_from_array(numeric[], integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_from_array(numeric[], integer, boolean) IS 'halfvec of an array';

CREATE CAST (integer[] AS halfvec)
	WITH FUNCTION ruvector_halfvec_from_array(integer[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (integer[] AS halfvec) IS 'halfvec of an array';

CREATE CAST (real[] AS halfvec)
	WITH FUNCTION ruvector_halfvec_from_array(real[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (real[] AS halfvec) IS 'halfvec of an array';

CREATE CAST (double precision[] AS halfvec)
	WITH FUNCTION ruvector_halfvec_from_array(double precision[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (double precision[] AS halfvec) IS 'halfvec of an array';

CREATE CAST (numeric[] AS halfvec)
	WITH FUNCTION ruvector_halfvec_from_array(numeric[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (numeric[] AS halfvec) IS 'halfvec of an array';

CREATE FUNCTION ruvector_halfvec_from_jsonb(jsonb, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_halfvec_from_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_from_jsonb(jsonb, integer, boolean) IS 'halfvec of a JSON array of numbers';

CREATE FUNCTION ruvector_halfvec_to_jsonb(halfvec) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'rv_halfvec_to_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_halfvec_to_jsonb(halfvec) IS 'the elements as a JSON array';

CREATE CAST (jsonb AS halfvec)
	WITH FUNCTION ruvector_halfvec_from_jsonb(jsonb, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (jsonb AS halfvec) IS 'halfvec of a JSON array of numbers';

CREATE CAST (halfvec AS jsonb)
	WITH FUNCTION ruvector_halfvec_to_jsonb(halfvec) AS ASSIGNMENT;
COMMENT ON CAST (halfvec AS jsonb) IS 'the elements as a JSON array';

CREATE FUNCTION halfvec_to_ruvector(halfvec, integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'rv_halfvec_to_ruvector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_to_ruvector(halfvec, integer, boolean) IS 'ruvector of a halfvec';

CREATE CAST (halfvec AS ruvector)
	WITH FUNCTION halfvec_to_ruvector(halfvec, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (halfvec AS ruvector) IS 'ruvector of a halfvec';

CREATE FUNCTION ruvector_to_halfvec(ruvector, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_ruvector_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_to_halfvec(ruvector, integer, boolean) IS 'halfvec of a ruvector';

CREATE CAST (ruvector AS halfvec)
	WITH FUNCTION ruvector_to_halfvec(ruvector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (ruvector AS halfvec) IS 'halfvec of a ruvector';
