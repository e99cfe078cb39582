/* SPDX-License-Identifier: PostgreSQL
 *
 * bench_distance.c: nanoseconds a call of each kernel at each level, for vectors that are in the first-level cache.
 *
 * Calls follow one another without depending on one another, as in a search that has its candidates prefetched: this
 * is throughput, not latency. A number is the smallest of RUNS; dot4 and dot_bits4 are given for one row of the four,
 * dots_u8_i8 for one product of the 64 of four points with a block.
 * dims of a bit kernel are bits; of pq_sum and fastscan they are n_sub * 4 (fastscan: for the block of 32 codes).
 * Usage: bench_distance [kernel name part].
 */
#define _GNU_SOURCE
#include "baseline.h"
#include "distance/distance.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 99
#define RUN_NS 40000
#define MAX_DIMS 1536

static const size_t dims_list[] = {3, 128, 384, 768, 1536};
#define N_DIMS (sizeof(dims_list) / sizeof(dims_list[0]))

static float float_a[MAX_DIMS],
			float_b[4][MAX_DIMS],
			tables[MAX_DIMS / 4 * 256];
static rv_half half_a[MAX_DIMS],
			half_b[MAX_DIMS];
static int16_t query_i16[MAX_DIMS];
static int8_t codes_a[MAX_DIMS],
			codes_b[4][MAX_DIMS];
static uint64_t planes[MAX_DIMS / 64 * RV_QUERY_BITS],
			bits_b[4][MAX_DIMS / 64];
static uint8_t luts[MAX_DIMS / 4 * 16],
			block[MAX_DIMS / 4 * 16],
			pq_code[MAX_DIMS / 4];
static uint8_t tile_block[RV_TILE_BLOCK * MAX_DIMS];
static int32_t tile_out[4 * RV_TILE_BLOCK];
static float work[2048];

static volatile double sink;

static const float *const float_rows[4] = {float_b[0], float_b[1], float_b[2], float_b[3]};
static const int8_t *const code_rows[4] = {codes_b[0], codes_b[1], codes_b[2], codes_b[3]};
static const uint64_t *const bit_rows[4] = {bits_b[0], bits_b[1], bits_b[2], bits_b[3]};

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* One kernel: count calls with vectors of n dims; t NULL is the plain loop. False when there is none. */
typedef bool (*calls_fn) (const rv_kernel_table *t, size_t n, long count);

#define REPEAT(expression) \
	do { double kept = 0; for (long c = 0; c < count; c++) kept += (double) (expression); sink = kept; } while (0)

#define CALLS(name, ours, plain) \
static bool \
calls_##name(const rv_kernel_table *t, size_t n, long count) \
{ \
	if (t == NULL) \
		REPEAT(plain); \
	else \
		REPEAT(t->ours); \
	return true; \
}

#define CALLS_OURS(name, statement) \
static bool \
calls_##name(const rv_kernel_table *t, size_t n, long count) \
{ \
	if (t == NULL) \
		return false; \
	for (long c = 0; c < count; c++) \
	{ \
		statement; \
	} \
	return true; \
}

CALLS(l2_squared_f32, l2_squared_f32(float_a, float_b[c & 3], n), baseline_l2_squared_f32(float_a, float_b[c & 3], n))
CALLS(dot_f32, dot_f32(float_a, float_b[c & 3], n), baseline_dot_f32(float_a, float_b[c & 3], n))
CALLS(l1_f32, l1_f32(float_a, float_b[c & 3], n), baseline_l1_f32(float_a, float_b[c & 3], n))
CALLS(cosine_f32, cosine_f32(float_a, float_b[c & 3], n).dot, baseline_cosine_f32(float_a, float_b[c & 3], n))
CALLS(l2_squared_f16, l2_squared_f16(half_a, half_b, n), baseline_l2_squared_f16(half_a, half_b, n))
CALLS(dot_i16_i8, dot_i16_i8(query_i16, codes_b[c & 3], n), baseline_dot_i16_i8(query_i16, codes_b[c & 3], n))
CALLS(dot_i8, dot_i8(codes_a, codes_b[c & 3], n), baseline_dot_i8(codes_a, codes_b[c & 3], n))
CALLS(l2_squared_i8, l2_squared_i8(codes_a, codes_b[c & 3], n), baseline_l2_squared_i8(codes_a, codes_b[c & 3], n))
CALLS(hamming, hamming((uint8_t *) bits_b[0], (uint8_t *) bits_b[c & 3], n / 8), baseline_hamming((uint8_t *) bits_b[0], (uint8_t *) bits_b[c & 3], n / 8))
CALLS(dot_bits, dot_bits(planes, bits_b[c & 3], n / 64), baseline_dot_bits(planes, bits_b[c & 3], n / 64))

