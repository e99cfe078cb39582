/* SPDX-License-Identifier: PostgreSQL
 *
 * ruvector_distance.c: distances between two ruvectors, as SQL functions.
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
#include "types/ruvector.h"

#define TYPE "ruvector"

RV_FUNCTION(ruvector_l2_distance);
RV_FUNCTION(ruvector_l2_squared_distance);
RV_FUNCTION(ruvector_inner_product);
RV_FUNCTION(ruvector_negative_inner_product);
RV_FUNCTION(ruvector_cosine_distance);
RV_FUNCTION(ruvector_spherical_distance);
RV_FUNCTION(ruvector_l1_distance);

/* Calls one kernel on both arguments after their dimensions were compared. */
#define KERNEL(kernel) \
	RvRoom		rooms[2]; \
	RuVector   *a = (RuVector *) rv_open(PG_GETARG_DATUM(0), &rooms[0]); \
	RuVector   *b = (RuVector *) rv_open(PG_GETARG_DATUM(1), &rooms[1]); \
	\
	rv_check_same(TYPE, a->dim, b->dim); \
	return rv_kernels()->kernel(a->x, b->x, (size_t) a->dim)

static float
l2_squared(FunctionCallInfo fcinfo)
{
	KERNEL(l2_squared_f32);
}

static float
dot(FunctionCallInfo fcinfo)
{
	KERNEL(dot_f32);
}

static float
l1(FunctionCallInfo fcinfo)
{
	KERNEL(l1_f32);
}

static rv_cosine_sums
cosine(FunctionCallInfo fcinfo)
{
	KERNEL(cosine_f32);
}

Datum
ruvector_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) l2_squared(fcinfo)));
}

Datum
ruvector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l2_squared(fcinfo));
}

Datum
ruvector_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) dot(fcinfo));
}

Datum
ruvector_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(-(double) dot(fcinfo));
}

Datum
ruvector_cosine_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(rv_cosine_distance(cosine(fcinfo)));
}

Datum
ruvector_spherical_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(rv_spherical_distance(dot(fcinfo)));
}

Datum
ruvector_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l1(fcinfo));
}
