/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec_cast.c: sparsevec from and to the dense types and arrays. Only what is not zero is kept.
 */
#include "postgres.h"

#include <math.h>

#include "utils/array.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/half.h"
#include "types/ruvector.h"
#include "types/sparsevec.h"

#define TYPE "sparsevec"

/* A list of its elements, as an array gives it */
static const RvDenseType dense = {TYPE, SPARSEVEC_MAX_DIM, INFINITY};

RV_FUNCTION(rv_sparsevec_from_array);
RV_FUNCTION(rv_ruvector_to_sparsevec);
RV_FUNCTION(rv_halfvec_to_sparsevec);
RV_FUNCTION(rv_sparsevec_to_ruvector);
RV_FUNCTION(rv_sparsevec_to_halfvec);

static SparseVec *
from_floats(const float *x, int dim, int32 typmod)
{
	SparseVec  *result;
	int32	   *indices;
	float	   *values;
	int			nnz = 0;
	int			at = 0;

	rv_check_dim(TYPE, dim, SPARSEVEC_MAX_DIM, NULL);
	rv_check_expected(typmod, dim, NULL);
	for (int i = 0; i < dim; i++)
		nnz += x[i] != 0;
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ)));
	rv_check_elements(TYPE, x, dim, NULL);
	result = sparsevec_new(dim, nnz);
	indices = result->indices;
	values = SPARSEVEC_VALUES(result);
	if (nnz == dim)
	{
		for (int i = 0; i < nnz; i++)
			indices[i] = i;
		memcpy(values, x, sizeof(float) * nnz);
		return result;
	}
	/* A zero is overwritten by what follows it; there is room, since not all are placed yet */
	for (int i = 0; at < nnz; i++)
	{
		indices[at] = i;
		values[at] = x[i];
		at += x[i] != 0;
	}
	return result;
}

Datum
rv_sparsevec_from_array(PG_FUNCTION_ARGS)
{
	int			n;
	int32		typmod = PG_GETARG_INT32(1);
	float	   *x = rv_floats_from_array(PG_GETARG_ARRAYTYPE_P(0), &dense, typmod, &n);

	PG_RETURN_SPARSEVEC_P(from_floats(x, n, typmod));
}

Datum
rv_ruvector_to_sparsevec(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	PG_RETURN_SPARSEVEC_P(from_floats(a->x, a->dim, PG_GETARG_INT32(1)));
}

Datum
rv_halfvec_to_sparsevec(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_SPARSEVEC_P(from_floats(rv_halfvec_floats(a), a->dim, PG_GETARG_INT32(1)));
}

Datum
rv_sparsevec_to_ruvector(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(a);
	RuVector   *result;

	rv_check_dim("ruvector", a->dim, RUVECTOR_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	result = ruvector_new(a->dim);
	for (int i = 0, n = a->nnz; i < n; i++)
		result->x[a->indices[i]] = values[i];
	PG_RETURN_RUVECTOR_P(result);
}

Datum
rv_sparsevec_to_halfvec(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(a);
	float	   *x;

	rv_check_dim("halfvec", a->dim, HALFVEC_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	x = palloc0(sizeof(float) * a->dim);
	for (int i = 0, n = a->nnz; i < n; i++)
		x[a->indices[i]] = values[i];
	PG_RETURN_HALFVEC_P(rv_halfvec_from_floats(x, a->dim));
}
