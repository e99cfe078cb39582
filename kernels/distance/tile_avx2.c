/* SPDX-License-Identifier: PostgreSQL
 *
 * tile_avx2.c: dot products of many code vectors with many others, AVX2.
 *
 * As tile_avx512.c, with a block in two registers. _mm256_maddubs_epi16 would saturate: the even and the odd bytes are
 * widened and multiplied apart, in pairs whose sum fits easily.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

typedef int32_t i32_any __attribute__((aligned(1), may_alias));

/* points: 1 or 2, a constant where it is called */
INLINED void
tile(const int8_t *points, size_t stride, int n_points, const uint8_t *block, size_t n, int32_t *out, size_t out_stride)
{
	__m256i		sums[2][2];

#pragma GCC unroll 2
	for (int p = 0; p < n_points; p++)
		sums[p][0] = sums[p][1] = _mm256_setzero_si256();
	for (size_t i = 0; i < n; i += 4)
	{
		__m256i		even[2],
					odd[2];

#pragma GCC unroll 2
		for (int h = 0; h < 2; h++)
		{
			const __m256i row = _mm256_loadu_si256((const __m256i *) (block + 16 * i + 32 * h));

			even[h] = _mm256_and_si256(row, _mm256_set1_epi16(255));
			odd[h] = _mm256_srli_epi16(row, 8);
		}
#pragma GCC unroll 2
		for (int p = 0; p < n_points; p++)
		{
			const __m256i x = _mm256_set1_epi32(*(const i32_any *) (points + (size_t) p * stride + i)),
						x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8),
						x_odd = _mm256_srai_epi16(x, 8);

#pragma GCC unroll 2
			for (int h = 0; h < 2; h++)
				sums[p][h] = _mm256_add_epi32(sums[p][h], _mm256_add_epi32(_mm256_madd_epi16(even[h], x_even),
																		  _mm256_madd_epi16(odd[h], x_odd)));
		}
	}
#pragma GCC unroll 2
	for (int p = 0; p < n_points; p++)
#pragma GCC unroll 2
		for (int h = 0; h < 2; h++)
			_mm256_storeu_si256((__m256i *) (out + (size_t) p * out_stride + 8 * h), sums[p][h]);
}

static void
dots_u8_i8(const int8_t *points, size_t stride, size_t n_points, const uint8_t *blocks, size_t n_blocks, size_t n, int32_t *out)
{
	const size_t out_stride = 16 * n_blocks;

	for (size_t b = 0; b < n_blocks; b++)
	{
		size_t		p = 0;

		for (; p + 2 <= n_points; p += 2)
			tile(points + p * stride, stride, 2, blocks + 16 * b * n, n, out + p * out_stride + 16 * b, out_stride);
		if (p < n_points)
			tile(points + p * stride, stride, 1, blocks + 16 * b * n, n, out + p * out_stride + 16 * b, out_stride);
	}
}

void
rv_avx2_tile(rv_kernel_table *t)
{
	t->dots_u8_i8 = dots_u8_i8;
}
