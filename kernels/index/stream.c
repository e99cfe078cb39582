/* SPDX-License-Identifier: PostgreSQL
 *
 * stream.c: one segment's part of a scan, or that of the delta's coded rows: the engine's search, begun, asked, and ended.
 *
 * A search works in a scratch, memory that the next search takes over: it holds a byte for each node of the segment, and
 * clearing that again for every query would cost more than the search. The backend keeps a few of them, as long as they
 * are not large.
 */
#include "scan.h"

#include <math.h>

#include "access/relscan.h"
#include "miscadmin.h"
#include "utils/float.h"

#define KEPT_SCRATCHES 16
/* Together. Ten million vectors take 10 MB. */
#define KEPT_BYTES (64 * 1024 * 1024)

/* Nodes at the most that are read whole rather than by walking on; they take no longer than max_scan_tuples' default. */
#define WHOLE_NODES 16384
/* Coded rows of the delta at a time; it doubles. Most often none of them is among the nearest. */
#define DELTA_BATCH 32

/* Of the engine and in the queue. */
#define CANDIDATE_BYTES 80

static rv_scratch *kept_scratches[KEPT_SCRATCHES];
static int	n_kept_scratches = 0;

Size
rv_stream_kept_bytes(void)
{
	Size		bytes = 0;

	for (int i = 0; i < n_kept_scratches; i++)
		bytes += rv_scratch_bytes(kept_scratches[i]);
	return bytes;
}

static rv_scratch *
take_scratch(void)
{
	return n_kept_scratches > 0 ? kept_scratches[--n_kept_scratches] : rv_scratch_new();
}

static void
give_scratch(rv_scratch *scratch)
{
	if (n_kept_scratches < KEPT_SCRATCHES && rv_stream_kept_bytes() + rv_scratch_bytes(scratch) <= KEPT_BYTES)
		kept_scratches[n_kept_scratches++] = scratch;
	else
		rv_scratch_free(scratch);
}

/* As many as the bounds of a scan leave room for. */
static uint32
most_read_whole(void)
{
	double		room = (double) work_mem * 1024 * rv_scan_mem_multiplier / CANDIDATE_BYTES;

	return (uint32) Min(Min(WHOLE_NODES, rv_max_scan_tuples), room);
}

/* How a segment is searched. */
static void
set_options(IndexScanDesc scan, const RvStream *stream, rv_search_options *options)
{
	RvScan	   *state = scan->opaque;
	bool		by_probes = state->view->meta.kind == RV_KIND_IVF;

	options->ef = rv_effective_ef_search(scan->indexRelation);
	options->probes = rv_effective_probes(scan->indexRelation);
	options->max_probes = Max(rv_max_probes, (int) options->probes);
	/* without iteration a scan of lists returns all that is in those it probes */
	if (by_probes && rv_iterative_scan == RV_ITERATIVE_OFF)
		options->ef = Max(stream->segment->entry.slots, 1);
	options->tombstones = stream->tombstones;
	options->admitted = stream->admitted;
	options->by_vector = scan->numberOfOrderBys > 0;
	options->whole = rv_iterative_scan == RV_ITERATIVE_OFF ? 0 : most_read_whole();
	state->stats.by_probes = by_probes;
	state->stats.ef = by_probes ? (int) options->probes : (int) options->ef;
}

void
rv_stream_start(IndexScanDesc scan, RvStream *stream, const rv_vector *query)
{
	RvScan	   *state = scan->opaque;
	const rv_segment *segment = stream->segment != NULL ? stream->segment->image->segment : NULL;
	rv_element	element = state->opclass->element;
	rv_search_options options;
	rv_error	error;
	rv_status	status;

	memset(&options, 0, sizeof(options));
	options.interrupt = &InterruptPending;
	stream->scratch = take_scratch();
	options.scratch = stream->scratch;
	if (segment == NULL)
		options.ef = DELTA_BATCH;
	else
		set_options(scan, stream, &options);
	if (state->range != NULL)
	{
		/* every distance is smaller than NaN */
		double		radius = isnan(state->range->radius) ? get_float8_infinity() : state->range->radius;

		status = segment == NULL ?
			rv_coded_range_new(&stream->coded, element, query, radius, &options, &stream->search, &error) :
			rv_range_new(segment, element, query, radius, &options, &stream->search, &error);
	}
	else
		status = segment == NULL ?
			rv_coded_search_new(&stream->coded, element, query, &options, &stream->search, &error) :
			rv_search_new(segment, element, query, &options, &stream->search, &error);
	if (status != RV_OK)
		rv_report(status, &error, scan->indexRelation);
}

uint32
rv_stream_hits(IndexScanDesc scan, RvStream *stream, rv_hit *hits, uint32 capacity, bool *batch_end)
{
	RvScan	   *state = scan->opaque;

	for (;;)
	{
		uint32		count = 0;
		rv_error	error;
		rv_status	status = rv_search_next(stream->search, hits, capacity, &count, batch_end, &error);

		if (status == RV_OK)
		{
			if (count == 0)
				stream->ended = true;
			for (uint32 i = 0; i < count && stream->segment == NULL; i++)
				hits[i].key = rv_key_of_tid(&state->view->delta->items[hits[i].slot].tid);
			return count;
		}
		if (status != RV_INTERRUPTED)
			rv_report(status, &error, scan->indexRelation);
		CHECK_FOR_INTERRUPTS();
	}
}

void
rv_stream_end(RvStream *stream)
{
	rv_search_free(stream->search);
	stream->search = NULL;
	if (stream->scratch != NULL)
		give_scratch(stream->scratch);
	stream->scratch = NULL;
}
