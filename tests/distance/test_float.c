/* SPDX-License-Identifier: PostgreSQL
 *
 * test_float.c: kernels over float32 and half, conversions, Hadamard transform, each against its definition.
 *
 * The bound on a sum is the one distance.h promises: (n / 8 + 8) * 2^-24 of the sum of the absolute terms, and half of
 * the smallest float for each product that may underflow.
 */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum content { UNIT, WIDE, SUBNORMAL, EQUAL, ONE_NAN, ONE_INFINITY, TWO_INFINITIES, N_CONTENTS } content;

typedef struct sums
{
	double		dot, l2, l1, norm_a, norm_b;	/* from the definition */
	double		abs_dot;
} sums;

static double
make(content kind)
{
	switch (kind)
	{
		case WIDE:
			return ldexp(random_unit(), random_int(-12, 12));
		case SUBNORMAL:
			return ldexp(random_unit(), -20);
		default:
			return random_unit();
	}
}

static sums
define(const double *a, const double *b, int n)
{
	sums		s = {0, 0, 0, 0, 0, 0};

	for (int i = 0; i < n; i++)
	{
		s.dot += a[i] * b[i];
		s.abs_dot += fabs(a[i] * b[i]);
		s.l2 += (a[i] - b[i]) * (a[i] - b[i]);
		s.l1 += fabs(a[i] - b[i]);
		s.norm_a += a[i] * a[i];
		s.norm_b += b[i] * b[i];
	}
	return s;
}

static void
check_sum(const rv_kernel_table *t, const char *name, int n, int kind, double got, double want, double abs_terms)
{
	double		bound = (n / 8 + 8) * 0x1p-24 * abs_terms + n * 0x1p-150;

	CHECK(close_enough(got, want, bound), "%s %s n %d content %d: %.9g, not %.9g (bound %.3g)", rv_simd_level_name(t->level), name,
		  n, kind, got, want, bound);
}

/* A sum in double of what has no sign is good to (n + 1) * 2^-53. */
static void
check_double(const rv_kernel_table *t, int n, int kind, double got, double want)
{
	CHECK(close_enough(got, want, (n + 1) * 0x1p-52 * want), "%s norm_squared_f32 n %d content %d: %.17g, not %.17g",
		  rv_simd_level_name(t->level), n, kind, got, want);
}

/* Any normal float32: the digits give it back, one digit less does not, and every level gives the same. */
static void
check_decimal(const rv_kernel_table *t)
{
	float		x[RV_DECIMAL_BLOCK];
	rv_decimals got,
				truth;

	for (int i = 0; i < RV_DECIMAL_BLOCK; i++)
	{
		uint32_t	bits = (uint32_t) random_int(1, 254) << 23 | (uint32_t) random_int(0, 0x7fffff) | (uint32_t) random_int(0, 1) << 31;

		if (random_int(0, 15) == 0)
			bits &= 0xff800000;	/* a power of two */
		memcpy(&x[i], &bits, sizeof(bits));
	}
	t->decimal_f32(x, &got);
	rv_kernels_at(RV_SIMD_SCALAR)->decimal_f32(x, &truth);
	for (int i = 0; i < RV_DECIMAL_BLOCK; i++)
	{
		char		text[32];
		char	   *p = text;

		p += sprintf(p, "%d.", (int) got.first[i]);
		for (int digit = 0; digit < 8; digit++)
			*p++ = (char) ('0' + (got.rest[i] >> (8 * digit) & 255));
		sprintf(p, "e%d", (int) got.exponent[i] - RV_DECIMAL_ZERO);
		CHECK(got.first[i] == truth.first[i] && got.rest[i] == truth.rest[i] && got.exponent[i] == truth.exponent[i] &&
			  strtof(text, NULL) == fabsf(x[i]), "%s decimal_f32 of %.9g: %s", rv_simd_level_name(t->level), (double) x[i], text);
	}
}

