/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec_distance.c: distances between two sparsevecs, by one walk over both lists of indices.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "compat.h"
#include "types/check.h"
#include "types/distance_common.h"
#include "types/sparsevec.h"

#define TYPE "sparsevec"

RV_FUNCTION(rv_sparsevec_l2_distance);
RV_FUNCTION(rv_sparsevec_l2_squared_distance);
RV_FUNCTION(rv_sparsevec_inner_product);
RV_FUNCTION(rv_sparsevec_negative_inner_product);
RV_FUNCTION(rv_sparsevec_cosine_distance);
RV_FUNCTION(rv_sparsevec_l1_distance);

/* What one walk adds up: of the differences, their squares or absolute values; or the products of common indices. */
typedef enum Walk
{
	SQUARES,
	ABSOLUTES,
	PRODUCTS
} Walk;

static inline float
term(Walk walk, float x, float y)
{
	float		difference = x - y;

	switch (walk)
	{
		case SQUARES:
			return difference * difference;
		case ABSOLUTES:
			return fabsf(difference);
		case PRODUCTS:
			break;
	}
	return x * y;
}

/* An index that only one side has pairs with zero. */
static pg_attribute_always_inline float
add_up(const SparseVec *a, const SparseVec *b, Walk walk)
{
	const float *x = SPARSEVEC_VALUES(a);
	const float *y = SPARSEVEC_VALUES(b);
	float		sum = 0;
	int			i = 0;
	int			j = 0;

	while (i < a->nnz && j < b->nnz)
	{
		if (a->indices[i] == b->indices[j])
			sum += term(walk, x[i++], y[j++]);
		else if (a->indices[i] < b->indices[j])
			sum += walk == PRODUCTS ? 0 : term(walk, x[i], 0), i++;
		else
			sum += walk == PRODUCTS ? 0 : term(walk, 0, y[j]), j++;
	}
	if (walk != PRODUCTS)
	{
		for (; i < a->nnz; i++)
			sum += term(walk, x[i], 0);
		for (; j < b->nnz; j++)
			sum += term(walk, 0, y[j]);
	}
	return sum;
}

#define OPERANDS() \
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0); \
	SparseVec  *b = PG_GETARG_SPARSEVEC_P(1); \
	\
	rv_check_same(TYPE, a->dim, b->dim)

static float
l2_squared(FunctionCallInfo fcinfo)
{
	OPERANDS();
	return add_up(a, b, SQUARES);
}

static float
dot(FunctionCallInfo fcinfo)
{
	OPERANDS();
	return add_up(a, b, PRODUCTS);
}

static float
l1(FunctionCallInfo fcinfo)
{
	OPERANDS();
	return add_up(a, b, ABSOLUTES);
}

static float
norm_squared(const SparseVec *a)
{
	const float *values = SPARSEVEC_VALUES(a);
	float		sum = 0;

	for (int i = 0; i < a->nnz; i++)
		sum += values[i] * values[i];
	return sum;
}

Datum
rv_sparsevec_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) l2_squared(fcinfo)));
}

Datum
rv_sparsevec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l2_squared(fcinfo));
}

Datum
rv_sparsevec_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) dot(fcinfo));
}

Datum
rv_sparsevec_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(-(double) dot(fcinfo));
}

Datum
rv_sparsevec_cosine_distance(PG_FUNCTION_ARGS)
{
	OPERANDS();
	PG_RETURN_FLOAT8(rv_cosine_distance((rv_cosine_sums) {
		.dot = add_up(a, b, PRODUCTS),.norm_a = norm_squared(a),.norm_b = norm_squared(b)
	}));
}

Datum
rv_sparsevec_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) l1(fcinfo));
}
