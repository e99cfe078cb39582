/* SPDX-License-Identifier: PostgreSQL
 *
 * check.h: what the distance tests share: CHECK, seeded numbers, and arrays between two inaccessible pages.
 *
 * An array is put against the page after it, against the page before it, or at an odd address, so that a kernel that
 * reads or writes one byte beyond its arguments is killed, with no sanitizer needed.
 */
#ifndef RV_TEST_CHECK_H
#define RV_TEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "distance/distance.h"

extern unsigned long checks_made,
			checks_failed;

#define CHECK(condition, ...) \
	do { \
		checks_made++; \
		if (!(condition) && ++checks_failed <= 20) \
		{ \
			printf("FAILED %s:%d: %s: ", __FILE__, __LINE__, #condition); \
			printf(__VA_ARGS__); \
			printf("\n"); \
		} \
	} while (0)

typedef enum placement { AT_END, AT_START, ODD_FROM_START, ODD_FROM_END, N_PLACEMENTS } placement;

/* Room for size bytes as placed; number [0, N_ARRAYS) names the array, which is reused by the next call. */
#define N_ARRAYS 8
#define ARRAY_BYTES (1024 * 1024 + 64)
void	   *array(int number, size_t size, placement where);

extern uint64_t seed;
uint64_t	random_u64(void);
/* in [-1, 1) */
double		random_unit(void);
/* in [low, high] */
int			random_int(int low, int high);

/* 0 .. 67 and the lengths of real vectors, then a -1. */
extern const int lengths[];

void		test_float(const rv_kernel_table *t);
void		test_conversions(const rv_kernel_table *t);
void		test_hadamard(const rv_kernel_table *t);
void		test_decimal(const rv_kernel_table *t);
void		test_i8(const rv_kernel_table *t);
void		test_bits(const rv_kernel_table *t);
void		test_pq(const rv_kernel_table *t);

/* The value of a half, from the definition. */
double		half_value(rv_half h);

/* Equal, both NaN, the same infinity, or no further apart than bound. */
bool		close_enough(double got, double want, double bound);

#endif							/* RV_TEST_CHECK_H */
