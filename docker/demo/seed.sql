-- SPDX-License-Identifier: PostgreSQL
-- The demonstration's pgvector database: articles with embeddings, their authors, an index, a view.
CREATE EXTENSION vector;
CREATE TABLE authors (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO authors SELECT i, 'author ' || i FROM generate_series(1, 20) i;
CREATE TABLE articles (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	author int NOT NULL REFERENCES authors,
	title text NOT NULL,
	embedding vector(16) NOT NULL
);
INSERT INTO articles (author, title, embedding)
SELECT 1 + i % 20, 'article ' || i, (SELECT array_agg(sin(i * j)::real ORDER BY j) FROM generate_series(1, 16) j)::vector
FROM generate_series(1, 2000) i;
CREATE INDEX articles_embedding_idx ON articles USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64);
CREATE VIEW by_author AS SELECT a.name, count(*) AS articles, avg(r.embedding) AS centre
FROM authors a JOIN articles r ON r.author = a.id GROUP BY a.name;
