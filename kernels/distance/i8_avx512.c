/* SPDX-License-Identifier: PostgreSQL
 *
 * i8_avx512.c: AVX-512 VNNI kernels over sq8 codes. Exact: VPDPWSSD and VPDPBUSD do not saturate.
 *
 * VPDPBUSD wants one factor unsigned: dot_i8 adds 128 to a (by flipping its top bit) and takes 128 * sum(b) away.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

INLINED __mmask64
bytes_left(size_t n, size_t i)
{
	return n - i >= 64 ? ~(__mmask64) 0 : ((__mmask64) 1 << (n - i)) - 1;
}

INLINED __mmask32
words_left(size_t n, size_t i)
{
	return n - i >= 32 ? ~(__mmask32) 0 : ((__mmask32) 1 << (n - i)) - 1;
}

INLINED __m512i
dot32(__m512i sum, __m512i q, const int8_t *x)
{
	return _mm512_dpwssd_epi32(sum, q, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) x)));
}

INLINED __m512i
dot32_masked(__m512i sum, __m512i q, const int8_t *x, __mmask32 lanes)
{
	return _mm512_dpwssd_epi32(sum, q, _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes, x)));
}

/* Modulo 2^32: the compiler's own _mm512_reduce_add_epi32 adds signed lanes, whose overflow C leaves undefined. */
INLINED __m256i
halves(__m512i v)
{
	return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

INLINED int32_t
sum_i32(__m512i v)
{
	return rv_sum_i32(halves(v));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *x, size_t n)
{
	__m512i		s0 = _mm512_setzero_si512(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	for (; i + 128 <= n; i += 128)
	{
		s0 = dot32(s0, _mm512_loadu_si512(q + i), x + i);
		s1 = dot32(s1, _mm512_loadu_si512(q + i + 32), x + i + 32);
		s2 = dot32(s2, _mm512_loadu_si512(q + i + 64), x + i + 64);
		s3 = dot32(s3, _mm512_loadu_si512(q + i + 96), x + i + 96);
	}
	for (; i < n; i += 32)
	{
		__mmask32	lanes = words_left(n, i);

		s0 = dot32_masked(s0, _mm512_maskz_loadu_epi16(lanes, q + i), x + i, lanes);
	}
	return sum_i32(_mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3)));
}

static void
dot4_i16_i8(const int16_t *q, const int8_t *const rows[4], size_t n, int32_t out[4])
{
	__m512i		sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m512i		v = _mm512_loadu_si512(q + i);

		for (int r = 0; r < 4; r++)
			sums[r] = dot32(sums[r], v, rows[r] + i);
	}
	if (i < n)
	{
		__mmask32	lanes = words_left(n, i);
		__m512i		v = _mm512_maskz_loadu_epi16(lanes, q + i);

		for (int r = 0; r < 4; r++)
			sums[r] = dot32_masked(sums[r], v, rows[r] + i, lanes);
	}
	_mm_storeu_si128((__m128i *) out, rv_sum4_i32(halves(sums[0]), halves(sums[1]), halves(sums[2]), halves(sums[3])));
}

static int32_t
dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	const __m512i top = _mm512_set1_epi8((char) -128),
				ones = _mm512_set1_epi8(1);
	__m512i		s0 = _mm512_setzero_si512(),
				s1 = s0,
				b0 = s0,
				b1 = s0;
	size_t		i = 0;

	for (; i + 128 <= n; i += 128)
	{
		__m512i		y0 = _mm512_loadu_si512(b + i),
					y1 = _mm512_loadu_si512(b + i + 64);

		s0 = _mm512_dpbusd_epi32(s0, _mm512_xor_si512(_mm512_loadu_si512(a + i), top), y0);
		s1 = _mm512_dpbusd_epi32(s1, _mm512_xor_si512(_mm512_loadu_si512(a + i + 64), top), y1);
		b0 = _mm512_dpbusd_epi32(b0, ones, y0);
		b1 = _mm512_dpbusd_epi32(b1, ones, y1);
	}
	for (; i < n; i += 64)
	{
		__mmask64	lanes = bytes_left(n, i);
		__m512i		y = _mm512_maskz_loadu_epi8(lanes, b + i);

		s0 = _mm512_dpbusd_epi32(s0, _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, a + i), top), y);
		b0 = _mm512_dpbusd_epi32(b0, ones, y);
	}
	return sum_i32(_mm512_sub_epi32(_mm512_add_epi32(s0, s1), _mm512_slli_epi32(_mm512_add_epi32(b0, b1), 7)));
}

