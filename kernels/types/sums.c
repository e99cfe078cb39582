/* SPDX-License-Identifier: PostgreSQL
 *
 * sums.c: the state of avg over dense vectors, and the aggregates of ruvector.
 *
 * The state has pgvector's form, an ordinary float8[], so it needs no functions to travel between parallel workers.
 * Unlike there it is updated in place: inside an aggregate the array belongs to the aggregate (as float8_accum in the
 * server does it). The first value makes the array; the executor copies it into the aggregate's memory.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "compat.h"
#include "types/check.h"
#include "types/ruvector.h"
#include "types/sums.h"

#define TYPE "ruvector"

RV_FUNCTION(ruvector_accum);
RV_FUNCTION(ruvector_avg);
RV_FUNCTION(ruvector_combine);
RV_FUNCTION(ruvector_sum_step);

static ArrayType *
new_state(int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (dim + 1);
	ArrayType  *state = palloc0(size);

	SET_VARSIZE(state, size);
	state->ndim = 1;
	state->dataoffset = 0;
	state->elemtype = FLOAT8OID;
	ARR_DIMS(state)[0] = dim + 1;
	ARR_LBOUND(state)[0] = 1;
	return state;
}

ArrayType *
rv_sums_arg(FunctionCallInfo fcinfo, int n, const char *caller)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(n);

	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 || ARR_HASNULL(state) || ARR_ELEMTYPE(state) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);
	return state;
}

ArrayType *
rv_sums_next(FunctionCallInfo fcinfo, int dim, const char *caller)
{
	ArrayType  *state = rv_sums_arg(fcinfo, 0, caller);
	double		count = RV_SUMS_COUNT(state);

	if (RV_SUMS_DIM(state) == 0)
	{
		state = new_state(dim);
		/* Minus zero is what changes nothing when added to, not even a minus zero */
		for (int i = 0; i < dim; i++)
			RV_SUMS(state)[i] = -0.0;
	}
	else
	{
		rv_check_expected(RV_SUMS_DIM(state), dim, NULL);
		if (!AggCheckCallContext(fcinfo, NULL))
		{
			ArrayType  *copy = new_state(dim);

			memcpy(RV_SUMS(copy), RV_SUMS(state), sizeof(float8) * dim);
			state = copy;
		}
	}
	RV_SUMS_COUNT(state) = count + 1;
	return state;
}

void
rv_sums_check(ArrayType *state)
{
	const float8 *sums = RV_SUMS(state);
	int			dim = RV_SUMS_DIM(state);

	for (int i = 0; i < dim; i++)
	{
		if (unlikely(isinf(sums[i])))
			float_overflow_error();
	}
}

Datum
ruvector_accum(PG_FUNCTION_ARGS)
{
	RuVector   *value = PG_GETARG_RUVECTOR_P(1);
	ArrayType  *state = rv_sums_next(fcinfo, value->dim, "ruvector_accum");
	float8	   *sums = RV_SUMS(state);

	for (int i = 0, n = value->dim; i < n; i++)
		sums[i] += (double) value->x[i];
	rv_sums_check(state);
	PG_RETURN_ARRAYTYPE_P(state);
}

Datum
ruvector_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *a = rv_sums_arg(fcinfo, 0, "ruvector_combine");
	ArrayType  *b = rv_sums_arg(fcinfo, 1, "ruvector_combine");
	ArrayType  *result;
	int			dim;

	/* One that saw no value has no dimensions yet */
	if (RV_SUMS_COUNT(a) == 0)
		PG_RETURN_ARRAYTYPE_P(b);
	if (RV_SUMS_COUNT(b) == 0)
		PG_RETURN_ARRAYTYPE_P(a);
	dim = RV_SUMS_DIM(a);
	rv_check_expected(dim, RV_SUMS_DIM(b), NULL);
	result = new_state(dim);
	RV_SUMS_COUNT(result) = RV_SUMS_COUNT(a) + RV_SUMS_COUNT(b);
	for (int i = 0; i < dim; i++)
		RV_SUMS(result)[i] = RV_SUMS(a)[i] + RV_SUMS(b)[i];
	rv_sums_check(result);
	PG_RETURN_ARRAYTYPE_P(result);
}

Datum
ruvector_avg(PG_FUNCTION_ARGS)
{
	ArrayType  *state = rv_sums_arg(fcinfo, 0, "ruvector_avg");
	double		count = RV_SUMS_COUNT(state);
	RuVector   *result;

	if (count == 0)
		PG_RETURN_NULL();
	rv_check_dim(TYPE, RV_SUMS_DIM(state), RUVECTOR_MAX_DIM, NULL);
	result = ruvector_new(RV_SUMS_DIM(state));
	for (int i = 0, n = result->dim; i < n; i++)
		result->x[i] = (float) (RV_SUMS(state)[i] / count);
	rv_check_elements(TYPE, result->x, result->dim, NULL);
	PG_RETURN_RUVECTOR_P(result);
}

/* sum, by float32 additions in the order of the rows, as a + b + c would give. Inside an aggregate the first argument is
 * the aggregate's own value. */
Datum
ruvector_sum_step(PG_FUNCTION_ARGS)
{
	RuVector   *sum = PG_GETARG_RUVECTOR_P(0);
	RuVector   *value = PG_GETARG_RUVECTOR_P(1);

	rv_check_same(TYPE, sum->dim, value->dim);
	if (!AggCheckCallContext(fcinfo, NULL))
	{
		RuVector   *copy = ruvector_new(sum->dim);

		memcpy(copy->x, sum->x, sizeof(float) * sum->dim);
		sum = copy;
	}
	for (int i = 0, n = sum->dim; i < n; i++)
		sum->x[i] += value->x[i];
	if (!rv_all_finite(sum->x, sum->dim))
		float_overflow_error();
	PG_RETURN_RUVECTOR_P(sum);
}
