/* SPDX-License-Identifier: PostgreSQL
 *
 * compare_numkong.c: our AVX2 kernels beside those of NumKong 7.8 (headers given by NUMKONG=), in turn in one run.
 *
 * NumKong sums float32 in float64, so those two rows do not compute the same thing: it is why ours are used.
 * The smallest of RUNS turns, nanoseconds a call, vectors in the first-level cache.
 */
#define _GNU_SOURCE
#include <numkong/numkong.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "distance/distance.h"

#define RUNS 400
#define CALLS 400
#define MAX_DIMS 1536

static const rv_kernel_table *ours;
static float fa[MAX_DIMS],
			fb[MAX_DIMS];
static rv_half ha[MAX_DIMS],
			hb[MAX_DIMS];
static int8_t ca[MAX_DIMS],
			cb[MAX_DIMS];
static volatile double sink;

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

#define PAIR(name, our_call, result_type, their_call) \
static void \
name(size_t n, double best[2]) \
{ \
	best[0] = best[1] = 1e30; \
	for (int run = 0; run < RUNS; run++) \
	{ \
		double		start = now_ns(), \
					middle, \
					end; \
		result_type out = 0; \
\
		for (int c = 0; c < CALLS; c++) \
			sink = (double) (our_call); \
		middle = now_ns(); \
		for (int c = 0; c < CALLS; c++) \
		{ \
			their_call; \
			sink = (double) out; \
		} \
		end = now_ns(); \
		if ((middle - start) / CALLS < best[0]) \
			best[0] = (middle - start) / CALLS; \
		if ((end - middle) / CALLS < best[1]) \
			best[1] = (end - middle) / CALLS; \
	} \
}

PAIR(dot_f32, ours->dot_f32(fa, fb, n), nk_f64_t, nk_dot_f32_haswell(fa, fb, n, &out))
PAIR(l2_squared_f32, ours->l2_squared_f32(fa, fb, n), nk_f64_t, nk_sqeuclidean_f32_haswell(fa, fb, n, &out))
PAIR(dot_f16, ours->dot_f16(ha, hb, n), nk_f32_t, nk_dot_f16_haswell((const nk_f16_t *) ha, (const nk_f16_t *) hb, n, &out))
PAIR(l2_squared_f16, ours->l2_squared_f16(ha, hb, n), nk_f32_t, nk_sqeuclidean_f16_haswell((const nk_f16_t *) ha, (const nk_f16_t *) hb, n, &out))
PAIR(dot_i8, ours->dot_i8(ca, cb, n), nk_i32_t, nk_dot_i8_haswell(ca, cb, n, &out))
PAIR(l2_squared_i8, ours->l2_squared_i8(ca, cb, n), nk_u32_t, nk_sqeuclidean_i8_haswell(ca, cb, n, &out))
PAIR(hamming, ours->hamming((uint8_t *) ca, (uint8_t *) cb, n / 8), nk_u32_t, nk_hamming_u1_haswell((const nk_u1x8_t *) ca, (const nk_u1x8_t *) cb, n, &out))

int
main(void)
{
	static const struct
	{
		const char *name;
		void		(*measure) (size_t n, double best[2]);
	}			pairs[] = {
		{"dot_f32", dot_f32}, {"l2_squared_f32", l2_squared_f32}, {"dot_f16", dot_f16}, {"l2_squared_f16", l2_squared_f16},
		{"dot_i8", dot_i8}, {"l2_squared_i8", l2_squared_i8}, {"hamming", hamming}
	};
	static const size_t dims[] = {128, 384, 768, 1536};

	ours = rv_kernels_at(RV_SIMD_AVX2);
	if (ours == NULL)
	{
		printf("skipped: the machine has no AVX2\n");
		return 0;
	}
	for (int i = 0; i < MAX_DIMS; i++)
	{
		fa[i] = (float) rand() / (float) RAND_MAX;
		fb[i] = (float) rand() / (float) RAND_MAX;
		ca[i] = (int8_t) rand();
		cb[i] = (int8_t) rand();
	}
	ours->f32_to_f16(fa, ha, MAX_DIMS);
	ours->f32_to_f16(fb, hb, MAX_DIMS);
	printf("%-16s %6s %8s %8s\n", "kernel", "dims", "ours", "NumKong");
	for (size_t k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++)
		for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		{
			double		best[2];

			pairs[k].measure(dims[d], best);
			printf("%-16s %6zu %8.1f %8.1f\n", pairs[k].name, dims[d], best[0], best[1]);
		}
	return 0;
}
