/* SPDX-License-Identifier: PostgreSQL
 *
 * float_neon.c: NEON kernels over float32, half, and a float32 query with half; conversions; Hadamard transform.
 *
 * NEON as every 64-bit Arm has it: conversions of half are part of it, arithmetic in half is not used. Four accumulators
 * of four lanes; a remainder of one to three values is copied into a vector of zeros.
 */
#include "distance/levels.h"

#include <arm_neon.h>
#include <string.h>

typedef float32x4_t (*load_fn) (const void *base, size_t i);
typedef float32x4_t (*load_tail_fn) (const void *base, size_t i, size_t rest);
typedef float32x4_t (*step_fn) (float32x4_t sum, float32x4_t a, float32x4_t b);

INLINED float32x4_t
load_f32(const void *base, size_t i)
{
	return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *) base + 4 * i));
}

INLINED float32x4_t
load_tail_f32(const void *base, size_t i, size_t rest)
{
	float		values[4] = {0, 0, 0, 0};

	for (size_t j = 0; j < rest; j++)
		values[j] = ((const rv_f32_any *) base)[i + j];
	return vld1q_f32(values);
}

INLINED float32x4_t
load_f16(const void *base, size_t i)
{
	return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8((const uint8_t *) base + 2 * i)));
}

INLINED float32x4_t
load_tail_f16(const void *base, size_t i, size_t rest)
{
	uint16_t	values[4] = {0, 0, 0, 0};

	for (size_t j = 0; j < rest; j++)
		values[j] = ((const rv_f16_any *) base)[i + j];
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(values)));
}

INLINED float32x4_t
step_dot(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	return vfmaq_f32(sum, a, b);
}

INLINED float32x4_t
step_l2(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	float32x4_t d = vsubq_f32(a, b);

	return vfmaq_f32(sum, d, d);
}

INLINED float32x4_t
step_l1(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	return vaddq_f32(sum, vabdq_f32(a, b));
}

INLINED float
sum_steps(const void *a, const void *b, size_t n, load_fn load_a, load_tail_fn tail_a, load_fn load_b, load_tail_fn tail_b,
		  step_fn step)
{
	float32x4_t s0 = vdupq_n_f32(0),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		s0 = step(s0, load_a(a, i), load_b(b, i));
		s1 = step(s1, load_a(a, i + 4), load_b(b, i + 4));
		s2 = step(s2, load_a(a, i + 8), load_b(b, i + 8));
		s3 = step(s3, load_a(a, i + 12), load_b(b, i + 12));
	}
	for (; i + 4 <= n; i += 4)
		s0 = step(s0, load_a(a, i), load_b(b, i));
	if (i < n)
		s1 = step(s1, tail_a(a, i, n - i), tail_b(b, i, n - i));
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
}

INLINED rv_cosine_sums
sum_cosine(const void *a, const void *b, size_t n, load_fn load, load_tail_fn tail)
{
	float32x4_t dot[2] = {vdupq_n_f32(0), vdupq_n_f32(0)},
				norm_a[2] = {vdupq_n_f32(0), vdupq_n_f32(0)},
				norm_b[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};

	for (size_t i = 0; i < n; i += 8)
		for (size_t j = 0; j < 2 && i + 4 * j < n; j++)
		{
			size_t		at = i + 4 * j;
			float32x4_t x = n - at >= 4 ? load(a, at) : tail(a, at, n - at),
						y = n - at >= 4 ? load(b, at) : tail(b, at, n - at);

			dot[j] = vfmaq_f32(dot[j], x, y);
			norm_a[j] = vfmaq_f32(norm_a[j], x, x);
			norm_b[j] = vfmaq_f32(norm_b[j], y, y);
		}
	return (rv_cosine_sums) {vaddvq_f32(vaddq_f32(dot[0], dot[1])), vaddvq_f32(vaddq_f32(norm_a[0], norm_a[1])),
		vaddvq_f32(vaddq_f32(norm_b[0], norm_b[1]))};
}

#define SUM_STEPS(a, b, n, x, y, step) sum_steps(a, b, n, load_##x, load_tail_##x, load_##y, load_tail_##y, step)
#define SUM_COSINE(a, b, n, x) sum_cosine(a, b, n, load_##x, load_tail_##x)
#include "distance/float_level.h"

