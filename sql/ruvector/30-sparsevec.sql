-- SPDX-License-Identifier: PostgreSQL
--
-- sparsevec(n): the type, its functions, operators, aggregates and casts.

CREATE TYPE sparsevec;

CREATE FUNCTION ruvector_sparsevec_in(cstring, oid, integer) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_in(cstring, oid, integer) IS 'text input';

CREATE FUNCTION ruvector_sparsevec_out(sparsevec) RETURNS cstring
	AS 'MODULE_PATHNAME', 'rv_sparsevec_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_out(sparsevec) IS 'text output';

CREATE FUNCTION ruvector_sparsevec_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_sparsevec_typmod_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_typmod_in(cstring[]) IS 'the number of dimensions of sparsevec(n)';

CREATE FUNCTION ruvector_sparsevec_recv(internal, oid, integer) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_recv(internal, oid, integer) IS 'binary input';

CREATE FUNCTION ruvector_sparsevec_send(sparsevec) RETURNS bytea
	AS 'MODULE_PATHNAME', 'rv_sparsevec_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_send(sparsevec) IS 'binary output';

CREATE TYPE sparsevec (
	INPUT = ruvector_sparsevec_in,
	OUTPUT = ruvector_sparsevec_out,
	TYPMOD_IN = ruvector_sparsevec_typmod_in,
	RECEIVE = ruvector_sparsevec_recv,
	SEND = ruvector_sparsevec_send,
	ALIGNMENT = int4,
	STORAGE = external
);
COMMENT ON TYPE sparsevec IS 'sparse vector of float32, up to 1000000000 dimensions and 16000 non-zero elements';

-- distances, under pgvector's names and ours

CREATE FUNCTION l2_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_distance(sparsevec, sparsevec) IS 'Euclidean distance';

CREATE FUNCTION inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION inner_product(sparsevec, sparsevec) IS 'inner product';

CREATE FUNCTION cosine_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION cosine_distance(sparsevec, sparsevec) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION l1_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l1_distance(sparsevec, sparsevec) IS 'taxicab distance';

CREATE FUNCTION ruvector_l2_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l2_distance(sparsevec, sparsevec) IS 'Euclidean distance';

CREATE FUNCTION ruvector_ip_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_ip_distance(sparsevec, sparsevec) IS 'inner product';

CREATE FUNCTION ruvector_inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_inner_product(sparsevec, sparsevec) IS 'inner product';

CREATE FUNCTION ruvector_cosine_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_cosine_distance(sparsevec, sparsevec) IS 'cosine distance: 1 - cosine similarity';

CREATE FUNCTION ruvector_l1_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_l1_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_l1_distance(sparsevec, sparsevec) IS 'taxicab distance';

