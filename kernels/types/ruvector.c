/* SPDX-License-Identifier: PostgreSQL
 *
 * ruvector.c: the type ruvector: text and binary form, typmod, casts, and the functions of one value. Distances are in
 * ruvector_distance.c, operators in ruvector_ops.c.
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/varbit.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/ruvector.h"

#define TYPE "ruvector"

static const RvDenseType dense = {TYPE, RUVECTOR_MAX_DIM, INFINITY};

RV_FUNCTION(ruvector_in);
RV_FUNCTION(ruvector_out);
RV_FUNCTION(ruvector_typmod_in);
RV_FUNCTION(ruvector_recv);
RV_FUNCTION(ruvector_send);
RV_FUNCTION(ruvector_apply_typmod);
RV_FUNCTION(ruvector_from_array);
RV_FUNCTION(ruvector_to_float4);
RV_FUNCTION(ruvector_dims);
RV_FUNCTION(ruvector_text_dims);
RV_FUNCTION(ruvector_norm);
RV_FUNCTION(ruvector_normalize);
RV_FUNCTION(ruvector_binary_quantize);
RV_FUNCTION(ruvector_subvector);
RV_FUNCTION(ruvector_random);

RuVector *
ruvector_new(int dim)
{
	Size		size = RUVECTOR_SIZE(dim);
	RuVector   *result = palloc0(size);

	SET_VARSIZE(result, size);
	result->dim = (int16) dim;
	return result;
}

Datum
ruvector_in(PG_FUNCTION_ARGS)
{
	Node	   *escontext = RV_ESCONTEXT(fcinfo);
	float		x[RUVECTOR_MAX_DIM];
	int			dim = rv_dense_read(&dense, PG_GETARG_CSTRING(0), x, escontext);
	RuVector   *result;

	if (dim < 0 || !rv_check_expected(PG_GETARG_INT32(2), dim, escontext))
		PG_RETURN_NULL();
	result = ruvector_new(dim);
	memcpy(result->x, x, sizeof(float) * dim);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_out(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	PG_RETURN_CSTRING(rv_dense_write(a->x, a->dim));
}

Datum
ruvector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(rv_typmod_in(PG_GETARG_ARRAYTYPE_P(0), TYPE, RUVECTOR_MAX_DIM));
}

/* int16 dim, int16 unused (0), float32[dim], in network byte order. */
Datum
ruvector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			dim = (int16) pq_getmsgint(buf, sizeof(int16));
	int			unused = (int16) pq_getmsgint(buf, sizeof(int16));
	const char *data;
	RuVector   *result;

	rv_check_dim(TYPE, dim, RUVECTOR_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(2), dim, NULL);
	rv_check_unused(unused);

	/* A message cut short: what is there is judged before that */
	for (int i = 0; i < dim && buf->len - buf->cursor < (int) sizeof(float) * (dim - i); i++)
		rv_check_element(TYPE, pq_getmsgfloat4(buf), NULL);
	data = pq_getmsgbytes(buf, (int) sizeof(float) * dim);
	result = ruvector_new(dim);
	for (int i = 0; i < dim; i++)
	{
		uint32		bits;

		memcpy(&bits, data + sizeof(bits) * i, sizeof(bits));
		bits = pg_ntoh32(bits);
		memcpy(&result->x[i], &bits, sizeof(bits));
	}
	rv_check_elements(TYPE, result->x, dim, NULL);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_send(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	bytea	   *sent;
	char	   *data = rv_send_start(&sent, a->dim, a->unused, sizeof(float));

	for (int i = 0, n = a->dim; i < n; i++)
	{
		uint32		bits;

		memcpy(&bits, &a->x[i], sizeof(bits));
		bits = pg_hton32(bits);
		memcpy(data + sizeof(bits) * i, &bits, sizeof(bits));
	}
	PG_RETURN_BYTEA_P(sent);
}

/* The length coercion: (value, typmod, is_explicit). The value itself when it fits. */
Datum
ruvector_apply_typmod(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	PG_RETURN_RUVECTOR_P(a);
}

Datum
ruvector_from_array(PG_FUNCTION_ARGS)
{
	int			n;
	float	   *x = rv_floats_from_array(PG_GETARG_ARRAYTYPE_P(0), &dense, PG_GETARG_INT32(1), &n);
	RuVector   *result;

	rv_check_elements(TYPE, x, n, NULL);
	result = ruvector_new(n);
	memcpy(result->x, x, sizeof(float) * n);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
ruvector_to_float4(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	PG_RETURN_ARRAYTYPE_P(rv_array_from_floats(a->x, a->dim));
}

Datum
ruvector_dims(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	PG_RETURN_INT32(a->dim);
}

/* What an untyped literal is taken for (sql/ruvector/40-bit.sql). */
Datum
ruvector_text_dims(PG_FUNCTION_ARGS)
{
	char	   *literal = text_to_cstring(PG_GETARG_TEXT_PP(0));
	float		x[RUVECTOR_MAX_DIM];

	PG_RETURN_INT32(rv_dense_read(&dense, literal, x, NULL));
}

Datum
ruvector_norm(PG_FUNCTION_ARGS)
{
	RvRoom		room;
	RuVector   *a = (RuVector *) rv_open(PG_GETARG_DATUM(0), &room);

	PG_RETURN_FLOAT8(rv_norm(a->x, a->dim));
}

/* Zero stays zero. */
Datum
ruvector_normalize(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	RuVector   *result = ruvector_new(a->dim);
	double		length = rv_norm(a->x, a->dim);

	if (length > 0)
	{
		for (int i = 0, n = a->dim; i < n; i++)
			result->x[i] = (float) (a->x[i] / length);
		if (!rv_all_finite(result->x, a->dim))
			float_overflow_error();
	}
	PG_RETURN_RUVECTOR_P(result);
}

/* One bit a dimension: is it above zero? */
Datum
ruvector_binary_quantize(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	Size		size = VARBITTOTALLEN(a->dim);
	VarBit	   *result = palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = a->dim;
	for (int i = 0, n = a->dim; i < n; i++)
		bits[i / 8] |= (a->x[i] > 0) << (7 - i % 8);
	PG_RETURN_VARBIT_P(result);
}

Datum
ruvector_subvector(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);
	int			first;
	int			count = rv_subvector_range(TYPE, a->dim, RUVECTOR_MAX_DIM, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &first);
	RuVector   *result = ruvector_new(count);

	memcpy(result->x, a->x + first, sizeof(float) * count);
	PG_RETURN_RUVECTOR_P(result);
}

/* Repeatable test data: dims numbers in [-1, 1) from a seed, by splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
Datum
ruvector_random(PG_FUNCTION_ARGS)
{
	int			dim = PG_GETARG_INT32(0);
	uint64		state = (uint64) PG_GETARG_INT64(1);
	RuVector   *result;

	rv_check_dim(TYPE, dim, RUVECTOR_MAX_DIM, NULL);
	result = ruvector_new(dim);
	for (int i = 0; i < dim; i++)
	{
		uint64		z = (state += UINT64CONST(0x9E3779B97F4A7C15));

		z = (z ^ (z >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64CONST(0x94D049BB133111EB);
		z ^= z >> 31;
		/* 24 bits: exact in float32 */
		result->x[i] = (float) (z >> 40) / 8388608.0f - 1.0f;
	}
	PG_RETURN_RUVECTOR_P(result);
}
