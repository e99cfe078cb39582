-- SPDX-License-Identifier: PostgreSQL
-- Distances on bit. Expected values are by hand.

SELECT B'1010' <~> B'0110' AS hamming, hamming_distance(B'1010', B'0110'), ruvector_hamming_distance(B'111111111', B'000000000');
SELECT B'1110' <%> B'0111' AS jaccard, jaccard_distance(B'1100', B'0011'), jaccard_distance(B'0000', B'0000'), ruvector_jaccard_distance(B'11', B'11');
SELECT B'101' <~> B'10';
SELECT B'101' <%> B'10';
SELECT binary_quantize('[1,-2,3]'::ruvector) <~> binary_quantize('[1,2,-3]'::ruvector) AS quantized;
