/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec_agg.c: avg and sum of sparsevec. The state is a hash table from index to sum, in the aggregate's memory, so a
 * row costs what it has elements. Sums are double.
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "utils/float.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "compat.h"
#include "types/check.h"
#include "types/sparsevec.h"

#define TYPE "sparsevec"

RV_FUNCTION(rv_sparsevec_accum);
RV_FUNCTION(rv_sparsevec_combine);
RV_FUNCTION(rv_sparsevec_serialize);
RV_FUNCTION(rv_sparsevec_deserialize);
RV_FUNCTION(rv_sparsevec_avg);
RV_FUNCTION(rv_sparsevec_sum);

typedef struct Sum
{
	int32		index;			/* hash key */
	double		sum;
} Sum;

typedef struct State
{
	int32		dim;
	int64		count;
	HTAB	   *sums;
} State;

static State *
new_state(MemoryContext context, int dim)
{
	HASHCTL		control = {.keysize = sizeof(int32),.entrysize = sizeof(Sum),.hcxt = context};
	State	   *state = MemoryContextAlloc(context, sizeof(State));

	state->dim = dim;
	state->count = 0;
	state->sums = hash_create("sparsevec sums", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return state;
}

static void
add(State *state, int32 index, double value)
{
	bool		found;
	Sum		   *sum = hash_search(state->sums, &index, HASH_ENTER, &found);

	sum->sum = found ? sum->sum + value : value;
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sparsevec aggregate function called in non-aggregate context")));
	return context;
}

static State *
state_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (State *) PG_GETARG_POINTER(n);
}

Datum
rv_sparsevec_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	State	   *state = state_arg(fcinfo, 0);
	SparseVec  *value;

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	value = PG_GETARG_SPARSEVEC_P(1);
	if (state == NULL)
		state = new_state(context, value->dim);
	rv_check_expected(state->dim, value->dim, NULL);
	state->count++;
	for (int i = 0; i < value->nnz; i++)
		add(state, value->indices[i], (double) SPARSEVEC_VALUES(value)[i]);
	PG_RETURN_POINTER(state);
}

Datum
rv_sparsevec_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	State	   *state = state_arg(fcinfo, 0);
	State	   *other = state_arg(fcinfo, 1);
	HASH_SEQ_STATUS scan;
	Sum		   *sum;

	if (other == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}
	if (state == NULL)
		state = new_state(context, other->dim);
	rv_check_expected(state->dim, other->dim, NULL);
	state->count += other->count;
	hash_seq_init(&scan, other->sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
		add(state, sum->index, sum->sum);
	PG_RETURN_POINTER(state);
}

Datum
rv_sparsevec_serialize(PG_FUNCTION_ARGS)
{
	State	   *state = (State *) PG_GETARG_POINTER(0);
	HASH_SEQ_STATUS scan;
	Sum		   *sum;
	StringInfoData buf;

	(void) aggregate_context(fcinfo);
	pq_begintypsend(&buf);
	pq_sendint32(&buf, state->dim);
	pq_sendint64(&buf, state->count);
	pq_sendint64(&buf, hash_get_num_entries(state->sums));
	hash_seq_init(&scan, state->sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		pq_sendint32(&buf, sum->index);
		pq_sendfloat8(&buf, sum->sum);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
rv_sparsevec_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	StringInfoData buf;
	State	   *state;
	int64		entries;
	int32		dim;

	(void) aggregate_context(fcinfo);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	dim = (int32) pq_getmsgint(&buf, 4);
	/* Read once by rv_sparsevec_combine: the caller's memory is where it belongs */
	state = new_state(CurrentMemoryContext, dim);
	state->count = pq_getmsgint64(&buf);
	entries = pq_getmsgint64(&buf);
	for (int64 i = 0; i < entries; i++)
	{
		int32		index = (int32) pq_getmsgint(&buf, 4);

		add(state, index, pq_getmsgfloat8(&buf));
	}
	pq_getmsgend(&buf);
	pfree(buf.data);
	PG_RETURN_POINTER(state);
}

static int
compare_sums(const void *a, const void *b)
{
	int32		x = ((const Sum *) a)->index;
	int32		y = ((const Sum *) b)->index;

	return (x > y) - (x < y);
}

/* The sums over divisor, rounded to float32; what becomes zero is left out. */
static SparseVec *
finish(State *state, double divisor)
{
	long		entries = hash_get_num_entries(state->sums);
	Sum		   *sums = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Sum) * Max(entries, 1));
	HASH_SEQ_STATUS scan;
	Sum		   *sum;
	int			nnz = 0;
	SparseVec  *result;

	hash_seq_init(&scan, state->sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		float		value = (float) (sum->sum / divisor);

		if (unlikely(isinf(value)))
			float_overflow_error();
		if (value == 0)
			continue;
		sums[nnz].index = sum->index;
		sums[nnz++].sum = value;
	}
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ)));
	qsort(sums, nnz, sizeof(Sum), compare_sums);
	result = sparsevec_new(state->dim, nnz);
	for (int i = 0; i < nnz; i++)
	{
		result->indices[i] = sums[i].index;
		SPARSEVEC_VALUES(result)[i] = (float) sums[i].sum;
	}
	pfree(sums);
	return result;
}

Datum
rv_sparsevec_avg(PG_FUNCTION_ARGS)
{
	State	   *state = state_arg(fcinfo, 0);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_SPARSEVEC_P(finish(state, (double) state->count));
}

Datum
rv_sparsevec_sum(PG_FUNCTION_ARGS)
{
	State	   *state = state_arg(fcinfo, 0);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_SPARSEVEC_P(finish(state, 1));
}
