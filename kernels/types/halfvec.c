/* SPDX-License-Identifier: PostgreSQL
 *
 * halfvec.c: the type halfvec: text and binary form, typmod, casts, the functions of one value, and avg. Distances are in
 * halfvec_distance.c, operators and sum in halfvec_ops.c.
 *
 * The C names begin with rv_: pgvector's library exports the plain ones.
 */
#include "postgres.h"

#include <math.h>

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/varbit.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/half.h"
#include "types/halfvec.h"
#include "types/ruvector.h"
#include "types/sums.h"

#define TYPE "halfvec"

static const RvDenseType dense = {TYPE, HALFVEC_MAX_DIM, RV_HALF_OVERFLOW};

RV_FUNCTION(rv_halfvec_in);
RV_FUNCTION(rv_halfvec_out);
RV_FUNCTION(rv_halfvec_typmod_in);
RV_FUNCTION(rv_halfvec_recv);
RV_FUNCTION(rv_halfvec_send);
RV_FUNCTION(rv_halfvec_apply_typmod);
RV_FUNCTION(rv_halfvec_from_array);
RV_FUNCTION(rv_halfvec_to_float4);
RV_FUNCTION(rv_halfvec_to_ruvector);
RV_FUNCTION(rv_ruvector_to_halfvec);
RV_FUNCTION(rv_halfvec_dims);
RV_FUNCTION(rv_halfvec_norm);
RV_FUNCTION(rv_halfvec_normalize);
RV_FUNCTION(rv_halfvec_binary_quantize);
RV_FUNCTION(rv_halfvec_subvector);
RV_FUNCTION(rv_halfvec_accum);
RV_FUNCTION(rv_halfvec_avg);

HalfVec *
halfvec_new(int dim)
{
	Size		size = HALFVEC_SIZE(dim);
	HalfVec    *result = palloc0(size);

	SET_VARSIZE(result, size);
	result->dim = (int16) dim;
	return result;
}

float *
rv_halfvec_floats(const HalfVec *a)
{
	float	   *x = palloc(sizeof(float) * a->dim);

	rv_kernels()->f16_to_f32(a->x, x, (size_t) a->dim);
	return x;
}

HalfVec *
rv_halfvec_from_floats(const float *x, int dim)
{
	HalfVec    *result = halfvec_new(dim);
	int			strange = 0;

	/* A loop without branches first: one that looks for what is wrong only when something is */
	for (int i = 0; i < dim; i++)
		strange |= !(fabsf(x[i]) < RV_HALF_OVERFLOW);
	if (unlikely(strange))
	{
		for (int i = 0; i < dim; i++)
			rv_check_range(&dense, x[i]);
		rv_check_elements(TYPE, x, dim, NULL);
	}
	rv_kernels()->f32_to_f16(x, result->x, (size_t) dim);
	return result;
}

Datum
rv_halfvec_in(PG_FUNCTION_ARGS)
{
	Node	   *escontext = RV_ESCONTEXT(fcinfo);
	float		x[HALFVEC_MAX_DIM];
	int			dim = rv_dense_read(&dense, PG_GETARG_CSTRING(0), x, escontext);
	HalfVec    *result;

	if (dim < 0 || !rv_check_expected(PG_GETARG_INT32(2), dim, escontext))
		PG_RETURN_NULL();
	result = halfvec_new(dim);
	rv_kernels()->f32_to_f16(x, result->x, (size_t) dim);
	PG_RETURN_HALFVEC_P(result);
}

Datum
rv_halfvec_out(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	float	   *x = rv_halfvec_floats(a);
	char	   *text = rv_dense_write(x, a->dim);

	pfree(x);
	PG_RETURN_CSTRING(text);
}

Datum
rv_halfvec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(rv_typmod_in(PG_GETARG_ARRAYTYPE_P(0), TYPE, HALFVEC_MAX_DIM));
}

static void
check_finite(rv_half x)
{
	if (unlikely((x & RV_HALF_INF) == RV_HALF_INF))
		rv_check_element(TYPE, rv_half_is_nan(x) ? NAN : INFINITY, NULL);
}

/* int16 dim, int16 unused (0), binary16[dim], in network byte order. */
Datum
rv_halfvec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			dim = (int16) pq_getmsgint(buf, sizeof(int16));
	int			unused = (int16) pq_getmsgint(buf, sizeof(int16));
	const char *data;
	HalfVec    *result;
	int			strange = 0;

	rv_check_dim(TYPE, dim, HALFVEC_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(2), dim, NULL);
	rv_check_unused(unused);

	/* A message cut short: what is there is judged before that */
	for (int i = 0; i < dim && buf->len - buf->cursor < (int) sizeof(rv_half) * (dim - i); i++)
		check_finite((rv_half) pq_getmsgint(buf, sizeof(rv_half)));
	data = pq_getmsgbytes(buf, (int) sizeof(rv_half) * dim);
	result = halfvec_new(dim);
	for (int i = 0; i < dim; i++)
	{
		rv_half		bits;

		memcpy(&bits, data + sizeof(bits) * i, sizeof(bits));
		result->x[i] = pg_ntoh16(bits);
		strange |= (result->x[i] & RV_HALF_INF) == RV_HALF_INF;
	}
	for (int i = 0; unlikely(strange) && i < dim; i++)
		check_finite(result->x[i]);
	PG_RETURN_HALFVEC_P(result);
}

