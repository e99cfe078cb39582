/* SPDX-License-Identifier: PostgreSQL
 *
 * half.h: halfvec's values as float32 and back, for the files of that type.
 */
#ifndef RV_HALF_H
#define RV_HALF_H

#include "types/halfvec.h"
#include "utils/float.h"

/* IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. */
#define RV_HALF_SIGN	0x8000
#define RV_HALF_INF		0x7C00

static inline bool
rv_half_is_inf(rv_half x)
{
	return (x & ~RV_HALF_SIGN) == RV_HALF_INF;
}

static inline bool
rv_half_is_nan(rv_half x)
{
	return (x & ~RV_HALF_SIGN) > RV_HALF_INF;
}

static inline bool
rv_half_is_zero(rv_half x)
{
	return (x & ~RV_HALF_SIGN) == 0;
}

/* Results of arithmetic: an infinite one is an overflow, since no operand is infinite. */
static inline void
rv_half_check_overflow(const rv_half *x, int dim)
{
	for (int i = 0; i < dim; i++)
	{
		if (unlikely(rv_half_is_inf(x[i])))
			float_overflow_error();
	}
}

/* The elements as float32, palloc'd. */
extern float *rv_halfvec_floats(const HalfVec *a);

/* A value of these elements, rounded to nearest; raises for NaN, infinity and what a binary16 cannot hold. */
extern HalfVec *rv_halfvec_from_floats(const float *x, int dim);

#endif							/* RV_HALF_H */
