/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec_ops.c: order and hash of sparsevec. Order is that of the dense vectors written out, element by element, then
 * by dimensions.
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "compat.h"
#include "types/compare.h"
#include "types/sparsevec.h"

RV_FUNCTION(rv_sparsevec_hash);
RV_FUNCTION(rv_sparsevec_hash_extended);

static int
compare(const SparseVec *a, const SparseVec *b)
{
	const float *x = SPARSEVEC_VALUES(a);
	const float *y = SPARSEVEC_VALUES(b);
	int			n = Min(a->nnz, b->nnz);

	for (int i = 0; i < n; i++)
	{
		/* The first index that only one side has: there the other has zero */
		if (a->indices[i] < b->indices[i])
			return x[i] < 0 ? -1 : 1;
		if (a->indices[i] > b->indices[i])
			return y[i] < 0 ? 1 : -1;
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
	/* Elements left on one side count as far as the other has dimensions */
	if (a->nnz > n && a->indices[n] < b->dim)
		return x[n] < 0 ? -1 : 1;
	if (b->nnz > n && b->indices[n] < a->dim)
		return y[n] < 0 ? 1 : -1;
	return (a->dim > b->dim) - (a->dim < b->dim);
}

RV_COMPARISONS(rv_sparsevec, SparseVec, compare);

/* Everything after the length: equal values have equal bytes, since no zero is stored. */
#define HASHED(a)		((unsigned char *) &(a)->dim)
#define HASHED_SIZE(a)	((int) (SPARSEVEC_SIZE((a)->nnz) - offsetof(SparseVec, dim)))

Datum
rv_sparsevec_hash(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	uint32		hash = hash_bytes(HASHED(a), HASHED_SIZE(a));

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT32(hash);
}

Datum
rv_sparsevec_hash_extended(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	uint64		hash = hash_bytes_extended(HASHED(a), HASHED_SIZE(a), (uint64) PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(a, 0);
	PG_RETURN_UINT64(hash);
}
