/* SPDX-License-Identifier: PostgreSQL
 *
 * json.c: ruvector and halfvec from a JSON array of numbers, and to one. pgvector has no such casts.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/half.h"
#include "types/ruvector.h"

RV_FUNCTION(ruvector_from_jsonb);
RV_FUNCTION(ruvector_to_jsonb);
RV_FUNCTION(rv_halfvec_from_jsonb);
RV_FUNCTION(rv_halfvec_to_jsonb);

/* The numbers of the array in argument 0, palloc'd; as many dimensions as the typmod in argument 1 says. */
static float *
read_array(FunctionCallInfo fcinfo, const char *type, int *dim)
{
	Jsonb	   *json = PG_GETARG_JSONB_P(0);
	JsonbIterator *iterator;
	JsonbValue	value;
	JsonbIteratorToken token;
	float	   *x;
	int			n = 0;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb value that is not an array to type %s", type)));
	rv_check_dim(type, (int) Min(JB_ROOT_COUNT(json), RV_DENSE_MAX_DIM + 1), RV_DENSE_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(1), (int) JB_ROOT_COUNT(json), NULL);

	x = palloc(sizeof(float) * JB_ROOT_COUNT(json));
	iterator = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&iterator, &value, false);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_ELEM)
	{
		if (value.type != jbvNumeric)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot cast a jsonb array element that is not a number to type %s", type)));
		x[n++] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, NumericGetDatum(value.val.numeric)));
	}
	*dim = n;
	return x;
}

/* The text form of a dense vector is a JSON array already. */
static Datum
write_array(const float *x, int dim)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(rv_dense_write(x, dim)));
}

Datum
ruvector_from_jsonb(PG_FUNCTION_ARGS)
{
	int			dim;
	float	   *x = read_array(fcinfo, "ruvector", &dim);
	RuVector   *result = ruvector_new(dim);

	rv_check_elements("ruvector", x, dim, NULL);
	memcpy(result->x, x, sizeof(float) * dim);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_to_jsonb(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	return write_array(a->x, a->dim);
}

Datum
rv_halfvec_from_jsonb(PG_FUNCTION_ARGS)
{
	int			dim;
	float	   *x = read_array(fcinfo, "halfvec", &dim);

	PG_RETURN_HALFVEC_P(rv_halfvec_from_floats(x, dim));
}

Datum
rv_halfvec_to_jsonb(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	return write_array(rv_halfvec_floats(a), a->dim);
}
