/* SPDX-License-Identifier: PostgreSQL
 *
 * distance.h: distance kernels, dispatched at run time. C, no allocation, no errors, no PostgreSQL.
 *
 * One table of functions a SIMD level. rv_kernels() gives the best level that this machine has, chosen once at
 * first use; RUVECTOR_SIMD=scalar|neon|avx2|avx512 forces a lower one (a level the machine lacks is ignored).
 * No pointer needs alignment. Every function accepts n = 0. Sums are accumulated in float32 in several lanes (the
 * scalar truth in double): relative error of a sum at most (n / 8 + 8) * 2^-24 of the sum of the absolute terms.
 * A function is named for what it returns. NaN and infinity propagate as in plain arithmetic.
 */
#ifndef RV_DISTANCE_H
#define RV_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rv_simd_level { RV_SIMD_SCALAR = 0, RV_SIMD_NEON = 1, RV_SIMD_AVX2 = 2, RV_SIMD_AVX512 = 3 } rv_simd_level;

/* The three sums of a cosine. */
typedef struct rv_cosine_sums
{
	float		dot, norm_a, norm_b;	/* norms are squared */
} rv_cosine_sums;

typedef uint16_t rv_half;		/* IEEE 754 binary16, as stored */

#define RV_QUERY_BITS 4			/* bit planes of a query against 1-bit codes */
#define RV_FASTSCAN_BLOCK 32	/* codes a block of the 4-bit look-up scan */
#define RV_TILE_BLOCK 16		/* vectors a block of dots_u8_i8 */

#define RV_DECIMAL_BLOCK 16		/* float32 whose digits are found at once */
#define RV_DECIMAL_ZERO 64		/* what is added to a decimal exponent */

/* Shortest decimal digits of the magnitudes of float32: first[i].rest[i] x 10^(exponent[i] - RV_DECIMAL_ZERO), where rest is
 * eight digits of a byte each, the first in the lowest; unused ones are zero. */
typedef struct rv_decimals
{
	uint64_t	first[RV_DECIMAL_BLOCK];
	uint64_t	rest[RV_DECIMAL_BLOCK];
	uint64_t	exponent[RV_DECIMAL_BLOCK];
} rv_decimals;

