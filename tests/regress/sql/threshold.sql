-- Thresholds: WHERE column <operator> query < radius.
SET enable_seqscan = off;
CREATE TABLE t (id int, v ruvector(3));
INSERT INTO t SELECT i, ARRAY[i, i % 7, 1]::float4[]::ruvector FROM generate_series(1, 100) i;
INSERT INTO t VALUES (101, NULL);
CREATE INDEX t_v ON t USING ruhnsw (v ruvector_l2_ops);
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' < 2;
SELECT id FROM t WHERE v <-> '[10,3,1]' < 2 ORDER BY id;
SELECT id FROM t WHERE v <-> '[10,3,1]' <= sqrt(2) ORDER BY id;
SELECT id FROM t WHERE sqrt(2) > '[10,3,1]' <-> v ORDER BY id;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' <= 1.5::real AND id % 2 = 0;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' < 1 OR v <-> '[20,6,1]' < 1;
SELECT id FROM t WHERE v <-> '[10,3,1]' < 1 OR v <-> '[20,6,1]' < 1 ORDER BY id;
-- the order of the same distance
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' < 3 ORDER BY v <-> '[10,3,1]';
SELECT id, round((v <-> '[10,3,1]')::numeric, 3) FROM t WHERE v <-> '[10,3,1]' < 3 ORDER BY v <-> '[10,3,1]';
RESET enable_sort;
-- what no index serves
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' > 2;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <=> '[10,3,1]' < 0.5;
SET enable_seqscan = off;
-- radii that are no distances
SELECT count(*) FROM t WHERE v <-> '[10,3,1]' < 0;
SELECT count(*) FROM t WHERE v <-> '[10,3,1]' <= 0;
SELECT count(*) FROM t WHERE v <-> '[10,3,1]' < 'NaN';
SELECT count(*) FROM t WHERE v <-> '[10,3,1]' < 'Infinity';
SELECT count(*) FROM t WHERE v <-> '[10,3,1]' < NULL;
SELECT count(*) FROM t WHERE v <-> '[10,3]' < 1;
-- joins
SELECT a.id, b.id FROM t a JOIN t b ON b.v <-> a.v < 1.5 WHERE a.id = 10 ORDER BY 2;
-- off
RESET enable_seqscan;
SET ruvector.enable_range_scan = off;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE v <-> '[10,3,1]' < 2;
RESET ruvector.enable_range_scan;
-- ranges by themselves: the planner makes them, nobody else has to
SELECT id FROM t WHERE v <<@>> ruvector_range('[10,3,1]'::ruvector, 1.5, false, 'l2_distance(ruvector,ruvector)'::regprocedure) ORDER BY id;
SELECT ''::ruvector_range;
SELECT ruvector_range('[10,3,1]'::ruvector, 1.5, false, 'float8pl'::regproc);
DROP TABLE t;
