/* SPDX-License-Identifier: PostgreSQL
 *
 * test_codes.c: kernels over sq8 codes, bits and product-quantized codes, each against its definition. Integer results
 * are exact; those over float32 keep the bound of distance.h, with |q| + |scale * x| + |offset| as the terms.
 */
#include "check.h"

#include <math.h>
#include <string.h>

/* Random, all lowest, all highest, highest against lowest, alternating. */
typedef enum extreme { RANDOM, LOWEST, HIGHEST, OPPOSITE, ALTERNATING, N_EXTREMES } extreme;

static int
make_code(extreme kind, int low, int high, int i, bool second)
{
	switch (kind)
	{
		case LOWEST:
			return low;
		case HIGHEST:
			return high;
		case OPPOSITE:
			return second ? low : high;
		case ALTERNATING:
			return (i + second) % 2 ? low : high;
		default:
			return random_int(low, high);
	}
}

static void
check_codes(const rv_kernel_table *t, int n, extreme kind, placement where)
{
	const char *level = rv_simd_level_name(t->level);
	size_t		count = (size_t) n;
	int8_t	   *a = array(0, count, where),
			   *b = array(1, count, where);
	int64_t		dot = 0,
				l2 = 0,
				l1 = 0;

	for (int i = 0; i < n; i++)
	{
		a[i] = (int8_t) make_code(kind, -128, 127, i, false);
		b[i] = (int8_t) make_code(kind, -128, 127, i, true);
		dot += a[i] * b[i];
		l2 += (a[i] - b[i]) * (a[i] - b[i]);
		l1 += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
	}
	CHECK(t->dot_i8(a, b, count) == dot, "%s dot_i8 n %d content %d: %d, not %ld", level, n, (int) kind, t->dot_i8(a, b, count), (long) dot);
	CHECK(t->l2_squared_i8(a, b, count) == l2, "%s l2_squared_i8 n %d content %d: %d, not %ld", level, n, (int) kind,
		  t->l2_squared_i8(a, b, count), (long) l2);
	CHECK(t->l1_i8(a, b, count) == l1, "%s l1_i8 n %d content %d: %d, not %ld", level, n, (int) kind, t->l1_i8(a, b, count), (long) l1);
}

static void
check_query_and_codes(const rv_kernel_table *t, int n, extreme kind, placement where)
{
	const char *level = rv_simd_level_name(t->level);
	size_t		count = (size_t) n;
	int16_t    *q = array(0, count * 2, where);
	int8_t	   *rows[4];
	const int8_t *const_rows[4];
	int64_t		dots[4] = {0, 0, 0, 0};
	int32_t		out[4];

	for (int r = 0; r < 4; r++)
	{
		const_rows[r] = rows[r] = array(1 + r, count, r == 3 ? AT_END : where);
		for (int i = 0; i < n; i++)
			rows[r][i] = (int8_t) make_code(r == 0 ? kind : RANDOM, -128, 127, i, true);
	}
	for (int i = 0; i < n; i++)
	{
		int16_t		v = (int16_t) make_code(kind, -4095, 4095, i, false);

		memcpy((char *) q + 2 * i, &v, 2);
		for (int r = 0; r < 4; r++)
			dots[r] += v * rows[r][i];
	}
	t->dot4_i16_i8(q, const_rows, count, out);
	for (int r = 0; r < 4; r++)
	{
		/* modulo 2^32 where the sum does not fit */
		int32_t		want = (int32_t) (uint32_t) dots[r];

		CHECK(out[r] == want, "%s dot4_i16_i8 n %d content %d: %d, not %d", level, n, (int) kind, out[r], want);
		CHECK(t->dot_i16_i8(q, rows[r], count) == want, "%s dot_i16_i8 n %d content %d: %d, not %d", level, n, (int) kind,
			  t->dot_i16_i8(q, rows[r], count), want);
	}
}