typedef struct rv_kernel_table
{
	rv_simd_level level;

	/* float32[n] with float32[n] */
	float		(*l2_squared_f32) (const float *a, const float *b, size_t n);
	float		(*dot_f32) (const float *a, const float *b, size_t n);
	float		(*l1_f32) (const float *a, const float *b, size_t n);
	rv_cosine_sums (*cosine_f32) (const float *a, const float *b, size_t n);
	/* out[i] = dot(query, rows[i]) for four rows at once: one read of the query */
	void		(*dot4_f32) (const float *query, const float *const rows[4], size_t n, float out[4]);

	/* half[n] with half[n] */
	float		(*l2_squared_f16) (const rv_half *a, const rv_half *b, size_t n);
	float		(*dot_f16) (const rv_half *a, const rv_half *b, size_t n);
	float		(*l1_f16) (const rv_half *a, const rv_half *b, size_t n);
	rv_cosine_sums (*cosine_f16) (const rv_half *a, const rv_half *b, size_t n);
	/* float32[n] query with half[n] */
	float		(*l2_squared_f32_f16) (const float *q, const rv_half *x, size_t n);
	float		(*dot_f32_f16) (const float *q, const rv_half *x, size_t n);
	float		(*l1_f32_f16) (const float *q, const rv_half *x, size_t n);

	/* sq8: x[i] ~ scale * code[i] (+ offset). code: int8[n].
	 * dot of int8 codes with an int16 query whose values are within [-4095, 4095], n <= 16384. The sum is formed modulo
	 * 2^32: exact whenever it fits int32, always so for n <= 4096 (4096 * 4095 * 128 < 2^31); beyond that the caller
	 * scales the query so that |q| * |x| < 2^31 */
	int32_t		(*dot_i16_i8) (const int16_t *q, const int8_t *x, size_t n);
	void		(*dot4_i16_i8) (const int16_t *q, const int8_t *const rows[4], size_t n, int32_t out[4]);
	/* code with code (graph building); exact, n <= 32768 (32768 * 255^2 < 2^31) */
	int32_t		(*dot_i8) (const int8_t *a, const int8_t *b, size_t n);
	int32_t		(*l2_squared_i8) (const int8_t *a, const int8_t *b, size_t n);
	int32_t		(*l1_i8) (const int8_t *a, const int8_t *b, size_t n);
	/* every point with every vector of blocks of RV_TILE_BLOCK: out[p * n_blocks * 16 + b * 16 + j] = dot of the int8[n] at
	 * points + p * stride with vector j of block b. A block is uint8[n / 4][16][4]: four values of each of its vectors, then
	 * the next four. n: a multiple of 4, <= 32768; exact (32768 * 255 * 128 < 2^31) */
	void		(*dots_u8_i8) (const int8_t *points, size_t stride, size_t n_points, const uint8_t *blocks, size_t n_blocks, size_t n,
							   int32_t *out);
	/* sum |q[i] - (scale * x[i] + offset)| and sum (q[i] - (scale * x[i] + offset))^2 */
	float		(*l1_f32_i8) (const float *q, const int8_t *x, float scale, float offset, size_t n);
	float		(*l2_squared_f32_i8) (const float *q, const int8_t *x, float scale, float offset, size_t n);

	/* bits, as bytes[n] */
	uint64_t	(*hamming) (const uint8_t *a, const uint8_t *b, size_t n_bytes);
	/* intersection and union counts */
	void		(*jaccard) (const uint8_t *a, const uint8_t *b, size_t n_bytes, uint64_t *both, uint64_t *either);
	/* 1-bit codes: sum over i of query_level[i] * bit[i], query_level in [0, 15] given as RV_QUERY_BITS planes of
	 * words[n_words] one after the other, least significant plane first */
	uint32_t	(*dot_bits) (const uint64_t *planes, const uint64_t *bits, size_t n_words);
	void		(*dot_bits4) (const uint64_t *planes, const uint64_t *const rows[4], size_t n_words, uint32_t out[4]);

	/* product quantization: sum of tables[s * 256 + code[s]] for s < n_sub */
	float		(*pq_sum) (const float *tables, const uint8_t *code, size_t n_sub);
	/* 4-bit look-up scan of a block of 32 codes (as in faiss' fast scan): for every code j of the block,
	 * out[j] = sum over s < n_sub of luts[s * 16 + nibble(j, s)]. block: n_sub * 16 bytes, byte s * 16 + i holds the
	 * nibble of code i in its low half and of code i + 16 in its high half. luts: uint8[n_sub * 16]. n_sub <= 32768 */
	void		(*fastscan) (const uint8_t *luts, const uint8_t *block, size_t n_sub, uint32_t out[RV_FASTSCAN_BLOCK]);

	/* in place, unnormalised fast Walsh-Hadamard transform; n a power of two (0 does nothing). The same bits at every
	 * level */
	void		(*hadamard) (float *x, size_t n);

	/* conversions; f32_to_f16 rounds to nearest even, overflow becomes infinity */
	void		(*f16_to_f32) (const rv_half *in, float *out, size_t n);
	void		(*f32_to_f16) (const float *in, rv_half *out, size_t n);
	/* The fewest digits that read back as the same float32, of these the nearest, of two as near the even ones. For zero,
	 * infinity and NaN what comes out means nothing; for a subnormal number only the scalar level's means something. */
	void		(*decimal_f32) (const float x[RV_DECIMAL_BLOCK], rv_decimals *out);

	/* sum of x[i]^2, in double */
	double		(*norm_squared_f32) (const float *x, size_t n);
} rv_kernel_table;

/* The table in use. */
const rv_kernel_table *rv_kernels(void);

/* The table of one level, NULL when this build or this machine lacks it. For tests and benchmarks. */
const rv_kernel_table *rv_kernels_at(rv_simd_level level);

/* "AVX512", "AVX2", "NEON" or "Scalar". */
const char *rv_simd_level_name(rv_simd_level level);

/* What the machine has that matters here, e.g. "avx2 fma f16c": static storage. */
const char *rv_simd_features(void);

#ifdef __cplusplus
}
#endif

#endif							/* RV_DISTANCE_H */
