/* SPDX-License-Identifier: PostgreSQL
 *
 * scan.h: a scan's state, for what takes part in it and what reports on it.
 */
#ifndef RV_INDEX_SCAN_H
#define RV_INDEX_SCAN_H

#include "internal.h"

#include "fetch.h"
#include "filter.h"
#include "filtercache.h"
#include "queue.h"
#include "range.h"

/* What kept a scan from asking for more rows. */
typedef enum RvScanBound { RV_BOUND_NONE, RV_BOUND_TUPLES, RV_BOUND_MEMORY } RvScanBound;

typedef struct RvScanStats
{
	uint32		segments;
	uint32		delta_rows;
	uint64		scans;
	uint64		candidates;		/* hits that segments gave */
	bool		filtered;
	bool		filter_cached;	/* the filter was the session's own */
	uint64		admitted;		/* rows that the filter lets through */
	uint64		exact;			/* distances computed from the heap */
	uint64		dropped;		/* heap tuples of candidates that do not pass the node's condition */
	uint64		invisible;		/* heap tuples of candidates that the snapshot does not see */
	uint64		late;			/* rows left out because a farther one had been returned */
	uint64		batches;
	uint64		visited;		/* the engine's counters, of searches that have ended */
	uint64		refined;
	uint64		hops;
	int			ef;				/* or probes */
	bool		by_probes;
	RvScanBound bound;
} RvScanStats;

/* One segment's hits, batch by batch, or those of the delta's rows that have codes. */
typedef struct RvStream
{
	RvViewSegment *segment;		/* NULL: rows of the delta, by their numbers in it */
	rv_coded	coded;			/* these */
	const uint64 *tombstones;	/* of the segment, and of what the filter leaves out; or NULL */
	uint32		admitted;		/* slots that the filter lets through; 0: there is none */
	rv_search  *search;
	rv_scratch *scratch;
	uint32		next_slot;		/* when every row is as near as any other */
	bool		ended;
	uint32		batches;
	double		horizon;		/* a row farther than this is not returned before the next batch is there */
} RvStream;

/* The nearest rows so far, in order, not returned before there are as many as will be asked for: one that turns up late
 * still finds its place among them. */
typedef struct RvHeld
{
	RvCandidate *rows;
	uint64		count;
	uint64		returned;		/* of these */
	uint64		wanted;			/* 0: rows are returned one by one */
} RvHeld;

typedef struct RvScan
{
	MemoryContext context;		/* of one (re)scan; its reset ends the searches and releases the view */
	MemoryContextCallback callback;
	const RvOpclass *opclass;
	RvFetch    *fetch;
	FmgrInfo   *distance;		/* of a scan without order */
	RvView	   *view;
	RvStream   *streams;
	uint32		n_streams;
	uint32		delta_start;	/* rows of the delta before this are a stream's */
	RvQueue		candidates;		/* by lower bound */
	RvQueue		exact;			/* by distance */
	RvHeld		held;
	bool		begun;
	bool		all_equal;		/* the query has no distance to anything: any order is right */
	bool		any_returned;
	double		last_distance;
	bool		recheck;		/* the condition is about another query than the order: the executor sees to it */
	uint64		seen;			/* candidates of this rescan */
	const RvRange *range;		/* NULL: no radius */
	RvNode	   *node;			/* that this scan is of; NULL: not known */
	const RvFilter *filter;		/* NULL: all rows; else set between a (re)scan and its first row */
	RvFilterUse filter_use;
	uint64		exact_before;	/* of the statistics, this rescan */
	uint64		dropped_before;
	uint64	   *rows;			/* within the range, when no order is asked for: in order of the heap */
	Size		n_rows;
	Size		next_row;
	RvScanStats stats;
} RvScan;

/* scan.c: reads the index as it is now, and what is within the range; the first of a (re)scan */
extern void rv_scan_start(IndexScanDesc scan);
/* order.c: before the first row */
extern void rv_order_begin(RvScan *state);
/* order.c: the next row in order of distance; false: there is none */
extern bool rv_order_next(IndexScanDesc scan);
/* rangescan.c */
extern void rv_range_collect(IndexScanDesc scan);
extern bool rv_range_next(IndexScanDesc scan);
/* scan.c: the figures so far, running searches included */
extern RvScanStats rv_scan_stats(IndexScanDesc scan);
/* scan.c: of a row of the delta, by its value */
extern double rv_scan_delta_distance(RvScan *state, uint32 row);
/* stream.c: a search of the segment, or of the coded rows, within the range if there is one */
extern void rv_stream_start(IndexScanDesc scan, RvStream *stream, const rv_vector *query);
extern void rv_stream_end(RvStream *stream);
/* stream.c: the next hits of a stream, with interrupts handled; 0: nothing is left */
extern uint32 rv_stream_hits(IndexScanDesc scan, RvStream *stream, rv_hit *hits, uint32 capacity, bool *batch_end);

#endif							/* RV_INDEX_SCAN_H */
