-- SPDX-License-Identifier: PostgreSQL
-- sparsevec: exact text of results and errors. Expected values are by hand.

SELECT '{1:1,3:2}/5'::sparsevec, ' { 3 : 2 , 1 : 1.5 } / 5 '::sparsevec, '{}/3'::sparsevec, '{1:0,2:3}/3'::sparsevec(3);
SELECT '{1:1}/5'::sparsevec(4);
SELECT '{0:1}/5'::sparsevec;
SELECT '{6:1}/5'::sparsevec;
SELECT '{1:1,1:2}/5'::sparsevec;
SELECT '{1:1}'::sparsevec;
SELECT '{1:1/5'::sparsevec;
SELECT '[1,2]'::sparsevec;
SELECT '{1:1}/5 x'::sparsevec;
SELECT '{1:NaN}/5'::sparsevec;
SELECT '{1:1e39}/5'::sparsevec;
SELECT '{1:1e-400}/5'::sparsevec;
SELECT '{}/0'::sparsevec;
SELECT '{}/1000000000'::sparsevec;
SELECT '{}/1000000001'::sparsevec;

SELECT '{}/2'::sparsevec <-> '{1:3,2:4}/2' AS l2, '{1:1,2:2}/3'::sparsevec <#> '{2:4,3:1}/3' AS ip, '{1:1}/2'::sparsevec <=> '{2:2}/2' AS cosine, '{1:3}/2'::sparsevec <+> '{2:-4}/2' AS l1;
SELECT '{1:1}/2'::sparsevec <-> '{1:1}/3';
SELECT ruvector_dims('{1:1}/9'::sparsevec), l2_norm('{1:3,9:4}/9'::sparsevec), l2_normalize('{1:3,9:-4}/9'::sparsevec);

SELECT '{1:1}/2'::sparsevec < '{1:2}/2', '{2:1}/2'::sparsevec < '{1:1}/2', '{1:-1}/2'::sparsevec < '{}/2', '{}/2'::sparsevec < '{}/3', '{1:1}/2'::sparsevec = '{1:1,2:0}/2';
SELECT avg(v), sum(v) FROM (VALUES ('{1:1}/3'::sparsevec), (NULL), ('{1:-1,3:4}/3')) AS t(v);
SELECT sum(v) FROM (VALUES ('{1:1}/3'::sparsevec), ('{1:1}/4')) AS t(v);

SELECT ARRAY[1,0,2]::sparsevec, '{1.5,0}'::real[]::sparsevec, '[0,2]'::ruvector::sparsevec, '{2:3}/3'::sparsevec::ruvector, '{2:3}/3'::sparsevec::halfvec;
SELECT '{1:1}/20000'::sparsevec::ruvector;
SELECT '{1:70000}/2'::sparsevec::halfvec;
