/* SPDX-License-Identifier: PostgreSQL
 *
 * rangescan.c: all rows within a radius, in no order of distance.
 *
 * The engine gives every row whose lower bound is not above the radius, and none that belongs is missing. Where the
 * upper bound is inside, the row is one; only for those in between the distance is computed from the heap, or from the value
 * where that is in the delta. Rows are returned in the order of their heap pages, so that each page is visited once.
 *
 * A bitmap scan gets the same rows. It may be asked what the index cannot answer: whatever is in the table, or what is
 * within a radius of NaN where rows without a distance (zero vectors under cosine), which are of that distance, have no
 * entry. Then it names every page, and the executor looks at the rows.
 */
#include "scan.h"

#include <math.h>

#include "access/relscan.h"
#include "access/table.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define HITS_A_CALL 256
#define COSINE_MAX 2

static int
compare_keys(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

static void
sort(RvKeyList *list)
{
	if (list->count > 1)
		qsort(list->keys, list->count, sizeof(uint64), compare_keys);
}

static void
collect_stream(IndexScanDesc scan, RvStream *stream, RvKeyList *inside, RvKeyList *undecided)
{
	RvScan	   *state = scan->opaque;

	while (!stream->ended)
	{
		rv_hit		hits[HITS_A_CALL];
		bool		batch_end;
		uint32		count = rv_stream_hits(scan, stream, hits, HITS_A_CALL, &batch_end);

		for (uint32 i = 0; i < count; i++)
		{
			/* an upper bound that is the largest of all says that nothing is known: the distance may even be NaN */
			bool		known = isfinite(hits[i].upper) &&
				(state->opclass->metric != RV_METRIC_COSINE || hits[i].upper < COSINE_MAX);
			bool		certain = known && rv_range_contains(state->range, hits[i].upper);

			if (certain || stream->segment != NULL)
				rv_keylist_add(certain ? inside : undecided, hits[i].key);
			else if (rv_range_contains(state->range, rv_scan_delta_distance(state, hits[i].slot)))
				rv_keylist_add(inside, hits[i].key);
		}
		if (stream->segment != NULL)
			state->stats.candidates += count;
	}
	if (stream->segment != NULL)
		state->stats.batches++;
}

static void
collect_delta(RvScan *state, RvKeyList *inside)
{
	const RvDelta *delta = state->view->delta;

	for (uint32 i = state->delta_start; i < delta->count; i++)
	{
		double		distance = rv_scan_delta_distance(state, i);

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (rv_range_contains(state->range, distance))
			rv_keylist_add(inside, rv_key_of_tid(&delta->items[i].tid));
	}
}

void
rv_range_collect(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	RvKeyList	inside = {.context = state->context};
	RvKeyList	undecided = {.context = state->context};

	if (state->all_equal)
	{
		/* a query without a distance to anything: NaN is in a range only when that is all there is */
		if (!rv_range_contains(state->range, get_float8_nan()))
			return;
		for (uint32 i = 0; i < state->n_streams; i++)
		{
			const RvViewSegment *segment = state->streams[i].segment;

			for (uint32 slot = 0; slot < segment->entry.slots; slot++)
				if (segment->tombstones == NULL || (segment->tombstones[slot / 64] >> (slot % 64) & 1) == 0)
					rv_keylist_add(&inside, rv_segment_key(segment->image->segment, slot));
		}
	}
	else
		for (uint32 i = 0; i < state->n_streams; i++)
			collect_stream(scan, &state->streams[i], &inside, &undecided);
	sort(&undecided);
	for (Size i = 0; i < undecided.count; i++)
	{
		double		distance;

		CHECK_FOR_INTERRUPTS();
		if (rv_fetch_distance(state->fetch, undecided.keys[i], &distance) != RV_ROW_FOUND)
			state->stats.invisible++;
		else
		{
			state->stats.exact++;
			if (rv_range_contains(state->range, distance))
				rv_keylist_add(&inside, undecided.keys[i]);
		}
	}
	collect_delta(state, &inside);
	sort(&inside);
	state->rows = inside.keys;
	state->n_rows = inside.count;
	rv_fetch_reset(state->fetch);
}

bool
rv_range_next(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;

	if (state->next_row == state->n_rows)
		return false;
	rv_tid_of_key(state->rows[state->next_row++], &scan->xs_heaptid);
	return true;
}

/* All that the snapshot can see: what came later is in later pages, or invisible. */
static int64
add_whole_table(Relation heap, TIDBitmap *bitmap)
{
	BlockNumber pages = RelationGetNumberOfBlocks(heap);

	for (BlockNumber page = 0; page < pages; page++)
		tbm_add_page(bitmap, page);
	return (int64) pages;
}

static bool
can_answer(IndexScanDesc scan)
{
	RvScan	   *state = scan->opaque;
	const RvRange *range;
	FmgrInfo	distance;

	if (scan->numberOfKeys != 1)
		return false;
	range = (const RvRange *) PG_DETOAST_DATUM(scan->keyData[0].sk_argument);
	rv_index_distance(scan->indexRelation, &distance);
	return range->distance == distance.fn_oid &&
		!(state->opclass->zero_has_no_distance && range->inclusive && isnan(range->radius));
}

int64
rv_getbitmap(IndexScanDesc scan, TIDBitmap *bitmap)
{
	RvScan	   *state = scan->opaque;
	Relation	heap;
	int64		count;

	if (scan->numberOfKeys > 0 && (scan->keyData[0].sk_flags & SK_ISNULL) != 0)
		return 0;				/* nothing compares with NULL */
	/* The executor has locked it, and opens it only afterwards. */
	heap = table_open(scan->indexRelation->rd_index->indrelid, NoLock);
	if (!can_answer(scan))
		count = add_whole_table(heap, bitmap);
	else
	{
		scan->heapRelation = heap;
		rv_scan_start(scan);
		for (Size i = 0; i < state->n_rows; i++)
		{
			ItemPointerData tid;

			rv_tid_of_key(state->rows[i], &tid);
			tbm_add_tuples(bitmap, &tid, 1, false);
		}
		count = (int64) state->n_rows;
		rv_fetch_end(state->fetch);
		state->fetch = NULL;
		scan->heapRelation = NULL;
	}
	table_close(heap, NoLock);
	return count;
}
