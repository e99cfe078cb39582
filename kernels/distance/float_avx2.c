/* SPDX-License-Identifier: PostgreSQL
 *
 * float_avx2.c: AVX2 and FMA kernels over float32, half, and a float32 query with half.
 *
 * One loop for all: four accumulators of eight lanes cover the latency of an FMA (4 cycles) at the one step a cycle that
 * two loads a cycle allow, so that the loop runs at load bandwidth from the first-level cache. Half is widened by F16C.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

typedef __m256 (*load_fn) (const void *base, size_t i);
typedef __m256 (*load_tail_fn) (const void *base, size_t n, size_t rest);
typedef __m256 (*step_fn) (__m256 sum, __m256 a, __m256 b);

INLINED __m256
load_f32(const void *base, size_t i)
{
	return _mm256_loadu_ps((const float *) base + i);
}

INLINED __m256
load_tail_f32(const void *base, size_t n, size_t rest)
{
	return _mm256_maskload_ps((const float *) base + n - rest, rv_head_lanes32(rest));
}

INLINED __m256
load_f16(const void *base, size_t i)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) ((const rv_half *) base + i)));
}

/* The last rest < 8 of n halves in the first lanes. There is no masked load of 16 bits: below 8 values one by one. */
INLINED __m256
load_tail_f16(const void *base, size_t n, size_t rest)
{
	const rv_f16_any *p = (const rv_half *) base + n - rest;
	__m128i		v = _mm_setzero_si128();

	switch (rest)
	{
		case 7:
			v = _mm_insert_epi16(v, p[6], 6);
			/* FALLTHROUGH */
		case 6:
			v = _mm_insert_epi16(v, p[5], 5);
			/* FALLTHROUGH */
		case 5:
			v = _mm_insert_epi16(v, p[4], 4);
			/* FALLTHROUGH */
		case 4:
			v = _mm_insert_epi16(v, p[3], 3);
			/* FALLTHROUGH */
		case 3:
			v = _mm_insert_epi16(v, p[2], 2);
			/* FALLTHROUGH */
		case 2:
			v = _mm_insert_epi16(v, p[1], 1);
			/* FALLTHROUGH */
		default:
			v = _mm_insert_epi16(v, p[0], 0);
	}
	return _mm256_cvtph_ps(v);
}

INLINED __m256
step_dot(__m256 sum, __m256 a, __m256 b)
{
	return _mm256_fmadd_ps(a, b, sum);
}

INLINED __m256
step_l2(__m256 sum, __m256 a, __m256 b)
{
	__m256		d = _mm256_sub_ps(a, b);

	return _mm256_fmadd_ps(d, d, sum);
}

INLINED __m256
step_l1(__m256 sum, __m256 a, __m256 b)
{
	return _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(a, b)));
}

/* A step of two zeros adds zero: that is what a masked lane does. */
INLINED float
sum_steps(const void *a, const void *b, size_t n, load_fn load_a, load_tail_fn tail_a, load_fn load_b, load_tail_fn tail_b,
		  step_fn step)
{
	__m256		s0 = _mm256_setzero_ps(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		s0 = step(s0, load_a(a, i), load_b(b, i));
		s1 = step(s1, load_a(a, i + 8), load_b(b, i + 8));
		s2 = step(s2, load_a(a, i + 16), load_b(b, i + 16));
		s3 = step(s3, load_a(a, i + 24), load_b(b, i + 24));
	}
	for (; i + 8 <= n; i += 8)
		s0 = step(s0, load_a(a, i), load_b(b, i));
	if (i < n)
		s1 = step(s1, tail_a(a, n, n - i), tail_b(b, n, n - i));
	return rv_sum_f32(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

INLINED rv_cosine_sums
sum_cosine(const void *a, const void *b, size_t n, load_fn load, load_tail_fn tail)
{
	__m256		dot0 = _mm256_setzero_ps(),
				dot1 = dot0,
				a0 = dot0,
				a1 = dot0,
				b0 = dot0,
				b1 = dot0;
	size_t		i = 0;
	__m128		sums;

	/* three FMAs a step: six chains are enough */
	for (; i + 16 <= n; i += 16)
	{
		__m256		x0 = load(a, i),
					y0 = load(b, i),
					x1 = load(a, i + 8),
					y1 = load(b, i + 8);

		dot0 = _mm256_fmadd_ps(x0, y0, dot0);
		a0 = _mm256_fmadd_ps(x0, x0, a0);
		b0 = _mm256_fmadd_ps(y0, y0, b0);
		dot1 = _mm256_fmadd_ps(x1, y1, dot1);
		a1 = _mm256_fmadd_ps(x1, x1, a1);
		b1 = _mm256_fmadd_ps(y1, y1, b1);
	}
	for (; i < n; i += 8)
	{
		__m256		x = i + 8 <= n ? load(a, i) : tail(a, n, n - i),
					y = i + 8 <= n ? load(b, i) : tail(b, n, n - i);

		dot0 = _mm256_fmadd_ps(x, y, dot0);
		a0 = _mm256_fmadd_ps(x, x, a0);
		b0 = _mm256_fmadd_ps(y, y, b0);
	}
	dot0 = _mm256_add_ps(dot0, dot1);
	sums = rv_sum4_f32(dot0, _mm256_add_ps(a0, a1), _mm256_add_ps(b0, b1), dot0);
	return (rv_cosine_sums) {_mm_cvtss_f32(sums), _mm_cvtss_f32(_mm_movehdup_ps(sums)),
		_mm_cvtss_f32(_mm_movehl_ps(sums, sums))};
}

#define SUM_STEPS(a, b, n, x, y, step) sum_steps(a, b, n, load_##x, load_tail_##x, load_##y, load_tail_##y, step)
#define SUM_COSINE(a, b, n, x) sum_cosine(a, b, n, load_##x, load_tail_##x)
#include "distance/float_level.h"

INLINED double
sum_f64(__m256d v)
{
	__m128d		s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

	return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

static double
norm_squared_f32(const float *x, size_t n)
{
	__m256d		s0 = _mm256_setzero_pd(),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m256d		a = _mm256_cvtps_pd(_mm_loadu_ps(x + i)),
					b = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4)),
					c = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 8)),
					d = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 12));

		s0 = _mm256_fmadd_pd(a, a, s0);
		s1 = _mm256_fmadd_pd(b, b, s1);
		s2 = _mm256_fmadd_pd(c, c, s2);
		s3 = _mm256_fmadd_pd(d, d, s3);
	}
	for (; i < n; i += 8)
	{
		__m256		v = _mm256_maskload_ps(x + i, rv_head_lanes32(n - i < 8 ? n - i : 8));
		__m256d		a = _mm256_cvtps_pd(_mm256_castps256_ps128(v)),
					b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));

		s0 = _mm256_fmadd_pd(a, a, s0);
		s1 = _mm256_fmadd_pd(b, b, s1);
	}
	return sum_f64(_mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3)));
}