static void
check_pair(const rv_kernel_table *t, int n, int kind, placement where)
{
	size_t		count = (size_t) n;
	float	   *fa = array(0, count * 4, where),
			   *fb = array(1, count * 4, where);
	rv_half    *ha = array(2, count * 2, where),
			   *hb = array(3, count * 2, where);
	static double a[16384],
				b[16384],
				ra[16384],
				rb[16384];
	sums		s;
	rv_cosine_sums c;
	const float *rows[4];
	float		out[4];

	for (int i = 0; i < n; i++)
	{
		float		x = (float) make((content) kind),
					y = kind == EQUAL ? x : (float) make((content) kind);
		float		fx = kind == SUBNORMAL ? x * 0x1p-120f : x,	/* subnormal as float32, or as half */
					fy = kind == SUBNORMAL ? y * 0x1p-120f : y;

		memcpy((char *) fa + 4 * i, &fx, 4);
		memcpy((char *) fb + 4 * i, &fy, 4);
		a[i] = fx;
		b[i] = fy;
		rv_kernels_at(RV_SIMD_SCALAR)->f32_to_f16(&x, (rv_half *) ((char *) ha + 2 * i), 1);
		rv_kernels_at(RV_SIMD_SCALAR)->f32_to_f16(&y, (rv_half *) ((char *) hb + 2 * i), 1);
	}
	if (kind >= ONE_NAN && n > 0)
	{
		int			at = random_int(0, n - 1);
		float		special = kind == ONE_NAN ? NAN : INFINITY;
		rv_half		half = kind == ONE_NAN ? 0x7e00 : 0x7c00;

		memcpy((char *) fa + 4 * at, &special, 4);
		memcpy((char *) ha + 2 * at, &half, 2);
		a[at] = special;
		if (kind == TWO_INFINITIES)
		{
			memcpy((char *) fb + 4 * at, &special, 4);
			memcpy((char *) hb + 2 * at, &half, 2);
			b[at] = special;
		}
	}

	s = define(a, b, n);
	check_sum(t, "dot_f32", n, kind, t->dot_f32(fa, fb, count), s.dot, s.abs_dot);
	check_sum(t, "l2_squared_f32", n, kind, t->l2_squared_f32(fa, fb, count), s.l2, s.l2);
	check_sum(t, "l1_f32", n, kind, t->l1_f32(fa, fb, count), s.l1, s.l1);
	c = t->cosine_f32(fa, fb, count);
	check_sum(t, "cosine_f32 dot", n, kind, c.dot, s.dot, s.abs_dot);
	check_sum(t, "cosine_f32 a", n, kind, c.norm_a, s.norm_a, s.norm_a);
	check_sum(t, "cosine_f32 b", n, kind, c.norm_b, s.norm_b, s.norm_b);

	check_double(t, n, kind, t->norm_squared_f32(fa, count), s.norm_a);

	rows[0] = rows[2] = fb;
	rows[1] = rows[3] = fa;
	t->dot4_f32(fa, rows, count, out);
	for (int r = 0; r < 4; r++)
		check_sum(t, "dot4_f32", n, kind, out[r], r % 2 ? s.norm_a : s.dot, r % 2 ? s.norm_a : s.abs_dot);

	for (int i = 0; i < n; i++)
	{
		rv_half		x,
					y;

		memcpy(&x, (char *) ha + 2 * i, 2);
		memcpy(&y, (char *) hb + 2 * i, 2);
		ra[i] = half_value(x);
		rb[i] = half_value(y);
	}
	s = define(ra, rb, n);
	check_sum(t, "dot_f16", n, kind, t->dot_f16(ha, hb, count), s.dot, s.abs_dot);
	check_sum(t, "l2_squared_f16", n, kind, t->l2_squared_f16(ha, hb, count), s.l2, s.l2);
	check_sum(t, "l1_f16", n, kind, t->l1_f16(ha, hb, count), s.l1, s.l1);
	c = t->cosine_f16(ha, hb, count);
	check_sum(t, "cosine_f16 dot", n, kind, c.dot, s.dot, s.abs_dot);
	check_sum(t, "cosine_f16 a", n, kind, c.norm_a, s.norm_a, s.norm_a);
	check_sum(t, "cosine_f16 b", n, kind, c.norm_b, s.norm_b, s.norm_b);

	s = define(a, rb, n);
	check_sum(t, "dot_f32_f16", n, kind, t->dot_f32_f16(fa, hb, count), s.dot, s.abs_dot);
	check_sum(t, "l2_squared_f32_f16", n, kind, t->l2_squared_f32_f16(fa, hb, count), s.l2, s.l2);
	check_sum(t, "l1_f32_f16", n, kind, t->l1_f32_f16(fa, hb, count), s.l1, s.l1);
}

void
test_float(const rv_kernel_table *t)
{
	static const float one_two_three[] = {1, 2, 3},
				four_five_six[] = {4, 5, 6},
				huge[] = {3e38f},
				minus_huge[] = {-3e38f};

	CHECK(t->dot_f32(one_two_three, four_five_six, 3) == 32, "1*4 + 2*5 + 3*6");
	CHECK(t->l2_squared_f32(one_two_three, four_five_six, 3) == 27, "3 * 3^2");
	CHECK(t->l1_f32(one_two_three, four_five_six, 3) == 9, "3 * 3");
	CHECK(t->l2_squared_f32(huge, minus_huge, 1) == INFINITY, "an overflow is infinity");

	for (const int *n = lengths; *n >= 0; n++)
		for (int where = 0; where < N_PLACEMENTS; where++)
			for (int kind = 0; kind < N_CONTENTS; kind++)
				check_pair(t, *n, kind, (placement) where);
}