static void
check_decoded(const rv_kernel_table *t, int n, extreme kind, float special, placement where)
{
	size_t		count = (size_t) n;
	float	   *q = array(0, count * 4, where);
	int8_t	   *x = array(1, count, where);
	float		scale = (float) ldexp(1 + fabs(random_unit()), -7),
				offset = (float) random_unit();
	int			at = n > 0 ? random_int(0, n - 1) : 0;
	double		l1 = 0,
				l2 = 0,
				abs1 = 0,
				abs2 = 0,
				unit = (n / 8 + 8) * 0x1p-24;
	float		got1,
				got2;

	for (int i = 0; i < n; i++)
	{
		float		f = i == at && special != 0 ? special : (float) random_unit();
		double		value,
					terms;

		memcpy((char *) q + 4 * i, &f, 4);
		x[i] = (int8_t) make_code(kind, -128, 127, i, false);
		value = f - ((double) scale * x[i] + offset);
		terms = fabs((double) f) + fabs((double) scale * x[i]) + fabs((double) offset);
		l1 += fabs(value);
		l2 += value * value;
		abs1 += terms;
		abs2 += terms * terms;
	}
	got1 = t->l1_f32_i8(q, x, scale, offset, count);
	got2 = t->l2_squared_f32_i8(q, x, scale, offset, count);
	CHECK(close_enough(got1, l1, unit * abs1), "%s l1_f32_i8 n %d: %g, not %g", rv_simd_level_name(t->level), n, (double) got1, l1);
	CHECK(close_enough(got2, l2, unit * abs2), "%s l2_squared_f32_i8 n %d: %g, not %g", rv_simd_level_name(t->level), n, (double) got2, l2);
}

static void
check_tile(const rv_kernel_table *t, int n_points, int n_blocks, int n, extreme kind, placement where)
{
	size_t		count = (size_t) n,
				stride = count + (size_t) random_int(0, 5),
				vectors = (size_t) n_blocks * RV_TILE_BLOCK;
	int8_t	   *points = array(0, n_points == 0 ? 0 : stride * ((size_t) n_points - 1) + count, where);
	uint8_t    *blocks = array(1, vectors * count, where);
	int32_t    *out = array(2, (size_t) n_points * vectors * 4, where);

	for (int p = 0; p < n_points; p++)
		for (int i = 0; i < n; i++)
			points[(size_t) p * stride + (size_t) i] = (int8_t) make_code(kind, -128, 127, i, false);
	for (size_t i = 0; i < vectors * count; i++)
		blocks[i] = (uint8_t) make_code(kind, 0, 255, (int) i, true);
	t->dots_u8_i8(points, stride, (size_t) n_points, blocks, (size_t) n_blocks, count, out);
	for (size_t p = 0; p < (size_t) n_points; p++)
		for (size_t v = 0; v < vectors; v++)
		{
			int64_t		want = 0;
			int32_t		got;

			for (size_t i = 0; i < count; i++)
				want += points[p * stride + i] * blocks[v / RV_TILE_BLOCK * RV_TILE_BLOCK * count + i / 4 * 4 * RV_TILE_BLOCK +
														v % RV_TILE_BLOCK * 4 + i % 4];
			memcpy(&got, (char *) out + 4 * (p * vectors + v), 4);
			CHECK(got == want, "%s dots_u8_i8 %d points %d blocks n %d content %d: %d, not %ld", rv_simd_level_name(t->level),
				  n_points, n_blocks, n, (int) kind, got, (long) want);
		}
}

/* Around the four points and four blocks that are taken at once; the longest sums fit. */
static void
test_tiles(const rv_kernel_table *t)
{
	for (int where = 0; where < N_PLACEMENTS; where++)
		for (int kind = 0; kind < N_EXTREMES; kind++)
		{
			for (int n_points = 0; n_points <= 9; n_points++)
				for (int n_blocks = 0; n_blocks <= 9; n_blocks++)
					check_tile(t, n_points, n_blocks, 4 * random_int(0, 17), (extreme) kind, (placement) where);
			check_tile(t, 3, 5, 384, (extreme) kind, (placement) where);
			check_tile(t, 5, 1, 32768, (extreme) kind, (placement) where);
		}
}

