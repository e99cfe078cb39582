/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.c: ORDER BY column <operator> query.
 *
 * Every segment is a stream of candidates with bounds of their distance, batch by batch; the delta's distances are
 * exact. A candidate's distance is computed from the heap only while its lower bound is not above the smallest exact
 * distance known; then that row is the next one. So rows leave in exact order although codes are approximate, and only
 * the rows that the bounds cannot tell apart are fetched.
 *
 * A stream whose batch is used up is asked for the next one as soon as a row farther than all of it would be returned.
 * A row that turns up late, nearer than one already returned, is left out (strict_order) or returned (relaxed_order).
 *
 * Source: the threshold idea is Fagin, Lotem & Naor, "Optimal aggregation algorithms for middleware", section 4.
 */
#include "scan.h"

#include <math.h>

#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/float.h"
#include "utils/memutils.h"

#include "explain.h"

#define HITS_A_CALL 128
#define SLOTS_A_BATCH 1024
#define KEPT_SCRATCHES 16

static rv_scratch *kept_scratches[KEPT_SCRATCHES];
static int	n_kept_scratches = 0;

static rv_scratch *
take_scratch(void)
{
	return n_kept_scratches > 0 ? kept_scratches[--n_kept_scratches] : rv_scratch_new();
}

static void
give_scratch(rv_scratch *scratch)
{
	if (scratch != NULL && n_kept_scratches < KEPT_SCRATCHES)
		kept_scratches[n_kept_scratches++] = scratch;
	else
		rv_scratch_free(scratch);
}

static void
add_engine_stats(RvScanStats *stats, const RvStream *stream)
{
	rv_search_stats engine;

	if (stream->search == NULL)
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
		rv_search_free(stream->search);
		if (stream->scratch != NULL)
			give_scratch(stream->scratch);
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

void
rv_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	RvScan	   *state = scan->opaque;

	MemoryContextReset(state->context);
	state->begun = false;
	state->any_returned = false;
	state->seen = 0;
	state->range = NULL;
	state->recheck = false;
	state->n_rows = 0;
	state->next_row = 0;
	if (state->fetch != NULL)
		rv_fetch_reset(state->fetch);
	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

static void
start_stream(IndexScanDesc scan, RvStream *stream, const rv_vector *query)
{
	RvScan	   *state = scan->opaque;
	rv_search_options options;
	rv_error	error;
	rv_status	status;

	memset(&options, 0, sizeof(options));
	options.ef = rv_effective_ef_search(scan->indexRelation);
	options.probes = rv_effective_probes(scan->indexRelation);
	options.max_probes = Max(rv_max_probes, (int) options.probes);
	/* without iteration a scan of lists returns all that is in those it probes */
	if (state->view->meta.kind == RV_KIND_IVF && rv_iterative_scan == RV_ITERATIVE_OFF)
		options.ef = Max(stream->segment->entry.slots, 1);
	options.tombstones = stream->segment->tombstones;
	options.interrupt = &InterruptPending;
	stream->scratch = take_scratch();
	options.scratch = stream->scratch;
	state->stats.by_probes = state->view->meta.kind == RV_KIND_IVF;
	state->stats.ef = state->stats.by_probes ? (int) options.probes : (int) options.ef;
	if (state->range != NULL)
	{
		/* every distance is smaller than NaN */
		double		radius = isnan(state->range->radius) ? get_float8_infinity() : state->range->radius;

		status = rv_range_new(stream->segment->image->segment, state->opclass->element, query, radius, &options,
							  &stream->search, &error);
	}
	else
		status = rv_search_new(stream->segment->image->segment, state->opclass->element, query, &options,
							   &stream->search, &error);
	if (status != RV_OK)
		rv_report(status, &error, scan->indexRelation);
}

static void
add_delta(RvScan *state, const RvDelta *delta)
{
	for (uint32 i = 0; i < delta->count; i++)
	{
		RvCandidate item = {get_float8_nan(), rv_key_of_tid(&delta->items[i].tid), 0};

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (!state->all_equal)
			item.distance = rv_fetch_distance_to(state->fetch, PointerGetDatum(delta->items[i].value));
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
					 errmsg("different %s dimensions %u and %u", state->opclass->type_name, state->view->meta.dims, dims)));
		state->all_equal = state->opclass->zero_has_no_distance && rv_vector_is_zero(state->opclass->element, &query);
	}
	state->streams = palloc0(sizeof(RvStream) * Max(state->view->n_segments, 1));
	for (uint32 i = 0; i < state->view->n_segments; i++)
	{
		RvStream   *stream = &state->streams[i];

		stream->segment = &state->view->segments[i];
		stream->horizon = -get_float8_infinity();
		state->n_streams = i + 1;
		if (!state->all_equal)
			start_stream(scan, stream, &query);
	}
	if (scan->numberOfOrderBys == 0)
		rv_range_collect(scan);
	else
		add_delta(state, state->view->delta);
	MemoryContextSwitchTo(old);
	state->begun = true;
}

/* Slots in order: when all rows are equally far. */
static void
next_slots(RvScan *state, uint32 number)
{
	RvStream   *stream = &state->streams[number];
	const uint64 *tombstones = stream->segment->tombstones;
	uint32		slots = stream->segment->entry.slots;
	int			found = 0;

	for (; stream->next_slot < slots && found < SLOTS_A_BATCH; stream->next_slot++)
	{
		uint32		slot = stream->next_slot;

		if (tombstones == NULL || (tombstones[slot / 64] & (UINT64CONST(1) << (slot % 64))) == 0)
		{
			RvCandidate item = {get_float8_nan(), rv_segment_key(stream->segment->image->segment, slot), number};

			rv_queue_push(&state->exact, &item);
			found++;
		}
	}
	stream->ended = stream->next_slot == slots;
	state->seen += found;
}

