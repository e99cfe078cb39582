/* SPDX-License-Identifier: PostgreSQL
 *
 * explain.c: what an index scan did: lines in EXPLAIN ANALYZE where the server lets extensions add them (18 on), and
 * ruvector_last_scan(), the figures of the session's latest finished scan, everywhere.
 */
#include "scan.h"

#include "access/relscan.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"

#if PG_VERSION_NUM >= 180000
#include "commands/explain.h"
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

#include "explain.h"

RV_FUNCTION(ruvector_last_scan);

static RvScanStats last_scan;

void
rv_explain_remember(const RvScanStats *stats)
{
	if (stats->scans > 0)
		last_scan = *stats;
}

Datum
ruvector_last_scan(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[11];
	bool		nulls[11] = {false};
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
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

#if PG_VERSION_NUM >= 180000

static explain_per_node_hook_type previous_hook = NULL;

static void
explain_node(PlanState *plan, List *ancestors, const char *relationship, const char *name, struct ExplainState *es)
{
	IndexScanDesc scan;
	RvScanStats stats;

	if (previous_hook != NULL)
		previous_hook(plan, ancestors, relationship, name, es);
	if (!es->analyze || !IsA(plan, IndexScanState))
		return;
	scan = ((IndexScanState *) plan)->iss_ScanDesc;
	if (scan == NULL || scan->opaque == NULL || !rv_index_is_ours(scan->indexRelation))
		return;
	stats = rv_scan_stats(scan);
	if (stats.scans == 0)
		return;
	ExplainPropertyInteger("Segments", NULL, stats.segments, es);
	ExplainPropertyInteger("Delta Rows", NULL, (int64) stats.delta_rows, es);
	if (scan->numberOfOrderBys > 0 && scan->numberOfKeys == 0)
		ExplainPropertyInteger(stats.by_probes ? "Probes" : "Ef Search", NULL, stats.ef, es);
	ExplainPropertyInteger("Candidates", NULL, (int64) stats.candidates, es);
	ExplainPropertyInteger("Exact Distances", NULL, (int64) stats.exact, es);
	if (stats.late > 0)
		ExplainPropertyInteger("Rows Left Out of Order", NULL, (int64) stats.late, es);
	if (es->verbose)
	{
		ExplainPropertyInteger("Batches", NULL, (int64) stats.batches, es);
		ExplainPropertyInteger("Nodes Visited", NULL, (int64) stats.visited, es);
		ExplainPropertyInteger("Nodes Refined", NULL, (int64) stats.refined, es);
	}
}

void
rv_explain_init(void)
{
	previous_hook = explain_per_node_hook;
	explain_per_node_hook = explain_node;
}

#else

void
rv_explain_init(void)
{
}

#endif
