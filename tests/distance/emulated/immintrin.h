/* SPDX-License-Identifier: PostgreSQL
 *
 * immintrin.h: stands in for the compiler's, so that the AVX-512 files run on a machine without AVX-512.
 *
 * SIMDe (Debian: libsimde-dev) gives most intrinsics in plain C; those its release 0.7.4 lacks are written here from
 * the pseudo code of Intel's Intrinsics Guide. Masked loads and stores touch only the lanes of the mask, as the machine does.
 */
#ifndef RV_TEST_EMULATED_IMMINTRIN_H
#define RV_TEST_EMULATED_IMMINTRIN_H

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#pragma GCC diagnostic pop

#include <string.h>

typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;
typedef uint64_t __mmask64;

#include "distance/distance.h"

#define RV_LANES(vector, lane) (sizeof(vector) / sizeof(lane))

#define RV_MASKED_LOAD(name, vector, mask_type, lane) \
static inline vector \
name(mask_type mask, const void *p) \
{ \
	lane		lanes[RV_LANES(vector, lane)]; \
	vector		out; \
\
	memset(lanes, 0, sizeof(lanes)); \
	for (size_t i = 0; i < RV_LANES(vector, lane); i++) \
		if ((uint64_t) mask >> i & 1) \
			memcpy(&lanes[i], (const char *) p + i * sizeof(lane), sizeof(lane)); \
	memcpy(&out, lanes, sizeof(out)); \
	return out; \
}

#define RV_MASKED_STORE(name, vector, mask_type, lane) \
static inline void \
name(void *p, mask_type mask, vector v) \
{ \
	lane		lanes[RV_LANES(vector, lane)]; \
\
	memcpy(lanes, &v, sizeof(v)); \
	for (size_t i = 0; i < RV_LANES(vector, lane); i++) \
		if ((uint64_t) mask >> i & 1) \
			memcpy((char *) p + i * sizeof(lane), &lanes[i], sizeof(lane)); \
}

#define RV_REDUCE_ADD(name, vector, lane) \
static inline lane \
name(vector v) \
{ \
	lane		lanes[RV_LANES(vector, lane)]; \
\
	memcpy(lanes, &v, sizeof(v)); \
	for (size_t half = RV_LANES(vector, lane) / 2; half > 0; half /= 2) \
		for (size_t i = 0; i < half; i++) \
			lanes[i] += lanes[i + half]; \
	return lanes[0]; \
}

RV_MASKED_LOAD(_mm_maskz_loadu_epi8, __m128i, __mmask16, uint8_t)
RV_MASKED_LOAD(_mm256_maskz_loadu_epi8, __m256i, __mmask32, uint8_t)
RV_MASKED_LOAD(_mm256_maskz_loadu_epi16, __m256i, __mmask16, uint16_t)
RV_MASKED_LOAD(_mm512_maskz_loadu_epi8, __m512i, __mmask64, uint8_t)
RV_MASKED_LOAD(_mm512_maskz_loadu_epi16, __m512i, __mmask32, uint16_t)
RV_MASKED_LOAD(_mm512_maskz_loadu_epi64, __m512i, __mmask8, uint64_t)
RV_MASKED_LOAD(_mm512_maskz_loadu_ps, __m512, __mmask16, float)
RV_MASKED_STORE(_mm512_mask_storeu_ps, __m512, __mmask16, float)
RV_MASKED_STORE(_mm256_mask_storeu_epi16, __m256i, __mmask16, uint16_t)
RV_REDUCE_ADD(_mm512_reduce_add_epi64, __m512i, uint64_t)
RV_REDUCE_ADD(_mm512_reduce_add_ps, __m512, float)

static inline __m512i
_mm512_cvtepi8_epi32(__m128i v)
{
	int8_t		in[16];
	int32_t		lanes[16];
	__m512i		out;

	memcpy(in, &v, sizeof(v));
	for (int i = 0; i < 16; i++)
		lanes[i] = in[i];
	memcpy(&out, lanes, sizeof(out));
	return out;
}

static inline __m512
_mm512_cvtepi32_ps(__m512i v)
{
	int32_t		in[16];
	float		lanes[16];
	__m512		out;

	memcpy(in, &v, sizeof(v));
	for (int i = 0; i < 16; i++)
		lanes[i] = (float) in[i];
	memcpy(&out, lanes, sizeof(out));
	return out;
}

/* Conversions of half through the scalar level, which is tested by itself. */
static inline __m512
_mm512_cvtph_ps(__m256i v)
{
	rv_half		in[16];
	float		lanes[16];
	__m512		out;

	memcpy(in, &v, sizeof(v));
	rv_kernels_at(RV_SIMD_SCALAR)->f16_to_f32(in, lanes, 16);
	memcpy(&out, lanes, sizeof(out));
	return out;
}

static inline __m256i
rv_emulated_cvtps_ph(__m512 v)
{
	float		in[16];
	rv_half		lanes[16];
	__m256i		out;

	memcpy(in, &v, sizeof(v));
	rv_kernels_at(RV_SIMD_SCALAR)->f32_to_f16(in, lanes, 16);
	memcpy(&out, lanes, sizeof(out));
	return out;
}

#undef _MM_FROUND_TO_NEAREST_INT
#define _MM_FROUND_TO_NEAREST_INT 0
#define _mm512_cvtps_ph(v, rounding) rv_emulated_cvtps_ph(((void) (rounding), (v)))

#endif							/* RV_TEST_EMULATED_IMMINTRIN_H */
