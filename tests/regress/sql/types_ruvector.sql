-- SPDX-License-Identifier: PostgreSQL
-- ruvector: exact text of results and errors. Expected values are by hand.

-- text
SELECT '[1,2,3]'::ruvector, ' [ 1 , -2.5 , 3e2 ] '::ruvector, '[0.1,1e-45,-0]'::ruvector;
SELECT '[1,2,3]'::ruvector(3), '[1]'::ruvector(1);
SELECT '[1,2,3]'::ruvector(2);
SELECT ''::ruvector;
SELECT '1,2,3'::ruvector;
SELECT '[1,2,3'::ruvector;
SELECT '[1,2,3]9'::ruvector;
SELECT '[]'::ruvector;
SELECT '[1,]'::ruvector;
SELECT '[a]'::ruvector;
SELECT '[NaN]'::ruvector;
SELECT '[Infinity]'::ruvector;
SELECT '[4e38]'::ruvector;
SELECT '[1e-400]'::ruvector;
CREATE TABLE refused (v ruvector(0));
CREATE TABLE refused (v ruvector(16001));
CREATE TABLE refused (v ruvector(3, 4));

-- distances: 3-4-5 triangles
SELECT '[0,0]'::ruvector <-> '[3,4]' AS l2, l2_distance('[0,0]'::ruvector, '[3,4]'), ruvector_l2_distance('[0,0]'::ruvector, '[3,4]');
SELECT '[1,2]'::ruvector <#> '[3,4]' AS negative, inner_product('[1,2]'::ruvector, '[3,4]'), ruvector_ip_distance('[1,2]'::ruvector, '[3,4]');
SELECT '[1,0]'::ruvector <=> '[0,2]' AS right_angle, '[1,1]'::ruvector <=> '[-1,-1]' AS opposite, '[1,0]'::ruvector <=> '[0,0]' AS zero;
SELECT '[0,0]'::ruvector <+> '[3,-4]' AS l1, ruvector_l1_distance('[0,0]'::ruvector, '[3,-4]');
SELECT '[1,2]'::ruvector <-> '[3]';
SELECT '[3e38]'::ruvector <-> '[-3e38]' AS beyond_float32;
SELECT '[1,2]'::ruvector <-> NULL;

-- one value
SELECT ruvector_dims('[1,2,3]'), vector_dims('[1,2,3]'::ruvector), ruvector_norm('[3,4]'), vector_norm('[3,4]'::ruvector), l2_norm('[3,4]'::ruvector);
SELECT l2_normalize('[3,4]'::ruvector), ruvector_normalize('[0,0]'::ruvector), ruvector_norm('[3e38,4e37]'::ruvector) > 3e38;
SELECT binary_quantize('[1,0,-1,2,3,-4,5,6,7]'::ruvector);
SELECT subvector('[1,2,3,4,5]'::ruvector, 2, 3), subvector('[1,2,3]'::ruvector, 3, 9), subvector('[1,2,3]'::ruvector, -1, 3);
SELECT subvector('[1,2,3]'::ruvector, 4, 1);
SELECT subvector('[1,2,3]'::ruvector, 1, 0);

-- arithmetic
SELECT '[1,2]'::ruvector + '[3,5]', '[1,2]'::ruvector - '[3,5]', '[1,2]'::ruvector * '[3,5]', '[1,2]'::ruvector || '[3]';
SELECT '[1,2]'::ruvector + '[3]';
SELECT '[3e38]'::ruvector + '[3e38]';
SELECT '[1e30]'::ruvector * '[1e30]';
SELECT '[1e-30]'::ruvector * '[1e-30]';

-- order
SELECT '[1,2]'::ruvector < '[1,3]', '[1,2]'::ruvector < '[1,2,0]', '[-0]'::ruvector = '[0]', '[2]'::ruvector > '[1,9]';
SELECT v FROM (VALUES ('[2]'::ruvector), ('[1,9]'), ('[1]'), ('[-1]')) AS t(v) ORDER BY v;
SELECT DISTINCT v FROM (VALUES ('[1,2]'::ruvector), ('[1,2]'), ('[1,3]')) AS t(v) ORDER BY v;

-- aggregates
SELECT avg(v), sum(v) FROM (VALUES ('[1,2]'::ruvector), (NULL), ('[3,6]')) AS t(v);
SELECT avg(v), sum(v) FROM (VALUES (NULL::ruvector)) AS t(v);
SELECT avg(v) FROM (VALUES ('[1,2]'::ruvector), ('[3]')) AS t(v);
SELECT sum(v) FROM (VALUES ('[1,2]'::ruvector), ('[3]')) AS t(v);

-- casts
SELECT ARRAY[1,2]::ruvector, '{1.5,2}'::real[]::ruvector, '{1.5,2}'::float8[]::ruvector, '{1.5,2}'::numeric[]::ruvector;
SELECT '[1.5,2]'::ruvector::real[], array_length('[1,2,3]'::ruvector::float4[], 1);
SELECT '{}'::real[]::ruvector;
SELECT '{1,NULL}'::real[]::ruvector;
SELECT '{{1},{2}}'::real[]::ruvector;
SELECT '{NaN}'::real[]::ruvector;
SELECT '{1e300}'::float8[]::ruvector;
SELECT '{1,2}'::real[]::ruvector(3);
SELECT '[1,2]'::ruvector::integer;
SELECT '[1,0,2]'::ruvector::halfvec, '[1,0,2]'::ruvector::sparsevec, '[1e5]'::ruvector::halfvec;
