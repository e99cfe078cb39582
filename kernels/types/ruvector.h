/* SPDX-License-Identifier: PostgreSQL
 *
 * ruvector.h: the type ruvector(n), a vector of float32.
 *
 * The layout is pgvector's vector byte for byte, on disk and on the wire, so that a column changes its type without
 * being rewritten. A value is aligned to 4 bytes, never more. Values from tables may be toasted: the Get macros return
 * a plain copy in the current memory context where they must, and the stored bytes themselves where they can; nobody
 * writes through the pointer. Loops copy dim first: to the compiler (-fno-strict-aliasing) a store to an element might
 * change it, and the loop would not be vectorized.
 */
#ifndef RUVECTOR_H
#define RUVECTOR_H

#include "fmgr.h"

#include "types/detoast.h"

#define RUVECTOR_MIN_DIM	1
#define RUVECTOR_MAX_DIM	16000

typedef struct RuVector
{
	int32		vl_len_;		/* varlena header, never touched directly */
	int16		dim;
	int16		unused;			/* zero */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} RuVector;

#define RUVECTOR_SIZE(dim_)			(offsetof(RuVector, x) + sizeof(float) * (Size) (dim_))
#define DatumGetRuVector(d)			((RuVector *) rv_detoast(d))
#define PG_GETARG_RUVECTOR_P(n)		DatumGetRuVector(PG_GETARG_DATUM(n))
#define PG_RETURN_RUVECTOR_P(v)		PG_RETURN_POINTER(v)

/* A zeroed value in the current memory context. */
extern RuVector *ruvector_new(int dim);

#endif							/* RUVECTOR_H */
