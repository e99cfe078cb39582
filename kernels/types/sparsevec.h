/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec.h: the type sparsevec(n), the non-zero elements of a float32 vector. The layout is pgvector's; ruvector.h
 * says why and what holds for the pointers.
 *
 * indices[nnz] count from 0, ascend strictly and lie in [0, dim); the values follow them and are never zero.
 */
#ifndef RV_SPARSEVEC_H
#define RV_SPARSEVEC_H

#include "fmgr.h"

#include "types/detoast.h"

#define SPARSEVEC_MIN_DIM	1
#define SPARSEVEC_MAX_DIM	1000000000
#define SPARSEVEC_MAX_NNZ	16000

typedef struct SparseVec
{
	int32		vl_len_;
	int32		dim;
	int32		nnz;
	int32		unused;			/* zero */
	int32		indices[FLEXIBLE_ARRAY_MEMBER];
	/* float values[nnz] */
} SparseVec;

#define SPARSEVEC_SIZE(nnz_)		(offsetof(SparseVec, indices) + (sizeof(int32) + sizeof(float)) * (Size) (nnz_))
#define SPARSEVEC_VALUES(v)			((float *) ((v)->indices + (v)->nnz))
#define DatumGetSparseVec(d)		((SparseVec *) rv_detoast(d))
#define PG_GETARG_SPARSEVEC_P(n)	DatumGetSparseVec(PG_GETARG_DATUM(n))
#define PG_RETURN_SPARSEVEC_P(v)	PG_RETURN_POINTER(v)

/* In the current memory context, its indices and values to be filled in. */
extern SparseVec *sparsevec_new(int dim, int nnz);

#endif							/* RV_SPARSEVEC_H */
