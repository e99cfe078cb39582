-- SPDX-License-Identifier: PostgreSQL
-- What a strategy cannot carry over, for corners.sql's database.
CREATE DOMAIN app.meaning AS vector(3);
CREATE TYPE app.comp AS (a int, v vector(3));
CREATE TABLE app.dom (id int PRIMARY KEY, m app.meaning);
CREATE TABLE app.cmp (id int PRIMARY KEY, c app.comp);
CREATE TABLE app.doms (id int PRIMARY KEY, ms app.meaning[]);
INSERT INTO app.dom VALUES (1, '[1,2,3]'), (2, NULL); INSERT INTO app.cmp VALUES (1, ROW(7, '[1,2,3]'));
INSERT INTO app.doms VALUES (1, ARRAY['[1,2,3]'::app.meaning, '[4,5,6]']);
CREATE TABLE app.par (id int PRIMARY KEY, v vector(3));
CREATE TABLE app.chi (extra int, PRIMARY KEY (id)) INHERITS (app.par);
CREATE INDEX chi_v ON app.chi USING hnsw (v vector_l2_ops);
INSERT INTO app.par SELECT i, ARRAY[i,1,2]::vector FROM generate_series(1,50) i;
INSERT INTO app.chi SELECT i+50, ARRAY[i,1,2]::vector, i FROM generate_series(1,50) i;
CREATE TABLE app.nokey (v vector(3)); INSERT INTO app.nokey SELECT ARRAY[i,1,2]::vector FROM generate_series(1,50) i;
CREATE TABLE app.ruled (id int PRIMARY KEY, v vector(3), n int);
CREATE RULE r AS ON DELETE TO app.ruled DO ALSO NOTIFY x;
CREATE TABLE app.other (id int PRIMARY KEY, u int);
ALTER TABLE app.other ENABLE ROW LEVEL SECURITY;
CREATE POLICY o ON app.other USING (EXISTS (SELECT FROM app."user" x WHERE x."order" = other.u));
