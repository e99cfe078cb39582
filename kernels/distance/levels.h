/* SPDX-License-Identifier: PostgreSQL
 *
 * levels.h: what the files of one SIMD level offer to dispatch.c. Private to kernels/distance.
 *
 * Each file puts the functions it has into the table it is given and leaves the rest. A level is made by starting
 * from the level below, so every table is complete and a level writes only what it does better.
 */
#ifndef RV_DISTANCE_LEVELS_H
#define RV_DISTANCE_LEVELS_H

#include "distance/distance.h"

/* For loops that take their loads and steps as functions: none of these may be left a call. */
#define INLINED static inline __attribute__((always_inline))

/* Values at any address: the interface promises that no pointer needs alignment, plain loads would assume it. */
typedef float rv_f32_any __attribute__((aligned(1)));
typedef rv_half rv_f16_any __attribute__((aligned(1)));
typedef int16_t rv_i16_any __attribute__((aligned(1)));
typedef uint32_t rv_u32_any __attribute__((aligned(1)));

void		rv_scalar_float(rv_kernel_table *t);
void		rv_scalar_codes(rv_kernel_table *t);
void		rv_scalar_decimal(rv_kernel_table *t);

#if defined(__x86_64__)
void		rv_avx2_float(rv_kernel_table *t);
void		rv_avx2_hadamard(rv_kernel_table *t);
void		rv_avx2_i8(rv_kernel_table *t);
void		rv_avx2_bits(rv_kernel_table *t);
void		rv_avx2_pq(rv_kernel_table *t);
void		rv_avx2_decimal(rv_kernel_table *t);
void		rv_avx2_tile(rv_kernel_table *t);

void		rv_avx512_float(rv_kernel_table *t);
void		rv_avx512_i8(rv_kernel_table *t);
void		rv_avx512_bits(rv_kernel_table *t);
void		rv_avx512_tile(rv_kernel_table *t);
#elif defined(__aarch64__)
void		rv_neon_float(rv_kernel_table *t);
void		rv_neon_i8(rv_kernel_table *t);
void		rv_neon_bits(rv_kernel_table *t);
#endif

#endif							/* RV_DISTANCE_LEVELS_H */