void
test_i8(const rv_kernel_table *t)
{
	static const int long_lengths[] = {4096, 16384, 32767, 32768};
	static const int8_t a[] = {1, -2, 3},
				b[] = {-4, 5, 6};

	CHECK(t->dot_i8(a, b, 3) == 4, "-4 - 10 + 18");
	CHECK(t->l2_squared_i8(a, b, 3) == 83, "25 + 49 + 9");
	CHECK(t->l1_i8(a, b, 3) == 15, "5 + 7 + 3");

	for (int where = 0; where < N_PLACEMENTS; where++)
		for (int kind = 0; kind < N_EXTREMES; kind++)
		{
			for (const int *n = lengths; *n >= 0; n++)
			{
				check_codes(t, *n, (extreme) kind, (placement) where);
				check_query_and_codes(t, *n, (extreme) kind, (placement) where);
				check_decoded(t, *n, (extreme) kind, 0, (placement) where);
				check_decoded(t, *n, (extreme) kind, NAN, (placement) where);
				check_decoded(t, *n, (extreme) kind, -INFINITY, (placement) where);
			}
			for (int i = 0; i < 4; i++)
				check_codes(t, long_lengths[i], (extreme) kind, (placement) where);
			check_query_and_codes(t, 4096, (extreme) kind, (placement) where);
			check_query_and_codes(t, 16384, (extreme) kind, (placement) where);
		}
	test_tiles(t);
}

static bool
bit_at(const void *bits, size_t i)
{
	return ((const uint8_t *) bits)[i / 8] >> i % 8 & 1;
}

static void
fill_bytes(void *p, size_t n, extreme kind, bool second)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *) p)[i] = (uint8_t) make_code(kind, 0, 255, (int) i, second);
}

static void
check_bytes(const rv_kernel_table *t, int n, extreme kind, placement where)
{
	size_t		count = (size_t) n;
	uint8_t    *a = array(0, count, where),
			   *b = array(1, count, where);
	uint64_t	different = 0,
				both = 0,
				either = 0,
				got_both,
				got_either;

	fill_bytes(a, count, kind, false);
	fill_bytes(b, count, kind, true);
	for (size_t i = 0; i < count * 8; i++)
	{
		different += bit_at(a, i) != bit_at(b, i);
		both += bit_at(a, i) && bit_at(b, i);
		either += bit_at(a, i) || bit_at(b, i);
	}
	CHECK(t->hamming(a, b, count) == different, "%s hamming n %d content %d", rv_simd_level_name(t->level), n, (int) kind);
	t->jaccard(a, b, count, &got_both, &got_either);
	CHECK(got_both == both && got_either == either, "%s jaccard n %d content %d", rv_simd_level_name(t->level), n, (int) kind);
}

static void
check_planes(const rv_kernel_table *t, int words, extreme kind, placement where)
{
	size_t		n = (size_t) words;
	uint64_t   *planes = array(0, n * 8 * RV_QUERY_BITS, where);
	const uint64_t *rows[4];
	uint32_t	want[4] = {0, 0, 0, 0},
				out[4];

	fill_bytes(planes, n * 8 * RV_QUERY_BITS, kind, false);
	for (int r = 0; r < 4; r++)
	{
		uint64_t   *bits = array(1 + r, n * 8, where);

		fill_bytes(bits, n * 8, r == 0 ? kind : RANDOM, false);
		rows[r] = bits;
		for (size_t i = 0; i < n * 64; i++)
			for (uint32_t p = 0; p < RV_QUERY_BITS; p++)
				if (bit_at(bits, i) && bit_at(planes, p * n * 64 + i))
					want[r] += 1u << p;
	}
	t->dot_bits4(planes, rows, n, out);
	for (int r = 0; r < 4; r++)
	{
		CHECK(out[r] == want[r], "%s dot_bits4 words %d content %d: %u, not %u", rv_simd_level_name(t->level), words, (int) kind, out[r], want[r]);
		CHECK(t->dot_bits(planes, rows[r], n) == want[r], "%s dot_bits words %d content %d", rv_simd_level_name(t->level), words, (int) kind);
	}
}

