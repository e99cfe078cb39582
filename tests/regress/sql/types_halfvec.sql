-- SPDX-License-Identifier: PostgreSQL
-- halfvec: exact text of results and errors. Expected values are by hand: binary16 has 11 significant bits.

SELECT '[1,2,3]'::halfvec, '[0.1,65504,65519]'::halfvec, '[2049,0.00000001]'::halfvec;
SELECT '[65520]'::halfvec;
SELECT '[NaN]'::halfvec;
SELECT '[]'::halfvec;
SELECT '[1,2'::halfvec;
SELECT '[1,2]'::halfvec(3);
CREATE TABLE refused (v halfvec(16001));

SELECT '[0,0]'::halfvec <-> '[3,4]' AS l2, '[1,2]'::halfvec <#> '[3,4]' AS ip, '[1,0]'::halfvec <=> '[0,2]' AS cosine, '[0,0]'::halfvec <+> '[3,-4]' AS l1;
SELECT '[1,2]'::halfvec <-> '[3]';
SELECT ruvector_l2_distance('[0,0]'::halfvec, '[3,4]'), ruvector_ip_distance('[1,2]'::halfvec, '[3,4]'), ruvector_cosine_distance('[1,0]'::halfvec, '[0,2]'), ruvector_l1_distance('[0,0]'::halfvec, '[3,-4]');
SELECT ruvector_dims('[1,2]'::halfvec), vector_dims('[1,2]'::halfvec), ruvector_norm('[3,4]'::halfvec), l2_norm('[3,4]'::halfvec);
SELECT l2_normalize('[0,4]'::halfvec), binary_quantize('[1,-1,0,0.5]'::halfvec), subvector('[1,2,3]'::halfvec, 2, 2);

SELECT '[1,2]'::halfvec + '[3,5]', '[1,2]'::halfvec - '[3,5]', '[1,2]'::halfvec * '[3,5]', '[1,2]'::halfvec || '[3]';
SELECT '[65504]'::halfvec + '[65504]';
SELECT '[0.0001]'::halfvec * '[0.0001]';

SELECT '[1,2]'::halfvec < '[1,3]', '[-0]'::halfvec = '[0]', '[-2]'::halfvec < '[-1]', '[1]'::halfvec <> '[1,0]';
SELECT v FROM (VALUES ('[2]'::halfvec), ('[-3]'), ('[1,9]'), ('[1]'), ('[-1]')) AS t(v) ORDER BY v;
SELECT avg(v), sum(v) FROM (VALUES ('[1,2]'::halfvec), (NULL), ('[3,6]')) AS t(v);

SELECT ARRAY[1,2]::halfvec, '{1.5,2}'::real[]::halfvec, '{1.5,2}'::float8[]::halfvec, '{1.5,2}'::numeric[]::halfvec;
SELECT '{70000}'::integer[]::halfvec;
SELECT '[1.5,2]'::halfvec::real[], '[1.5,2]'::halfvec::ruvector, '[1.5,0]'::halfvec::sparsevec;
SELECT '[70000]'::ruvector::halfvec;
SELECT '[1,2]'::ruvector <-> '[1,4]'::halfvec AS mixed;
