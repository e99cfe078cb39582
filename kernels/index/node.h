/* SPDX-License-Identifier: PostgreSQL
 *
 * node.h: what an ordered scan may know of the plan that it is a part of: which rows its node will drop, and how many are
 * wanted.
 */
#ifndef RV_INDEX_NODE_H
#define RV_INDEX_NODE_H

#include "postgres.h"

#include "access/genam.h"
#include "nodes/execnodes.h"

typedef struct RvNode
{
	ScanState  *state;
	ExprContext *context;		/* NULL: its condition, if there is one, is not to be asked by others */
	LimitState *limit;			/* NULL: none that all its rows go to */
} RvNode;

/* In the executor's memory. */
extern RvNode *rv_node_new(ScanState *state);
/* The one that the scan belongs to; NULL where that is not known. */
extern RvNode *rv_node_of_scan(IndexScanDesc scan);
/* False: the executor would drop the row. It has then been counted as dropped. */
extern bool rv_node_passes(RvNode *node, TupleTableSlot *row);
/* How many rows will do; 0: nobody knows. */
extern uint64 rv_node_wants(const RvNode *node);
extern void rv_node_init(void);

#endif							/* RV_INDEX_NODE_H */
