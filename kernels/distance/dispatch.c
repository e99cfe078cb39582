/* SPDX-License-Identifier: PostgreSQL
 *
 * dispatch.c: which kernels this machine can run, and which of them are in use.
 *
 * The tables are built once, under pthread_once, and never change afterwards: any thread may use them. A level counts
 * only when the operating system saves its registers as well (XCR0), since a hypervisor or an old kernel may offer the
 * instructions but not the state.
 *
 * Source: Intel SDM vol. 1, sections 14.3 and 15.2 (detection), vol. 2A CPUID leaves 1 and 7.
 */
#include "distance/levels.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define N_LEVELS (RV_SIMD_AVX512 + 1)

static rv_kernel_table tables[N_LEVELS];
static bool available[N_LEVELS];
static const rv_kernel_table *in_use;
static char features[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const level_names[N_LEVELS] = {"Scalar", "NEON", "AVX2", "AVX512"};

/* Notes a feature by name and gives back whether the machine has it. */
static bool
note(bool present, const char *name)
{
	size_t		used = strlen(features);

	if (present && used + strlen(name) + 2 <= sizeof(features))
	{
		if (used > 0)
			features[used++] = ' ';
		strcpy(features + used, name);
	}
	return present;
}

#if defined(__x86_64__)
#define BIT(word, n) (((word) >> (n) & 1) != 0)

static void
detect(void)
{
	unsigned	a,
				b,
				c,
				d,
				b7 = 0,
				c7 = 0,
				xcr0 = 0,
				xcr0_high;
	bool		ymm,
				zmm,
				level2,
				level512;

	if (!__get_cpuid(1, &a, &b, &c, &d))
		return;
	if (BIT(c, 27))				/* OSXSAVE: xgetbv may be used */
		__asm__ volatile ("xgetbv" : "=a" (xcr0), "=d" (xcr0_high) : "c" (0));
	ymm = (xcr0 & 0x06) == 0x06;	/* xmm, ymm */
	zmm = (xcr0 & 0xe6) == 0xe6;	/* and opmask, upper halves, upper registers */
	(void) __get_cpuid_count(7, 0, &a, &b7, &c7, &d);

	/* every test is made, so that the list of features is whole: & and not && */
	level2 = note(ymm && BIT(b7, 5), "avx2") & note(ymm && BIT(c, 12), "fma") & note(ymm && BIT(c, 29), "f16c")
		& note(BIT(c, 23), "popcnt") & note(BIT(b7, 8), "bmi2");
	level512 = note(zmm && BIT(b7, 16), "avx512f") & note(zmm && BIT(b7, 30), "avx512bw")
		& note(zmm && BIT(b7, 17), "avx512dq") & note(zmm && BIT(b7, 31), "avx512vl")
		& note(zmm && BIT(c7, 11), "avx512vnni") & note(zmm && BIT(c7, 14), "avx512vpopcntdq");
	available[RV_SIMD_AVX2] = level2;
	available[RV_SIMD_AVX512] = level2 && level512;
}

static void
fill_levels(void)
{
	rv_kernel_table *t = &tables[RV_SIMD_AVX2];

	if (!available[RV_SIMD_AVX2])
		return;
	*t = tables[RV_SIMD_SCALAR];
	t->level = RV_SIMD_AVX2;
	rv_avx2_float(t);
	rv_avx2_hadamard(t);
	rv_avx2_i8(t);
	rv_avx2_bits(t);
	rv_avx2_pq(t);
	rv_avx2_decimal(t);
	rv_avx2_tile(t);

	/* Filling the table runs code of that level: the compiler moves pointers with its widest registers. */
	if (!available[RV_SIMD_AVX512])
		return;
	tables[RV_SIMD_AVX512] = *t;
	t = &tables[RV_SIMD_AVX512];
	t->level = RV_SIMD_AVX512;
	rv_avx512_float(t);
	rv_avx512_i8(t);
	rv_avx512_bits(t);
	rv_avx512_tile(t);
}

#elif defined(__aarch64__)

static void
detect(void)
{
	available[RV_SIMD_NEON] = note(true, "neon");	/* part of the architecture */
}

static void
fill_levels(void)
{
	rv_kernel_table *t = &tables[RV_SIMD_NEON];

	*t = tables[RV_SIMD_SCALAR];
	t->level = RV_SIMD_NEON;
	rv_neon_float(t);
	rv_neon_i8(t);
	rv_neon_bits(t);
}

#else

static void
detect(void)
{
}

static void
fill_levels(void)
{
}
#endif

static void
choose(void)
{
	const char *forced = getenv("RUVECTOR_SIMD");
	int			level = RV_SIMD_SCALAR;

	rv_scalar_float(&tables[RV_SIMD_SCALAR]);
	rv_scalar_codes(&tables[RV_SIMD_SCALAR]);
	rv_scalar_decimal(&tables[RV_SIMD_SCALAR]);
	available[RV_SIMD_SCALAR] = true;
	detect();
	fill_levels();

	for (int i = 0; i < N_LEVELS; i++)
		if (available[i])
			level = i;
	if (forced != NULL)
		for (int i = 0; i < N_LEVELS; i++)
			if (available[i] && strcasecmp(forced, level_names[i]) == 0)
				level = i;
	if (features[0] == '\0')
		strcpy(features, "none");
	__atomic_store_n(&in_use, &tables[level], __ATOMIC_RELEASE);
}

const rv_kernel_table *
rv_kernels(void)
{
	const rv_kernel_table *t = __atomic_load_n(&in_use, __ATOMIC_ACQUIRE);

	if (t == NULL)
	{
		pthread_once(&once, choose);
		t = in_use;
	}
	return t;
}

const rv_kernel_table *
rv_kernels_at(rv_simd_level level)
{
	pthread_once(&once, choose);
	return (unsigned) level < N_LEVELS && available[level] ? &tables[level] : NULL;
}

const char *
rv_simd_level_name(rv_simd_level level)
{
	return (unsigned) level < N_LEVELS ? level_names[level] : "Scalar";
}

const char *
rv_simd_features(void)
{
	pthread_once(&once, choose);
	return features;
}
