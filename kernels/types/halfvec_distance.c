/* SPDX-License-Identifier: PostgreSQL
 *
 * halfvec_distance.c: distances between two halfvecs, as SQL functions.
 *
 * The sums are float32 (kernels/distance), the last step is double, as in pgvector: so an overflow of a float32 sum is
 * infinite here and there.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "compat.h"
#include "distance/distance.h"
#include "types/check.h"
#include "types/distance_common.h"
#include "types/halfvec.h"

#define TYPE "halfvec"

RV_FUNCTION(rv_halfvec_l2_distance);
RV_FUNCTION(rv_halfvec_l2_squared_distance);
RV_FUNCTION(rv_halfvec_inner_product);
RV_FUNCTION(rv_halfvec_negative_inner_product);
RV_FUNCTION(rv_halfvec_cosine_distance);
RV_FUNCTION(rv_halfvec_spherical_distance);
RV_FUNCTION(rv_halfvec_l1_distance);

/* Calls one kernel on both arguments after their dimensions were compared. */
#define KERNEL(kernel) \
	RvRoom		rooms[2]; \
	HalfVec    *a = (HalfVec *) rv_open(PG_GETARG_DATUM(0), &rooms[0]); \
	HalfVec    *b = (HalfVec *) rv_open(PG_GETARG_DATUM(1), &rooms[1]); \
	\
	rv_check_same(TYPE, a->dim, b->dim); \
	return rv_kernels()->kernel(a->x, b->x, (size_t) a->dim)

static float
l2_squared(FunctionCallInfo fcinfo)
{
	KERNEL(l2_squared_f16);
}

static float
dot(FunctionCallInfo fcinfo)
{
	KERNEL(dot_f16);
}

static float
l1(FunctionCallInfo fcinfo)
{
	KERNEL(l1_f16);
}

static rv_cosine_sums
cosine(FunctionCallInfo fcinfo)
{
	KERNEL(cosine_f16);
}

Datum
rv_halfvec_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) l2_squared(fcinfo)));
}

Datum
rv_halfvec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l2_squared(fcinfo));
}

Datum
rv_halfvec_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) dot(fcinfo));
}

Datum
rv_halfvec_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(-(double) dot(fcinfo));
}

Datum
rv_halfvec_cosine_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(rv_cosine_distance(cosine(fcinfo)));
}

Datum
rv_halfvec_spherical_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(rv_spherical_distance(dot(fcinfo)));
}

Datum
rv_halfvec_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l1(fcinfo));
}
