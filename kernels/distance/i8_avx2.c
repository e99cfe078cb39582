/* SPDX-License-Identifier: PostgreSQL
 *
 * i8_avx2.c: AVX2 kernels over sq8 codes.
 *
 * dot_i16_i8 is the hottest kernel of a search over sq8 codes: codes are widened to 16 bits on load and multiplied with
 * VPMADDWD, whose pairs of products (at most 2 * 4095 * 128) cannot overflow; _mm256_maddubs_epi16 would saturate.
 * Differences of codes need no widening: |a - b| = max - min is a byte, and its squares are summed from the even and the
 * odd bytes apart.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

INLINED __m256i
widen(const int8_t *x)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) x));
}

INLINED __m256i
load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

INLINED __m256i
dot16(__m256i sum, __m256i q, const int8_t *x)
{
	return _mm256_add_epi32(sum, _mm256_madd_epi16(q, widen(x)));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *x, size_t n)
{
	__m256i		s0 = _mm256_setzero_si256(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	uint32_t	sum = 0;
	size_t		i = 0;

	for (; i + 64 <= n; i += 64)
	{
		s0 = dot16(s0, load256(q + i), x + i);
		s1 = dot16(s1, load256(q + i + 16), x + i + 16);
		s2 = dot16(s2, load256(q + i + 32), x + i + 32);
		s3 = dot16(s3, load256(q + i + 48), x + i + 48);
	}
	for (; i + 16 <= n; i += 16)
		s0 = dot16(s0, load256(q + i), x + i);
	if (i < n && n >= 16)
	{
		__m128i		last = _mm_and_si128(_mm_loadu_si128((const __m128i *) (x + n - 16)), rv_tail_bytes16(n - i));

		s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(load256(q + n - 16), _mm256_cvtepi8_epi16(last)));
	}
	else
		for (; i < n; i++)
			sum += (uint32_t) (((const rv_i16_any *) q)[i] * x[i]);
	s0 = _mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3));
	return (int32_t) (sum + (uint32_t) rv_sum_i32(s0));
}

static void
dot4_i16_i8(const int16_t *q, const int8_t *const rows[4], size_t n, int32_t out[4])
{
	const int8_t *r0 = rows[0],
			   *r1 = rows[1],
			   *r2 = rows[2],
			   *r3 = rows[3];
	__m256i		s0 = _mm256_setzero_si256(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	if (n < 16)
	{
		for (int r = 0; r < 4; r++)
			out[r] = dot_i16_i8(q, rows[r], n);
		return;
	}
	for (; i + 32 <= n; i += 32)
	{
		__m256i		v = load256(q + i),
					w = load256(q + i + 16);

		s0 = dot16(dot16(s0, v, r0 + i), w, r0 + i + 16);
		s1 = dot16(dot16(s1, v, r1 + i), w, r1 + i + 16);
		s2 = dot16(dot16(s2, v, r2 + i), w, r2 + i + 16);
		s3 = dot16(dot16(s3, v, r3 + i), w, r3 + i + 16);
	}
	for (; i < n; i += 16)
	{
		/* the last 16, the query masked where they were counted before */
		size_t		at = i + 16 <= n ? i : n - 16;
		__m256i		v = _mm256_and_si256(load256(q + at), _mm256_cvtepi8_epi16(rv_tail_bytes16(n - i < 16 ? n - i : 16)));

		s0 = dot16(s0, v, r0 + at);
		s1 = dot16(s1, v, r1 + at);
		s2 = dot16(s2, v, r2 + at);
		s3 = dot16(s3, v, r3 + at);
	}
	_mm_storeu_si128((__m128i *) out, rv_sum4_i32(s0, s1, s2, s3));
}

typedef __m256i (*step_fn) (__m256i sum, __m256i a, __m256i b);

INLINED __m256i
step_dot(__m256i sum, __m256i a, __m256i b)
{
	__m256i		even = _mm256_madd_epi16(_mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
	__m256i		odd = _mm256_madd_epi16(_mm256_srai_epi16(a, 8), _mm256_srai_epi16(b, 8));

	return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

INLINED __m256i
step_l2(__m256i sum, __m256i a, __m256i b)
{
	__m256i		d = _mm256_sub_epi8(_mm256_max_epi8(a, b), _mm256_min_epi8(a, b));
	__m256i		even = _mm256_and_si256(d, _mm256_set1_epi16(255));
	__m256i		odd = _mm256_srli_epi16(d, 8);

	return _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(even, even), _mm256_madd_epi16(odd, odd)));
}

