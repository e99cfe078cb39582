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

#include "access/htup_details.h"
#include "access/relscan.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "explain.h"

#define HITS_A_CALL 128
#define SLOTS_A_BATCH 1024
/* Shares of a batch: docs/design/index.md has the recall and the time that they cost. */
#define FIRST_BATCH_AHEAD 2
#define LATER_BATCH_AHEAD 20

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

void
rv_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	RvScan	   *state = scan->opaque;

	MemoryContextReset(state->context);
	state->begun = false;
	state->any_returned = false;
	state->seen = 0;
	state->range = NULL;
	state->filter = NULL;
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
add_delta(RvScan *state, const RvDelta *delta)
{
	for (uint32 i = 0; i < delta->count; i++)
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

/* As the distance function has it in its message: without a schema. */
static const char *
type_name(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	const char *name = HeapTupleIsValid(tuple) ? pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname)) : "vector";

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return name;
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
					 errmsg("different %s dimensions %u and %u", type_name(scan->indexRelation->rd_opcintype[0]),
							state->view->meta.dims, dims)));
		state->all_equal = state->opclass->zero_has_no_distance && rv_vector_is_zero(state->opclass->element, &query);
	}
	state->streams = palloc0(sizeof(RvStream) * Max(state->view->n_segments, 1));
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
	const uint64 *tombstones = stream->tombstones;
	uint32		slots = stream->segment->entry.slots;
	int			found = 0;

	for (; stream->next_slot < slots && found < SLOTS_A_BATCH; stream->next_slot++)
	{
		uint32		slot = stream->next_slot;

		if (tombstones == NULL || (tombstones[slot / 64] & (UINT64CONST(1) << (slot % 64))) == 0)
		{
			RvCandidate item = {.distance = get_float8_nan(), .stream = number,
				.key = rv_segment_key(stream->segment->image->segment, slot)};

			rv_queue_push(&state->exact, &item);
			found++;
		}
	}
	stream->ended = stream->next_slot == slots;
	state->seen += found;
}

/* The whole next batch of a stream goes to the queue, but a graph search is least sure of the far end of a batch: only
 * what is as near as a half of the first one, or as the nearest few of a later one, is returned before the next is there.
 * (A later batch has as many candidates as all before it together, so that is a half again.) Otherwise many of the rows
 * that a filter lets through would turn up late. With a radius, one batch is all there is; where every candidate was looked
 * at, the engine knows what is surely before the next batch. */
static void
next_batch(IndexScanDesc scan, uint32 number)
{
	RvScan	   *state = scan->opaque;
	RvStream   *stream = &state->streams[number];
	bool		batch_end = false;
	float	   *estimates = NULL;
	uint32		n = 0;
	uint32		near;
	double		floor;

	while (!stream->ended && (!batch_end || state->range != NULL))
	{
		rv_hit		hits[HITS_A_CALL];
		uint32		count = rv_stream_hits(scan, stream, hits, HITS_A_CALL, &batch_end);

		if (count > 0)
			estimates = estimates == NULL ? MemoryContextAllocHuge(state->context, sizeof(float) * count) :
				repalloc_huge(estimates, sizeof(float) * (n + count));
		for (uint32 i = 0; i < count; i++)
		{
			RvCandidate item = {isnan(hits[i].lower) ? -get_float8_infinity() : hits[i].lower, hits[i].key, number,
			hits[i].slot, hits[i].end};

			rv_queue_push(&state->candidates, &item);
			estimates[n++] = hits[i].estimate;
		}
		state->seen += count;
		state->stats.candidates += count;
	}
	floor = rv_search_floor(stream->search);
	near = n / (stream->batches == 0 ? FIRST_BATCH_AHEAD : LATER_BATCH_AHEAD);
	if (!isinf(floor))
		stream->horizon = Max(stream->horizon, floor);
	else if (n > 0 && estimates[near] > stream->horizon)
		stream->horizon = estimates[near];
	if (estimates != NULL)
		pfree(estimates);
	stream->batches++;
	state->stats.batches++;
	if (rv_iterative_scan == RV_ITERATIVE_OFF)
		stream->ended = true;
}

/* The next row with the same vector, if there is one. */
static bool
next_equal(const RvScan *state, RvCandidate *item)
{
	const RvStream *stream;

	if (item->slot + 1 >= item->end)
		return false;
	stream = &state->streams[item->stream];
	do
		item->slot++;
	while (item->slot < item->end && stream->tombstones != NULL &&
		   (stream->tombstones[item->slot / 64] >> (item->slot % 64) & 1) != 0);
	if (item->slot == item->end)
		return false;
	item->key = rv_segment_key(stream->segment->image->segment, item->slot);
	return true;
}

/* Looks at the heap for the candidate with the smallest lower bound. Of rows with one vector the first that is visible
 * tells the distance of all. */
static void
resolve(RvScan *state)
{
	RvCandidate item = rv_queue_pop(&state->candidates);

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (rv_fetch_distance(state->fetch, item.key, &item.distance))
		{
			state->stats.exact++;
			rv_queue_push(&state->exact, &item);
			return;
		}
		state->stats.invisible++;
	} while (next_equal(state, &item));
}

/* The next row: the nearest one known. A million rows with one vector stay one entry of the queue. */
static RvCandidate
take_nearest(RvScan *state)
{
	RvCandidate item = rv_queue_pop(&state->exact);
	RvCandidate equal = item;

	if (!next_equal(state, &equal))
		return item;
	if (rv_iterative_scan == RV_ITERATIVE_OFF || state->filter != NULL || state->seen < (uint64) rv_max_scan_tuples)
	{
		state->seen++;
		rv_queue_push(&state->exact, &equal);
	}
	else
		state->stats.bound = RV_BOUND_TUPLES;
	return item;
}

/* What grows from batch to batch, against work_mem; the other bound is on the rows. Not for a filtered scan: the planner may
 * take it for what is to return every row that passes. */
static bool
past_bounds(RvScan *state)
{
	Size		bytes;

	if (state->seen >= (uint64) rv_max_scan_tuples)
	{
		state->stats.bound = RV_BOUND_TUPLES;
		return true;
	}
	bytes = MemoryContextMemAllocated(state->context, true);
	for (uint32 i = 0; i < state->n_streams; i++)
		if (state->streams[i].search != NULL)
			bytes += rv_search_bytes(state->streams[i].search);
	if (bytes <= (double) work_mem * 1024 * rv_scan_mem_multiplier)
		return false;
	state->stats.bound = RV_BOUND_MEMORY;
	return true;
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
		else if (state->range == NULL && state->filter == NULL && stream->batches > 0 && past_bounds(state))
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
			RvCandidate item = take_nearest(state);

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
	rv_explain_remember(scan->indexRelation, &state->stats, scan->numberOfOrderBys > 0 && scan->numberOfKeys == 0);
	if (state->fetch != NULL)
		rv_fetch_end(state->fetch);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
}