/* |a - b| of 64 codes, as unsigned bytes */
INLINED __m512i
distances(const int8_t *a, const int8_t *b, __mmask64 lanes)
{
	__m512i		x = _mm512_maskz_loadu_epi8(lanes, a),
				y = _mm512_maskz_loadu_epi8(lanes, b);

	return _mm512_sub_epi8(_mm512_max_epi8(x, y), _mm512_min_epi8(x, y));
}

static int32_t
l2_squared_i8(const int8_t *a, const int8_t *b, size_t n)
{
	__m512i		s0 = _mm512_setzero_si512(),
				s1 = s0;

	for (size_t i = 0; i < n; i += 64)
	{
		__m512i		d = distances(a + i, b + i, bytes_left(n, i));
		__m512i		even = _mm512_and_si512(d, _mm512_set1_epi16(255)),
					odd = _mm512_srli_epi16(d, 8);

		s0 = _mm512_dpwssd_epi32(s0, even, even);
		s1 = _mm512_dpwssd_epi32(s1, odd, odd);
	}
	return sum_i32(_mm512_add_epi32(s0, s1));
}

static int32_t
l1_i8(const int8_t *a, const int8_t *b, size_t n)
{
	__m512i		sum = _mm512_setzero_si512();

	for (size_t i = 0; i < n; i += 64)
		sum = _mm512_add_epi64(sum, _mm512_sad_epu8(distances(a + i, b + i, bytes_left(n, i)), _mm512_setzero_si512()));
	return (int32_t) _mm512_reduce_add_epi64(sum);
}

/* q - (scale * x + offset) for sixteen values, zero in the lanes that are not wanted */
INLINED __m512
difference(const float *q, const int8_t *x, __m512 scale, __m512 offset, __mmask16 lanes)
{
	__m512		code = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, x)));

	return _mm512_maskz_sub_ps(lanes, _mm512_maskz_loadu_ps(lanes, q), _mm512_fmadd_ps(code, scale, offset));
}

/* The sum of |d| when absolute, else of d^2. */
INLINED float
sum_differences(const float *q, const int8_t *x, float scale, float offset, size_t n, int absolute)
{
	const __m512 k = _mm512_set1_ps(scale),
				o = _mm512_set1_ps(offset);
	__m512		sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
	size_t		i = 0;

#define ADD(s, d) ((s) = absolute ? _mm512_add_ps((s), _mm512_abs_ps(d)) : _mm512_fmadd_ps((d), (d), (s)))
	for (; i + 64 <= n; i += 64)
		for (int j = 0; j < 4; j++)
		{
			__m512		d = difference(q + i + 16 * j, x + i + 16 * j, k, o, 0xffff);

			ADD(sums[j], d);
		}
	for (; i < n; i += 16)
	{
		__m512		d = difference(q + i, x + i, k, o, n - i >= 16 ? 0xffff : (__mmask16) ((1u << (n - i)) - 1));

		ADD(sums[0], d);
	}
#undef ADD
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

static float
l1_f32_i8(const float *q, const int8_t *x, float scale, float offset, size_t n)
{
	return sum_differences(q, x, scale, offset, n, 1);
}

static float
l2_squared_f32_i8(const float *q, const int8_t *x, float scale, float offset, size_t n)
{
	return sum_differences(q, x, scale, offset, n, 0);
}

void
rv_avx512_i8(rv_kernel_table *t)
{
	t->dot_i16_i8 = dot_i16_i8;
	t->dot4_i16_i8 = dot4_i16_i8;
	t->dot_i8 = dot_i8;
	t->l2_squared_i8 = l2_squared_i8;
	t->l1_i8 = l1_i8;
	t->l1_f32_i8 = l1_f32_i8;
	t->l2_squared_f32_i8 = l2_squared_f32_i8;
}
