/* SPDX-License-Identifier: PostgreSQL
 *
 * scalar_codes.c: the scalar truth of the kernels over codes: sq8, bits, product quantization.
 *
 * Integer results are exact; int32 sums are formed modulo 2^32, so that passing beyond the range on the way is no error
 * and every level gives the same bits. Words of bits are loaded with memcpy: nothing here needs alignment.
 */
#include "distance/levels.h"

#include <math.h>
#include <string.h>

static int32_t
dot_i16_i8(const int16_t *query, const int8_t *x, size_t n)
{
	const rv_i16_any *q = query;
	uint32_t	sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t) (q[i] * x[i]);
	return (int32_t) sum;
}

static void
dot4_i16_i8(const int16_t *q, const int8_t *const rows[4], size_t n, int32_t out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = dot_i16_i8(q, rows[r], n);
}

static int32_t
dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	uint32_t	sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t) (a[i] * b[i]);
	return (int32_t) sum;
}

static int32_t
l2_squared_i8(const int8_t *a, const int8_t *b, size_t n)
{
	uint32_t	sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t) ((a[i] - b[i]) * (a[i] - b[i]));
	return (int32_t) sum;
}

static int32_t
l1_i8(const int8_t *a, const int8_t *b, size_t n)
{
	uint32_t	sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t) (a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
	return (int32_t) sum;
}

static void
dots_u8_i8(const int8_t *points, size_t stride, size_t n_points, const uint8_t *blocks, size_t n_blocks, size_t n, int32_t *out)
{
	for (size_t p = 0; p < n_points; p++)
		for (size_t b = 0; b < n_blocks; b++)
		{
			int32_t		sums[RV_TILE_BLOCK] = {0};

			for (size_t i = 0; i < n; i++)
				for (size_t j = 0; j < RV_TILE_BLOCK; j++)
					sums[j] += points[p * stride + i] * blocks[(b * n + i / 4 * 4) * RV_TILE_BLOCK + j * 4 + i % 4];
			memcpy(out + (p * n_blocks + b) * RV_TILE_BLOCK, sums, sizeof(sums));
		}
}

static float
l1_f32_i8(const float *query, const int8_t *x, float scale, float offset, size_t n)
{
	const rv_f32_any *q = query;
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += fabs(q[i] - ((double) scale * x[i] + offset));
	return (float) sum;
}

static float
l2_squared_f32_i8(const float *query, const int8_t *x, float scale, float offset, size_t n)
{
	const rv_f32_any *q = query;
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		d = q[i] - ((double) scale * x[i] + offset);

		sum += d * d;
	}
	return (float) sum;
}

static inline uint64_t
load_word(const void *p)
{
	uint64_t	word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The last n < 8 bytes as a word padded with zeros. */
static inline uint64_t
load_tail(const uint8_t *p, size_t n)
{
	uint64_t	word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t) p[i] << 8 * i;
	return word;
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, size_t n_bytes)
{
	uint64_t	count = 0;
	size_t		i = 0;

	for (; i + 8 <= n_bytes; i += 8)
		count += (uint64_t) __builtin_popcountll(load_word(a + i) ^ load_word(b + i));
	return count + (uint64_t) __builtin_popcountll(load_tail(a + i, n_bytes - i) ^ load_tail(b + i, n_bytes - i));
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t n_bytes, uint64_t *both, uint64_t *either)
{
	uint64_t	count_and = 0,
				count_or = 0;

	for (size_t i = 0; i < n_bytes; i += 8)
	{
		uint64_t	x = i + 8 <= n_bytes ? load_word(a + i) : load_tail(a + i, n_bytes - i);
		uint64_t	y = i + 8 <= n_bytes ? load_word(b + i) : load_tail(b + i, n_bytes - i);

		count_and += (uint64_t) __builtin_popcountll(x & y);
		count_or += (uint64_t) __builtin_popcountll(x | y);
	}
	*both = count_and;
	*either = count_or;
}

static uint32_t
dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n_words)
{
	uint32_t	sum = 0;

	for (int p = 0; p < RV_QUERY_BITS; p++)
	{
		uint32_t	count = 0;

		for (size_t i = 0; i < n_words; i++)
			count += (uint32_t) __builtin_popcountll(load_word(planes + (size_t) p * n_words + i) & load_word(bits + i));
		sum += count << p;
	}
	return sum;
}

static void
dot_bits4(const uint64_t *planes, const uint64_t *const rows[4], size_t n_words, uint32_t out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = dot_bits(planes, rows[r], n_words);
}

static float
pq_sum(const float *look_up, const uint8_t *code, size_t n_sub)
{
	const rv_f32_any *tables = look_up;
	double		sum = 0;

	for (size_t s = 0; s < n_sub; s++)
		sum += tables[s * 256 + code[s]];
	return (float) sum;
}

static void
fastscan(const uint8_t *luts, const uint8_t *block, size_t n_sub, uint32_t sums[RV_FASTSCAN_BLOCK])
{
	rv_u32_any *out = sums;

	memset(out, 0, RV_FASTSCAN_BLOCK * sizeof(uint32_t));
	for (size_t s = 0; s < n_sub; s++)
		for (int i = 0; i < 16; i++)
		{
			out[i] += luts[s * 16 + (block[s * 16 + i] & 15)];
			out[i + 16] += luts[s * 16 + (block[s * 16 + i] >> 4)];
		}
}

void
rv_scalar_codes(rv_kernel_table *t)
{
	t->dot_i16_i8 = dot_i16_i8;
	t->dot4_i16_i8 = dot4_i16_i8;
	t->dot_i8 = dot_i8;
	t->l2_squared_i8 = l2_squared_i8;
	t->l1_i8 = l1_i8;
	t->dots_u8_i8 = dots_u8_i8;
	t->l1_f32_i8 = l1_f32_i8;
	t->l2_squared_f32_i8 = l2_squared_f32_i8;
	t->hamming = hamming;
	t->jaccard = jaccard;
	t->dot_bits = dot_bits;
	t->dot_bits4 = dot_bits4;
	t->pq_sum = pq_sum;
	t->fastscan = fastscan;
}