/* Leaves 64-bit sums, which stay below 2^32: the upper halves are zero. */
INLINED __m256i
step_l1(__m256i sum, __m256i a, __m256i b)
{
	__m256i		d = _mm256_sub_epi8(_mm256_max_epi8(a, b), _mm256_min_epi8(a, b));

	return _mm256_add_epi32(sum, _mm256_sad_epu8(d, _mm256_setzero_si256()));
}

/* The sum over all full vectors and the masked last one; n >= 32. */
INLINED int32_t
sum_steps(const int8_t *a, const int8_t *b, size_t n, step_fn step)
{
	__m256i		s0 = _mm256_setzero_si256(),
				s1 = s0;
	size_t		i = 0;

	for (; i + 64 <= n; i += 64)
	{
		s0 = step(s0, load256(a + i), load256(b + i));
		s1 = step(s1, load256(a + i + 32), load256(b + i + 32));
	}
	if (i + 32 <= n)
	{
		s0 = step(s0, load256(a + i), load256(b + i));
		i += 32;
	}
	if (i < n)
	{
		__m256i		mask = rv_tail_bytes(n - i);

		s1 = step(s1, _mm256_and_si256(load256(a + n - 32), mask), _mm256_and_si256(load256(b + n - 32), mask));
	}
	return rv_sum_i32(_mm256_add_epi32(s0, s1));
}

static int32_t
dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t		sum = 0;

	if (n >= 32)
		return sum_steps(a, b, n, step_dot);
	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static int32_t
l2_squared_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t		sum = 0;

	if (n >= 32)
		return sum_steps(a, b, n, step_l2);
	for (size_t i = 0; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

static int32_t
l1_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32_t		sum = 0;

	if (n >= 32)
		return sum_steps(a, b, n, step_l1);
	for (size_t i = 0; i < n; i++)
		sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
	return sum;
}

/* q - (scale * x + offset) for eight values */
INLINED __m256
difference(const float *q, const int8_t *x, __m256 scale, __m256 offset)
{
	__m256		code = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) x)));

	return _mm256_sub_ps(_mm256_loadu_ps(q), _mm256_fmadd_ps(code, scale, offset));
}

/* The sum of |d| when absolute, else of d^2. */
INLINED float
sum_differences(const float *q, const int8_t *x, float scale, float offset, size_t n, int absolute)
{
	const __m256 k = _mm256_set1_ps(scale),
				o = _mm256_set1_ps(offset),
				sign = _mm256_set1_ps(-0.0f);
	__m256		sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
	float		sum = 0;
	size_t		i = 0;

#define ADD(s, d) ((s) = absolute ? _mm256_add_ps((s), _mm256_andnot_ps(sign, (d))) : _mm256_fmadd_ps((d), (d), (s)))
	for (; i + 32 <= n; i += 32)
		for (int j = 0; j < 4; j++)
		{
			__m256		d = difference(q + i + 8 * j, x + i + 8 * j, k, o);

			ADD(sums[j], d);
		}
	for (; i + 8 <= n; i += 8)
	{
		__m256		d = difference(q + i, x + i, k, o);

		ADD(sums[0], d);
	}
	if (i < n && n >= 8)
	{
		__m256		mask = _mm256_castsi256_ps(rv_tail_bytes(4 * (n - i)));
		__m256		d = _mm256_and_ps(difference(q + n - 8, x + n - 8, k, o), mask);

		ADD(sums[1], d);
	}
	else
		for (; i < n; i++)
		{
			float		d = ((const rv_f32_any *) q)[i] - (scale * (float) x[i] + offset);

			sum += absolute ? __builtin_fabsf(d) : d * d;
		}
#undef ADD
	return sum + rv_sum_f32(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
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
rv_avx2_i8(rv_kernel_table *t)
{
	t->dot_i16_i8 = dot_i16_i8;
	t->dot4_i16_i8 = dot4_i16_i8;
	t->dot_i8 = dot_i8;
	t->l2_squared_i8 = l2_squared_i8;
	t->l1_i8 = l1_i8;
	t->l1_f32_i8 = l1_f32_i8;
	t->l2_squared_f32_i8 = l2_squared_f32_i8;
}
