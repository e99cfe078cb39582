/* SPDX-License-Identifier: PostgreSQL
 *
 * pq_avx2.c: AVX2 kernels over product-quantized codes.
 *
 * pq_sum is plain C on purpose: its loads are scattered, and a gather is no faster than single loads on the machines
 * that have AVX2 (much slower where its microcode was mended). Eight chains keep the loads going and the error small.
 *
 * fastscan sums bytes in 16-bit lanes: the even bytes are added with the odd ones riding above them, the odd ones are
 * added once more by themselves, and taking the second from the first (modulo 2^16) leaves the even sums. An odd lane
 * takes 257 summands of 255; it is emptied into 32 bits after 256.
 * Source: André, Kermarrec, Le Scouarnec, "Cache locality is not enough", VLDB 2015, and faiss' fast scan (layout).
 */
#include "distance/avx2.h"
#include "distance/levels.h"

#define LANE_LIMIT 256			/* summands a 16-bit lane takes before it is emptied */

static float
pq_sum(const float *look_up, const uint8_t *code, size_t n_sub)
{
	const rv_f32_any *tables = look_up;
	float		sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
	size_t		s = 0;

	for (; s + 8 <= n_sub; s += 8)
		for (int j = 0; j < 8; j++)
			sums[j] += tables[(s + (size_t) j) * 256 + code[s + (size_t) j]];
	for (int j = 0; s < n_sub; s++, j++)
		sums[j] += tables[s * 256 + code[s]];
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/* Sums of bytes, 16 codes in each 128-bit half: sub-quantizer s in the lower, s + 1 in the upper. */
typedef struct lanes
{
	__m256i		all,
				odd;
} lanes;

INLINED void
add_bytes(lanes *l, __m256i v)
{
	l->all = _mm256_add_epi16(l->all, v);
	l->odd = _mm256_add_epi16(l->odd, _mm256_srli_epi16(v, 8));
}

/* Adds the sums of 16 codes to out[0 .. 15] and clears the lanes. */
INLINED void
empty_lanes(lanes *l, uint32_t *out)
{
	__m256i		even = _mm256_sub_epi16(l->all, _mm256_slli_epi16(l->odd, 8));
	__m256i		low = _mm256_unpacklo_epi16(even, l->odd);	/* codes 0 .. 7 of both halves */
	__m256i		high = _mm256_unpackhi_epi16(even, l->odd);

	for (int half = 0; half < 2; half++)
	{
		__m256i		v = half ? high : low;
		__m256i		sum = _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
		__m256i	   *p = (__m256i *) (out + 8 * half);

		_mm256_storeu_si256(p, _mm256_add_epi32(_mm256_loadu_si256(p), sum));
	}
	l->all = l->odd = _mm256_setzero_si256();
}

static void
fastscan(const uint8_t *luts, const uint8_t *block, size_t n_sub, uint32_t out[RV_FASTSCAN_BLOCK])
{
	const __m256i nibble = _mm256_set1_epi8(15);
	lanes		first = {_mm256_setzero_si256(), _mm256_setzero_si256()},
				second = first;
	size_t		s = 0;

	for (int i = 0; i < RV_FASTSCAN_BLOCK; i += 8)
		_mm256_storeu_si256((__m256i *) (out + i), _mm256_setzero_si256());
	while (s < n_sub)
	{
		size_t		end = n_sub - s > 2 * LANE_LIMIT ? s + 2 * LANE_LIMIT : n_sub;

		for (; s + 2 <= end; s += 2)
		{
			__m256i		lut = _mm256_loadu_si256((const __m256i *) (luts + s * 16));
			__m256i		codes = _mm256_loadu_si256((const __m256i *) (block + s * 16));

			add_bytes(&first, _mm256_shuffle_epi8(lut, _mm256_and_si256(codes, nibble)));
			add_bytes(&second, _mm256_shuffle_epi8(lut, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble)));
		}
		if (s < end)
		{
			/* an odd one at the very end: look-ups of zero in the upper half */
			__m256i		lut = _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *) (luts + s * 16)));
			__m256i		codes = _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *) (block + s * 16)));

			add_bytes(&first, _mm256_shuffle_epi8(lut, _mm256_and_si256(codes, nibble)));
			add_bytes(&second, _mm256_shuffle_epi8(lut, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble)));
			s++;
		}
		empty_lanes(&first, out);
		empty_lanes(&second, out + 16);
	}
}

void
rv_avx2_pq(rv_kernel_table *t)
{
	t->pq_sum = pq_sum;
	t->fastscan = fastscan;
}
