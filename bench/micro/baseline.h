/* SPDX-License-Identifier: PostgreSQL
 *
 * baseline.h: the loops to beat. Each is the plain loop over float32 (or half, or bytes) that a compiler turns into
 * vector code by itself, as an extension built with -ftree-vectorize and relaxed associativity gets it.
 */
#ifndef RV_BENCH_BASELINE_H
#define RV_BENCH_BASELINE_H

#include <stddef.h>
#include <stdint.h>

float		baseline_l2_squared_f32(const float *a, const float *b, size_t n);
float		baseline_dot_f32(const float *a, const float *b, size_t n);
float		baseline_l1_f32(const float *a, const float *b, size_t n);
float		baseline_cosine_f32(const float *a, const float *b, size_t n);
float		baseline_l2_squared_f16(const uint16_t *a, const uint16_t *b, size_t n);
int32_t		baseline_dot_i16_i8(const int16_t *q, const int8_t *x, size_t n);
int32_t		baseline_dot_i8(const int8_t *a, const int8_t *b, size_t n);
int32_t		baseline_l2_squared_i8(const int8_t *a, const int8_t *b, size_t n);
uint64_t	baseline_hamming(const uint8_t *a, const uint8_t *b, size_t n_bytes);
uint32_t	baseline_dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n_words);

#endif							/* RV_BENCH_BASELINE_H */
