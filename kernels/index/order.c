/* SPDX-License-Identifier: PostgreSQL
 *
 * order.c: ORDER BY column <operator> query.
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
#include "utils/float.h"
#include "utils/memutils.h"

#define HITS_A_CALL 128
#define SLOTS_A_BATCH 1024
/* Shares of a batch: docs/design/index.md has the recall and the time that they cost. */
#define FIRST_BATCH_AHEAD 2
#define LATER_BATCH_AHEAD 20

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

bool
rv_order_next(IndexScanDesc scan)
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
