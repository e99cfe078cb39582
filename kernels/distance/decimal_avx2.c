/* SPDX-License-Identifier: PostgreSQL
 *
 * decimal_avx2.c: the shortest decimal digits of float32, four at a time: decimal.h in lanes of 64 bits.
 *
 * Zero, subnormal numbers, infinity and NaN come out as garbage; the caller looks for them. Every other number has at least
 * seven digits here (2^23 / 10^0 > 10^6), which saves counting. Conditions are lanes of all ones or zeros. Exponents have an
 * offset, so that every shift is one of a positive number. Eight lanes were tried: no faster, since putting the digits
 * together takes most of the time.
 */
#include "distance/avx2.h"
#include "distance/decimal.h"
#include "distance/levels.h"

#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(32)));
typedef int64_t signed_lanes __attribute__((vector_size(32)));
typedef uint16_t short_lanes __attribute__((vector_size(32)));

#define LANES			4
#define ALL(x)			((lanes) {0} + (uint64_t) (x))
#define LESS(a, b)		((lanes) ((signed_lanes) (a) < (signed_lanes) (b)))
#define OFFSET			64		/* of a decimal exponent; more than 45 */

/* The product of the lower 32 bits of each lane. */
static inline lanes
lanes_mul(lanes a, lanes b)
{
	return (lanes) _mm256_mul_epu32((__m256i) a, (__m256i) b);
}

/* The upper half of the product of every 16 bits. */
static inline lanes
lanes_mulhi16(lanes a, lanes b)
{
	return (lanes) _mm256_mulhi_epu16((__m256i) a, (__m256i) b);
}

static inline lanes
scaled_lanes(lanes scale_high, lanes scale_low, lanes x)
{
	lanes		product = lanes_mul(scale_high, x) + (lanes_mul(scale_low, x) >> 32);

	/* The lower half is above 1: it carries when all but that is added */
	return (product >> 32) | (((product & ALL(UINT32_MAX)) + ALL(UINT32_MAX - 1)) >> 32);
}

/* x / 100 and the rest of 100 to x's two halves of 32 bits, then the same with 10 to halves of 16 */
static inline lanes
split_lanes(lanes x)
{
	lanes		thousands = lanes_mul(x, ALL(3518437209)) >> 45;	/* x / 10000 */
	lanes		v = thousands | (x - lanes_mul(thousands, ALL(10000))) << 32;
	/* times 5243 / 2^19, then times 6554 / 2^16 */
	lanes		high = (lanes_mulhi16(v, ALL(0x0000147B0000147B)) >> 3) & ALL(0x0000007F0000007F);

	v = high | (v - (lanes) ((short_lanes) high * (short_lanes) ALL(0x0000006400000064))) << 16;
	high = lanes_mulhi16(v, ALL(0x199A199A199A199A));
	return high | (v - (lanes) ((short_lanes) high * (short_lanes) ALL(0x000A000A000A000A))) << 8;
}

static void
decimal_f32(const float *x, rv_decimals *out)
{
	for (int i = 0; i < RV_DECIMAL_BLOCK; i += LANES)
	{
		lanes		bits = (lanes) _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *) (x + i)));
		lanes		fraction = bits & ALL(0x7fffff);
		lanes		biased = (bits >> RV_DECIMAL_FRACTION) & ALL(255);
		lanes		close = LESS(fraction, ALL(1)) & LESS(ALL(1), biased) & ALL(1);
		lanes		c = (fraction | ALL(1 << RV_DECIMAL_FRACTION)) * 4;
		/* k + OFFSET */
		lanes		k = (lanes_mul(biased, ALL(1262611)) - lanes_mul(close, ALL(524031)) +
						 ALL(((uint64_t) OFFSET << 22) - RV_DECIMAL_BIAS * 1262611)) >> 22;
		/* q + floor(log2(10^-k)) + 1, the logarithm with 256 added */
		lanes		h = biased - ALL(RV_DECIMAL_BIAS + 256 - 1) +
			((ALL(OFFSET * 1741647 + (256 << 19)) - lanes_mul(k, ALL(1741647))) >> 19);
		/* Zero finds something there, too */
		lanes		scale = (lanes) _mm256_i64gather_epi64((const long long *) rv_decimal_scales,
															   (__m256i) (ALL(OFFSET - RV_DECIMAL_MIN) - k), 8);
		lanes		scale_high = scale >> 32;
		lanes		lower = scaled_lanes(scale_high, scale, (c - ALL(2) + close) << h) + ALL(1);
		lanes		value = scaled_lanes(scale_high, scale, c << h);
		lanes		upper = scaled_lanes(scale_high, scale, (c + ALL(2)) << h) - ALL(1);
		lanes		one = value >> 2;
		lanes		four_ones = one << 2;
		lanes		ten = lanes_mul(lanes_mul(one, ALL(0xCCCCCCCD)) >> 35, ALL(10));
		lanes		four_tens = ten << 2;
		lanes		ten_below = ~LESS(four_tens, lower);
		lanes		ten_above = ~LESS(upper, four_tens + ALL(40));
		lanes		one_below = ~LESS(four_ones, lower);
		lanes		one_above = ~LESS(upper, four_ones + ALL(4));
		lanes		nearer_above = LESS(ALL(2), (value & ALL(3)) + (one & ALL(1)));
		lanes		digits;
		lanes		short_by_one;
		lanes		short_by_two;

		one -= nearer_above ^ ((nearer_above ^ one_above) & (one_below ^ one_above));
		ten += ten_above & ALL(10);
		digits = one ^ ((one ^ ten) & (ten_below ^ ten_above));
		short_by_one = LESS(digits, ALL(100000000));
		short_by_two = LESS(digits, ALL(10000000));
		digits = lanes_mul(digits, ALL(1) + (short_by_one & ALL(9)) + (short_by_two & ALL(90)));
		bits = lanes_mul(digits, ALL(1441151881)) >> 57;	/* digits / 10^8 */
		digits = split_lanes(digits - lanes_mul(bits, ALL(100000000)));
		k += ALL(RV_DECIMAL_ZERO - OFFSET + 8) + short_by_one + short_by_two;
		memcpy(&out->first[i], &bits, sizeof(bits));
		memcpy(&out->rest[i], &digits, sizeof(digits));
		memcpy(&out->exponent[i], &k, sizeof(k));
	}
}

void
rv_avx2_decimal(rv_kernel_table *t)
{
	t->decimal_f32 = decimal_f32;
}
