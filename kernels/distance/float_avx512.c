/* SPDX-License-Identifier: PostgreSQL
 *
 * float_avx512.c: AVX-512 kernels over float32, half, and a float32 query with half.
 *
 * The loops of float_avx2.c with sixteen lanes; a remainder is a load under a mask, which touches nothing beyond the
 * array and leaves zeros in the other lanes.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

typedef __m512 (*load_fn) (const void *base, size_t i, __mmask16 lanes);
typedef __m512 (*step_fn) (__m512 sum, __m512 a, __m512 b);

#define ALL_LANES ((__mmask16) 0xffff)

/* The lanes of what is left of n at i. */
INLINED __mmask16
lanes_left(size_t n, size_t i)
{
	return n - i >= 16 ? ALL_LANES : (__mmask16) ((1u << (n - i)) - 1);
}

INLINED __m512
load_f32(const void *base, size_t i, __mmask16 lanes)
{
	return _mm512_maskz_loadu_ps(lanes, (const float *) base + i);
}

INLINED __m512
load_f16(const void *base, size_t i, __mmask16 lanes)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, (const rv_half *) base + i));
}

INLINED __m512
step_dot(__m512 sum, __m512 a, __m512 b)
{
	return _mm512_fmadd_ps(a, b, sum);
}

INLINED __m512
step_l2(__m512 sum, __m512 a, __m512 b)
{
	__m512		d = _mm512_sub_ps(a, b);

	return _mm512_fmadd_ps(d, d, sum);
}

INLINED __m512
step_l1(__m512 sum, __m512 a, __m512 b)
{
	return _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b)));
}

INLINED float
sum_steps(const void *a, const void *b, size_t n, load_fn load_a, load_fn load_b, step_fn step)
{
	__m512		s0 = _mm512_setzero_ps(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	/* One register: nothing to add up, which is half of the time */
	if (n <= 16)
	{
		__mmask16	lanes = lanes_left(n, 0);

		return _mm512_reduce_add_ps(step(s0, load_a(a, 0, lanes), load_b(b, 0, lanes)));
	}
	for (; i + 64 <= n; i += 64)
	{
		s0 = step(s0, load_a(a, i, ALL_LANES), load_b(b, i, ALL_LANES));
		s1 = step(s1, load_a(a, i + 16, ALL_LANES), load_b(b, i + 16, ALL_LANES));
		s2 = step(s2, load_a(a, i + 32, ALL_LANES), load_b(b, i + 32, ALL_LANES));
		s3 = step(s3, load_a(a, i + 48, ALL_LANES), load_b(b, i + 48, ALL_LANES));
	}
	for (; i < n; i += 16)
	{
		__mmask16	lanes = lanes_left(n, i);

		s0 = step(s0, load_a(a, i, lanes), load_b(b, i, lanes));
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

INLINED rv_cosine_sums
sum_cosine(const void *a, const void *b, size_t n, load_fn load)
{
	__m512		dot0 = _mm512_setzero_ps(),
				dot1 = dot0,
				a0 = dot0,
				a1 = dot0,
				b0 = dot0,
				b1 = dot0;
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m512		x0 = load(a, i, ALL_LANES),
					y0 = load(b, i, ALL_LANES),
					x1 = load(a, i + 16, ALL_LANES),
					y1 = load(b, i + 16, ALL_LANES);

		dot0 = _mm512_fmadd_ps(x0, y0, dot0);
		a0 = _mm512_fmadd_ps(x0, x0, a0);
		b0 = _mm512_fmadd_ps(y0, y0, b0);
		dot1 = _mm512_fmadd_ps(x1, y1, dot1);
		a1 = _mm512_fmadd_ps(x1, x1, a1);
		b1 = _mm512_fmadd_ps(y1, y1, b1);
	}
	for (; i < n; i += 16)
	{
		__mmask16	lanes = lanes_left(n, i);
		__m512		x = load(a, i, lanes),
					y = load(b, i, lanes);

		dot0 = _mm512_fmadd_ps(x, y, dot0);
		a0 = _mm512_fmadd_ps(x, x, a0);
		b0 = _mm512_fmadd_ps(y, y, b0);
	}
	return (rv_cosine_sums) {_mm512_reduce_add_ps(_mm512_add_ps(dot0, dot1)), _mm512_reduce_add_ps(_mm512_add_ps(a0, a1)),
		_mm512_reduce_add_ps(_mm512_add_ps(b0, b1))};
}

#define SUM_STEPS(a, b, n, x, y, step) sum_steps(a, b, n, load_##x, load_##y, step)
#define SUM_COSINE(a, b, n, x) sum_cosine(a, b, n, load_##x)
#include "distance/float_level.h"

static double
norm_squared_f32(const float *x, size_t n)
{
	__m512d		s0 = _mm512_setzero_pd(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m512d		a = _mm512_cvtps_pd(_mm256_loadu_ps(x + i)),
					b = _mm512_cvtps_pd(_mm256_loadu_ps(x + i + 8)),
					c = _mm512_cvtps_pd(_mm256_loadu_ps(x + i + 16)),
					d = _mm512_cvtps_pd(_mm256_loadu_ps(x + i + 24));

		s0 = _mm512_fmadd_pd(a, a, s0);
		s1 = _mm512_fmadd_pd(b, b, s1);
		s2 = _mm512_fmadd_pd(c, c, s2);
		s3 = _mm512_fmadd_pd(d, d, s3);
	}
	for (; i < n; i += 16)
	{
		__m512		v = load_f32(x, i, lanes_left(n, i));
		__m512d		a = _mm512_cvtps_pd(_mm512_castps512_ps256(v)),
					b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));

		s0 = _mm512_fmadd_pd(a, a, s0);
		s1 = _mm512_fmadd_pd(b, b, s1);
	}
	return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(s0, s1), _mm512_add_pd(s2, s3)));
}

