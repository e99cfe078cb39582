/* SPDX-License-Identifier: PostgreSQL
 *
 * explain.c: what an index scan did. From 18 on the server lets extensions add lines to a plan's node in EXPLAIN ANALYZE.
 * Before that EXPLAIN (ANALYZE, VERBOSE) ends with the same lines for every scan of our indexes that ended under it.
 * ruvector_last_scan() has the figures of the session's latest finished scan, everywhere.
 */
#include "scan.h"

#include "access/relscan.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"

#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "nodes/pg_list.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#endif

#include "explain.h"

RV_FUNCTION(ruvector_last_scan);

static RvScanStats last_scan;

static const char *
bound_name(RvScanBound bound)
{
	return bound == RV_BOUND_TUPLES ? "max_scan_tuples" : "scan_mem_multiplier";
}

Datum
ruvector_last_scan(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[12];
	bool		nulls[12] = {false};
	int			n = 0;

	if (last_scan.scans == 0)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[n++] = Int64GetDatum((int64) last_scan.scans);
	values[n++] = Int32GetDatum((int32) last_scan.segments);
	values[n++] = Int64GetDatum((int64) last_scan.delta_rows);
	values[n++] = Int32GetDatum(last_scan.ef);
	values[n++] = Int64GetDatum((int64) last_scan.batches);
	values[n++] = Int64GetDatum((int64) last_scan.candidates);
	values[n++] = Int64GetDatum((int64) last_scan.exact);
	values[n++] = Int64GetDatum((int64) last_scan.late);
	values[n++] = Int64GetDatum((int64) last_scan.visited);
	values[n++] = Int64GetDatum((int64) last_scan.refined);
	values[n++] = Int64GetDatum((int64) last_scan.hops);
	if (last_scan.bound == RV_BOUND_NONE)
		nulls[n] = true;
	else
		values[n] = CStringGetTextDatum(bound_name(last_scan.bound));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

void
rv_explain_stats(const RvScanStats *stats, bool by_order, bool verbose, struct ExplainState *es)
{
	ExplainPropertyInteger("Segments", NULL, stats->segments, es);
	ExplainPropertyInteger("Delta Rows", NULL, (int64) stats->delta_rows, es);
	if (by_order)
		ExplainPropertyInteger(stats->by_probes ? "Probes" : "Ef Search", NULL, stats->ef, es);
	if (stats->filtered)
		ExplainPropertyInteger(stats->filter_cached ? "Rows of Cached Filter" : "Filtered Rows", NULL,
							   (int64) stats->admitted, es);
	ExplainPropertyInteger("Candidates", NULL, (int64) stats->candidates, es);
	ExplainPropertyInteger("Exact Distances", NULL, (int64) stats->exact, es);
	if (stats->late > 0)
		ExplainPropertyInteger("Rows Left Out of Order", NULL, (int64) stats->late, es);
	if (stats->bound != RV_BOUND_NONE)
		ExplainPropertyText("Scan Ended By", bound_name(stats->bound), es);
	if (verbose)
	{
		ExplainPropertyInteger("Batches", NULL, (int64) stats->batches, es);
		ExplainPropertyInteger("Nodes Visited", NULL, (int64) stats->visited, es);
		ExplainPropertyInteger("Nodes Refined", NULL, (int64) stats->refined, es);
	}
}

#if PG_VERSION_NUM >= 180000

static explain_per_node_hook_type previous_hook = NULL;

void
rv_explain_remember(Relation index, const RvScanStats *stats, bool by_order)
{
	if (stats->scans > 0)
		last_scan = *stats;
}

static void
explain_node(PlanState *plan, List *ancestors, const char *relationship, const char *name, struct ExplainState *es)
{
	IndexScanDesc scan = NULL;
	RvScanStats stats;

	if (previous_hook != NULL)
		previous_hook(plan, ancestors, relationship, name, es);
	if (!es->analyze)
		return;
	if (IsA(plan, IndexScanState))
		scan = ((IndexScanState *) plan)->iss_ScanDesc;
	else if (IsA(plan, BitmapIndexScanState))
		scan = ((BitmapIndexScanState *) plan)->biss_ScanDesc;
	if (scan == NULL || scan->opaque == NULL || !rv_index_is_ours(scan->indexRelation))
		return;
	stats = rv_scan_stats(scan);
	if (stats.scans > 0)
		rv_explain_stats(&stats, scan->numberOfOrderBys > 0 && scan->numberOfKeys == 0, es->verbose, es);
}

void
rv_explain_init(void)
{
	previous_hook = explain_per_node_hook;
	explain_per_node_hook = explain_node;
}

#else

#define MAX_REMEMBERED 100		/* a statement may run any number of scans, in functions */

typedef struct EndedScan
{
	char	   *index;
	bool		by_order;
	RvScanStats stats;
} EndedScan;

static ExplainOneQuery_hook_type previous_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;
static MemoryContext ended_context = NULL;	/* NULL: nobody wants to know */
static List *ended = NIL;

void
rv_explain_remember(Relation index, const RvScanStats *stats, bool by_order)
{
	MemoryContext old;
	EndedScan  *scan;

	if (stats->scans == 0)
		return;
	last_scan = *stats;
	/* a filtered scan's node has its lines itself */
	if (ended_context == NULL || (stats->filtered && !stats->filter_cached) || list_length(ended) == MAX_REMEMBERED)
		return;
	old = MemoryContextSwitchTo(ended_context);
	scan = palloc(sizeof(EndedScan));
	scan->index = pstrdup(RelationGetRelationName(index));
	scan->by_order = by_order;
	scan->stats = *stats;
	ended = lappend(ended, scan);
	MemoryContextSwitchTo(old);
}

/* What the server does without a hook. A utility command is here only when explain_utility has sent it. */
static void
explain_plan(Query *query, int options, IntoClause *into, ExplainState *es, const char *text, ParamListInfo params,
			 QueryEnvironment *environment)
{
	if (query->utilityStmt != NULL)
	{
		ExplainOneUtility(query->utilityStmt, into, es, text, params, environment);
		return;
	}
#if PG_VERSION_NUM >= 170000
	standard_ExplainOneQuery(query, options, into, es, text, params, environment);
#else
	instr_time	start;
	instr_time	duration;
	BufferUsage before = pgBufferUsage;
	BufferUsage used;
	PlannedStmt *plan;

	INSTR_TIME_SET_CURRENT(start);
	plan = pg_plan_query(query, text, options, params);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	memset(&used, 0, sizeof(used));
	BufferUsageAccumDiff(&used, &pgBufferUsage, &before);
	ExplainOnePlan(plan, into, es, text, params, environment, &duration, es->buffers ? &used : NULL);
#endif
}

static void
print_ended(struct ExplainState *es)
{
	ListCell   *cell;

	foreach(cell, ended)
	{
		const EndedScan *scan = lfirst(cell);

		ExplainOpenGroup("Index Search", NULL, true, es);
		ExplainPropertyText("Index Search", scan->index, es);
		es->indent++;
		rv_explain_stats(&scan->stats, scan->by_order, true, es);
		es->indent--;
		ExplainCloseGroup("Index Search", NULL, true, es);
	}
}

static void
stop_collecting(void)
{
	ended = NIL;
	ended_context = NULL;
}

static void
explain_query(Query *query, int options, IntoClause *into, ExplainState *es, const char *text, ParamListInfo params,
			  QueryEnvironment *environment)
{
	ExplainOneQuery_hook_type explain = previous_hook != NULL && query->utilityStmt == NULL ? previous_hook : explain_plan;

	if (!es->analyze || !es->verbose || ended_context != NULL)
	{
		explain(query, options, into, es, text, params, environment);
		return;
	}
	ended_context = CurrentMemoryContext;
	PG_TRY();
	{
		explain(query, options, into, es, text, params, environment);
		print_ended(es);
	}
	PG_CATCH();
	{
		stop_collecting();
		PG_RE_THROW();
	}
	PG_END_TRY();
	stop_collecting();
}

/* EXECUTE, or CREATE TABLE ... AS EXECUTE. */
static bool
is_execute(const Node *command)
{
	if (command != NULL && IsA(command, CreateTableAsStmt))
	{
		const Node *source = ((const CreateTableAsStmt *) command)->query;

		return IsA(source, Query) && is_execute(((const Query *) source)->utilityStmt);
	}
	return command != NULL && IsA(command, ExecuteStmt);
}

/* EXPLAIN of an EXECUTE does not call the other hook, nor does anything else there get to see its ExplainState. So its
 * query is declared to be no utility command: a copy, and only where explain_query is the first to be asked what to do
 * with it. */
static PlannedStmt *
without_utility(PlannedStmt *statement)
{
	const ExplainStmt *explain = (const ExplainStmt *) statement->utilityStmt;
	const Query *query;

	if (!IsA(explain, ExplainStmt) || ExplainOneQuery_hook != explain_query)
		return statement;
	query = (const Query *) explain->query;
	if (!IsA(query, Query) || !is_execute(query->utilityStmt))
		return statement;
	statement = copyObject(statement);
	((Query *) ((ExplainStmt *) statement->utilityStmt)->query)->commandType = CMD_SELECT;
	return statement;
}

static void
explain_utility(PlannedStmt *statement, const char *text, bool read_only, ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion)
{
	ProcessUtility_hook_type process = previous_utility_hook != NULL ? previous_utility_hook : standard_ProcessUtility;

	process(without_utility(statement), text, read_only, context, params, environment, receiver, completion);
}

void
rv_explain_init(void)
{
	previous_hook = ExplainOneQuery_hook;
	ExplainOneQuery_hook = explain_query;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = explain_utility;
}

#endif