uint32
rv_stream_hits(IndexScanDesc scan, RvStream *stream, rv_hit *hits, uint32 capacity, bool *batch_end)
{
	for (;;)
	{
		uint32		count = 0;
		rv_error	error;
		rv_status	status = rv_search_next(stream->search, hits, capacity, &count, batch_end, &error);

		if (status == RV_OK)
		{
			if (count == 0)
				stream->ended = true;
			return count;
		}
		if (status != RV_INTERRUPTED)
			rv_report(status, &error, scan->indexRelation);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The whole next batch of a stream goes to the queue. The first batch is what ef_search asks for, and all of it may be
 * returned. A graph search is least sure of the far end of a batch, so of later ones only the nearer half is returned
 * before the next is there: of the rows that a filter lets through far fewer turn up late. With a radius, one batch is
 * all there is. */
static void
next_batch(IndexScanDesc scan, uint32 number)
{
	RvScan	   *state = scan->opaque;
	RvStream   *stream = &state->streams[number];
	bool		batch_end = false;
	float	   *estimates = NULL;
	uint32		n = 0;

	while (!stream->ended && (!batch_end || state->range != NULL))
	{
		rv_hit		hits[HITS_A_CALL];
		uint32		count = rv_stream_hits(scan, stream, hits, HITS_A_CALL, &batch_end);

		if (count > 0)
			estimates = estimates == NULL ? MemoryContextAllocHuge(state->context, sizeof(float) * count) :
				repalloc_huge(estimates, sizeof(float) * (n + count));
		for (uint32 i = 0; i < count; i++)
		{
			RvCandidate item = {isnan(hits[i].lower) ? -get_float8_infinity() : hits[i].lower, hits[i].key, number};

			rv_queue_push(&state->candidates, &item);
			estimates[n++] = hits[i].estimate;
			if (stream->batches == 0 && hits[i].upper > stream->horizon)
				stream->horizon = hits[i].upper;
		}
		state->seen += count;
		state->stats.candidates += count;
	}
	if (stream->batches > 0 && n > 0 && estimates[n / 2] > stream->horizon)
		stream->horizon = estimates[n / 2];
	if (estimates != NULL)
		pfree(estimates);
	stream->batches++;
	state->stats.batches++;
	if (rv_iterative_scan == RV_ITERATIVE_OFF)
		stream->ended = true;
}

/* Looks at the heap for the candidate with the smallest lower bound. */
static void
resolve(RvScan *state)
{
	RvCandidate item = rv_queue_pop(&state->candidates);

	if (rv_fetch_distance(state->fetch, item.key, &item.distance))
	{
		state->stats.exact++;
		rv_queue_push(&state->exact, &item);
	}
	else
		state->stats.invisible++;
}

/* Asks streams for more that have nothing left and may have something nearer than the next row. */
static bool
refill(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	bool		asked = false;

	for (uint32 i = 0; i < state->n_streams; i++)
	{
		RvStream   *stream = &state->streams[i];

		if (stream->ended)
			continue;
		if (state->exact.count > 0 && stream->batches > 0 &&
			rv_distance_compare(state->exact.items[0].distance, stream->horizon) <= 0)
			continue;
		if (state->all_equal)
		{
			if (state->exact.count == 0)
				next_slots(state, i);
		}
		else if (state->range == NULL && stream->batches > 0 && state->seen >= (uint64) rv_max_scan_tuples)
			stream->ended = true;
		else
			next_batch(scan, i);
		asked = true;
		if (state->all_equal && state->exact.count > 0)
			break;
	}
	return asked;
}

static bool
next_row(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		while (state->candidates.count > 0 &&
			   (state->exact.count == 0 || rv_distance_compare(state->candidates.items[0].distance,
															   state->exact.items[0].distance) <= 0))
			resolve(state);
		if ((!state->all_equal || state->exact.count == 0) && refill(scan))
			continue;
		if (state->exact.count == 0)
			return false;
		else
		{
			RvCandidate item = rv_queue_pop(&state->exact);

			if (state->range != NULL && !rv_range_contains(state->range, item.distance))
				return false;	/* and so are all that follow */
			if (state->any_returned && rv_iterative_scan == RV_ITERATIVE_STRICT &&
				rv_distance_compare(item.distance, state->last_distance) < 0)
			{
				state->stats.late++;
				continue;
			}
			state->any_returned = true;
			state->last_distance = item.distance;
			rv_tid_of_key(item.key, &scan->xs_heaptid);
			scan->xs_orderbyvals[0] = Float8GetDatum(item.distance);
			scan->xs_orderbynulls[0] = (scan->orderByData[0].sk_flags & SK_ISNULL) != 0;
			return true;
		}
	}
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
	}
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
	return scan->numberOfOrderBys == 0 ? rv_range_next(scan) : next_row(scan);
}

void
rv_endscan(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;

	MemoryContextReset(state->context);
	rv_explain_remember(&state->stats);
	if (state->fetch != NULL)
		rv_fetch_end(state->fetch);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
}
