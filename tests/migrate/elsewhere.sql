-- SPDX-License-Identifier: PostgreSQL
-- pgvector in a schema of its own, as hosted databases have it. Run once in a fresh database.
CREATE SCHEMA ext;
CREATE EXTENSION vector SCHEMA ext;
CREATE TABLE docs (id int PRIMARY KEY, v ext.vector(3) DEFAULT '[1,2,3]', h ext.halfvec(2), s ext.sparsevec(9));
CREATE INDEX docs_v ON docs USING hnsw (v ext.vector_cosine_ops) WITH (m = 6);
CREATE INDEX docs_h ON docs USING hnsw (h ext.halfvec_l2_ops);
INSERT INTO docs SELECT i, ARRAY[i, 1, 2]::ext.vector, ARRAY[i, 1]::ext.vector::ext.halfvec, '{2:1}/9'
  FROM generate_series(1, 200) i;
CREATE VIEW near AS SELECT id, v OPERATOR(ext.<->) '[1,1,1]' AS d, ext.vector_norm(v) AS n FROM docs;
