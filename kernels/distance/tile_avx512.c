/* SPDX-License-Identifier: PostgreSQL
 *
 * tile_avx512.c: dot products of many code vectors with many others, AVX-512 VNNI.
 *
 * The sixteen vectors of a block lie in the sixteen lanes, so that no sum is ever formed across lanes; four values of a
 * point are repeated in all of them. Four points with four blocks keep sixteen sums in registers: two loads for four
 * multiplications.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

#include <stdbool.h>

typedef int32_t i32_any __attribute__((aligned(1), may_alias));

/* points <= 4, blocks <= 4: constants where it is called, so that all loops are unrolled */
INLINED void
tile(const int8_t *points, size_t stride, int n_points, const uint8_t *blocks, int n_blocks, size_t n, int32_t *out, size_t out_stride)
{
	__m512i		sums[4][4];

#pragma GCC unroll 4
	for (int p = 0; p < n_points; p++)
#pragma GCC unroll 4
		for (int b = 0; b < n_blocks; b++)
			sums[p][b] = _mm512_setzero_si512();
	for (size_t i = 0; i < n; i += 4)
	{
		__m512i		rows[4];

#pragma GCC unroll 4
		for (int b = 0; b < n_blocks; b++)
			rows[b] = _mm512_loadu_si512(blocks + 16 * ((size_t) b * n + i));
#pragma GCC unroll 4
		for (int p = 0; p < n_points; p++)
		{
			const __m512i x = _mm512_set1_epi32(*(const i32_any *) (points + (size_t) p * stride + i));

#pragma GCC unroll 4
			for (int b = 0; b < n_blocks; b++)
				sums[p][b] = _mm512_dpbusd_epi32(sums[p][b], rows[b], x);
		}
	}
#pragma GCC unroll 4
	for (int p = 0; p < n_points; p++)
#pragma GCC unroll 4
		for (int b = 0; b < n_blocks; b++)
			_mm512_storeu_si512(out + (size_t) p * out_stride + 16 * b, sums[p][b]);
}

static void
dots_u8_i8(const int8_t *points, size_t stride, size_t n_points, const uint8_t *blocks, size_t n_blocks, size_t n, int32_t *out)
{
	const size_t out_stride = 16 * n_blocks;
	size_t		b = 0;

	for (; b < n_blocks; b += n_blocks - b >= 4 ? 4 : 1)
	{
		const int8_t *x = points;
		const uint8_t *block = blocks + 16 * b * n;
		int32_t    *to = out + 16 * b;
		const bool	four = n_blocks - b >= 4;
		size_t		p = 0;

		for (; p + 4 <= n_points; p += 4, x += 4 * stride, to += 4 * out_stride)
		{
			if (four)
				tile(x, stride, 4, block, 4, n, to, out_stride);
			else
				tile(x, stride, 4, block, 1, n, to, out_stride);
		}
		for (; p < n_points; p++, x += stride, to += out_stride)
		{
			if (four)
				tile(x, stride, 1, block, 4, n, to, out_stride);
			else
				tile(x, stride, 1, block, 1, n, to, out_stride);
		}
	}
}

void
rv_avx512_tile(rv_kernel_table *t)
{
	t->dots_u8_i8 = dots_u8_i8;
}