static float out_f32[4];
static int32_t out_i32[4];
static uint32_t out_u32[32];
static uint64_t both,
			either;

CALLS_OURS(dot4_f32, if (c % 4 == 0) t->dot4_f32(float_a, float_rows, n, out_f32))
CALLS_OURS(dot_f16, sink = (double) t->dot_f16(half_a, half_b, n))
CALLS_OURS(l1_f16, sink = (double) t->l1_f16(half_a, half_b, n))
CALLS_OURS(cosine_f16, sink = (double) t->cosine_f16(half_a, half_b, n).dot)
CALLS_OURS(l2_squared_f32_f16, sink = (double) t->l2_squared_f32_f16(float_a, half_b, n))
CALLS_OURS(dot_f32_f16, sink = (double) t->dot_f32_f16(float_a, half_b, n))
CALLS_OURS(l1_f32_f16, sink = (double) t->l1_f32_f16(float_a, half_b, n))
CALLS_OURS(dot4_i16_i8, if (c % 4 == 0) t->dot4_i16_i8(query_i16, code_rows, n, out_i32))
CALLS_OURS(dots_u8_i8, if (c % 64 == 0) t->dots_u8_i8(codes_b[0], MAX_DIMS, 4, tile_block, 1, n / 4 * 4, tile_out))
CALLS_OURS(l1_i8, sink = (double) t->l1_i8(codes_a, codes_b[c & 3], n))
CALLS_OURS(l1_f32_i8, sink = (double) t->l1_f32_i8(float_a, codes_b[c & 3], 0.01f, 0.1f, n))
CALLS_OURS(l2_squared_f32_i8, sink = (double) t->l2_squared_f32_i8(float_a, codes_b[c & 3], 0.01f, 0.1f, n))
CALLS_OURS(jaccard, t->jaccard((uint8_t *) bits_b[0], (uint8_t *) bits_b[c & 3], n / 8, &both, &either))
CALLS_OURS(dot_bits4, if (c % 4 == 0) t->dot_bits4(planes, bit_rows, n / 64, out_u32))
CALLS_OURS(pq_sum, sink = (double) t->pq_sum(tables, pq_code, n / 4))
CALLS_OURS(fastscan, t->fastscan(luts, block, n / 4, out_u32))
CALLS_OURS(f16_to_f32, t->f16_to_f32(half_a, work, n))
CALLS_OURS(f32_to_f16, t->f32_to_f16(float_a, (rv_half *) work, n))

/* n is raised to a power of two. The values start again every 16 calls, before they can overflow. */
static bool
calls_hadamard(const rv_kernel_table *t, size_t n, long count)
{
	size_t		padded = 1;

	if (t == NULL)
		return false;
	while (padded < n)
		padded *= 2;
	for (long c = 0; c < count; c++)
	{
		if (c % 16 == 0)
			for (size_t i = 0; i < padded; i++)
				work[i] = (float) (i % 7) * 0x1p-40f;
		t->hadamard(work, padded);
	}
	return true;
}

