/* SPDX-License-Identifier: PostgreSQL
 *
 * halfvec_ops.c: arithmetic, sum, order and hash of halfvec.
 *
 * Arithmetic is done in float32 and rounded once. Order is element by element, then by dimensions; minus zero equals
 * zero.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "compat.h"
#include "types/check.h"
#include "types/compare.h"
#include "types/half.h"

#define TYPE "halfvec"

RV_FUNCTION(rv_halfvec_add);
RV_FUNCTION(rv_halfvec_sub);
RV_FUNCTION(rv_halfvec_mul);
RV_FUNCTION(rv_halfvec_concat);
RV_FUNCTION(rv_halfvec_sum_step);
RV_FUNCTION(rv_halfvec_hash);
RV_FUNCTION(rv_halfvec_hash_extended);

typedef enum Operation
{
	ADD,
	SUBTRACT,
	MULTIPLY
} Operation;

/* result may be a or b. */
static void
calculate(const HalfVec *a, const HalfVec *b, Operation operation, HalfVec *result)
{
	float	   *x = rv_halfvec_floats(a);
	float	   *y = rv_halfvec_floats(b);
	int			dim = a->dim;

	switch (operation)
	{
		case ADD:
			for (int i = 0; i < dim; i++)
				x[i] += y[i];
			break;
		case SUBTRACT:
			for (int i = 0; i < dim; i++)
				x[i] -= y[i];
			break;
		case MULTIPLY:
			for (int i = 0; i < dim; i++)
				x[i] *= y[i];
			break;
	}
	rv_kernels()->f32_to_f16(x, result->x, (size_t) dim);
	pfree(x);
	pfree(y);
}

static HalfVec *
elementwise(FunctionCallInfo fcinfo, Operation operation)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	HalfVec    *b = PG_GETARG_HALFVEC_P(1);
	HalfVec    *result;

	rv_check_same(TYPE, a->dim, b->dim);
	result = halfvec_new(a->dim);
	calculate(a, b, operation, result);
	for (int i = 0, n = a->dim; i < n; i++)
	{
		if (unlikely(rv_half_is_inf(result->x[i])))
			float_overflow_error();
		if (operation == MULTIPLY && unlikely(rv_half_is_zero(result->x[i])) &&
			!rv_half_is_zero(a->x[i]) && !rv_half_is_zero(b->x[i]))
			float_underflow_error();
	}
	return result;
}

Datum
rv_halfvec_add(PG_FUNCTION_ARGS)
{
	PG_RETURN_HALFVEC_P(elementwise(fcinfo, ADD));
}

Datum
rv_halfvec_sub(PG_FUNCTION_ARGS)
{
	PG_RETURN_HALFVEC_P(elementwise(fcinfo, SUBTRACT));
}

Datum
rv_halfvec_mul(PG_FUNCTION_ARGS)
{
	PG_RETURN_HALFVEC_P(elementwise(fcinfo, MULTIPLY));
}

/* sum: a + b + c, rounded after each. Inside an aggregate the first argument is the aggregate's own value. */
Datum
rv_halfvec_sum_step(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	HalfVec    *b = PG_GETARG_HALFVEC_P(1);

	if (!AggCheckCallContext(fcinfo, NULL))
		PG_RETURN_HALFVEC_P(elementwise(fcinfo, ADD));
	rv_check_same(TYPE, a->dim, b->dim);
	calculate(a, b, ADD, a);
	rv_half_check_overflow(a->x, a->dim);
	PG_RETURN_HALFVEC_P(a);
}

Datum
rv_halfvec_concat(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	HalfVec    *b = PG_GETARG_HALFVEC_P(1);
	int			dim = a->dim + b->dim;
	HalfVec    *result;

	rv_check_dim(TYPE, dim, HALFVEC_MAX_DIM, NULL);
	result = halfvec_new(dim);
	memcpy(result->x, a->x, sizeof(rv_half) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(rv_half) * b->dim);
	PG_RETURN_HALFVEC_P(result);
}

/* An integer in the order of the values: binary16 is sign and magnitude. Both zeros give 0. */
static inline int
rank_of(rv_half x)
{
	int			magnitude = x & ~RV_HALF_SIGN;

	return (x & RV_HALF_SIGN) ? -magnitude : magnitude;
}

static int
compare(const HalfVec *a, const HalfVec *b)
{
	int			n = Min(a->dim, b->dim);

	for (int i = 0; i < n; i++)
	{
		int			x = rank_of(a->x[i]);
		int			y = rank_of(b->x[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

RV_COMPARISONS(rv_halfvec, HalfVec, compare);

static rv_half *
with_plain_zeros(const HalfVec *a)
{
	rv_half    *x = palloc(sizeof(rv_half) * a->dim);

	for (int i = 0, n = a->dim; i < n; i++)
		x[i] = rv_half_is_zero(a->x[i]) ? 0 : a->x[i];
	return x;
}

Datum
rv_halfvec_hash(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	rv_half    *x = with_plain_zeros(a);
	uint32		hash = hash_bytes((unsigned char *) x, (int) sizeof(rv_half) * a->dim);

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT32(hash);
}

Datum
rv_halfvec_hash_extended(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	rv_half    *x = with_plain_zeros(a);
	uint64		hash = hash_bytes_extended((unsigned char *) x, (int) sizeof(rv_half) * a->dim,
										   (uint64) PG_GETARG_INT64(1));

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT64(hash);
}
