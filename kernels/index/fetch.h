/* SPDX-License-Identifier: PostgreSQL
 *
 * fetch.h: the exact distance of a row, from its heap tuple.
 */
#ifndef RV_INDEX_FETCH_H
#define RV_INDEX_FETCH_H

#include "postgres.h"

#include "access/skey.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "node.h"

typedef struct RvFetch
{
	Relation	heap;
	Snapshot	snapshot;
	struct IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	AttrNumber	attribute;		/* 0: an expression */
	struct IndexInfo *info;
	EState	   *estate;
	MemoryContext row_context;
	FmgrInfo   *distance;
	Oid			collation;
	Datum		query;
	RvNode	   *node;			/* whose condition is asked first; NULL: none */
} RvFetch;

typedef enum RvFound { RV_ROW_INVISIBLE, RV_ROW_DROPPED, RV_ROW_FOUND } RvFound;

/* The function of the operator that the index orders by. */
extern void rv_index_distance(Relation index, FmgrInfo *distance);
extern RvFetch *rv_fetch_begin(Relation heap, Relation index, Snapshot snapshot, FmgrInfo *distance, Oid collation);
/* No version of the row is visible, or that one does not pass the condition, or *distance is what the SQL function gives for
 * it and fetch->query. */
extern RvFound rv_fetch_distance(RvFetch *fetch, uint64 key, double *distance);
/* The indexed value itself, detoasted, in the current memory context. */
extern bool rv_fetch_value(RvFetch *fetch, uint64 key, Datum *value);
extern double rv_fetch_distance_to(RvFetch *fetch, Datum value);
/* Lets go of heap pages, between rows that are far apart in time. */
extern void rv_fetch_reset(RvFetch *fetch);
extern void rv_fetch_end(RvFetch *fetch);

#endif							/* RV_INDEX_FETCH_H */