void
test_bits(const rv_kernel_table *t)
{
	for (int where = 0; where < N_PLACEMENTS; where++)
		for (int kind = 0; kind < N_EXTREMES; kind++)
		{
			for (const int *n = lengths; *n >= 0; n++)
				check_bytes(t, *n, (extreme) kind, (placement) where);
			for (int words = 0; words <= 67; words++)
				check_planes(t, words, (extreme) kind, (placement) where);
			check_planes(t, 250, (extreme) kind, (placement) where);
			check_planes(t, 1000, (extreme) kind, (placement) where);
		}
}

static void
check_pq(const rv_kernel_table *t, int n_sub, float special, placement where)
{
	size_t		n = (size_t) n_sub;
	float	   *tables = array(0, n * 256 * 4, where);
	uint8_t    *code = array(1, n, where);
	double		want = 0,
				terms = 0;

	fill_bytes(code, n, RANDOM, false);
	for (size_t i = 0; i < n * 256; i++)
	{
		float		f = special != 0 && i % 1024 == 0 ? special : (float) random_unit();

		memcpy((char *) tables + 4 * i, &f, 4);
	}
	for (size_t s = 0; s < n; s++)
	{
		float		f;

		memcpy(&f, (char *) tables + 4 * (s * 256 + code[s]), 4);
		want += f;
		terms += fabs((double) f);
	}
	CHECK(close_enough(t->pq_sum(tables, code, n), want, (n_sub / 8 + 8) * 0x1p-24 * terms), "%s pq_sum n %d: %g, not %g",
		  rv_simd_level_name(t->level), n_sub, (double) t->pq_sum(tables, code, n), want);
}

static void
check_fastscan(const rv_kernel_table *t, int n_sub, extreme kind, placement where)
{
	size_t		n = (size_t) n_sub;
	uint8_t    *luts = array(0, n * 16, where),
			   *block = array(1, n * 16, where);
	uint32_t	want[RV_FASTSCAN_BLOCK] = {0},
				out[RV_FASTSCAN_BLOCK];

	fill_bytes(luts, n * 16, kind, false);
	fill_bytes(block, n * 16, RANDOM, true);
	for (size_t s = 0; s < n; s++)
		for (int j = 0; j < RV_FASTSCAN_BLOCK; j++)
		{
			uint8_t		pair = block[s * 16 + (size_t) j % 16];

			want[j] += luts[s * 16 + (j < 16 ? pair & 15 : pair >> 4)];
		}
	memset(out, 255, sizeof(out));
	t->fastscan(luts, block, n, out);
	for (int j = 0; j < RV_FASTSCAN_BLOCK; j++)
		CHECK(out[j] == want[j], "%s fastscan n %d content %d, code %d: %u, not %u", rv_simd_level_name(t->level), n_sub, (int) kind, j, out[j],
			  want[j]);
}

void
test_pq(const rv_kernel_table *t)
{
	/* around the numbers of summands after which 16-bit lanes are emptied, and the most there may be */
	static const int long_lengths[] = {255, 256, 257, 258, 511, 512, 513, 514, 515, 1023, 1024, 1025, 1026, 1030, 4000, 32767, 32768};

	for (int where = 0; where < N_PLACEMENTS; where++)
	{
		for (int n = 0; n <= 67; n++)
		{
			check_pq(t, n, 0, (placement) where);
			check_pq(t, n, INFINITY, (placement) where);
			for (int kind = 0; kind < N_EXTREMES; kind++)
				check_fastscan(t, n, (extreme) kind, (placement) where);
		}
		check_pq(t, 96, 0, (placement) where);
		check_pq(t, 384, 0, (placement) where);
		check_pq(t, 1000, 0, (placement) where);
		for (size_t i = 0; i < sizeof(long_lengths) / sizeof(int); i++)
			for (int kind = RANDOM; kind <= HIGHEST; kind++)
				check_fastscan(t, long_lengths[i], (extreme) kind, (placement) where);
	}
}
