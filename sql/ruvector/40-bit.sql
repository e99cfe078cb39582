-- SPDX-License-Identifier: PostgreSQL
--
-- Distances of core's bit type.

CREATE FUNCTION hamming_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hamming_distance(bit, bit) IS 'Hamming distance: the number of bits that differ';

CREATE FUNCTION ruvector_hamming_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_hamming_distance(bit, bit) IS 'Hamming distance: the number of bits that differ';

CREATE FUNCTION jaccard_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_jaccard_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jaccard_distance(bit, bit) IS 'Jaccard distance: 1 - common bits / bits set in either';

CREATE FUNCTION ruvector_jaccard_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'rv_jaccard_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_jaccard_distance(bit, bit) IS 'Jaccard distance: 1 - common bits / bits set in either';

CREATE OPERATOR <~> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = hamming_distance,
	COMMUTATOR = <~>
);
COMMENT ON OPERATOR <~> (bit, bit) IS 'Hamming distance';

CREATE OPERATOR <%> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = jaccard_distance,
	COMMUTATOR = <%>
);
COMMENT ON OPERATOR <%> (bit, bit) IS 'Jaccard distance';

-- An untyped literal fits ruvector and bit alike, and is then taken as text: so the number of dimensions has a third form,
-- without which ruvector_dims('[1,2,3]') would be ambiguous.
CREATE FUNCTION ruvector_dims(bit) RETURNS integer
	AS 'MODULE_PATHNAME', 'rv_bit_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_dims(bit) IS 'number of dimensions: of bits';

CREATE FUNCTION ruvector_dims(text) RETURNS integer
	AS 'MODULE_PATHNAME', 'ruvector_text_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ruvector_dims(text) IS 'number of dimensions of a ruvector given as text';
