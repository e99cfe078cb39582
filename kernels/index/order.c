/* SPDX-License-Identifier: PostgreSQL
 *
 * order.c: ORDER BY column <operator> query.
 *
 * Every segment is a stream of candidates with bounds of their distance, batch by batch, and so are the delta's rows that have
 * codes; the distances of others are exact. A candidate's distance is computed from the heap only while its lower bound is not above the smallest exact
 * distance known; then that row is the next one. So rows leave in exact order although codes are approximate, and only
 * the rows that the bounds cannot tell apart are fetched.
 *
 * A stream whose batch is used up is asked for the next one as soon as a row farther than all of it would be taken. Rows
 * are held back, in order, until there are as many as the query's LIMIT. One that turns up later still, nearer than one
 * already returned, is left out (strict_order) or returned (relaxed_order). The condition that the executor has for the
 * rows is asked when a candidate is looked at, before it counts as a row (node.c).
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
#define BATCH_AHEAD 2
#define LATER_BATCH_AHEAD 20
/* Rows: a cursor's LIMIT may be far more than is ever fetched. */
#define MOST_HELD 1000

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
 * what is as near as the nearer half of it is taken before the next is there, and where rows are returned as they are found
 * only what is as near as a later one's nearest few. (A later batch has as many candidates as all before it together, so
 * that is a half again.) Otherwise many rows would turn up late. With a radius, one batch is all there is; where every
 * candidate was looked at, the engine knows what is surely before the next batch. */
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
	near = n / (stream->batches == 0 || state->held.count < state->held.wanted ? BATCH_AHEAD : LATER_BATCH_AHEAD);
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

/* The next rows of the delta by their codes. The engine knows what is surely before the others; neither their number nor
 * iterative_scan is a bound, as for the rows without codes. */
static void
next_delta_batch(IndexScanDesc scan, uint32 number)
{
	RvScan	   *state = scan->opaque;
	RvStream   *stream = &state->streams[number];
	bool		batch_end = false;

	while (!stream->ended && (!batch_end || state->range != NULL))
	{
		rv_hit		hits[HITS_A_CALL];
		uint32		count = rv_stream_hits(scan, stream, hits, HITS_A_CALL, &batch_end);

		for (uint32 i = 0; i < count; i++)
		{
			RvCandidate item = {hits[i].lower, hits[i].key, number, hits[i].slot, hits[i].end};

			rv_queue_push(&state->candidates, &item);
		}
	}
	stream->horizon = Max(stream->horizon, rv_search_floor(stream->search));
	stream->batches++;
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

/* Looks at the heap for the candidate with the smallest lower bound, or at its value if that is in the delta. Of rows with one
 * vector the first that is visible tells the distance of all. */
static void
resolve(RvScan *state)
{
	RvCandidate item = rv_queue_pop(&state->candidates);

	if (state->streams[item.stream].segment == NULL)
	{
		item.distance = rv_scan_delta_distance(state, item.slot);
		rv_queue_push(&state->exact, &item);
		return;
	}
	do
	{
		CHECK_FOR_INTERRUPTS();
		switch (rv_fetch_distance(state->fetch, item.key, &item.distance))
		{
			case RV_ROW_FOUND:
				state->stats.exact++;
				rv_queue_push(&state->exact, &item);
				return;
			case RV_ROW_DROPPED:
				state->stats.dropped++;
				break;
			case RV_ROW_INVISIBLE:
				state->stats.invisible++;
				break;
		}
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
		else if (stream->segment == NULL)
			next_delta_batch(scan, i);
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

/* Whether the candidate with the smallest lower bound may be the next row. One beyond what some stream is sure of waits for
 * that stream's next batch. */
static bool
is_wanted(const RvScan *state)
{
	double		lower;

	if (state->candidates.count == 0)
		return false;
	lower = state->candidates.items[0].distance;
	if (state->exact.count > 0 && rv_distance_compare(lower, state->exact.items[0].distance) > 0)
		return false;
	for (uint32 i = 0; i < state->n_streams; i++)
		if (!state->streams[i].ended && lower > state->streams[i].horizon)
			return false;
	return true;
}

/* The nearest row that is left. False: there is none. */
static bool
next_nearest(IndexScanDesc scan, RvCandidate *row)
{
	RvScan	   *state = scan->opaque;

	do
	{
		CHECK_FOR_INTERRUPTS();
		while (is_wanted(state))
			resolve(state);
	} while ((!state->all_equal || state->exact.count == 0) && refill(scan));
	if (state->exact.count == 0)
		return false;
	*row = take_nearest(state);
	return state->range == NULL || rv_range_contains(state->range, row->distance);	/* or none that follows is in it */
}

/* Of rows that are equally far, the one that came first stays first. */
static void
hold(RvHeld *held, const RvCandidate *row)
{
	uint64		at = held->count++;

	for (; at > 0 && rv_distance_compare(held->rows[at - 1].distance, row->distance) > 0; at--)
		held->rows[at] = held->rows[at - 1];
	held->rows[at] = *row;
}

void
rv_order_begin(RvScan *state)
{
	uint64		wanted = state->node != NULL ? rv_node_wants(state->node) : 0;

	if (wanted == 0 || wanted > MOST_HELD || state->all_equal)
		return;
	state->held.wanted = wanted;
	state->held.rows = MemoryContextAlloc(state->context, sizeof(RvCandidate) * wanted);
}

bool
rv_order_next(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	RvHeld	   *held = &state->held;
	RvCandidate row;

	while (held->count < held->wanted)
	{
		if (next_nearest(scan, &row))
			hold(held, &row);
		else
			held->wanted = held->count;
	}
	for (;;)
	{
		if (held->returned < held->count)
			row = held->rows[held->returned++];
		else if (!next_nearest(scan, &row))
			return false;
		if (state->any_returned && rv_iterative_scan == RV_ITERATIVE_STRICT &&
			rv_distance_compare(row.distance, state->last_distance) < 0)
		{
			state->stats.late++;
			continue;
		}
		state->any_returned = true;
		state->last_distance = row.distance;
		rv_tid_of_key(row.key, &scan->xs_heaptid);
		scan->xs_orderbyvals[0] = Float8GetDatum(row.distance);
		scan->xs_orderbynulls[0] = (scan->orderByData[0].sk_flags & SK_ISNULL) != 0;
		return true;
	}
}
