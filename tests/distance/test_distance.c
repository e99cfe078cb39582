/* SPDX-License-Identifier: PostgreSQL
 *
 * test_distance.c: runs every test of the kernels on every level this machine has, and says which it could not run.
 *
 * The expected values are computed here one by one from the definition, in double or 64-bit integers: the scalar level
 * is tested like the others. Usage: test_distance [seed].
 */
#define _GNU_SOURCE
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned long checks_made,
			checks_failed;
uint64_t	seed = 20261123;

const int	lengths[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
	34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65,
	66, 67, 96, 100, 127, 128, 129, 255, 384, 768, 1000, 1536, 16000, -1
};

/* splitmix64 */
uint64_t
random_u64(void)
{
	uint64_t	z = (seed += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

double
random_unit(void)
{
	return (double) (random_u64() >> 11) * 0x1p-52 - 1.0;
}

int
random_int(int low, int high)
{
	return low + (int) (random_u64() % (uint64_t) (high - low + 1));
}

void *
array(int number, size_t size, placement where)
{
	static char *regions[N_ARRAYS];
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		room = (ARRAY_BYTES + page - 1) / page * page;
	char	   *start;

	if (regions[number] == NULL)
	{
		char	   *p = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || mprotect(p + page, room, PROT_READ | PROT_WRITE) != 0)
		{
			perror("mmap");
			exit(2);
		}
		regions[number] = p + page;
	}
	if (size + 6 > room)
	{
		fprintf(stderr, "array of %zu bytes is larger than ARRAY_BYTES\n", size);
		exit(2);
	}
	start = regions[number];
	switch (where)
	{
		case AT_START:
			return start;
		case ODD_FROM_START:
			return start + 1;
		case ODD_FROM_END:
			return start + room - size - 3;
		default:
			return start + room - size;
	}
}

double
half_value(rv_half h)
{
	int			exponent = h >> 10 & 31;
	double		fraction = h & 0x3ff;
	double		magnitude;

	if (exponent == 31)
		magnitude = fraction != 0 ? NAN : INFINITY;
	else
		magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
	return h & 0x8000 ? -magnitude : magnitude;
}

bool
close_enough(double got, double want, double bound)
{
	if (isnan(want) || isnan(got))
		return isnan(want) && isnan(got);
	if (isinf(want) || isinf(got))
		return got == want;
	return fabs(got - want) <= bound;
}

/* Every entry is set: a table with a hole would be found only by its first caller. */
static void
test_complete(const rv_kernel_table *t)
{
	const char *p = (const char *) t + offsetof(rv_kernel_table, l2_squared_f32);
	const char *end = (const char *) t + offsetof(rv_kernel_table, f32_to_f16) + sizeof(t->f32_to_f16);

	for (int i = 0; p < end; p += sizeof(void (*) (void)), i++)
	{
		void		(*entry) (void);

		memcpy(&entry, p, sizeof(entry));
		CHECK(entry != NULL, "entry %d of %s is empty", i, rv_simd_level_name(t->level));
	}
}

/* What RUVECTOR_SIMD asks for is what is used, when the machine has it. */
static void
test_choice(void)
{
	const char *forced = getenv("RUVECTOR_SIMD");
	rv_simd_level best = RV_SIMD_SCALAR;

	for (int level = RV_SIMD_SCALAR; level <= RV_SIMD_AVX512; level++)
		if (rv_kernels_at((rv_simd_level) level) != NULL)
		{
			best = (rv_simd_level) level;
			CHECK(rv_kernels_at(best)->level == best, "the table of %s says %d", rv_simd_level_name(best), (int) rv_kernels_at(best)->level);
		}
	if (forced != NULL)
		for (int level = RV_SIMD_SCALAR; level < (int) best; level++)
			if (strcasecmp(forced, rv_simd_level_name((rv_simd_level) level)) == 0 && rv_kernels_at((rv_simd_level) level) != NULL)
				best = (rv_simd_level) level;
	CHECK(rv_kernels()->level == best, "%s is in use, not %s", rv_simd_level_name(rv_kernels()->level), rv_simd_level_name(best));
	CHECK(rv_kernels_at((rv_simd_level) 4) == NULL, "there is no level 4");
	CHECK(rv_kernels_at((rv_simd_level) -1) == NULL, "there is no level -1");
}

#if defined(RV_TEST_EMULATED_AVX512)
#include "distance/levels.h"

/* The AVX-512 files, compiled against an emulation, over the scalar level: dispatch would not offer them here. */
static const rv_kernel_table *
table_of(rv_simd_level level)
{
	static rv_kernel_table emulated;

	if (level != RV_SIMD_AVX512)
		return NULL;
	emulated = *rv_kernels_at(RV_SIMD_SCALAR);
	emulated.level = level;
	rv_avx512_float(&emulated);
	rv_avx512_i8(&emulated);
	rv_avx512_bits(&emulated);
	rv_avx512_tile(&emulated);
	return &emulated;
}
#else
static const rv_kernel_table *
table_of(rv_simd_level level)
{
	return rv_kernels_at(level);
}
#endif

int
main(int argc, char **argv)
{
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	printf("seed %llu, machine: %s, in use: %s\n", (unsigned long long) seed, rv_simd_features(), rv_simd_level_name(rv_kernels()->level));
	test_choice();
	for (int level = RV_SIMD_SCALAR; level <= RV_SIMD_AVX512; level++)
	{
		const rv_kernel_table *t = table_of((rv_simd_level) level);

		if (t == NULL)
		{
			printf("%-6s skipped: not in this build, or not on this machine\n", rv_simd_level_name((rv_simd_level) level));
			continue;
		}
		test_complete(t);
		test_float(t);
		test_conversions(t);
		test_hadamard(t);
		test_decimal(t);
		test_i8(t);
		test_bits(t);
		test_pq(t);
		printf("%-6s tested\n", rv_simd_level_name((rv_simd_level) level));
	}
	printf("%lu checks, %lu failed\n", checks_made, checks_failed);
	return checks_failed != 0;
}