/* Rounds one float and compares with the half that is expected; a float alone, and as the last of nine. */
static void
check_rounding(const rv_kernel_table *t, float f, rv_half want)
{
	float		in[9];
	rv_half		out[9];

	for (int i = 0; i < 9; i++)
		in[i] = f;
	t->f32_to_f16(in, out, 9);
	CHECK(out[0] == want && out[8] == want, "%s: %a rounds to %04x and %04x, not %04x", rv_simd_level_name(t->level), (double) f, out[0],
		  out[8], want);
}

void
test_conversions(const rv_kernel_table *t)
{
	/* every half there is: its value, and what is exactly, just below and just above half way to the next one */
	for (int h = 0; h < 65536; h += 8)
	{
		rv_half		in[8],
					back[8];
		float		out[8];

		for (int i = 0; i < 8; i++)
			in[i] = (rv_half) (h + i);
		t->f16_to_f32(in, out, 8);
		t->f32_to_f16(out, back, 8);
		for (int i = 0; i < 8; i++)
		{
			double		want = half_value(in[i]);
			bool		nan = isnan(want);

			CHECK(close_enough(out[i], want, 0) && (nan || !signbit(out[i]) == !(in[i] & 0x8000)), "%s: half %04x is %g, not %g",
				  rv_simd_level_name(t->level), in[i], (double) out[i], want);
			CHECK(back[i] == (nan ? (in[i] | 0x200) : in[i]), "%s: half %04x came back as %04x", rv_simd_level_name(t->level), in[i], back[i]);
		}
	}
	for (int h = 0; h < 0x7c00; h++)
	{
		double		next = h == 0x7bff ? 65536 : half_value((rv_half) (h + 1));
		float		middle = (float) ((half_value((rv_half) h) + next) / 2);

		check_rounding(t, middle, (rv_half) (h + (h & 1)));
		check_rounding(t, nextafterf(middle, 0), (rv_half) h);
		check_rounding(t, nextafterf(middle, INFINITY), (rv_half) (h + 1));
		check_rounding(t, -middle, (rv_half) ((h + (h & 1)) | 0x8000));
	}
	check_rounding(t, 1e30f, 0x7c00);
	check_rounding(t, -INFINITY, 0xfc00);
	check_rounding(t, 0x1p-149f, 0);

	for (const int *n = lengths; *n >= 0; n++)
		for (int where = 0; where < N_PLACEMENTS; where++)
		{
			size_t		count = (size_t) *n;
			rv_half    *half = array(0, count * 2, (placement) where),
					   *back = array(1, count * 2, (placement) where);
			float	   *full = array(2, count * 4, (placement) where);
			rv_half		h;

			for (size_t i = 0; i < count; i++)
			{
				h = (rv_half) (random_u64() & 0xfbff);	/* no NaN, no infinity */
				if ((h & 0x7c00) == 0x7c00)
					h = 0;
				memcpy((char *) half + 2 * i, &h, 2);
			}
			t->f16_to_f32(half, full, count);
			t->f32_to_f16(full, back, count);
			CHECK(memcmp(half, back, count * 2) == 0, "%s: %d halves", rv_simd_level_name(t->level), *n);
		}
}

void
test_decimal(const rv_kernel_table *t)
{
	for (int i = 0; i < 5000; i++)
		check_decimal(t);
}

void
test_hadamard(const rv_kernel_table *t)
{
	t->hadamard(array(0, 0, AT_END), 0);
	for (int n = 1; n <= 32768; n *= 2)
		for (int where = 0; where < N_PLACEMENTS; where++)
		{
			size_t		size = (size_t) n * 4;
			float	   *x = array(0, size, (placement) where);
			float	   *in = malloc(size),
					   *out = malloc(size),
					   *truth = malloc(size);

			for (int i = 0; i < n; i++)
				in[i] = (float) random_unit();
			memcpy(truth, in, size);
			memcpy(x, in, size);
			rv_kernels_at(RV_SIMD_SCALAR)->hadamard(truth, (size_t) n);
			t->hadamard(x, (size_t) n);
			memcpy(out, x, size);
			CHECK(memcmp(out, truth, size) == 0, "%s: hadamard of %d differs from the scalar one", rv_simd_level_name(t->level), n);
			for (int i = 0; i < n; i += n > 256 ? n / 16 + 1 : 1)
			{
				double		want = 0;

				for (int j = 0; j < n; j++)
					want += __builtin_popcount((unsigned) (i & j)) % 2 ? -in[j] : in[j];
				CHECK(close_enough(out[i], want, n * 0x1p-20), "%s: hadamard of %d, %d: %g, not %g", rv_simd_level_name(t->level), n, i,
					  (double) out[i], want);
			}
			free(in);
			free(out);
			free(truth);
		}
}