static const struct
{
	const char *name;
	calls_fn	calls;
}			kernels[] = {
#define ENTRY(name) {#name, calls_##name}
	ENTRY(l2_squared_f32), ENTRY(dot_f32), ENTRY(l1_f32), ENTRY(cosine_f32), ENTRY(dot4_f32),
	ENTRY(l2_squared_f16), ENTRY(dot_f16), ENTRY(l1_f16), ENTRY(cosine_f16),
	ENTRY(l2_squared_f32_f16), ENTRY(dot_f32_f16), ENTRY(l1_f32_f16),
	ENTRY(dot_i16_i8), ENTRY(dot4_i16_i8), ENTRY(dot_i8), ENTRY(dots_u8_i8), ENTRY(l2_squared_i8), ENTRY(l1_i8), ENTRY(l1_f32_i8), ENTRY(l2_squared_f32_i8),
	ENTRY(hamming), ENTRY(jaccard), ENTRY(dot_bits), ENTRY(dot_bits4),
	ENTRY(pq_sum), ENTRY(fastscan), ENTRY(hadamard), ENTRY(f16_to_f32), ENTRY(f32_to_f16)
};

static double
measure(calls_fn calls, const rv_kernel_table *t, size_t n)
{
	long		count = 16;
	double		best = 1e30;

	for (;;)
	{
		double		start = now_ns();

		calls(t, n, count);
		if (now_ns() - start > RUN_NS)
			break;
		count *= 2;
	}
	for (int run = 0; run < RUNS; run++)
	{
		double		start = now_ns();
		double		ns;

		calls(t, n, count);
		ns = (now_ns() - start) / (double) count;
		if (ns < best)
			best = ns;
	}
	return best;
}

static void
report(const char *name, const char *level, calls_fn calls, const rv_kernel_table *t)
{
	printf("%-20s %-7s", name, level);
	for (size_t d = 0; d < N_DIMS; d++)
		printf(" %8.1f", measure(calls, t, dims_list[d]));
	printf("\n");
	fflush(stdout);
}

static void
fill(void)
{
	uint64_t	state = 1;

#define NEXT() (state = state * 6364136223846793005u + 1442695040888963407u, (uint32_t) (state >> 33))
	for (size_t i = 0; i < MAX_DIMS; i++)
	{
		float_a[i] = (float) NEXT() * 0x1p-31f - 0.5f;
		query_i16[i] = (int16_t) (NEXT() % 8191) - 4095;
		codes_a[i] = (int8_t) NEXT();
		for (int r = 0; r < 4; r++)
		{
			float_b[r][i] = (float) NEXT() * 0x1p-31f - 0.5f;
			codes_b[r][i] = (int8_t) NEXT();
		}
	}
	for (size_t i = 0; i < sizeof(planes); i++)
		((uint8_t *) planes)[i] = (uint8_t) NEXT();
	for (size_t i = 0; i < sizeof(bits_b); i++)
		((uint8_t *) bits_b)[i] = (uint8_t) NEXT();
	for (size_t i = 0; i < sizeof(tables) / 4; i++)
		tables[i] = (float) NEXT() * 0x1p-31f;
	for (size_t i = 0; i < sizeof(luts); i++)
	{
		luts[i] = (uint8_t) NEXT();
		block[i] = (uint8_t) NEXT();
	}
	for (size_t i = 0; i < sizeof(pq_code); i++)
		pq_code[i] = (uint8_t) NEXT();
	rv_kernels()->f32_to_f16(float_a, half_a, MAX_DIMS);
	rv_kernels()->f32_to_f16(float_b[0], half_b, MAX_DIMS);
}

int
main(int argc, char **argv)
{
	fill();
	printf("machine: %s; nanoseconds a call, smallest of %d runs\n%-20s %-7s", rv_simd_features(), RUNS, "kernel", "level");
	for (size_t d = 0; d < N_DIMS; d++)
		printf(" %8zu", dims_list[d]);
	printf("\n");
	for (size_t k = 0; k < sizeof(kernels) / sizeof(kernels[0]); k++)
	{
		if (argc > 1 && strstr(kernels[k].name, argv[1]) == NULL)
			continue;
		if (kernels[k].calls(NULL, 128, 1))
			report(kernels[k].name, "plain", kernels[k].calls, NULL);
		for (int level = RV_SIMD_SCALAR; level <= RV_SIMD_AVX512; level++)
		{
			const rv_kernel_table *t = rv_kernels_at((rv_simd_level) level);

			if (t != NULL)
				report(kernels[k].name, rv_simd_level_name((rv_simd_level) level), kernels[k].calls, t);
		}
	}
	return 0;
}
