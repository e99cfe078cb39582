-- SPDX-License-Identifier: PostgreSQL
-- What every pgvector since 0.5.0 knows, in a small database. Run once in a fresh one with pgvector.
CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3) NOT NULL DEFAULT '[0,0,0]', n int,
                    norm float8 GENERATED ALWAYS AS (vector_norm(v)) STORED, CHECK (vector_dims(v) = 3));
CREATE INDEX items_h ON items USING hnsw (v vector_l2_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX items_i ON items USING ivfflat (v vector_cosine_ops) WITH (lists = 5);
CREATE INDEX items_p ON items USING hnsw (v vector_ip_ops) WHERE n < 50;
CREATE VIEW near AS SELECT id, v <-> '[1,2,3]' AS d, cosine_distance(v, '[1,1,1]') AS c FROM items;
CREATE MATERIALIZED VIEW means AS SELECT n % 5 AS k, avg(v) AS v FROM items GROUP BY 1;
CREATE TABLE parts (k int, id int, v vector(2), item bigint REFERENCES items, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
CREATE INDEX parts_v ON parts USING hnsw (v vector_l2_ops);
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.n := coalesce(NEW.n, 0); RETURN NEW; END$$;
CREATE TRIGGER bump BEFORE INSERT OR UPDATE OF v ON items FOR EACH ROW EXECUTE FUNCTION bump();
INSERT INTO items (v, n) SELECT ARRAY[sin(i), cos(i), sin(3 * i)]::real[]::vector, i FROM generate_series(1, 300) i;
INSERT INTO parts SELECT 1 + i % 2, i, ARRAY[i, 1]::vector, i FROM generate_series(1, 100) i;
REFRESH MATERIALIZED VIEW means;
ANALYZE;
