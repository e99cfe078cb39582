/* SPDX-License-Identifier: PostgreSQL
 *
 * node.c: WHERE condition ORDER BY column <operator> query LIMIT k, where no other index knows the condition's rows.
 *
 * The executor would get every row in order and drop what does not pass. But to put a row in order its heap tuple is
 * looked at, and a row that will be dropped needs no place in the order: no exact distance, no second look-up of its
 * tuple, no certainty that nothing before it was missed. So the condition is asked there. The executor checks it again on
 * the rows that pass. And where the rows go straight to a LIMIT, a scan need not return any before it has all of them.
 *
 * An access method is not told of its node. The node begins the scan with its first row and has it in its state; so when a
 * plan starts, its nodes are put on a list, and a scan looks there for the one that has it. The list's entries live and die
 * with their executor's memory, also after an error.
 */
#include "node.h"

#include "access/relscan.h"

#include "executor/executor.h"
#include "lib/ilist.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"

#include "internal.h"

/* In operators: what a row that does not pass saves is some microsecond, and what passes is asked twice. */
#define MOST_EXPENSIVE 200.0

typedef struct Known
{
	dlist_node	link;
	IndexScanState *state;
	LimitState *limit;
	MemoryContextCallback callback;
} Known;

static ExecutorStart_hook_type previous_hook = NULL;
static dlist_head known = DLIST_STATIC_INIT(known);

/* Asked twice, a volatile condition could answer twice. What a subplan does is not seen here. */
static bool
may_be_asked_first(const Plan *plan)
{
	QualCost	cost;

	if (plan->qual == NIL || contain_volatile_functions((Node *) plan->qual) || contain_subplans((Node *) plan->qual))
		return false;
	cost_qual_eval(&cost, plan->qual, NULL);
	return cost.per_tuple <= MOST_EXPENSIVE * cpu_operator_cost;
}

RvNode *
rv_node_new(ScanState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->ps.state->es_query_cxt);
	RvNode	   *node = palloc0(sizeof(RvNode));

	node->state = state;
	/* not the node's own: that one's memory is in use while it asks for a row */
	if (may_be_asked_first(state->ps.plan))
		node->context = CreateExprContext(state->ps.state);
	MemoryContextSwitchTo(old);
	return node;
}

RvNode *
rv_node_of_scan(IndexScanDesc scan)
{
	dlist_iter	iter;

	dlist_foreach(iter, &known)
	{
		const Known *entry = dlist_container(Known, link, iter.cur);

		if (entry->state->iss_ScanDesc == scan)
		{
			RvNode	   *node = rv_node_new(&entry->state->ss);

			node->limit = entry->limit;
			return node;
		}
	}
	return NULL;
}

bool
rv_node_passes(RvNode *node, TupleTableSlot *row)
{
	ScanState  *state = node->state;
	bool		passes;

	node->context->ecxt_scantuple = row;
	passes = ExecQual(state->ps.qual, node->context);
	ResetExprContext(node->context);
	if (!passes)
		InstrCountFiltered1(state, 1);
	return passes;
}

uint64
rv_node_wants(const RvNode *node)
{
	/* rows are dropped on the way to the limit, and which is not known here */
	if (node->state->ps.qual != NULL && node->context == NULL)
		return 0;
	if (node->limit == NULL || node->limit->noCount)
		return 0;
	return (uint64) node->limit->offset + (uint64) node->limit->count;
}

static void
forget(void *arg)
{
	dlist_delete(&((Known *) arg)->link);
}

static void
remember(IndexScanState *state)
{
	MemoryContext context = state->ss.ps.state->es_query_cxt;
	Known	   *entry = MemoryContextAllocZero(context, sizeof(Known));

	entry->state = state;
	entry->callback.func = forget;
	entry->callback.arg = entry;
	MemoryContextRegisterResetCallback(context, &entry->callback);
	dlist_push_head(&known, &entry->link);
}

/* The scan whose rows, one by one and all of them, are those that the limit counts. */
static void
remember_limit(LimitState *limit)
{
	PlanState  *below = outerPlanState(limit);
	dlist_iter	iter;

	for (;;)
	{
		if (below != NULL && below->qual == NULL && IsA(below, ResultState))
			below = outerPlanState(below);
		else if (below != NULL && below->qual == NULL && IsA(below, SubqueryScanState))
			below = ((SubqueryScanState *) below)->subplan;
		else
			break;
	}
	dlist_foreach(iter, &known)
	{
		Known	   *entry = dlist_container(Known, link, iter.cur);

		if (&entry->state->ss.ps == below)
		{
			entry->limit = limit;
			return;
		}
	}
}

static bool
remember_ours(PlanState *state, void *context)
{
	if (state == NULL)
		return false;
	planstate_tree_walker(state, remember_ours, context);
	if (IsA(state, IndexScanState))
	{
		IndexScanState *node = (IndexScanState *) state;

		if (node->iss_NumOrderByKeys > 0 && node->iss_RelationDesc != NULL && rv_index_is_ours(node->iss_RelationDesc))
			remember(node);
	}
	else if (IsA(state, LimitState))
		remember_limit((LimitState *) state);
	return false;
}

static void
start_plan(QueryDesc *query, int flags)
{
	if (previous_hook != NULL)
		previous_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
		remember_ours(query->planstate, NULL);
}

void
rv_node_init(void)
{
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = start_plan;
}
