/* SPDX-License-Identifier: PostgreSQL
 *
 * types.h: what the rest of ruvector.so may ask of the types as a whole.
 */
#ifndef RV_TYPES_H
#define RV_TYPES_H

#include "fmgr.h"

typedef enum RvTypeKind
{
	RV_TYPE_NONE,				/* none of the following */
	RV_TYPE_RUVECTOR,			/* float32: layout RuVector */
	RV_TYPE_HALFVEC,			/* binary16: layout HalfVec */
	RV_TYPE_SPARSEVEC,			/* layout SparseVec */
	RV_TYPE_BIT					/* core bit and varbit: layout VarBit, utils/varbit.h */
} RvTypeKind;

/* The layout of a type's values: ours and pgvector's (vector, halfvec, sparsevec as members of extension vector) answer
 * alike, because the bytes are the same. The typmod of the three is the number of dimensions, -1 for any. Reads the
 * catalogs; the answer is cached in the backend. */
extern RvTypeKind rv_type_kind(Oid type);

/* Called once by _PG_init. */
extern void rv_types_init(void);

#endif							/* RV_TYPES_H */