static void
dot4_f32(const float *query, const float *const rows[4], size_t n, float out[4])
{
	const float *r0 = rows[0],
			   *r1 = rows[1],
			   *r2 = rows[2],
			   *r3 = rows[3];
	__m256		s0 = _mm256_setzero_ps(),
				s1 = s0,
				s2 = s0,
				s3 = s0,
				t0 = s0,
				t1 = s0,
				t2 = s0,
				t3 = s0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m256		q = _mm256_loadu_ps(query + i),
					p = _mm256_loadu_ps(query + i + 8);

		s0 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r0 + i), s0);
		s1 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r1 + i), s1);
		s2 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r2 + i), s2);
		s3 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r3 + i), s3);
		t0 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r0 + i + 8), t0);
		t1 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r1 + i + 8), t1);
		t2 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r2 + i + 8), t2);
		t3 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r3 + i + 8), t3);
	}
	for (; i < n; i += 8)
	{
		__m256i		mask = rv_head_lanes32(n - i < 8 ? n - i : 8);
		__m256		q = _mm256_maskload_ps(query + i, mask);

		s0 = _mm256_fmadd_ps(q, _mm256_maskload_ps(r0 + i, mask), s0);
		s1 = _mm256_fmadd_ps(q, _mm256_maskload_ps(r1 + i, mask), s1);
		s2 = _mm256_fmadd_ps(q, _mm256_maskload_ps(r2 + i, mask), s2);
		s3 = _mm256_fmadd_ps(q, _mm256_maskload_ps(r3 + i, mask), s3);
	}
	_mm_storeu_ps(out, rv_sum4_f32(_mm256_add_ps(s0, t0), _mm256_add_ps(s1, t1), _mm256_add_ps(s2, t2), _mm256_add_ps(s3, t3)));
}

static void
f16_to_f32(const rv_half *in, float *out, size_t n)
{
	size_t		i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(out + i, load_f16(in, i));
	if (i < n)
		_mm256_maskstore_ps(out + i, rv_head_lanes32(n - i), load_tail_f16(in, n, n - i));
}

static void
f32_to_f16(const float *in, rv_half *out, size_t n)
{
	size_t		i = 0;

	for (; i + 8 <= n; i += 8)
		_mm_storeu_si128((__m128i *) (out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
	for (; i < n; i++)
		((rv_f16_any *) out)[i] = _cvtss_sh(((const rv_f32_any *) in)[i], _MM_FROUND_TO_NEAREST_INT);
}

void
rv_avx2_float(rv_kernel_table *t)
{
	put_distances(t);
	t->dot4_f32 = dot4_f32;
	t->norm_squared_f32 = norm_squared_f32;
	t->f16_to_f32 = f16_to_f32;
	t->f32_to_f16 = f32_to_f16;
}
