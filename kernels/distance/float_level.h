/* SPDX-License-Identifier: PostgreSQL
 *
 * float_level.h: the eleven distances over float32, half, and a float32 query with half of one level, made from its two
 * loops. Private to float_*.c and scalar_float.c, which include it once, after their loops.
 *
 * The file has defined step_dot, step_l2 and step_l1, and how its loops are called with the loads of f32 and f16:
 * SUM_STEPS(a, b, n, x, y, step) for a of x and b of y, and SUM_COSINE(a, b, n, x) for both of x.
 */
#ifndef RV_DISTANCE_FLOAT_LEVEL_H
#define RV_DISTANCE_FLOAT_LEVEL_H

#include "distance/levels.h"

#define DISTANCE(name, type_a, a_is, type_b, b_is, step) \
static float \
name(const type_a *a, const type_b *b, size_t n) \
{ \
	return SUM_STEPS(a, b, n, a_is, b_is, step); \
}

DISTANCE(dot_f32, float, f32, float, f32, step_dot)
DISTANCE(l2_squared_f32, float, f32, float, f32, step_l2)
DISTANCE(l1_f32, float, f32, float, f32, step_l1)
DISTANCE(dot_f16, rv_half, f16, rv_half, f16, step_dot)
DISTANCE(l2_squared_f16, rv_half, f16, rv_half, f16, step_l2)
DISTANCE(l1_f16, rv_half, f16, rv_half, f16, step_l1)
DISTANCE(dot_f32_f16, float, f32, rv_half, f16, step_dot)
DISTANCE(l2_squared_f32_f16, float, f32, rv_half, f16, step_l2)
DISTANCE(l1_f32_f16, float, f32, rv_half, f16, step_l1)

static rv_cosine_sums
cosine_f32(const float *a, const float *b, size_t n)
{
	return SUM_COSINE(a, b, n, f32);
}

static rv_cosine_sums
cosine_f16(const rv_half *a, const rv_half *b, size_t n)
{
	return SUM_COSINE(a, b, n, f16);
}

static void
put_distances(rv_kernel_table *t)
{
	t->l2_squared_f32 = l2_squared_f32;
	t->dot_f32 = dot_f32;
	t->l1_f32 = l1_f32;
	t->cosine_f32 = cosine_f32;
	t->l2_squared_f16 = l2_squared_f16;
	t->dot_f16 = dot_f16;
	t->l1_f16 = l1_f16;
	t->cosine_f16 = cosine_f16;
	t->l2_squared_f32_f16 = l2_squared_f32_f16;
	t->dot_f32_f16 = dot_f32_f16;
	t->l1_f32_f16 = l1_f32_f16;
}

#endif							/* RV_DISTANCE_FLOAT_LEVEL_H */