static void
dot4_f32(const float *query, const float *const rows[4], size_t n, float out[4])
{
	__m512		sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
	__m512		more[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m512		q = _mm512_loadu_ps(query + i),
					p = _mm512_loadu_ps(query + i + 16);

		for (int r = 0; r < 4; r++)
		{
			sums[r] = _mm512_fmadd_ps(q, _mm512_loadu_ps(rows[r] + i), sums[r]);
			more[r] = _mm512_fmadd_ps(p, _mm512_loadu_ps(rows[r] + i + 16), more[r]);
		}
	}
	for (; i < n; i += 16)
	{
		__mmask16	lanes = lanes_left(n, i);
		__m512		q = load_f32(query, i, lanes);

		for (int r = 0; r < 4; r++)
			sums[r] = _mm512_fmadd_ps(q, load_f32(rows[r], i, lanes), sums[r]);
	}
	for (int r = 0; r < 4; r++)
		out[r] = _mm512_reduce_add_ps(_mm512_add_ps(sums[r], more[r]));
}

static void
f16_to_f32(const rv_half *in, float *out, size_t n)
{
	for (size_t i = 0; i < n; i += 16)
	{
		__mmask16	lanes = lanes_left(n, i);

		_mm512_mask_storeu_ps(out + i, lanes, load_f16(in, i, lanes));
	}
}

static void
f32_to_f16(const float *in, rv_half *out, size_t n)
{
	for (size_t i = 0; i < n; i += 16)
	{
		__mmask16	lanes = lanes_left(n, i);

		_mm256_mask_storeu_epi16(out + i, lanes, _mm512_cvtps_ph(load_f32(in, i, lanes), _MM_FROUND_TO_NEAREST_INT));
	}
}

void
rv_avx512_float(rv_kernel_table *t)
{
	put_distances(t);
	t->norm_squared_f32 = norm_squared_f32;
	t->dot4_f32 = dot4_f32;
	t->f16_to_f32 = f16_to_f32;
	t->f32_to_f16 = f32_to_f16;
}
