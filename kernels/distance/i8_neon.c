/* SPDX-License-Identifier: PostgreSQL
 *
 * i8_neon.c: NEON kernels over sq8 codes. Products of bytes are formed in 16 bits, where each alone fits, and pairs of
 * them are added in 32 bits.
 */
#include "distance/levels.h"

#include <arm_neon.h>

INLINED int16x8_t
load_i16(const int16_t *p)
{
	return vreinterpretq_s16_u8(vld1q_u8((const uint8_t *) p));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *x, size_t n)
{
	int32x4_t	s0 = vdupq_n_s32(0),
				s1 = s0,
				s2 = s0,
				s3 = s0;
	uint32_t	sum = 0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		int8x16_t	code = vld1q_s8(x + i);
		int16x8_t	low = vmovl_s8(vget_low_s8(code)),
					high = vmovl_high_s8(code),
					q0 = load_i16(q + i),
					q1 = load_i16(q + i + 8);

		s0 = vmlal_s16(s0, vget_low_s16(q0), vget_low_s16(low));
		s1 = vmlal_high_s16(s1, q0, low);
		s2 = vmlal_s16(s2, vget_low_s16(q1), vget_low_s16(high));
		s3 = vmlal_high_s16(s3, q1, high);
	}
	for (; i < n; i++)
		sum += (uint32_t) (((const rv_i16_any *) q)[i] * x[i]);
	return (int32_t) (sum + (uint32_t) vaddvq_s32(vaddq_s32(vaddq_s32(s0, s1), vaddq_s32(s2, s3))));
}

static void
dot4_i16_i8(const int16_t *q, const int8_t *const rows[4], size_t n, int32_t out[4])
{
	int32x4_t	sums[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)},
				more[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
	size_t		i = 0;

	for (; i + 8 <= n; i += 8)
	{
		int16x8_t	v = load_i16(q + i);

		for (int r = 0; r < 4; r++)
		{
			int16x8_t	code = vmovl_s8(vld1_s8(rows[r] + i));

			sums[r] = vmlal_s16(sums[r], vget_low_s16(v), vget_low_s16(code));
			more[r] = vmlal_high_s16(more[r], v, code);
		}
	}
	for (int r = 0; r < 4; r++)
	{
		uint32_t	sum = (uint32_t) vaddvq_s32(vaddq_s32(sums[r], more[r]));

		for (size_t j = i; j < n; j++)
			sum += (uint32_t) (((const rv_i16_any *) q)[j] * rows[r][j]);
		out[r] = (int32_t) sum;
	}
}

static int32_t
dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	int32x4_t	s0 = vdupq_n_s32(0),
				s1 = s0;
	int32_t		sum = 0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		int8x16_t	x = vld1q_s8(a + i),
					y = vld1q_s8(b + i);

		s0 = vpadalq_s16(s0, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
		s1 = vpadalq_s16(s1, vmull_high_s8(x, y));
	}
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum + vaddvq_s32(vaddq_s32(s0, s1));
}

/* |a - b| of sixteen codes */
INLINED uint8x16_t
distances(const int8_t *a, const int8_t *b)
{
	return vreinterpretq_u8_s8(vabdq_s8(vld1q_s8(a), vld1q_s8(b)));
}

static int32_t
l2_squared_i8(const int8_t *a, const int8_t *b, size_t n)
{
	uint32x4_t	s0 = vdupq_n_u32(0),
				s1 = s0;
	int32_t		sum = 0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		uint8x16_t	d = distances(a + i, b + i);

		s0 = vpadalq_u16(s0, vmull_u8(vget_low_u8(d), vget_low_u8(d)));
		s1 = vpadalq_u16(s1, vmull_high_u8(d, d));
	}
	for (; i < n; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum + (int32_t) vaddvq_u32(vaddq_u32(s0, s1));
}

static int32_t
l1_i8(const int8_t *a, const int8_t *b, size_t n)
{
	uint32x4_t	s = vdupq_n_u32(0);
	int32_t		sum = 0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
		s = vpadalq_u16(s, vpaddlq_u8(distances(a + i, b + i)));
	for (; i < n; i++)
		sum += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
	return sum + (int32_t) vaddvq_u32(s);
}

/* The sum of |d| when absolute, else of d^2, with d = q - (scale * x + offset). */
INLINED float
sum_differences(const float *q, const int8_t *x, float scale, float offset, size_t n, int absolute)
{
	float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
	float		sum = 0;
	size_t		i = 0;

	for (; i + 16 <= n; i += 16)
	{
		int8x16_t	code = vld1q_s8(x + i);
		int16x8_t	low = vmovl_s8(vget_low_s8(code)),
					high = vmovl_high_s8(code);
		int32x4_t	codes[4] = {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)};

		for (int j = 0; j < 4; j++)
		{
			float32x4_t value = vfmaq_n_f32(vdupq_n_f32(offset), vcvtq_f32_s32(codes[j]), scale);
			float32x4_t d = vsubq_f32(vreinterpretq_f32_u8(vld1q_u8((const uint8_t *) (q + i + 4 * j))), value);

			sums[j] = absolute ? vaddq_f32(sums[j], vabsq_f32(d)) : vfmaq_f32(sums[j], d, d);
		}
	}
	for (; i < n; i++)
	{
		float		d = ((const rv_f32_any *) q)[i] - (scale * (float) x[i] + offset);

		sum += absolute ? __builtin_fabsf(d) : d * d;
	}
	return sum + vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
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
rv_neon_i8(rv_kernel_table *t)
{
	t->dot_i16_i8 = dot_i16_i8;
	t->dot4_i16_i8 = dot4_i16_i8;
	t->dot_i8 = dot_i8;
	t->l2_squared_i8 = l2_squared_i8;
	t->l1_i8 = l1_i8;
	t->l1_f32_i8 = l1_f32_i8;
	t->l2_squared_f32_i8 = l2_squared_f32_i8;
}
