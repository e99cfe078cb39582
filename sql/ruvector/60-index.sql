-- SPDX-License-Identifier: PostgreSQL
--
-- The index access methods, their operator classes, and the functions that tell about indexes. An operator
-- class has one support function, ruvector_index_<metric>, which describes type and distance to the access method; the
-- classes over pgvector's types name the same ones (ruvector_link_pgvector reads them from the catalogs).

CREATE FUNCTION ruhnsw_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'ruhnsw_handler' LANGUAGE C;
COMMENT ON FUNCTION ruhnsw_handler(internal) IS 'graph index access method handler';

CREATE ACCESS METHOD ruhnsw TYPE INDEX HANDLER ruhnsw_handler;
COMMENT ON ACCESS METHOD ruhnsw IS 'hierarchical navigable small world graph over quantized vectors';

CREATE FUNCTION ruivfflat_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'ruivfflat_handler' LANGUAGE C;
COMMENT ON FUNCTION ruivfflat_handler(internal) IS 'inverted file index access method handler';

CREATE ACCESS METHOD ruivfflat TYPE INDEX HANDLER ruivfflat_handler;
COMMENT ON ACCESS METHOD ruivfflat IS 'inverted lists of quantized vectors';

-- what an operator class says of its type and distance

CREATE FUNCTION ruvector_index_l2(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_l2' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_l2(internal) IS 'index support: ruvector, Euclidean distance';

CREATE FUNCTION ruvector_index_ip(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_ip' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_ip(internal) IS 'index support: ruvector, negative inner product';

CREATE FUNCTION ruvector_index_cosine(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_cosine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_cosine(internal) IS 'index support: ruvector, cosine distance';

CREATE FUNCTION ruvector_index_l1(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_l1' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_l1(internal) IS 'index support: ruvector, taxicab distance';

-- WHERE column <-> query < radius, as an index can be asked (the planner makes these; see docs/design/range.md)

CREATE TYPE ruvector_range;

CREATE FUNCTION ruvector_range_in(cstring) RETURNS ruvector_range
	AS 'MODULE_PATHNAME', 'ruvector_range_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_range_in(cstring) IS 'text input (refused)';

CREATE FUNCTION ruvector_range_out(ruvector_range) RETURNS cstring
	AS 'MODULE_PATHNAME', 'ruvector_range_out' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_range_out(ruvector_range) IS 'text output: the comparison, without the query';

CREATE TYPE ruvector_range (INPUT = ruvector_range_in, OUTPUT = ruvector_range_out, ALIGNMENT = double, STORAGE = plain);
COMMENT ON TYPE ruvector_range IS 'all vectors within a distance of one: made by the planner for index scans';

CREATE FUNCTION ruvector_range(query anyelement, radius float8, inclusive boolean, distance oid) RETURNS ruvector_range
	AS 'MODULE_PATHNAME', 'ruvector_range' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_range(anyelement, float8, boolean, oid) IS 'all vectors nearer to query than radius by a distance function';

CREATE FUNCTION ruvector_within(anyelement, ruvector_range) RETURNS boolean
	AS 'MODULE_PATHNAME', 'ruvector_within' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION ruvector_within(anyelement, ruvector_range) IS 'implementation of <<@>> operator';

CREATE OPERATOR <<@>> (LEFTARG = anyelement, RIGHTARG = ruvector_range, FUNCTION = ruvector_within,
	RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR <<@>> (anyelement, ruvector_range) IS 'is within the range';

CREATE OPERATOR CLASS ruvector_l2_ops DEFAULT FOR TYPE ruvector USING ruhnsw AS
	OPERATOR 1 <-> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_l2(internal);
COMMENT ON OPERATOR CLASS ruvector_l2_ops USING ruhnsw IS 'Euclidean distance';

CREATE OPERATOR CLASS ruvector_ip_ops FOR TYPE ruvector USING ruhnsw AS
	OPERATOR 1 <#> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_ip(internal);
COMMENT ON OPERATOR CLASS ruvector_ip_ops USING ruhnsw IS 'negative inner product';

CREATE OPERATOR CLASS ruvector_cosine_ops FOR TYPE ruvector USING ruhnsw AS
	OPERATOR 1 <=> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_cosine(internal);
COMMENT ON OPERATOR CLASS ruvector_cosine_ops USING ruhnsw IS 'cosine distance';

CREATE OPERATOR CLASS ruvector_l1_ops FOR TYPE ruvector USING ruhnsw AS
	OPERATOR 1 <+> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_l1(internal);
COMMENT ON OPERATOR CLASS ruvector_l1_ops USING ruhnsw IS 'taxicab distance';

CREATE OPERATOR CLASS ruvector_l2_ops DEFAULT FOR TYPE ruvector USING ruivfflat AS
	OPERATOR 1 <-> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_l2(internal);
COMMENT ON OPERATOR CLASS ruvector_l2_ops USING ruivfflat IS 'Euclidean distance';

CREATE OPERATOR CLASS ruvector_ip_ops FOR TYPE ruvector USING ruivfflat AS
	OPERATOR 1 <#> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_ip(internal);
COMMENT ON OPERATOR CLASS ruvector_ip_ops USING ruivfflat IS 'negative inner product';

CREATE OPERATOR CLASS ruvector_cosine_ops FOR TYPE ruvector USING ruivfflat AS
	OPERATOR 1 <=> (ruvector, ruvector) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_cosine(internal);
COMMENT ON OPERATOR CLASS ruvector_cosine_ops USING ruivfflat IS 'cosine distance';

-- the other types

CREATE FUNCTION ruvector_index_halfvec_l2(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_halfvec_l2' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_halfvec_l2(internal) IS 'index support: halfvec, Euclidean distance';

CREATE FUNCTION ruvector_index_halfvec_ip(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_halfvec_ip' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_halfvec_ip(internal) IS 'index support: halfvec, negative inner product';

CREATE FUNCTION ruvector_index_halfvec_cosine(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_halfvec_cosine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_halfvec_cosine(internal) IS 'index support: halfvec, cosine distance';

CREATE FUNCTION ruvector_index_halfvec_l1(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_halfvec_l1' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_halfvec_l1(internal) IS 'index support: halfvec, taxicab distance';

CREATE FUNCTION ruvector_index_sparsevec_l2(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_sparsevec_l2' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_sparsevec_l2(internal) IS 'index support: sparsevec, Euclidean distance';

CREATE FUNCTION ruvector_index_sparsevec_ip(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_sparsevec_ip' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_sparsevec_ip(internal) IS 'index support: sparsevec, negative inner product';

CREATE FUNCTION ruvector_index_sparsevec_cosine(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_sparsevec_cosine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_sparsevec_cosine(internal) IS 'index support: sparsevec, cosine distance';

CREATE FUNCTION ruvector_index_sparsevec_l1(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_sparsevec_l1' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_sparsevec_l1(internal) IS 'index support: sparsevec, taxicab distance';

CREATE FUNCTION ruvector_index_bit_hamming(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_bit_hamming' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_bit_hamming(internal) IS 'index support: bit, Hamming distance';

CREATE FUNCTION ruvector_index_bit_jaccard(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'ruvector_index_bit_jaccard' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_index_bit_jaccard(internal) IS 'index support: bit, Jaccard distance';

CREATE OPERATOR CLASS halfvec_l2_ops FOR TYPE halfvec USING ruhnsw AS
	OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_l2(internal);
COMMENT ON OPERATOR CLASS halfvec_l2_ops USING ruhnsw IS 'Euclidean distance';

CREATE OPERATOR CLASS halfvec_l2_ops FOR TYPE halfvec USING ruivfflat AS
	OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_l2(internal);
COMMENT ON OPERATOR CLASS halfvec_l2_ops USING ruivfflat IS 'Euclidean distance';

CREATE OPERATOR CLASS halfvec_ip_ops FOR TYPE halfvec USING ruhnsw AS
	OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_ip(internal);
COMMENT ON OPERATOR CLASS halfvec_ip_ops USING ruhnsw IS 'negative inner product';

CREATE OPERATOR CLASS halfvec_ip_ops FOR TYPE halfvec USING ruivfflat AS
	OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_ip(internal);
COMMENT ON OPERATOR CLASS halfvec_ip_ops USING ruivfflat IS 'negative inner product';

CREATE OPERATOR CLASS halfvec_cosine_ops FOR TYPE halfvec USING ruhnsw AS
	OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_cosine(internal);
COMMENT ON OPERATOR CLASS halfvec_cosine_ops USING ruhnsw IS 'cosine distance';

CREATE OPERATOR CLASS halfvec_cosine_ops FOR TYPE halfvec USING ruivfflat AS
	OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_cosine(internal);
COMMENT ON OPERATOR CLASS halfvec_cosine_ops USING ruivfflat IS 'cosine distance';

CREATE OPERATOR CLASS halfvec_l1_ops FOR TYPE halfvec USING ruhnsw AS
	OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_halfvec_l1(internal);
COMMENT ON OPERATOR CLASS halfvec_l1_ops USING ruhnsw IS 'taxicab distance';

CREATE OPERATOR CLASS sparsevec_l2_ops FOR TYPE sparsevec USING ruhnsw AS
	OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_sparsevec_l2(internal);
COMMENT ON OPERATOR CLASS sparsevec_l2_ops USING ruhnsw IS 'Euclidean distance';

CREATE OPERATOR CLASS sparsevec_ip_ops FOR TYPE sparsevec USING ruhnsw AS
	OPERATOR 1 <#> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_sparsevec_ip(internal);
COMMENT ON OPERATOR CLASS sparsevec_ip_ops USING ruhnsw IS 'negative inner product';

CREATE OPERATOR CLASS sparsevec_cosine_ops FOR TYPE sparsevec USING ruhnsw AS
	OPERATOR 1 <=> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_sparsevec_cosine(internal);
COMMENT ON OPERATOR CLASS sparsevec_cosine_ops USING ruhnsw IS 'cosine distance';

CREATE OPERATOR CLASS sparsevec_l1_ops FOR TYPE sparsevec USING ruhnsw AS
	OPERATOR 1 <+> (sparsevec, sparsevec) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_sparsevec_l1(internal);
COMMENT ON OPERATOR CLASS sparsevec_l1_ops USING ruhnsw IS 'taxicab distance';

CREATE OPERATOR CLASS bit_hamming_ops FOR TYPE bit USING ruhnsw AS
	OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_bit_hamming(internal);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING ruhnsw IS 'Hamming distance';

CREATE OPERATOR CLASS bit_hamming_ops FOR TYPE bit USING ruivfflat AS
	OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_bit_hamming(internal);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING ruivfflat IS 'Hamming distance';

CREATE OPERATOR CLASS bit_jaccard_ops FOR TYPE bit USING ruhnsw AS
	OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops,
	OPERATOR 2 <<@>> (anyelement, ruvector_range), FUNCTION 1 ruvector_index_bit_jaccard(internal);
COMMENT ON OPERATOR CLASS bit_jaccard_ops USING ruhnsw IS 'Jaccard distance';

-- functions

CREATE FUNCTION ruvector_index_stats(index regclass,
	OUT index_name text, OUT index_size_mb numeric, OUT vector_count bigint, OUT dimensions integer,
	OUT build_time_seconds numeric, OUT fragmentation_pct numeric,
	OUT access_method text, OUT metric text, OUT quantization text,
	OUT segments integer, OUT delta_rows bigint, OUT dead_rows bigint, OUT distinct_vectors bigint,
	OUT vector_bytes bigint, OUT traversal_bytes bigint, OUT graph_bytes bigint, OUT key_bytes bigint,
	OUT image_bytes bigint, OUT compression_ratio numeric, OUT generation bigint,
	OUT built_at timestamptz, OUT maintained_at timestamptz)
	AS 'MODULE_PATHNAME', 'ruvector_index_stats' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ruvector_index_stats(regclass) IS 'size, contents and state of a ruhnsw or ruivfflat index';

CREATE FUNCTION ruvector_memory_stats(OUT mapped_images integer, OUT mapped_bytes bigint, OUT cache_bytes bigint,
	OUT image_files integer, OUT image_file_bytes bigint,
	OUT sessions integer, OUT all_mapped_bytes bigint, OUT all_cache_bytes bigint)
	AS 'MODULE_PATHNAME', 'ruvector_memory_stats' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ruvector_memory_stats() IS 'images mapped and memory kept by this session and by all of this database, image files of this database';

CREATE FUNCTION ruvector_index_maintenance(index regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'ruvector_index_maintenance' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_index_maintenance(regclass) IS 'seals new rows, merges segments and drops dead rows of an index, as far as maintenance_work_mem allows';

CREATE FUNCTION ruvector_index_check(index regclass, OUT place text, OUT problem text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'ruvector_index_check' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_index_check(regclass) IS 'one row for every damage in the pages, images and keys of an index, and for every row of the table that it lacks';

CREATE FUNCTION ruvector_recall(index regclass, queries integer DEFAULT 100, k integer DEFAULT 10) RETURNS float8
	AS 'MODULE_PATHNAME', 'ruvector_recall' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_recall(regclass, integer, integer) IS 'share of the true k nearest rows that an index scan returns under the settings of the session, over values of the index as queries';

CREATE FUNCTION ruvector_last_scan(OUT scans bigint, OUT segments integer, OUT delta_rows bigint, OUT ef_search integer,
	OUT batches bigint, OUT candidates bigint, OUT exact_distances bigint, OUT late_rows bigint,
	OUT nodes_visited bigint, OUT nodes_refined bigint, OUT nodes_expanded bigint, OUT ended_by text)
	AS 'MODULE_PATHNAME', 'ruvector_last_scan' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION ruvector_last_scan() IS 'what the latest finished index scan of this session did; ef_search is probes for ruivfflat, ended_by the setting that kept it from reading on';

CREATE FUNCTION ruvector_prewarm(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'ruvector_prewarm' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION ruvector_prewarm(regclass) IS 'reads the images of an index into memory; returns their bytes';
