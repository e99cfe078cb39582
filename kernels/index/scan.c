/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.c: a scan of an index, from its query and what is to be searched to its end. Which row is next is decided in
 * order.c and, where no order is asked for, in rangescan.c.
 */
#include "scan.h"

#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "explain.h"

static void
add_engine_stats(RvScanStats *stats, const RvStream *stream)
{
	rv_search_stats engine;

	if (stream->search == NULL || stream->segment == NULL)
		return;
	rv_search_stats_get(stream->search, &engine);
	stats->visited += engine.visited;
	stats->refined += engine.refined;
	stats->hops += engine.hops;
}

RvScanStats
rv_scan_stats(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	RvScanStats stats = state->stats;

	for (uint32 i = 0; i < state->n_streams; i++)
		add_engine_stats(&stats, &state->streams[i]);
	return stats;
}

/* Runs when the scan's context is reset or deleted, after an error too. */
static void
end_searches(void *arg)
{
	RvScan	   *state = arg;

	for (uint32 i = 0; i < state->n_streams; i++)
	{
		RvStream   *stream = &state->streams[i];

		add_engine_stats(&state->stats, stream);
		rv_stream_end(stream);
	}
	state->n_streams = 0;
	state->streams = NULL;
	if (state->view != NULL)
		rv_view_release(state->view);
	state->view = NULL;
}

IndexScanDesc
rv_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	RvScan	   *state = palloc0(sizeof(RvScan));

	state->context = AllocSetContextCreate(CurrentMemoryContext, "ruvector scan", ALLOCSET_DEFAULT_SIZES);
	state->opclass = rv_opclass(index);
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc0(sizeof(bool) * norderbys);
	}
	scan->opaque = state;
	return scan;
}

/* At the end of a (re)scan. */
static void
note_filter_use(RvScan *state)
{
	if (state->begun)
		rv_filter_cache_note(&state->filter_use, state->stats.exact - state->exact_before,
							 state->stats.dropped - state->dropped_before);
}

void
rv_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	RvScan	   *state = scan->opaque;

	note_filter_use(state);
	MemoryContextReset(state->context);
	state->begun = false;
	state->any_returned = false;
	state->seen = 0;
	state->range = NULL;
	state->filter = NULL;
	state->recheck = false;
	state->n_rows = 0;
	state->next_row = 0;
	memset(&state->held, 0, sizeof(state->held));
	if (state->fetch != NULL)
		rv_fetch_reset(state->fetch);
	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

double
rv_scan_delta_distance(RvScan *state, uint32 row)
{
	return rv_fetch_distance_to(state->fetch, PointerGetDatum(state->view->delta->items[row].value));
}

static void
add_delta(RvScan *state, const RvDelta *delta)
{
	for (uint32 i = state->delta_start; i < delta->count; i++)
	{
		RvCandidate item = {.distance = get_float8_nan(), .key = rv_key_of_tid(&delta->items[i].tid)};

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (state->filter != NULL)
		{
			if (!rv_filter_admits(state->filter, item.key))
				continue;
			state->stats.admitted++;
		}
		if (!state->all_equal)
			item.distance = rv_scan_delta_distance(state, i);
		rv_queue_push(&state->exact, &item);
	}
}

/* The query as it will be used, detoasted, in the scan's memory; NULL when there is none. */
static struct varlena *
find_query(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	struct varlena *value = NULL;

	if (scan->numberOfKeys > 0)
	{
		state->range = (const RvRange *) PG_DETOAST_DATUM(scan->keyData[0].sk_argument);
		if (scan->numberOfOrderBys == 0 && state->range->distance != state->distance->fn_oid)
			elog(ERROR, "index \"%s\" has no such distance", RelationGetRelationName(scan->indexRelation));
		if (state->range->query_type != scan->indexRelation->rd_opcintype[0])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("the range is not one of the type of index \"%s\"",
							RelationGetRelationName(scan->indexRelation))));
	}
	if (scan->numberOfOrderBys == 0)
		return (struct varlena *) state->range->query;
	if ((scan->orderByData[0].sk_flags & SK_ISNULL) == 0)
		value = PG_DETOAST_DATUM(scan->orderByData[0].sk_argument);
	if (state->range != NULL &&
		(value == NULL || state->range->distance != scan->orderByData[0].sk_func.fn_oid ||
		 VARSIZE(value) != VARSIZE(state->range->query) ||
		 memcmp(value, state->range->query, VARSIZE(value)) != 0))
	{
		state->range = NULL;
		state->recheck = true;
	}
	return value;
}

/* The rows of the delta that have codes are searched by these. */
static void
start_delta(IndexScanDesc scan, const rv_vector *query)
{
	RvScan	   *state = scan->opaque;
	RvStream   *stream = &state->streams[state->n_streams];

	stream->coded = rv_delta_coded(scan->indexRelation, state->view);
	if (stream->coded.count == 0)
		return;
	stream->horizon = -get_float8_infinity();
	state->delta_start = stream->coded.count;
	state->n_streams++;
	rv_stream_start(scan, stream, query);
}

