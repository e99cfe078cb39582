/* SPDX-License-Identifier: PostgreSQL
 *
 * record.h: how one dense vector is stored: a head of 16 bytes and its code.
 *
 * Every head carries an upper bound of |true - decoded|, rounding of the coding itself included, so that bounds on
 * distances follow with nothing else known. A vector whose coordinates leave float32's safe range is stored as zero
 * with an infinite error: it is never lost, it is only always undecided.
 */
#ifndef RV_RECORD_H
#define RV_RECORD_H

#include "engine/model.h"

namespace rv
{

/* SQ8, NONE, F16, PQ16. */
struct CodeHead
{
	float		scale;			/* decoded = scale * code (+ offset) */
	float		error;			/* >= |u - decoded|, L2 norm in the code space; L1 metric: L1 norm in the caller's. SQ8:
								 * negated when u - decoded may not be orthogonal to decoded (it was coded twice) */
	union
	{
		int32_t		square;		/* SQ8: sum of code^2, exact */
		float		offset;		/* SQ8 under L1 */
		float		square_f;	/* PQ16: |decoded|^2 */
	};
	float		norm;			/* |x| in the caller's space */
};

/* 1-bit codes: traversal records, and the stored ones of BINARY. With s = signs of u in {-1, 1}:
 * <q, u> ~ factor * <q, s> (unbiased for a random rotation), and u = alpha s + r with r orthogonal to s,
 * alpha = sum|u| / dims, |r| <= error; the true vector is within slack() of u. Source: Gao & Long, "RaBitQ", arXiv 2405.12497, section 3. */
struct BitsHead
{
	float		square;			/* |u|^2 */
	float		factor;			/* |u|^2 / sum|u| */
	uint16_t	ones;			/* bits set */
	uint16_t	slack_steps;
	float		error;			/* >= |u - alpha s| */

	double		slack() const { return slack_steps * std::sqrt(static_cast<double>(square)) / 32000; }
};

static_assert(sizeof(CodeHead) == 16 && sizeof(BitsHead) == 16, "stored layout");

constexpr uint32_t TRAVERSAL_MIN_DIMS = 256;	/* below, the stored codes are as quick: docs/design/engine.md */

inline uint32_t
bit_words(uint32_t dims)
{
	return (dims + 63) / 64;
}

inline uint32_t
bits_stride(uint32_t dims)
{
	return static_cast<uint32_t>(sizeof(BitsHead)) + bit_words(dims) * 8;
}

inline uint32_t
sq8_stride(uint32_t dims)
{
	return static_cast<uint32_t>(sizeof(CodeHead) + round_up(dims, 16));
}

/* Strides of what a spec stores; 0: none, or no fixed stride. */
uint32_t	stored_stride(const rv_spec &spec);
uint32_t	traversal_stride(const rv_spec &spec);

/* u: float[dims] in the code space, u_norm: norm_f64 of it; slack: what is already between u and the truth. Records are written
 * whole. */
void		encode_sq8(const float *u, uint32_t dims, double u_norm, double slack, double norm, uint8_t *record);
void		encode_bits(const float *u, uint32_t dims, double slack, uint8_t *record);

/* x: float[dims] in the caller's space, coded with scale and offset for L1; error: already there, in L1. */
void		encode_sq8_l1(const float *x, uint32_t dims, double error, uint8_t *record);

void		decode_sq8(const uint8_t *record, uint32_t dims, float *u);
void		decode_sq8_l1(const uint8_t *record, uint32_t dims, float *x);
void		decode_bits(const uint8_t *record, uint32_t dims, float *u);

/* Raw vectors, in the caller's space; error: what is already between x and the truth (L1 norm when l1). */
void		encode_f32(const float *x, uint32_t dims, double error, double norm, uint8_t *record);
void		encode_f16(const float *x, uint32_t dims, bool l1, double error, double norm, uint8_t *record);
void		decode_f32(const uint8_t *record, uint32_t dims, float *x);
void		decode_f16(const uint8_t *record, uint32_t dims, float *x);

/* x: x' of model.h where spec's records are made of that (SQ8), else as it came; within error of the truth. It is overwritten. */
void		encode_record(float *x, const rv_spec &spec, const Model &model, double error, double norm, uint8_t *record);

/* x: as the caller gave it; overwritten. */
void		encode_vector(float *x, const rv_spec &spec, const Model &model, uint8_t *record);

enum class RecordKind { f32, f16, sq8, sq8_l1, pq, signs, bits, sparse };

RecordKind	record_kind(const rv_spec &spec);

/* What a builder keeps while it collects: PQ16 and BINARY are made from SQ8 at the end. */
rv_spec		primary_spec(const rv_spec &spec);

/* A record of any fixed stride of dense vectors: to the code space (rotated metrics) or the caller's. Returns an upper
 * bound of the error in the norm of the metric. */
double		decode_record(const uint8_t *record, const rv_spec &spec, const Model &model, float *out);

/* The same to x' of model.h. */
double		decode_prime(const uint8_t *record, const rv_spec &spec, const Model &model, float *out);

/* |x|, where the record knows it, else 1. */
double		record_norm(const uint8_t *record, const rv_spec &spec);

double		norm_f64(const float *x, size_t n);

/* The largest |x|; infinite when one is not finite. */
float		largest_magnitude(const float *x, uint32_t n);

/* round((x - centre) * inverse), brought to [-127, 127] */
void		round_codes(const float *x, uint32_t n, float centre, float inverse, int8_t *codes);

/* How far a vector coded once may be from the truth, and still count as orthogonal to its error (bounds.h, delta). */
double		orthogonal_slack(uint32_t dims, double norm);

}								/* namespace rv */

#endif							/* RV_RECORD_H */
