/* SPDX-License-Identifier: PostgreSQL
 *
 * avx2.h: what the AVX2 and AVX-512 files share. Only for files compiled with those flags.
 *
 * Tails: a remainder is loaded as the last full vector of the array, with the part that was already counted masked
 * away, so that nothing outside the array is touched; arrays shorter than a vector go through masked loads or a plain
 * loop. "Inlined" functions take other functions as parameters: they are templates, and must be inlined.
 */
#ifndef RV_DISTANCE_AVX2_H
#define RV_DISTANCE_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "distance/levels.h"

/* From rv_tail_bytes(n): zero in the first 32 - n bytes, ones in the last n; n <= 32. */
INLINED __m256i
rv_tail_bytes(size_t n)
{
	static const uint8_t table[64] = {
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
		255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255
	};

	return _mm256_loadu_si256((const __m256i *) (table + n));
}

/* The same for the 16 bytes of half a vector; n <= 16. */
INLINED __m128i
rv_tail_bytes16(size_t n)
{
	return _mm256_extracti128_si256(rv_tail_bytes(n), 1);
}

/* Ones in the first n of 8 lanes of 32 bits, zero in the rest; n <= 8. */
INLINED __m256i
rv_head_lanes32(size_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int) n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINED float
rv_sum_f32(__m256 v)
{
	__m128		s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	s = _mm_add_ps(s, _mm_movehl_ps(s, s));
	s = _mm_add_ss(s, _mm_movehdup_ps(s));
	return _mm_cvtss_f32(s);
}

/* The sums of four vectors. */
INLINED __m128
rv_sum4_f32(__m256 a, __m256 b, __m256 c, __m256 d)
{
	__m256		s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));

	return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

INLINED int32_t
rv_sum_i32(__m256i v)
{
	__m128i		s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
	s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 1));
	return _mm_cvtsi128_si32(s);
}

INLINED __m128i
rv_sum4_i32(__m256i a, __m256i b, __m256i c, __m256i d)
{
	__m256i		s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));

	return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

INLINED uint64_t
rv_sum_u64(__m256i v)
{
	__m128i		s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return (uint64_t) _mm_cvtsi128_si64(s) + (uint64_t) _mm_extract_epi64(s, 1);
}

#endif							/* RV_DISTANCE_AVX2_H */
