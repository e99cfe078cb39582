/* SPDX-License-Identifier: PostgreSQL
 *
 * scalar_float.c: the scalar truth of the kernels over float32 and half, and the conversions between them.
 *
 * Sums are accumulated in double, in order: every other level is tested against this one, and a machine without a
 * SIMD level runs it. The Hadamard transform is the exception: it works in float32, and since every level does the same
 * additions in the same stages, its result is the same bit for bit everywhere.
 *
 * Half: IEEE 754-2008 binary16. NaN payloads keep their upper bits and become quiet, as F16C and Arm do.
 */
#include "distance/levels.h"

#include <math.h>
#include <string.h>

static inline float
half_to_float(rv_half h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = (h >> 10) & 31;
	uint32_t	fraction = h & 0x3ff;
	uint32_t	bits;
	float		out;

	if (exponent == 31)
		bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
	else if (exponent != 0)
		bits = sign | (exponent + 112) << 23 | fraction << 13;
	else
	{
		/* zero and subnormal: fraction * 2^-24, exact in float32 */
		out = (float) fraction * 0x1p-24f;
		memcpy(&bits, &out, sizeof(bits));
		bits |= sign;
	}
	memcpy(&out, &bits, sizeof(out));
	return out;
}

static inline rv_half
float_to_half(float f)
{
	uint32_t	bits;
	uint32_t	sign;
	uint32_t	magnitude;

	memcpy(&bits, &f, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	magnitude = bits & 0x7fffffff;

	if (magnitude > 0x7f800000)
		return (rv_half) (sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
	/* 65520 is half way between the largest half, 65504, and the next one there would be: the tie goes to infinity */
	if (magnitude >= 0x477ff000)
		return (rv_half) (sign | 0x7c00);
	if (magnitude < 0x38800000)
	{
		/* below 2^-14: in units of 2^-24, rounded to nearest even by adding 1.5 * 2^23 */
		float		x;

		memcpy(&x, &magnitude, sizeof(x));
		x = x * 0x1p24f + 12582912.0f;
		memcpy(&bits, &x, sizeof(bits));
		return (rv_half) (sign | (bits & 0x7ff));
	}
	/* rebias, then round to nearest even; a carry runs into the exponent as it should */
	magnitude -= 112u << 23;
	magnitude += 0xfff + (magnitude >> 13 & 1);
	return (rv_half) (sign | magnitude >> 13);
}

typedef double (*load_fn) (const void *base, size_t i);
typedef double (*step_fn) (double sum, double a, double b);

INLINED double
load_f32(const void *base, size_t i)
{
	return ((const rv_f32_any *) base)[i];
}

INLINED double
load_f16(const void *base, size_t i)
{
	return half_to_float(((const rv_f16_any *) base)[i]);
}

INLINED double
step_dot(double sum, double a, double b)
{
	return sum + a * b;
}

INLINED double
step_l2(double sum, double a, double b)
{
	double		d = a - b;

	return sum + d * d;
}

INLINED double
step_l1(double sum, double a, double b)
{
	return sum + fabs(a - b);
}

INLINED float
sum_steps(const void *a, const void *b, size_t n, load_fn load_a, load_fn load_b, step_fn step)
{
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = step(sum, load_a(a, i), load_b(b, i));
	return (float) sum;
}

INLINED rv_cosine_sums
sum_cosine(const void *a, const void *b, size_t n, load_fn load)
{
	double		dot = 0,
				norm_a = 0,
				norm_b = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		x = load(a, i),
					y = load(b, i);

		dot += x * y;
		norm_a += x * x;
		norm_b += y * y;
	}
	return (rv_cosine_sums) {(float) dot, (float) norm_a, (float) norm_b};
}

#define SUM_STEPS(a, b, n, x, y, step) sum_steps(a, b, n, load_##x, load_##y, step)
#define SUM_COSINE(a, b, n, x) sum_cosine(a, b, n, load_##x)
#include "distance/float_level.h"

static void
dot4_f32(const float *query, const float *const rows[4], size_t n, float out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = dot_f32(query, rows[r], n);
}

static void
hadamard(float *values, size_t n)
{
	rv_f32_any *x = values;

	for (size_t half = 1; half < n; half *= 2)
		for (size_t i = 0; i < n; i += 2 * half)
			for (size_t j = i; j < i + half; j++)
			{
				float		a = x[j],
							b = x[j + half];

				x[j] = a + b;
				x[j + half] = a - b;
			}
}

static void
f16_to_f32(const rv_half *in, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((rv_f32_any *) out)[i] = half_to_float(((const rv_f16_any *) in)[i]);
}

static void
f32_to_f16(const float *in, rv_half *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((rv_f16_any *) out)[i] = float_to_half(((const rv_f32_any *) in)[i]);
}

static double
norm_squared_f32(const float *x, size_t n)
{
	double		sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double) ((const rv_f32_any *) x)[i] * (double) ((const rv_f32_any *) x)[i];
	return sum;
}

void
rv_scalar_float(rv_kernel_table *t)
{
	put_distances(t);
	t->dot4_f32 = dot4_f32;
	t->hadamard = hadamard;
	t->norm_squared_f32 = norm_squared_f32;
	t->f16_to_f32 = f16_to_f32;
	t->f32_to_f16 = f32_to_f16;
}
