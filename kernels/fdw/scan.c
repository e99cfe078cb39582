/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.c: running a scan. The wrapper is asked with the first row that is wanted, not before, and again after a rescan
 * with the values of that moment.
 */
#include "postgres.h"

#include "fdw.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static Oid
scan_user(ForeignScanState *node)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
#if PG_VERSION_NUM >= 160000
	return OidIsValid(plan->checkAsUser) ? plan->checkAsUser : GetUserId();
#else
	RangeTblEntry *rte = exec_rt_fetch(plan->scan.scanrelid, node->ss.ps.state);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

void
rv_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	RvScan	   *scan = palloc0(sizeof(RvScan));

	node->fdw_state = scan;
	scan->instance = rv_instance_get(RelationGetRelid(node->ss.ss_currentRelation), scan_user(node));
	scan->request = rv_request_from_private(plan->fdw_private, plan->fdw_exprs);
	scan->states = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	scan->context = AllocSetContextCreate(CurrentMemoryContext, "ruvector_fdw scan", ALLOCSET_DEFAULT_SIZES);
}

static void
evaluate(ForeignScanState *node, RvScan *scan)
{
	ListCell   *cell;
	ListCell   *state;

	forboth(cell, rv_request_operands(scan->request), state, scan->states)
	{
		RvOperand  *operand = lfirst(cell);

		operand->datum = ExecEvalExprSwitchContext(lfirst(state), node->ss.ps.ps_ExprContext, &operand->isnull);
		operand->bound = true;
	}
}

/* The errors of a Limit node. Returns false when no row is wanted. */
static bool
check_limit(RvRequest *request)
{
	if (!request->has_limit)
		return true;
	if (!request->limit.isnull && DatumGetInt64(request->limit.datum) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE), errmsg("LIMIT must not be negative")));
	if (!request->offset.isnull && DatumGetInt64(request->offset.datum) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE), errmsg("OFFSET must not be negative")));
	return request->limit.isnull || DatumGetInt64(request->limit.datum) > 0;
}

static void
start(ForeignScanState *node, RvScan *scan)
{
	MemoryContext before;

	evaluate(node, scan);
	if (!check_limit(scan->request) ||
		(rv_instance_extended(scan->instance) && rv_quals_have_unknown(scan->request->quals)))
	{
		scan->done = true;
		return;
	}
	before = MemoryContextSwitchTo(scan->context);
	scan->cursor = rv_py_execute(scan->instance, RelationGetDescr(node->ss.ss_currentRelation), scan->request);
	MemoryContextSwitchTo(before);
	scan->left = scan->request->has_limit && !scan->request->limit.isnull ?
		DatumGetInt64(scan->request->limit.datum) : PG_INT64_MAX;
}

TupleTableSlot *
rv_iterate_scan(ForeignScanState *node)
{
	RvScan	   *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (!scan->cursor && !scan->done)
		start(node, scan);
	if (scan->done || scan->left == 0 || !rv_py_next(scan->cursor, slot))
	{
		scan->done = true;
		return ExecClearTuple(slot);
	}
	scan->left--;
	return slot;
}

void
rv_rescan(ForeignScanState *node)
{
	RvScan	   *scan = node->fdw_state;

	scan->cursor = NULL;
	scan->done = false;
	MemoryContextReset(scan->context);	/* closes the cursor */
}

void
rv_end_scan(ForeignScanState *node)
{
	RvScan	   *scan = node->fdw_state;

	if (!scan)
		return;
	scan->cursor = NULL;
	MemoryContextReset(scan->context);
	rv_py_end_scan(scan->instance);
}
