/* SPDX-License-Identifier: PostgreSQL
 *
 * bits_neon.c: NEON kernels over bits and product-quantized codes. CNT counts the bits of bytes; the weighted counts of
 * the four query planes, at most (1 + 2 + 4 + 8) * 8 = 120, add up in bytes before they are widened.
 */
#include "distance/levels.h"

#include <arm_neon.h>

#define LANE_LIMIT 256			/* summands of 255 a 16-bit lane takes, with one to spare */

INLINED uint64x2_t
add_bytes(uint64x2_t sum, uint8x16_t v)
{
	return vpadalq_u32(sum, vpaddlq_u16(vpaddlq_u8(v)));
}

/* The n <= 16 bytes at p, zeros after them. */
INLINED uint8x16_t
load_bytes(const uint8_t *p, size_t n)
{
	uint8_t		bytes[16] = {0};

	if (n == 16)
		return vld1q_u8(p);
	for (size_t i = 0; i < n; i++)
		bytes[i] = p[i];
	return vld1q_u8(bytes);
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64x2_t	s0 = vdupq_n_u64(0),
				s1 = s0;
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		s0 = add_bytes(s0, vcntq_u8(veorq_u8(vld1q_u8(a + i), vld1q_u8(b + i))));
		s1 = add_bytes(s1, vcntq_u8(veorq_u8(vld1q_u8(a + i + 16), vld1q_u8(b + i + 16))));
	}
	for (; i < n; i += 16)
	{
		size_t		rest = n - i >= 16 ? 16 : n - i;

		s0 = add_bytes(s0, vcntq_u8(veorq_u8(load_bytes(a + i, rest), load_bytes(b + i, rest))));
	}
	return vaddvq_u64(vaddq_u64(s0, s1));
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t n, uint64_t *both, uint64_t *either)
{
	uint64x2_t	sum_and = vdupq_n_u64(0),
				sum_or = sum_and;

	for (size_t i = 0; i < n; i += 16)
	{
		size_t		rest = n - i >= 16 ? 16 : n - i;
		uint8x16_t	x = load_bytes(a + i, rest),
					y = load_bytes(b + i, rest);

		sum_and = add_bytes(sum_and, vcntq_u8(vandq_u8(x, y)));
		sum_or = add_bytes(sum_or, vcntq_u8(vorrq_u8(x, y)));
	}
	*both = vaddvq_u64(sum_and);
	*either = vaddvq_u64(sum_or);
}

/* The weighted counts in each byte of the two words at i, or of the last word alone. */
INLINED uint8x16_t
count_planes(const uint64_t *planes, size_t n, size_t i, uint8x16_t bits)
{
	size_t		size = n - i >= 2 ? 16 : 8;
	uint8x16_t	counts[RV_QUERY_BITS];

	for (size_t p = 0; p < RV_QUERY_BITS; p++)
		counts[p] = vcntq_u8(vandq_u8(bits, load_bytes((const uint8_t *) (planes + p * n + i), size)));
	return vaddq_u8(vaddq_u8(counts[0], vshlq_n_u8(counts[1], 1)), vaddq_u8(vshlq_n_u8(counts[2], 2), vshlq_n_u8(counts[3], 3)));
}

static uint32_t
dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n)
{
	uint64x2_t	sum = vdupq_n_u64(0);

	for (size_t i = 0; i < n; i += 2)
		sum = add_bytes(sum, count_planes(planes, n, i, load_bytes((const uint8_t *) (bits + i), n - i >= 2 ? 16 : 8)));
	return (uint32_t) vaddvq_u64(sum);
}

static void
dot_bits4(const uint64_t *planes, const uint64_t *const rows[4], size_t n, uint32_t out[4])
{
	uint64x2_t	sums[4] = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};

	for (size_t i = 0; i < n; i += 2)
		for (int r = 0; r < 4; r++)
			sums[r] = add_bytes(sums[r], count_planes(planes, n, i, load_bytes((const uint8_t *) (rows[r] + i), n - i >= 2 ? 16 : 8)));
	for (int r = 0; r < 4; r++)
		out[r] = (uint32_t) vaddvq_u64(sums[r]);
}

/* Eight chains of single loads, as in pq_avx2.c: there is no gather. */
static float
pq_sum(const float *look_up, const uint8_t *code, size_t n_sub)
{
	const rv_f32_any *tables = look_up;
	float		sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
	size_t		s = 0;

	for (; s + 8 <= n_sub; s += 8)
		for (size_t j = 0; j < 8; j++)
			sums[j] += tables[(s + j) * 256 + code[s + j]];
	for (size_t j = 0; s < n_sub; s++, j++)
		sums[j] += tables[s * 256 + code[s]];
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static void
fastscan(const uint8_t *luts, const uint8_t *block, size_t n_sub, uint32_t out[RV_FASTSCAN_BLOCK])
{
	uint32x4_t	totals[8];

	for (int i = 0; i < 8; i++)
		totals[i] = vdupq_n_u32(0);
	for (size_t s = 0; s < n_sub;)
	{
		size_t		end = n_sub - s > LANE_LIMIT ? s + LANE_LIMIT : n_sub;
		uint16x8_t	sums[4] = {vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0)};

		for (; s < end; s++)
		{
			uint8x16_t	lut = vld1q_u8(luts + s * 16),
						codes = vld1q_u8(block + s * 16);
			uint8x16_t	first = vqtbl1q_u8(lut, vandq_u8(codes, vdupq_n_u8(15))),
						second = vqtbl1q_u8(lut, vshrq_n_u8(codes, 4));

			sums[0] = vaddw_u8(sums[0], vget_low_u8(first));
			sums[1] = vaddw_high_u8(sums[1], first);
			sums[2] = vaddw_u8(sums[2], vget_low_u8(second));
			sums[3] = vaddw_high_u8(sums[3], second);
		}
		for (int i = 0; i < 4; i++)
		{
			totals[2 * i] = vaddw_u16(totals[2 * i], vget_low_u16(sums[i]));
			totals[2 * i + 1] = vaddw_high_u16(totals[2 * i + 1], sums[i]);
		}
	}
	for (int i = 0; i < 8; i++)
		vst1q_u8((uint8_t *) (out + 4 * i), vreinterpretq_u8_u32(totals[i]));
}

void
rv_neon_bits(rv_kernel_table *t)
{
	t->hamming = hamming;
	t->jaccard = jaccard;
	t->dot_bits = dot_bits;
	t->dot_bits4 = dot_bits4;
	t->pq_sum = pq_sum;
	t->fastscan = fastscan;
}
