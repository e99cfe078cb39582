/* SPDX-License-Identifier: PostgreSQL
 *
 * filterscan.c: the executor's side of filterplan.c: the nearest rows among those of a bitmap.
 *
 * The bitmap is made once a (re)scan, at its first row, and becomes a filter of an ordinary ordered scan of the vector
 * index; from there on scan.c does what it always does. So rows leave in exact order and only what the snapshot sees.
 * The bitmap may be older than what the index is read with, never newer than the snapshot: what is visible is in both.
 */
#include "filterscan.h"

#include "access/relscan.h"
#include "access/stratnum.h"
#include "catalog/index.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#include "explain.h"
#include "scan.h"

typedef struct FilteredScan
{
	CustomScanState css;
	Oid			index_oid;
	OpExpr	   *order;
	ExprState  *query;
	Relation	index;
	IndexScanDesc scan;
	MemoryContext filter_context;
	bool		begun;			/* since the last rescan */
} FilteredScan;

static void
begin_scan(CustomScanState *node, EState *estate, int eflags)
{
	FilteredScan *state = (FilteredScan *) node;
	CustomScan *plan = (CustomScan *) node->ss.ps.plan;
	Relation	heap = node->ss.ss_currentRelation;

	state->index_oid = linitial_oid(linitial(plan->custom_private));
	state->order = linitial_node(OpExpr, plan->custom_exprs);
	node->custom_ps = list_make1(ExecInitNode(linitial(plan->custom_plans), estate, eflags));
#if PG_VERSION_NUM < 160000
	/* A slot that the heap can fill, in place of the virtual one, and what has been made for that. */
	node->ss.ps.subPlan = NIL;
	ExecInitScanTupleSlot(estate, &node->ss, RelationGetDescr(heap), table_slot_callbacks(heap));
	ExecAssignScanProjectionInfo(&node->ss);
	node->ss.ps.qual = ExecInitQual(plan->scan.plan.qual, &node->ss.ps);
#endif
	state->query = ExecInitExpr(lsecond(state->order->args), &node->ss.ps);
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0)
		return;
	state->index = index_open(state->index_oid, AccessShareLock);
#if PG_VERSION_NUM >= 180000
	state->scan = index_beginscan(heap, state->index, estate->es_snapshot, NULL, 0, 1);
#else
	state->scan = index_beginscan(heap, state->index, estate->es_snapshot, 0, 1);
#endif
	((RvScan *) state->scan->opaque)->node = rv_node_new(&node->ss);
	state->filter_context = AllocSetContextCreate(CurrentMemoryContext, "ruvector filter", ALLOCSET_DEFAULT_SIZES);
}

/* Starts the ordered scan with this rescan's query and filter. */
static void
start(FilteredScan *state)
{
	ExprContext *context = state->css.ss.ps.ps_ExprContext;
	Node	   *bitmap;
	ScanKeyData key;
	Datum		query;
	bool		is_null;
	Oid			left;
	Oid			right;
	int			strategy;
	MemoryContext old;

	query = ExecEvalExpr(state->query, context, &is_null);
	get_op_opfamily_properties(state->order->opno, state->index->rd_opfamily[0], true, &strategy, &left, &right);
	old = MemoryContextSwitchTo(state->filter_context);
	/* the key outlives the row's context */
	if (!is_null)
		query = PointerGetDatum(PG_DETOAST_DATUM_COPY(query));
	ScanKeyEntryInitialize(&key, SK_ORDER_BY | (is_null ? SK_ISNULL : 0), 1, (StrategyNumber) strategy, right,
						   state->order->inputcollid, get_opcode(state->order->opno), is_null ? (Datum) 0 : query);
	index_rescan(state->scan, NULL, 0, &key, 1);
	MemoryContextSwitchTo(old);

	bitmap = MultiExecProcNode(linitial(state->css.custom_ps));
	if (bitmap == NULL || !IsA(bitmap, TIDBitmap))
		elog(ERROR, "unrecognized result from subplan");
	old = MemoryContextSwitchTo(state->filter_context);
	((RvScan *) state->scan->opaque)->filter = rv_filter_new((TIDBitmap *) bitmap);
	MemoryContextSwitchTo(old);
	tbm_free((TIDBitmap *) bitmap);
	state->begun = true;
}

static TupleTableSlot *
next(ScanState *node)
{
	FilteredScan *state = (FilteredScan *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;

	if (!state->begun)
		start(state);
	if (index_getnext_slot(state->scan, ForwardScanDirection, slot))
		return slot;
	return ExecClearTuple(slot);
}

/* All clauses are the node's qual, which the caller checks. */
static bool
recheck(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *
exec_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, next, recheck);
}

static void
end_scan(CustomScanState *node)
{
	FilteredScan *state = (FilteredScan *) node;

	if (state->scan != NULL)
		index_endscan(state->scan);
	if (state->index != NULL)
		index_close(state->index, NoLock);
	ExecEndNode(linitial(node->custom_ps));
}

static void
rescan(CustomScanState *node)
{
	FilteredScan *state = (FilteredScan *) node;
	PlanState  *bitmap = linitial(node->custom_ps);

	state->begun = false;
	if (state->filter_context != NULL)
		MemoryContextReset(state->filter_context);
	if (node->ss.ps.chgParam != NULL)
		UpdateChangedParamSet(bitmap, node->ss.ps.chgParam);
	/* else MultiExecProcNode does it */
	if (bitmap->chgParam == NULL)
		ExecReScan(bitmap);
	ExecScanReScan(&node->ss);
}

static void
explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	FilteredScan *state = (FilteredScan *) node;
	bool		prefix = es->verbose || list_length(es->rtable) > 1;
	List	   *context = set_deparse_context_plan(es->deparse_cxt, node->ss.ps.plan, ancestors);

	ExplainPropertyText("Index", get_rel_name(state->index_oid), es);
	ExplainPropertyText("Order By", deparse_expression((Node *) state->order, context, prefix, false), es);
	if (es->analyze && state->scan != NULL)
	{
		RvScanStats stats = rv_scan_stats(state->scan);

		if (stats.scans > 0)
			rv_explain_stats(&stats, true, es->verbose, es);
	}
}

static const CustomExecMethods exec_methods = {
	.CustomName = RV_FILTERED_SCAN_NAME,
	.BeginCustomScan = begin_scan,
	.ExecCustomScan = exec_scan,
	.EndCustomScan = end_scan,
	.ReScanCustomScan = rescan,
	.ExplainCustomScan = explain
};

static Node *
create_state(CustomScan *plan)
{
	FilteredScan *state = (FilteredScan *) newNode(sizeof(FilteredScan), T_CustomScanState);

	state->css.methods = &exec_methods;
#if PG_VERSION_NUM >= 160000
	state->css.slotOps = &TTSOpsBufferHeapTuple;
#endif
	return (Node *) state;
}

const CustomScanMethods rv_filtered_scan_methods = {
	.CustomName = RV_FILTERED_SCAN_NAME,
	.CreateCustomScanState = create_state
};

void
rv_filter_init(void)
{
	RegisterCustomScanMethods(&rv_filtered_scan_methods);
}
