/* SPDX-License-Identifier: PostgreSQL
 *
 * decimal.h: the shortest decimal digits of a float32, one number at a time. Private to kernels/distance.
 *
 * Of the decimal numbers that read back as the float32 those of the fewest digits, of them the nearest, of two as near the
 * even one; a number half way to a neighbour does not count as reading back. So does PostgreSQL print a real.
 *
 * Source: R. Giulietti, "The Schubfach way to render doubles" (2020), section 9, for 24 bits: the value and the borders of
 * what reads back as it are multiplied by one power of ten, kept in 64 bits and rounded up, and cut to quarters with a sticky
 * last bit; then the only candidates are the two multiples of ten and the two integers around the value. A shorter candidate
 * is the longer one with a zero at its end, so there is no loop over digits, and no branch on them, which no predictor guesses.
 * decimal_avx2.c is the same in lanes.
 */
#ifndef RV_DISTANCE_DECIMAL_H
#define RV_DISTANCE_DECIMAL_H

#include <stdint.h>

#define RV_DECIMAL_FRACTION	23		/* bits */
#define RV_DECIMAL_BIAS		150		/* of an exponent for an integer of 24 bits: 127 + 23 */
#define RV_DECIMAL_MIN		(-31)	/* the powers of ten needed are 10^-k for k of 2^104 to 2^-149 */
#define RV_DECIMAL_MAX		46		/* one more, which decimal_avx2.c reads for zero */

/* 10^e from e = RV_DECIMAL_MIN on, rounded up to 64 bits of which the first is one. */
extern const uint64_t rv_decimal_scales[RV_DECIMAL_MAX - RV_DECIMAL_MIN + 1];

/* floor(x / 2^n), also of a negative x */
static inline int
rv_decimal_shift(int x, int n)
{
	return x >> n;
}

/* The upper half of a product, whose last bit says as well whether anything follows. */
static inline uint32_t
rv_decimal_scaled(uint64_t scale, uint32_t x)
{
	uint64_t	product = (scale >> 32) * x + ((scale & UINT32_MAX) * x >> 32);

	return (uint32_t) (product >> 32) | ((uint32_t) product > 1);
}

/* Where condition is 1 the first, where it is 0 the second: without the branch that a compiler would make of ?: */
static inline uint32_t
rv_decimal_choose(uint32_t condition, uint32_t first, uint32_t second)
{
	return second ^ ((first ^ second) & -condition);
}

/* The digits of a positive finite number as an integer of 1 to 9 digits; *exponent is its power of ten. fraction and biased
 * are the fields of the float32. */
static inline uint32_t
rv_decimal_digits(uint32_t fraction, int biased, int *exponent)
{
	uint32_t	c = biased != 0 ? fraction | (UINT32_C(1) << RV_DECIMAL_FRACTION) : fraction;
	int			q = (biased != 0 ? biased : 1) - RV_DECIMAL_BIAS;
	uint32_t	close = fraction == 0 && biased > 1;	/* the neighbour below is half as far */
	int			k = rv_decimal_shift(q * 1262611 - (int) close * 524031, 22);	/* floor(log10(2^q)), of 3/4 of it when close */
	int			h = q + rv_decimal_shift(-k * 1741647, 19) + 1; /* q + floor(log2(10^-k)) + 1, in 1..4 */
	uint64_t	scale = rv_decimal_scales[-k - RV_DECIMAL_MIN];
	uint32_t	lower = rv_decimal_scaled(scale, (4 * c - 2 + close) << h) + 1;
	uint32_t	value = rv_decimal_scaled(scale, (4 * c) << h);
	uint32_t	upper = rv_decimal_scaled(scale, (4 * c + 2) << h) - 1;
	uint32_t	one = value / 4;
	uint32_t	ten = one / 10 * 10;
	uint32_t	ten_below = lower <= 4 * ten;
	uint32_t	ten_above = 4 * ten + 40 <= upper;
	uint32_t	one_below = lower <= 4 * one;
	uint32_t	one_above = 4 * one + 4 <= upper;
	uint32_t	nearer_above = value % 4 + (one & 1) > 2;	/* a tie to the even one */

	*exponent = k;
	ten += 10 * ten_above;
	one += rv_decimal_choose(one_below ^ one_above, one_above, nearer_above);
	return rv_decimal_choose((ten_below ^ ten_above) & (value >= 40), ten, one);
}

/* Eight digits, a byte each, the first in the lowest: halves of four, then of two, then of one are split in parallel. */
static inline uint64_t
rv_decimal_split(uint32_t x)
{
	uint64_t	v = x / 10000 | (uint64_t) (x % 10000) << 32;
	uint64_t	high = (v * 10486 >> 20) & UINT64_C(0x0000007F0000007F);

	v = high | (v - 100 * high) << 16;
	high = (v * 103 >> 10) & UINT64_C(0x000F000F000F000F);
	return high | (v - 10 * high) << 8;
}

#endif							/* RV_DISTANCE_DECIMAL_H */
