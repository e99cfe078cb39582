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

static pg_attribute_always_inline float
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

/* x, or zero when there is none, without a branch: which list is ahead is what no predictor guesses. */
static inline float
if_any(bool any, float x)
{
	uint32		bits;

	memcpy(&bits, &x, sizeof(bits));
	bits &= -(uint32) any;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

#define BLOCK	8		/* indices that are compared at once */
#define STEPS	32		/* of the walk before blocks are compared again */

/* The value of the index at p, whose list of values lies offset bytes further on. */
static inline float
value_of(const int32 *p, ptrdiff_t offset)
{
	return *(const float *) ((const char *) p + offset);
}

/* An index that only one side has pairs with zero. Lists that agree are common as well (dense data, the same words): they are
 * compared by blocks. Additions keep the order of the indices, as pgvector's do: float32 sums of thousands differ otherwise. */
static pg_attribute_always_inline float
add_up(const SparseVec *a, const SparseVec *b, Walk walk)
{
	const int32 *p = a->indices;
	const int32 *q = b->indices;
	const int32 *p_end = p + a->nnz;
	const int32 *q_end = q + b->nnz;
	ptrdiff_t	x = (const char *) SPARSEVEC_VALUES(a) - (const char *) p;
	ptrdiff_t	y = (const char *) SPARSEVEC_VALUES(b) - (const char *) q;
	float		sum = 0;

	while (p < p_end && q < q_end)
	{
		const int32 *p_stop;
		const int32 *q_stop;

		for (; p_end - p >= BLOCK && q_end - q >= BLOCK && memcmp(p, q, sizeof(int32) * BLOCK) == 0; p += BLOCK, q += BLOCK)
		{
			for (int k = 0; k < BLOCK; k++)
				sum += term(walk, value_of(p + k, x), value_of(q + k, y));
		}
		p_stop = p + Min(p_end - p, STEPS);
		q_stop = q + Min(q_end - q, STEPS);
		while (p < p_stop && q < q_stop)
		{
			bool		takes_p = *p <= *q;
			bool		takes_q = *q <= *p;

			if (walk == PRODUCTS)
				sum += if_any(takes_p & takes_q, term(walk, value_of(p, x), value_of(q, y)));
			else
				sum += term(walk, if_any(takes_p, value_of(p, x)), if_any(takes_q, value_of(q, y)));
			p += takes_p;
			q += takes_q;
		}
	}
	for (; walk != PRODUCTS && p < p_end; p++)
		sum += term(walk, value_of(p, x), 0);
	for (; walk != PRODUCTS && q < q_end; q++)
		sum += term(walk, 0, value_of(q, y));
	return sum;
}

#define OPERANDS() \
	RvRoom		rooms[2]; \
	SparseVec  *a = (SparseVec *) rv_open(PG_GETARG_DATUM(0), &rooms[0]); \
	SparseVec  *b = (SparseVec *) rv_open(PG_GETARG_DATUM(1), &rooms[1]); \
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

	return rv_kernels()->dot_f32(values, values, (size_t) a->nnz);
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
