/* SPDX-License-Identifier: PostgreSQL
 *
 * ruvector_ops.c: arithmetic, order and hash of ruvector.
 *
 * Order is element by element, then by dimensions, as for PostgreSQL's arrays. Minus zero equals zero, so it hashes as
 * zero.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "utils/float.h"

#include "compat.h"
#include "types/check.h"
#include "types/compare.h"
#include "types/ruvector.h"

#define TYPE "ruvector"

RV_FUNCTION(ruvector_add);
RV_FUNCTION(ruvector_sub);
RV_FUNCTION(ruvector_mul);
RV_FUNCTION(ruvector_concat);
RV_FUNCTION(ruvector_hash);
RV_FUNCTION(ruvector_hash_extended);

/* Operands are finite, so a result that is not has overflowed. */
static void
check_overflow(const RuVector *a)
{
	if (!rv_all_finite(a->x, a->dim))
		float_overflow_error();
}

Datum
ruvector_add(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	RuVector   *b = PG_GETARG_RUVECTOR_P(1);
	RuVector   *result;

	rv_check_same(TYPE, a->dim, b->dim);
	result = ruvector_new(a->dim);
	for (int i = 0, n = a->dim; i < n; i++)
		result->x[i] = a->x[i] + b->x[i];
	check_overflow(result);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_sub(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	RuVector   *b = PG_GETARG_RUVECTOR_P(1);
	RuVector   *result;

	rv_check_same(TYPE, a->dim, b->dim);
	result = ruvector_new(a->dim);
	for (int i = 0, n = a->dim; i < n; i++)
		result->x[i] = a->x[i] - b->x[i];
	check_overflow(result);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_mul(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	RuVector   *b = PG_GETARG_RUVECTOR_P(1);
	RuVector   *result;
	int			vanished = 0;

	rv_check_same(TYPE, a->dim, b->dim);
	result = ruvector_new(a->dim);
	for (int i = 0, n = a->dim; i < n; i++)
		result->x[i] = a->x[i] * b->x[i];
	check_overflow(result);
	for (int i = 0, n = a->dim; i < n; i++)
		vanished |= (result->x[i] == 0) & (a->x[i] != 0) & (b->x[i] != 0);
	if (unlikely(vanished))
		float_underflow_error();
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_concat(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	RuVector   *b = PG_GETARG_RUVECTOR_P(1);
	int			dim = a->dim + b->dim;
	RuVector   *result;

	rv_check_dim(TYPE, dim, RUVECTOR_MAX_DIM, NULL);
	result = ruvector_new(dim);
	memcpy(result->x, a->x, sizeof(float) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * b->dim);
	PG_RETURN_RUVECTOR_P(result);
}

static int
compare(const RuVector *a, const RuVector *b)
{
	int			n = Min(a->dim, b->dim);

	for (int i = 0; i < n; i++)
	{
		if (a->x[i] < b->x[i])
			return -1;
		if (a->x[i] > b->x[i])
			return 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

RV_COMPARISONS(ruvector, RuVector, compare);

/* A copy whose zeros have one form: adding zero turns minus zero into zero and changes nothing else. */
static float *
with_plain_zeros(const RuVector *a)
{
	float	   *x = palloc(sizeof(float) * a->dim);

	for (int i = 0, n = a->dim; i < n; i++)
		x[i] = a->x[i] + 0.0f;
	return x;
}

Datum
ruvector_hash(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	float	   *x = with_plain_zeros(a);
	uint32		hash = hash_bytes((unsigned char *) x, (int) sizeof(float) * a->dim);

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT32(hash);
}

Datum
ruvector_hash_extended(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	float	   *x = with_plain_zeros(a);
	uint64		hash = hash_bytes_extended((unsigned char *) x, (int) sizeof(float) * a->dim,
										   (uint64) PG_GETARG_INT64(1));

	pfree(x);
	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT64(hash);
}