Datum
rv_halfvec_send(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	bytea	   *sent;
	char	   *data = rv_send_start(&sent, a->dim, a->unused, sizeof(rv_half));

	for (int i = 0, n = a->dim; i < n; i++)
	{
		rv_half		bits = pg_hton16(a->x[i]);

		memcpy(data + sizeof(bits) * i, &bits, sizeof(bits));
	}
	PG_RETURN_BYTEA_P(sent);
}

/* The length coercion: (value, typmod, is_explicit). */
Datum
rv_halfvec_apply_typmod(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	PG_RETURN_HALFVEC_P(a);
}

Datum
rv_halfvec_from_array(PG_FUNCTION_ARGS)
{
	int			n;
	float	   *x = rv_floats_from_array(PG_GETARG_ARRAYTYPE_P(0), &dense, PG_GETARG_INT32(1), &n);

	PG_RETURN_HALFVEC_P(rv_halfvec_from_floats(x, n));
}

Datum
rv_halfvec_to_float4(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_ARRAYTYPE_P(rv_array_from_floats(rv_halfvec_floats(a), a->dim));
}

Datum
rv_halfvec_to_ruvector(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	RuVector   *result;

	rv_check_dim("ruvector", a->dim, RUVECTOR_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	result = ruvector_new(a->dim);
	rv_kernels()->f16_to_f32(a->x, result->x, (size_t) a->dim);
	PG_RETURN_RUVECTOR_P(result);
}

Datum
rv_ruvector_to_halfvec(PG_FUNCTION_ARGS)
{
	RuVector   *a = PG_GETARG_RUVECTOR_P(0);

	rv_check_dim(TYPE, a->dim, HALFVEC_MAX_DIM, NULL);
	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	PG_RETURN_HALFVEC_P(rv_halfvec_from_floats(a->x, a->dim));
}

Datum
rv_halfvec_dims(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_INT32(a->dim);
}

Datum
rv_halfvec_norm(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_FLOAT8(rv_norm(rv_halfvec_floats(a), a->dim));
}

/* Zero stays zero. */
Datum
rv_halfvec_normalize(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	HalfVec    *result = halfvec_new(a->dim);
	float	   *x = rv_halfvec_floats(a);
	double		length = rv_norm(x, a->dim);

	if (length > 0)
	{
		for (int i = 0, n = a->dim; i < n; i++)
			x[i] = (float) (x[i] / length);
		rv_kernels()->f32_to_f16(x, result->x, (size_t) a->dim);
		rv_half_check_overflow(result->x, a->dim);
	}
	PG_RETURN_HALFVEC_P(result);
}

/* One bit a dimension: is it above zero? */
Datum
rv_halfvec_binary_quantize(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	Size		size = VARBITTOTALLEN(a->dim);
	VarBit	   *result = palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = a->dim;
	for (int i = 0, n = a->dim; i < n; i++)
		bits[i / 8] |= (!(a->x[i] & RV_HALF_SIGN) && a->x[i] != 0) << (7 - i % 8);
	PG_RETURN_VARBIT_P(result);
}

Datum
rv_halfvec_subvector(PG_FUNCTION_ARGS)
{
	HalfVec    *a = PG_GETARG_HALFVEC_P(0);
	int			first;
	int			count = rv_subvector_range(TYPE, a->dim, HALFVEC_MAX_DIM, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &first);
	HalfVec    *result = halfvec_new(count);

	memcpy(result->x, a->x + first, sizeof(rv_half) * count);
	PG_RETURN_HALFVEC_P(result);
}

Datum
rv_halfvec_accum(PG_FUNCTION_ARGS)
{
	HalfVec    *value = PG_GETARG_HALFVEC_P(1);
	ArrayType  *state = rv_sums_next(fcinfo, value->dim, "halfvec_accum");
	float8	   *sums = RV_SUMS(state);
	float	   *x = rv_halfvec_floats(value);

	for (int i = 0, n = value->dim; i < n; i++)
		sums[i] += (double) x[i];
	pfree(x);
	rv_sums_check(state);
	PG_RETURN_ARRAYTYPE_P(state);
}

Datum
rv_halfvec_avg(PG_FUNCTION_ARGS)
{
	ArrayType  *state = rv_sums_arg(fcinfo, 0, "halfvec_avg");
	int			dim = RV_SUMS_DIM(state);
	double		count = RV_SUMS_COUNT(state);
	float	   *x;

	if (count == 0)
		PG_RETURN_NULL();
	rv_check_dim(TYPE, dim, HALFVEC_MAX_DIM, NULL);
	x = palloc(sizeof(float) * dim);
	for (int i = 0; i < dim; i++)
		x[i] = (float) (RV_SUMS(state)[i] / count);
	PG_RETURN_HALFVEC_P(rv_halfvec_from_floats(x, dim));
}