static void
dot4_f32(const float *query, const float *const rows[4], size_t n, float out[4])
{
	float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
	float32x4_t more[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
	size_t		i = 0;

	for (; i + 8 <= n; i += 8)
	{
		float32x4_t q = load_f32(query, i),
					p = load_f32(query, i + 4);

		for (int r = 0; r < 4; r++)
		{
			sums[r] = vfmaq_f32(sums[r], q, load_f32(rows[r], i));
			more[r] = vfmaq_f32(more[r], p, load_f32(rows[r], i + 4));
		}
	}
	for (; i < n; i += 4)
	{
		size_t		rest = n - i >= 4 ? 4 : n - i;
		float32x4_t q = load_tail_f32(query, i, rest);

		for (int r = 0; r < 4; r++)
			sums[r] = vfmaq_f32(sums[r], q, load_tail_f32(rows[r], i, rest));
	}
	for (int r = 0; r < 4; r++)
		out[r] = vaddvq_f32(vaddq_f32(sums[r], more[r]));
}

static void
f16_to_f32(const rv_half *in, float *out, size_t n)
{
	size_t		i = 0;

	for (; i + 4 <= n; i += 4)
		vst1q_u8((uint8_t *) (out + i), vreinterpretq_u8_f32(load_f16(in, i)));
	if (i < n)
	{
		float		values[4];

		vst1q_f32(values, load_tail_f16(in, i, n - i));
		memcpy((char *) out + 4 * i, values, 4 * (n - i));
	}
}

static void
f32_to_f16(const float *in, rv_half *out, size_t n)
{
	size_t		i = 0;

	for (; i + 4 <= n; i += 4)
		vst1_u8((uint8_t *) (out + i), vreinterpret_u8_f16(vcvt_f16_f32(load_f32(in, i))));
	if (i < n)
	{
		uint16_t	values[4];

		vst1_u16(values, vreinterpret_u16_f16(vcvt_f16_f32(load_tail_f32(in, i, n - i))));
		memcpy((char *) out + 2 * i, values, 2 * (n - i));
	}
}

INLINED void
store_f32(float *p, float32x4_t v)
{
	vst1q_u8((uint8_t *) p, vreinterpretq_u8_f32(v));
}

/* Pairs (a, b) and the same swapped; the sign bit is set where a - b goes. Rounds as a + b and a - b do. */
INLINED float32x4_t
butterfly(float32x4_t x, float32x4_t swapped, uint32x4_t signs)
{
	return vaddq_f32(swapped, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), signs)));
}

static void
hadamard(float *x, size_t n)
{
	static const uint32_t signs_1[4] = {0, 0x80000000, 0, 0x80000000},
				signs_2[4] = {0, 0, 0x80000000, 0x80000000};

	if (n == 2)
	{
		rv_f32_any *v = x;
		float		a = v[0],
					b = v[1];

		v[0] = a + b;
		v[1] = a - b;
	}
	if (n < 4)
		return;
	for (size_t i = 0; i < n; i += 4)
	{
		float32x4_t v = load_f32(x, i);

		v = butterfly(v, vrev64q_f32(v), vld1q_u32(signs_1));
		store_f32(x + i, butterfly(v, vextq_f32(v, v, 2), vld1q_u32(signs_2)));
	}
	for (size_t half = 4; half < n; half *= 2)
		for (size_t i = 0; i < n; i += 2 * half)
			for (size_t j = i; j < i + half; j += 4)
			{
				float32x4_t a = load_f32(x, j),
							b = load_f32(x, j + half);

				store_f32(x + j, vaddq_f32(a, b));
				store_f32(x + j + half, vsubq_f32(a, b));
			}
}

static double
norm_squared_f32(const float *x, size_t n)
{
	float64x2_t s0 = vdupq_n_f64(0),
				s1 = s0;

	for (size_t i = 0; i < n; i += 4)
	{
		float32x4_t v = i + 4 <= n ? load_f32(x, i) : load_tail_f32(x, i, n - i);
		float64x2_t a = vcvt_f64_f32(vget_low_f32(v)),
					b = vcvt_high_f64_f32(v);

		s0 = vfmaq_f64(s0, a, a);
		s1 = vfmaq_f64(s1, b, b);
	}
	return vaddvq_f64(vaddq_f64(s0, s1));
}

void
rv_neon_float(rv_kernel_table *t)
{
	put_distances(t);
	t->dot4_f32 = dot4_f32;
	t->hadamard = hadamard;
	t->norm_squared_f32 = norm_squared_f32;
	t->f16_to_f32 = f16_to_f32;
	t->f32_to_f16 = f32_to_f16;
}
