/* SPDX-License-Identifier: PostgreSQL
 *
 * halfvec.h: the type halfvec(n), a vector of IEEE 754 binary16. The layout is pgvector's; ruvector.h says why and
 * what holds for the pointers.
 */
#ifndef RV_HALFVEC_H
#define RV_HALFVEC_H

#include "fmgr.h"

#include "distance/distance.h"
#include "types/detoast.h"

#define HALFVEC_MIN_DIM		1
#define HALFVEC_MAX_DIM		16000

typedef struct HalfVec
{
	int32		vl_len_;
	int16		dim;
	int16		unused;			/* zero */
	rv_half		x[FLEXIBLE_ARRAY_MEMBER];
} HalfVec;

#define HALFVEC_SIZE(dim_)			(offsetof(HalfVec, x) + sizeof(rv_half) * (Size) (dim_))
#define DatumGetHalfVec(d)			((HalfVec *) rv_detoast(d))
#define PG_GETARG_HALFVEC_P(n)		DatumGetHalfVec(PG_GETARG_DATUM(n))
#define PG_RETURN_HALFVEC_P(v)		PG_RETURN_POINTER(v)

extern HalfVec *halfvec_new(int dim);

#endif							/* RV_HALFVEC_H */
