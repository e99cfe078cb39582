/* SPDX-License-Identifier: PostgreSQL
 *
 * bits_avx512.c: kernels over bits with VPOPCNTDQ, which counts the bits of 64-bit lanes.
 *
 * Product quantization and the Hadamard transform stay with AVX2: their look-ups and passes over memory gain little.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

INLINED __m512i
load_bytes(const uint8_t *p, size_t n, size_t i)
{
	return n - i >= 64 ? _mm512_loadu_si512(p + i) : _mm512_maskz_loadu_epi8(((__mmask64) 1 << (n - i)) - 1, p + i);
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m512i		s0 = _mm512_setzero_si512(),
				s1 = s0;
	size_t		i = 0;

	for (; i + 128 <= n; i += 128)
	{
		s0 = _mm512_add_epi64(s0, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i))));
		s1 = _mm512_add_epi64(s1, _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(a + i + 64), _mm512_loadu_si512(b + i + 64))));
	}
	for (; i < n; i += 64)
		s0 = _mm512_add_epi64(s0, _mm512_popcnt_epi64(_mm512_xor_si512(load_bytes(a, n, i), load_bytes(b, n, i))));
	return (uint64_t) _mm512_reduce_add_epi64(_mm512_add_epi64(s0, s1));
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t n, uint64_t *both, uint64_t *either)
{
	__m512i		sum_and = _mm512_setzero_si512(),
				sum_or = sum_and;

	for (size_t i = 0; i < n; i += 64)
	{
		__m512i		x = load_bytes(a, n, i),
					y = load_bytes(b, n, i);

		sum_and = _mm512_add_epi64(sum_and, _mm512_popcnt_epi64(_mm512_and_si512(x, y)));
		sum_or = _mm512_add_epi64(sum_or, _mm512_popcnt_epi64(_mm512_or_si512(x, y)));
	}
	*both = (uint64_t) _mm512_reduce_add_epi64(sum_and);
	*either = (uint64_t) _mm512_reduce_add_epi64(sum_or);
}

INLINED __mmask8
words_left(size_t n, size_t i)
{
	return n - i >= 8 ? 0xff : (__mmask8) ((1u << (n - i)) - 1);
}

/* Adds the bits of plane p that the code has. */
INLINED __m512i
add_plane(__m512i sum, const uint64_t *planes, size_t p, size_t n, size_t i, __mmask8 lanes, __m512i bits)
{
	return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(bits, _mm512_maskz_loadu_epi64(lanes, planes + p * n + i))));
}

/* s0 + 2 * s1 + 4 * s2 + 8 * s3 */
INLINED __m512i
weigh(__m512i s0, __m512i s1, __m512i s2, __m512i s3)
{
	__m512i		low = _mm512_add_epi64(s0, _mm512_slli_epi64(s1, 1)),
				high = _mm512_add_epi64(s2, _mm512_slli_epi64(s3, 1));

	return _mm512_add_epi64(low, _mm512_slli_epi64(high, 2));
}

static uint32_t
dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n)
{
	__m512i		s0 = _mm512_setzero_si512(),
				s1 = s0,
				s2 = s0,
				s3 = s0;

	for (size_t i = 0; i < n; i += 8)
	{
		__mmask8	lanes = words_left(n, i);
		__m512i		x = _mm512_maskz_loadu_epi64(lanes, bits + i);

		s0 = add_plane(s0, planes, 0, n, i, lanes, x);
		s1 = add_plane(s1, planes, 1, n, i, lanes, x);
		s2 = add_plane(s2, planes, 2, n, i, lanes, x);
		s3 = add_plane(s3, planes, 3, n, i, lanes, x);
	}
	return (uint32_t) _mm512_reduce_add_epi64(weigh(s0, s1, s2, s3));
}

/* The sums of all lanes of four vectors. */
INLINED void
add_lanes4(const __m512i sums[4], uint32_t out[4])
{
	__m512i		a = _mm512_add_epi64(_mm512_unpacklo_epi64(sums[0], sums[1]), _mm512_unpackhi_epi64(sums[0], sums[1])),
				b = _mm512_add_epi64(_mm512_unpacklo_epi64(sums[2], sums[3]), _mm512_unpackhi_epi64(sums[2], sums[3]));
	__m256i		c = _mm256_add_epi64(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)),
				d = _mm256_add_epi64(_mm512_castsi512_si256(b), _mm512_extracti64x4_epi64(b, 1)),
				e = _mm256_add_epi64(_mm256_permute2x128_si256(c, d, 0x20), _mm256_permute2x128_si256(c, d, 0x31));

	_mm_storeu_si128((__m128i *) out, _mm256_cvtepi64_epi32(e));
}

/* Up to 512 dims: the code is one vector, and each plane is read once. */
INLINED void
dot_bits4_short(const uint64_t *planes, const uint64_t *const rows[4], size_t n, uint32_t out[4])
{
	__mmask8	lanes = words_left(n, 0);
	__m512i		p0 = _mm512_maskz_loadu_epi64(lanes, planes),
				p1 = _mm512_maskz_loadu_epi64(lanes, planes + n),
				p2 = _mm512_maskz_loadu_epi64(lanes, planes + 2 * n),
				p3 = _mm512_maskz_loadu_epi64(lanes, planes + 3 * n),
				sums[4];

	for (int r = 0; r < 4; r++)
	{
		__m512i		x = _mm512_maskz_loadu_epi64(lanes, rows[r]);

		sums[r] = weigh(_mm512_popcnt_epi64(_mm512_and_si512(x, p0)), _mm512_popcnt_epi64(_mm512_and_si512(x, p1)),
						_mm512_popcnt_epi64(_mm512_and_si512(x, p2)), _mm512_popcnt_epi64(_mm512_and_si512(x, p3)));
	}
	add_lanes4(sums, out);
}

static void
dot_bits4(const uint64_t *planes, const uint64_t *const rows[4], size_t n, uint32_t out[4])
{
	__m512i		sums[4][RV_QUERY_BITS],
				weighed[4];

	if (n <= 8)
	{
		dot_bits4_short(planes, rows, n, out);
		return;
	}
	for (int r = 0; r < 4; r++)
		for (int p = 0; p < RV_QUERY_BITS; p++)
			sums[r][p] = _mm512_setzero_si512();
	for (size_t i = 0; i < n; i += 8)
	{
		__mmask8	lanes = words_left(n, i);
		__m512i		x[4];

		for (int r = 0; r < 4; r++)
			x[r] = _mm512_maskz_loadu_epi64(lanes, rows[r] + i);
		for (size_t p = 0; p < RV_QUERY_BITS; p++)
			for (int r = 0; r < 4; r++)
				sums[r][p] = add_plane(sums[r][p], planes, p, n, i, lanes, x[r]);
	}
	for (int r = 0; r < 4; r++)
		weighed[r] = weigh(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
	add_lanes4(weighed, out);
}

void
rv_avx512_bits(rv_kernel_table *t)
{
	t->hamming = hamming;
	t->jaccard = jaccard;
	t->dot_bits = dot_bits;
	t->dot_bits4 = dot_bits4;
}