static void
begin(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	MemoryContext old = MemoryContextSwitchTo(state->context);
	struct varlena *value;
	rv_vector	query;
	uint32		dims;

	state->callback.func = end_searches;
	state->callback.arg = state;
	MemoryContextRegisterResetCallback(state->context, &state->callback);
	rv_queue_init(&state->candidates, state->context);
	rv_queue_init(&state->exact, state->context);
	state->view = rv_view_acquire(scan->indexRelation);
	state->stats.scans++;
	state->stats.segments = state->view->n_segments;
	state->stats.delta_rows = state->view->delta->count;
	state->stats.filtered = state->filter != NULL;

	value = find_query(scan);
	state->all_equal = value == NULL;
	if (value != NULL)
	{
		state->opclass->extract(value, &query, &dims);
		state->fetch->query = PointerGetDatum(value);
		if (dims != state->view->meta.dims)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 state->opclass->element == RV_ELEMENT_BIT ?
					 errmsg("different bit lengths %u and %u", state->view->meta.dims, dims) :
					 errmsg("different %s dimensions %u and %u", rv_type_name(scan->indexRelation->rd_opcintype[0]),
							state->view->meta.dims, dims)));
		state->all_equal = state->opclass->zero_has_no_distance && rv_vector_is_zero(state->opclass->element, &query);
	}
	state->streams = palloc0(sizeof(RvStream) * (state->view->n_segments + 1));
	for (uint32 i = 0; i < state->view->n_segments; i++)
	{
		RvStream   *stream = &state->streams[i];

		stream->segment = &state->view->segments[i];
		stream->tombstones = stream->segment->tombstones;
		stream->horizon = -get_float8_infinity();
		state->n_streams = i + 1;
		if (state->filter != NULL)
		{
			stream->tombstones = rv_filter_segment(state->filter, stream->segment, &stream->admitted);
			stream->ended = stream->admitted == 0;
			state->stats.admitted += stream->admitted;
		}
		if (!state->all_equal && !stream->ended)
			rv_stream_start(scan, stream, &query);
	}
	state->delta_start = 0;
	if (!state->all_equal && state->filter == NULL)
		start_delta(scan, &query);
	if (scan->numberOfOrderBys == 0)
		rv_range_collect(scan);
	else
	{
		add_delta(state, state->view->delta);
		rv_order_begin(state);
	}
	MemoryContextSwitchTo(old);
	state->begun = true;
}

/* Without iteration a scan is to end after its first batch, whatever that has. */
static void
find_filter(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	MemoryContext old;

	memset(&state->filter_use, 0, sizeof(state->filter_use));
	if (scan->numberOfOrderBys == 0 || scan->numberOfKeys > 0 || rv_iterative_scan == RV_ITERATIVE_OFF)
		return;
	old = MemoryContextSwitchTo(state->context);
	state->filter = rv_filter_cache_find(state->fetch, &state->filter_use);
	MemoryContextSwitchTo(old);
	state->stats.filter_cached |= state->filter_use.filtered;
}

void
rv_scan_start(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;

	if (state->fetch == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(state));

		if (scan->numberOfOrderBys == 0 && state->distance == NULL)
		{
			state->distance = palloc0(sizeof(FmgrInfo));
			rv_index_distance(scan->indexRelation, state->distance);
		}
		state->fetch = rv_fetch_begin(scan->heapRelation, scan->indexRelation, scan->xs_snapshot,
									  scan->numberOfOrderBys == 0 ? state->distance : &scan->orderByData[0].sk_func,
									  scan->indexRelation->rd_indcollation[0]);
		MemoryContextSwitchTo(old);
		if (scan->numberOfOrderBys > 0 && state->node == NULL)
			state->node = rv_node_of_scan(scan);
		state->fetch->node = state->node;
	}
	if (state->filter == NULL)
		find_filter(scan);
	state->exact_before = state->stats.exact;
	state->dropped_before = state->stats.dropped;
	pgstat_count_index_scan(scan->indexRelation);
#if PG_VERSION_NUM >= 180000
	if (scan->instrument != NULL)
		scan->instrument->nsearches++;
#endif
	begin(scan);
}

bool
rv_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	RvScan	   *state = scan->opaque;

	if (scan->numberOfOrderBys > 1 || scan->numberOfKeys > 1 || scan->numberOfOrderBys + scan->numberOfKeys == 0)
		elog(ERROR, "cannot scan index \"%s\" without order", RelationGetRelationName(scan->indexRelation));
	if (scan->numberOfKeys > 0 && (scan->keyData[0].sk_flags & SK_ISNULL) != 0)
		return false;			/* nothing compares with NULL */
	if (!ScanDirectionIsForward(direction))
		elog(ERROR, "cannot scan index \"%s\" backward", RelationGetRelationName(scan->indexRelation));
	if (!state->begun)
		rv_scan_start(scan);
	scan->xs_recheck = state->recheck;
	scan->xs_recheckorderby = false;
	return scan->numberOfOrderBys == 0 ? rv_range_next(scan) : rv_order_next(scan);
}

void
rv_endscan(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;

	note_filter_use(state);
	MemoryContextReset(state->context);
	rv_explain_remember(scan->indexRelation, &state->stats, scan->numberOfOrderBys > 0 && scan->numberOfKeys == 0);
	if (state->fetch != NULL)
		rv_fetch_end(state->fetch);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
	rv_sessions_note();
}
