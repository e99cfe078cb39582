-- SPDX-License-Identifier: PostgreSQL
-- A database with one of everything that a migration must carry over. Run once in a fresh database with pgvector; the
-- roles ruvector_reader and ruvector_writer exist.
CREATE SCHEMA "App Data";
CREATE TABLE public.categories (id int PRIMARY KEY, name text);
INSERT INTO categories SELECT i, 'cat'||i FROM generate_series(1,10) i;
CREATE TABLE public.items (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  slug text UNIQUE NOT NULL,
  category_id int REFERENCES categories(id) ON DELETE SET NULL,
  parent_id bigint REFERENCES items(id),
  embedding vector(8) NOT NULL DEFAULT '[0,0,0,0,0,0,0,0]',
  half halfvec(8),
  sparse sparsevec(100),
  tags vector(3)[],
  body text DEFAULT 'x' COLLATE "C",
  created timestamptz DEFAULT now(),
  updated timestamptz,
  length int GENERATED ALWAYS AS (length(body)) STORED,
  CONSTRAINT dims_ok CHECK (vector_dims(embedding) = 8)
) WITH (fillfactor=90);
COMMENT ON TABLE items IS 'the ''items'''; COMMENT ON COLUMN items.embedding IS 'emb';
CREATE INDEX items_hnsw ON items USING hnsw (embedding vector_l2_ops) WITH (m=8, ef_construction=40);
CREATE INDEX items_cos ON items USING hnsw (embedding vector_cosine_ops) WHERE category_id = 1;
CREATE INDEX items_half ON items USING hnsw ((embedding::halfvec(8)) halfvec_l2_ops);
CREATE INDEX items_bit ON items USING hnsw ((binary_quantize(embedding)::bit(8)) bit_hamming_ops);
CREATE INDEX items_ivf ON items USING ivfflat (embedding) WITH (lists=4);
CREATE INDEX items_sparse ON items USING hnsw (sparse sparsevec_l2_ops);
CREATE INDEX items_created ON items (created DESC) INCLUDE (body);
CREATE STATISTICS items_stats ON slug, body FROM items;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.updated := clock_timestamp(); RETURN NEW; END$$;
CREATE TRIGGER touch BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE audit (n serial, what text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit(what) VALUES (TG_OP); RETURN NULL; END$$;
CREATE TRIGGER audit AFTER UPDATE OF embedding OR INSERT OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION audit();
COMMENT ON TRIGGER audit ON items IS 'aud';
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
CREATE POLICY p_read ON items FOR SELECT TO ruvector_reader USING (category_id <> 3 AND vector_dims(embedding) > 0);
CREATE POLICY p_all ON items TO ruvector_writer USING (true) WITH CHECK (true);
GRANT SELECT ON items TO ruvector_reader; GRANT ALL ON items TO ruvector_writer; GRANT SELECT ON categories TO ruvector_writer, ruvector_reader; GRANT UPDATE (body) ON items TO ruvector_reader;
GRANT ALL ON audit TO ruvector_writer; GRANT ALL ON audit_n_seq TO ruvector_writer;
CREATE VIEW items_near AS SELECT id, embedding, embedding <-> '[1,1,1,1,1,1,1,1]'::vector AS d FROM items;
CREATE VIEW items_near2 AS SELECT id, d FROM items_near WHERE d < 5;
GRANT SELECT ON items_near TO ruvector_reader; COMMENT ON VIEW items_near IS 'nearby';
CREATE MATERIALIZED VIEW items_mv AS SELECT id, l2_distance(embedding, '[1,1,1,1,1,1,1,1]') AS d FROM items; CREATE UNIQUE INDEX ON items_mv (id);
CREATE TABLE "App Data"."Docs" (a int, b text, "Vec" vector(4), PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
CREATE TABLE "App Data".docs_1 PARTITION OF "App Data"."Docs" FOR VALUES FROM (0) TO (500);
CREATE TABLE "App Data".docs_2 PARTITION OF "App Data"."Docs" FOR VALUES FROM (500) TO (1000) PARTITION BY HASH (b);
CREATE TABLE "App Data".docs_2a PARTITION OF "App Data".docs_2 FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE "App Data".docs_2b PARTITION OF "App Data".docs_2 FOR VALUES WITH (modulus 2, remainder 1);
CREATE INDEX docs_vec ON "App Data"."Docs" USING hnsw ("Vec" vector_ip_ops);
CREATE INDEX docs_1_only ON "App Data".docs_1 USING ivfflat ("Vec" vector_l2_ops) WITH (lists=3);
CREATE INDEX docs_b ON "App Data"."Docs" (b);
CREATE TABLE refs (id serial PRIMARY KEY, item bigint REFERENCES items(id) ON DELETE CASCADE, note text);
CREATE TABLE child (id serial PRIMARY KEY, item bigint REFERENCES items(id) ON DELETE CASCADE, v vector(2));
CREATE TABLE nokey (v vector(2));
CREATE TABLE bits (id int primary key, b bit(16)); CREATE INDEX bits_h ON bits USING hnsw (b bit_hamming_ops);
INSERT INTO items (slug, category_id, parent_id, embedding, half, sparse, tags, body)
 SELECT 's'||i, i%10+1, CASE WHEN i>1 THEN i/2 END, ('['||sin(i)||','||cos(i)||','||sin(2*i)||','||cos(3*i)||','||sin(5*i)||','||cos(7*i)||','||sin(11*i)||','||cos(13*i)||']')::vector,
  '[1,2,3,4,5,6,7,8]', '{1:1,3:2}/100', ARRAY['[1,2,3]'::vector], repeat('b', i%50)
 FROM generate_series(1,1200) i;
INSERT INTO "App Data"."Docs" SELECT i%1000, 'b'||i, ARRAY[i,1,2,3]::vector FROM generate_series(1,1200) i;
INSERT INTO refs(item,note) SELECT i, 'n' FROM generate_series(1,1000) i;
INSERT INTO child(item,v) SELECT i, ARRAY[i,2]::vector FROM generate_series(1,1000) i;
CREATE TABLE plain (id int PRIMARY KEY, v vector(4));
CREATE INDEX plain_v ON plain USING hnsw (v vector_l2_ops);
INSERT INTO plain SELECT i, ARRAY[i, 1, 2, sin(i)]::real[]::vector FROM generate_series(1, 500) i;
INSERT INTO nokey SELECT ARRAY[i,2]::vector FROM generate_series(1,10) i;
INSERT INTO bits SELECT i, i::bit(16) FROM generate_series(1,500) i;
REFRESH MATERIALIZED VIEW items_mv;
