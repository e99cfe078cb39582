/* SPDX-License-Identifier: PostgreSQL
 *
 * baseline.c: plain loops, vectorised by the compiler. The Makefile gives this file the flags of a pgvector that was
 * built for a machine with AVX2: -O2 -ftree-vectorize -fassociative-math -fno-signed-zeros -fno-trapping-math.
 */
#include "baseline.h"

#include <math.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

float
baseline_l2_squared_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

float
baseline_dot_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

float
baseline_l1_f32(const float *a, const float *b, size_t n)
{
	float		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += fabsf(a[i] - b[i]);
	return sum;
}

float
baseline_cosine_f32(const float *a, const float *b, size_t n)
{
	float		dot = 0,
				norm_a = 0,
				norm_b = 0;

	for (size_t i = 0; i < n; i++)
	{
		dot += a[i] * b[i];
		norm_a += a[i] * a[i];
		norm_b += b[i] * b[i];
	}
	return dot / sqrtf(norm_a * norm_b);
}

/* One vector of eight at a time, one accumulator. Without F16C there is no such loop: 0. */
float
baseline_l2_squared_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	float		sum = 0;
#if defined(__F16C__)
	__m256		s = _mm256_setzero_ps();
	float		lanes[8];

	for (size_t i = 0; i + 8 <= n; i += 8)
	{
		__m256		d = _mm256_sub_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (a + i))),
									  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (b + i))));

		s = _mm256_fmadd_ps(d, d, s);
	}
	_mm256_storeu_ps(lanes, s);
	for (int i = 0; i < 8; i++)
		sum += lanes[i];
#endif
	return sum;
}

int32_t
baseline_dot_i16_i8(const int16_t *q, const int8_t *x, size_t n)
{
	int32_t		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += q[i] * x[i];
	return sum;
}

int32_t
baseline_dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

int32_t
baseline_l2_squared_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

uint64_t
baseline_hamming(const uint8_t *a, const uint8_t *b, size_t n_bytes)
{
	uint64_t	count = 0;

	for (size_t i = 0; i + 8 <= n_bytes; i += 8)
	{
		uint64_t	x,
					y;

		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		count += (uint64_t) __builtin_popcountll(x ^ y);
	}
	return count;
}

uint32_t
baseline_dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n_words)
{
	uint64_t	sums[4] = {0, 0, 0, 0};

	for (size_t i = 0; i < n_words; i++)
		for (size_t p = 0; p < 4; p++)
			sums[p] += (uint64_t) __builtin_popcountll(planes[p * n_words + i] & bits[i]);
	return (uint32_t) (sums[0] + 2 * sums[1] + 4 * sums[2] + 8 * sums[3]);
}
