-- SPDX-License-Identifier: PostgreSQL
-- What pgvector has since 0.7, beside old.sql.
CREATE TABLE wide (id int PRIMARY KEY, h halfvec(3), s sparsevec(9), b bit(8), v vector(3));
CREATE INDEX wide_h ON wide USING hnsw (h halfvec_l2_ops);
CREATE INDEX wide_hi ON wide USING ivfflat (h halfvec_cosine_ops) WITH (lists = 2);
CREATE INDEX wide_s ON wide USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX wide_b ON wide USING hnsw (b bit_hamming_ops);
CREATE INDEX wide_l1 ON wide USING hnsw (v vector_l1_ops);
CREATE INDEX wide_q ON wide USING hnsw ((binary_quantize(v)::bit(3)) bit_hamming_ops);
CREATE INDEX wide_c ON wide USING hnsw ((v::halfvec(3)) halfvec_l2_ops);
INSERT INTO wide SELECT i, ARRAY[i, 1, 2]::vector::halfvec, '{1:1,3:2}/9', i::bit(8), ARRAY[sin(i), cos(i), 1]::real[]::vector
  FROM generate_series(1, 200) i;
ANALYZE;
