/* SPDX-License-Identifier: PostgreSQL
 *
 * dense.c: the text and array forms that ruvector and halfvec share. Text input is the hot path of a query (a literal of
 * 1536 floats), so it reads once, straight into the caller's floats; the number reader is number.c.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/number.h"

#define SYNTAX_ERROR(type, text) \
	(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid input syntax for type %s: \"%s\"", type, text))

int
rv_dense_read(const RvDenseType *type, const char *text, float *x, Node *escontext)
{
	const char *p = text;
	const char *limit = text + strlen(text);
	int			dim = 0;

	while (rv_isspace(*p))
		p++;
	if (*p != '[')
		rv_soft_return(escontext, -1,
					   (SYNTAX_ERROR(type->name, text),
						errdetail("Vector contents must start with \"[\".")));
	p++;
	while (rv_isspace(*p))
		p++;
	if (*p == ']')
		rv_soft_return(escontext, -1,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("%s must have at least 1 dimension", type->name)));

	for (;;)
	{
		const char *end;
		float		value;
		rv_number_status status;

		if (dim == type->max_dim)
			rv_soft_return(escontext, -1,
						   (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("%s cannot have more than %d dimensions", type->name, type->max_dim)));
		while (rv_isspace(*p))
			p++;
		status = rv_read_float(p, limit, &end, &value);
		if (status == RV_NUMBER_NONE)
			rv_soft_return(escontext, -1, SYNTAX_ERROR(type->name, text));
		if (status == RV_NUMBER_LARGE || (fabsf(value) >= type->out_of_range && isfinite(value)))
			rv_soft_return(escontext, -1,
						   (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("\"%s\" is out of range for type %s", pnstrdup(p, end - p), type->name)));
		if (!rv_check_element(type->name, value, escontext))
			return -1;
		x[dim++] = value;

		p = end;
		while (rv_isspace(*p))
			p++;
		if (*p == ']')
			break;
		if (*p != ',')
			rv_soft_return(escontext, -1, SYNTAX_ERROR(type->name, text));
		p++;
	}

	p++;
	while (rv_isspace(*p))
		p++;
	if (*p != '\0')
		rv_soft_return(escontext, -1,
					   (SYNTAX_ERROR(type->name, text),
						errdetail("Junk after closing right brace.")));
	return dim;
}

char *
rv_dense_write(const float *x, int dim)
{
	char	   *text = palloc((Size) dim * RV_FLOAT_ROOM + 3);
	char	   *p = text;

	*p++ = '[';
	p = rv_write_floats(x, dim, p);
	p[-1] = ']';
	*p = '\0';
	return text;
}

char *
rv_send_start(bytea **sent, int16 dim, int16 unused, Size size)
{
	uint16		header[2] = {pg_hton16((uint16) dim), pg_hton16((uint16) unused)};

	size = VARHDRSZ + sizeof(header) + size * (Size) dim;
	*sent = palloc(size);
	SET_VARSIZE(*sent, size);
	memcpy(VARDATA(*sent), header, sizeof(header));
	return VARDATA(*sent) + sizeof(header);
}

void
rv_check_range(const RvDenseType *type, float x)
{
	char		number[FLOAT_SHORTEST_DECIMAL_LEN];

	if (likely(fabsf(x) < type->out_of_range) || !isfinite(x))
		return;
	float_to_shortest_decimal_buf(x, number);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("\"%s\" is out of range for type %s", number, type->name)));
}

float *
rv_floats_from_array(ArrayType *array, const RvDenseType *type, int32 typmod, int *n)
{
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *elements;
	float	   *x;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	rv_check_dim(type->name, *n, type->max_dim, NULL);
	rv_check_expected(typmod, *n, NULL);
	x = palloc(sizeof(float) * *n);

	/* The fixed-width types lie in the array as in C; a null bitmap without nulls moves nothing */
	switch (ARR_ELEMTYPE(array))
	{
		case FLOAT4OID:
			memcpy(x, ARR_DATA_PTR(array), sizeof(float) * *n);
			break;
		case INT4OID:
			for (int i = 0; i < *n; i++)
				x[i] = (float) ((int32 *) ARR_DATA_PTR(array))[i];
			break;
		case FLOAT8OID:
			for (int i = 0; i < *n; i++)
				x[i] = (float) ((float8 *) ARR_DATA_PTR(array))[i];
			break;
		case NUMERICOID:
			get_typlenbyvalalign(NUMERICOID, &typlen, &typbyval, &typalign);
			deconstruct_array(array, NUMERICOID, typlen, typbyval, typalign, &elements, NULL, n);
			for (int i = 0; i < *n; i++)
			{
				x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
				rv_check_range(type, x[i]);
			}
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type")));
	}
	return x;
}

ArrayType *
rv_array_from_floats(const float *x, int n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float) * n;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), x, sizeof(float) * n);
	return array;
}