CREATE FUNCTION sparsevec_l2_squared_distance(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_l2_squared_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_l2_squared_distance(sparsevec, sparsevec) IS 'squared Euclidean distance';

CREATE FUNCTION sparsevec_negative_inner_product(sparsevec, sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_negative_inner_product(sparsevec, sparsevec) IS 'negative inner product, the <#> operator';

-- functions of one value

CREATE FUNCTION ruvector_dims(sparsevec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_sparsevec_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_dims(sparsevec) IS 'number of dimensions';

CREATE FUNCTION vector_dims(sparsevec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_sparsevec_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_dims(sparsevec) IS 'number of dimensions';

CREATE FUNCTION ruvector_norm(sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_norm(sparsevec) IS 'Euclidean norm';

CREATE FUNCTION l2_norm(sparsevec) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_sparsevec_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_norm(sparsevec) IS 'Euclidean norm';

CREATE FUNCTION ruvector_normalize(sparsevec) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_normalize(sparsevec) IS 'the vector scaled to norm 1; zero stays zero';

CREATE FUNCTION l2_normalize(sparsevec) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_normalize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_normalize(sparsevec) IS 'the vector scaled to norm 1; zero stays zero';

-- distance operators

CREATE OPERATOR <-> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = l2_distance,
	COMMUTATOR = <->
);
COMMENT ON OPERATOR <-> (sparsevec, sparsevec) IS 'Euclidean distance';

CREATE OPERATOR <#> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_negative_inner_product,
	COMMUTATOR = <#>
);
COMMENT ON OPERATOR <#> (sparsevec, sparsevec) IS 'negative inner product';

CREATE OPERATOR <=> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = cosine_distance,
	COMMUTATOR = <=>
);
COMMENT ON OPERATOR <=> (sparsevec, sparsevec) IS 'cosine distance';

CREATE OPERATOR <+> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = l1_distance,
	COMMUTATOR = <+>
);
COMMENT ON OPERATOR <+> (sparsevec, sparsevec) IS 'taxicab distance';

-- order, equality and hash

CREATE FUNCTION sparsevec_lt(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_lt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_lt(sparsevec, sparsevec) IS 'less than';

CREATE FUNCTION sparsevec_le(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_le' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_le(sparsevec, sparsevec) IS 'less than or equal';

CREATE FUNCTION sparsevec_eq(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_eq' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_eq(sparsevec, sparsevec) IS 'equal';

CREATE FUNCTION sparsevec_ne(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_ne' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_ne(sparsevec, sparsevec) IS 'not equal';

CREATE FUNCTION sparsevec_ge(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_ge' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_ge(sparsevec, sparsevec) IS 'greater than or equal';

CREATE FUNCTION sparsevec_gt(sparsevec, sparsevec) RETURNS boolean
	AS 'MODULE_PATHNAME', 'rv_sparsevec_gt' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_gt(sparsevec, sparsevec) IS 'greater than';

CREATE FUNCTION sparsevec_cmp(sparsevec, sparsevec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_sparsevec_cmp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_cmp(sparsevec, sparsevec) IS 'three-way comparison';

CREATE FUNCTION sparsevec_hash(sparsevec) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_sparsevec_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_hash(sparsevec) IS 'hash';

CREATE FUNCTION sparsevec_hash_extended(sparsevec, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'rv_sparsevec_hash_extended' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_hash_extended(sparsevec, bigint) IS 'seeded 64-bit hash';

CREATE OPERATOR < (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_lt,
	COMMUTATOR = >, NEGATOR = >=,
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (sparsevec, sparsevec) IS 'less than';

CREATE OPERATOR <= (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_le,
	COMMUTATOR = >=, NEGATOR = >,
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (sparsevec, sparsevec) IS 'less than or equal';

CREATE OPERATOR = (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_eq,
	COMMUTATOR = =, NEGATOR = <>,
	RESTRICT = eqsel, JOIN = eqjoinsel,
	HASHES, MERGES
);
COMMENT ON OPERATOR = (sparsevec, sparsevec) IS 'equal';

CREATE OPERATOR <> (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_ne,
	COMMUTATOR = <>, NEGATOR = =,
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (sparsevec, sparsevec) IS 'not equal';

CREATE OPERATOR >= (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_ge,
	COMMUTATOR = <=, NEGATOR = <,
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (sparsevec, sparsevec) IS 'greater than or equal';

CREATE OPERATOR > (
	LEFTARG = sparsevec, RIGHTARG = sparsevec, FUNCTION = sparsevec_gt,
	COMMUTATOR = <, NEGATOR = <=,
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (sparsevec, sparsevec) IS 'greater than';

CREATE OPERATOR FAMILY sparsevec_ops USING btree;
COMMENT ON OPERATOR FAMILY sparsevec_ops USING btree IS 'order of sparsevec: element by element, then by dimensions';

CREATE OPERATOR CLASS sparsevec_ops
	DEFAULT FOR TYPE sparsevec USING btree FAMILY sparsevec_ops AS
	OPERATOR 1 <,
	OPERATOR 2 <=,
	OPERATOR 3 =,
	OPERATOR 4 >=,
	OPERATOR 5 >,
	FUNCTION 1 sparsevec_cmp(sparsevec, sparsevec);
COMMENT ON OPERATOR CLASS sparsevec_ops USING btree IS 'order of sparsevec: element by element, then by dimensions';

CREATE OPERATOR FAMILY sparsevec_ops USING hash;
COMMENT ON OPERATOR FAMILY sparsevec_ops USING hash IS 'hash of sparsevec, for joins, grouping and partitions';

CREATE OPERATOR CLASS sparsevec_ops
	DEFAULT FOR TYPE sparsevec USING hash FAMILY sparsevec_ops AS
	OPERATOR 1 =,
	FUNCTION 1 sparsevec_hash(sparsevec),
	FUNCTION 2 sparsevec_hash_extended(sparsevec, bigint);
COMMENT ON OPERATOR CLASS sparsevec_ops USING hash IS 'hash of sparsevec, for joins, grouping and partitions';

-- aggregates

CREATE FUNCTION ruvector_sparsevec_accum(internal, sparsevec) RETURNS internal
	AS 'MODULE_PATHNAME', 'rv_sparsevec_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_accum(internal, sparsevec) IS 'avg and sum: takes one value';

CREATE FUNCTION ruvector_sparsevec_combine(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'rv_sparsevec_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_combine(internal, internal) IS 'avg and sum: joins two partial states';

CREATE FUNCTION ruvector_sparsevec_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME', 'rv_sparsevec_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_serialize(internal) IS 'avg and sum: a partial state as bytes';

CREATE FUNCTION ruvector_sparsevec_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'rv_sparsevec_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_deserialize(bytea, internal) IS 'avg and sum: a partial state from bytes';

CREATE FUNCTION ruvector_sparsevec_avg(internal) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_avg' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_avg(internal) IS 'avg: the mean';

CREATE FUNCTION ruvector_sparsevec_sum(internal) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_sum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_sum(internal) IS 'sum: the sum';

CREATE AGGREGATE avg(sparsevec) (
	SFUNC = ruvector_sparsevec_accum,
	STYPE = internal,
	FINALFUNC = ruvector_sparsevec_avg,
	COMBINEFUNC = ruvector_sparsevec_combine,
	SERIALFUNC = ruvector_sparsevec_serialize,
	DESERIALFUNC = ruvector_sparsevec_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(sparsevec) IS 'mean, element by element';

CREATE AGGREGATE sum(sparsevec) (
	SFUNC = ruvector_sparsevec_accum,
	STYPE = internal,
	FINALFUNC = ruvector_sparsevec_sum,
	COMBINEFUNC = ruvector_sparsevec_combine,
	SERIALFUNC = ruvector_sparsevec_serialize,
	DESERIALFUNC = ruvector_sparsevec_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(sparsevec) IS 'sum, element by element';

-- casts

CREATE FUNCTION sparsevec(sparsevec, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_apply_typmod' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	SUPPORT ruvector_typmod_support;
COMMENT ON FUNCTION sparsevec(sparsevec, integer, boolean) IS 'checks a value against sparsevec(n)';

CREATE CAST (sparsevec AS sparsevec)
	WITH FUNCTION sparsevec(sparsevec, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (sparsevec AS sparsevec) IS 'checks the number of dimensions';

CREATE FUNCTION ruvector_sparsevec_from_array(integer[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_from_array(integer[], integer, boolean) IS 'sparsevec of an array';

CREATE FUNCTION ruvector_sparsevec_from_array(real[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_from_array(real[], integer, boolean) IS 'sparsevec of an array';

CREATE FUNCTION ruvector_sparsevec_from_array(double precision[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_from_array(double precision[], integer, boolean) IS 'sparsevec of an array';

CREATE FUNCTION ruvector_sparsevec_from_array(numeric[], integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_from_array(numeric[], integer, boolean) IS 'sparsevec of an array';

CREATE CAST (integer[] AS sparsevec)
	WITH FUNCTION ruvector_sparsevec_from_array(integer[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (integer[] AS sparsevec) IS 'sparsevec of an array';

CREATE CAST (real[] AS sparsevec)
	WITH FUNCTION ruvector_sparsevec_from_array(real[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (real[] AS sparsevec) IS 'sparsevec of an array';

CREATE CAST (double precision[] AS sparsevec)
	WITH FUNCTION ruvector_sparsevec_from_array(double precision[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (double precision[] AS sparsevec) IS 'sparsevec of an array';

CREATE CAST (numeric[] AS sparsevec)
	WITH FUNCTION ruvector_sparsevec_from_array(numeric[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (numeric[] AS sparsevec) IS 'sparsevec of an array';

CREATE FUNCTION sparsevec_to_ruvector(sparsevec, integer, boolean) RETURNS ruvector
	AS 'MODULE_PATHNAME', 'rv_sparsevec_to_ruvector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_to_ruvector(sparsevec, integer, boolean) IS 'ruvector of a sparsevec';

CREATE CAST (sparsevec AS ruvector)
	WITH FUNCTION sparsevec_to_ruvector(sparsevec, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (sparsevec AS ruvector) IS 'ruvector of a sparsevec';

CREATE FUNCTION ruvector_to_sparsevec(ruvector, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_ruvector_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_to_sparsevec(ruvector, integer, boolean) IS 'sparsevec of a ruvector';

CREATE CAST (ruvector AS sparsevec)
	WITH FUNCTION ruvector_to_sparsevec(ruvector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (ruvector AS sparsevec) IS 'sparsevec of a ruvector';

CREATE FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) IS 'halfvec of a sparsevec';

CREATE CAST (sparsevec AS halfvec)
	WITH FUNCTION sparsevec_to_halfvec(sparsevec, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (sparsevec AS halfvec) IS 'halfvec of a sparsevec';

CREATE FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_halfvec_to_sparsevec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) IS 'sparsevec of a halfvec';

CREATE CAST (halfvec AS sparsevec)
	WITH FUNCTION halfvec_to_sparsevec(halfvec, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (halfvec AS sparsevec) IS 'sparsevec of a halfvec';

-- JSON

CREATE FUNCTION ruvector_sparsevec_from_jsonb(jsonb, integer, boolean) RETURNS sparsevec
	AS 'MODULE_PATHNAME', 'rv_sparsevec_from_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_from_jsonb(jsonb, integer, boolean) IS 'sparsevec of a JSON object of dim, indices and values';

CREATE FUNCTION ruvector_sparsevec_to_jsonb(sparsevec) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'rv_sparsevec_to_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_sparsevec_to_jsonb(sparsevec) IS 'JSON object of dim, indices (from 1) and values';

CREATE CAST (jsonb AS sparsevec)
	WITH FUNCTION ruvector_sparsevec_from_jsonb(jsonb, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (jsonb AS sparsevec) IS 'sparsevec of a JSON object of dim, indices and values';

CREATE CAST (sparsevec AS jsonb)
	WITH FUNCTION ruvector_sparsevec_to_jsonb(sparsevec) AS ASSIGNMENT;
COMMENT ON CAST (sparsevec AS jsonb) IS 'JSON object of dim, indices (from 1) and values';
