/* SPDX-License-Identifier: PostgreSQL
 *
 * recall.c: ruvector_recall, which measures how many of the true nearest rows an index scan returns under the settings
 * of the session, and ruvector_prewarm.
 *
 * The queries are values from the index itself, spread evenly over its rows. The truth comes from one pass over the
 * table for all queries together. A row that is as near as the k-th counts as found, so ties do not lower the figure.
 */
#include "internal.h"

#include <sys/mman.h>
#include <unistd.h>

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fetch.h"
#include "inspect.h"
#include "queue.h"

#define MAX_QUERIES 10000
#define MAX_K 1000

RV_FUNCTION(ruvector_recall);
RV_FUNCTION(ruvector_prewarm);

typedef struct RecallQuery
{
	Datum		value;
	double	   *nearest;		/* the k smallest distances so far, ascending */
	int			n_nearest;
	int			found;			/* rows of the index scan that are as near as the k-th */
} RecallQuery;

typedef struct Recall
{
	FmgrInfo	distance;
	Oid			collation;
	RecallQuery	   *queries;
	int			n_queries;
	int			k;
	MemoryContext row_context;
} Recall;

static double
distance_to(Recall *recall, Datum value, const RecallQuery *query)
{
	return DatumGetFloat8(FunctionCall2Coll(&recall->distance, recall->collation, value, query->value));
}

static void
see_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Recall	   *recall = arg;
	MemoryContext old;
	Datum		value;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(recall->row_context);
	value = PointerGetDatum(PG_DETOAST_DATUM(values[0]));
	for (int i = 0; i < recall->n_queries; i++)
	{
		RecallQuery	   *query = &recall->queries[i];
		double		distance = distance_to(recall, value, query);
		int			at = query->n_nearest;

		if (at == recall->k && rv_distance_compare(distance, query->nearest[at - 1]) >= 0)
			continue;
		if (at < recall->k)
			query->n_nearest++;
		else
			at--;
		for (; at > 0 && rv_distance_compare(distance, query->nearest[at - 1]) < 0; at--)
			query->nearest[at] = query->nearest[at - 1];
		query->nearest[at] = distance;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(recall->row_context);
}

/* Every n-th row of the delta and the segments, read back from the table. */
static void
choose_queries(Recall *recall, RvOpened *opened, Snapshot snapshot, int wanted)
{
	RvView	   *view = rv_view_acquire_in(CurrentMemoryContext, opened->index);
	RvFetch    *fetch = rv_fetch_begin(opened->heap, opened->index, snapshot, &recall->distance, recall->collation);
	uint64		total = view->delta->count;

	for (uint32 i = 0; i < view->n_segments; i++)
		total += view->segments[i].entry.slots;
	recall->queries = palloc0(sizeof(RecallQuery) * wanted);
	for (int n = 0; n < wanted && total > 0; n++)
	{
		uint64		at = total * n / wanted;
		uint64		key = 0;
		Datum		value;

		if (n > 0 && at == total * (n - 1) / wanted)
			continue;
		if (at < view->delta->count)
			key = rv_key_of_tid(&view->delta->items[at].tid);
		else
		{
			at -= view->delta->count;
			for (uint32 i = 0; i < view->n_segments; i++)
			{
				if (at < view->segments[i].entry.slots)
				{
					key = rv_segment_key(view->segments[i].image->segment, (uint32) at);
					break;
				}
				at -= view->segments[i].entry.slots;
			}
		}
		if (rv_fetch_value(fetch, key, &value))
		{
			RecallQuery	   *query = &recall->queries[recall->n_queries++];

			query->value = value;
			query->nearest = palloc(sizeof(double) * recall->k);
		}
	}
	rv_fetch_end(fetch);
}

static void
scan_index(Recall *recall, RvOpened *opened, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 180000
	IndexScanDesc scan = index_beginscan(opened->heap, opened->index, snapshot, NULL, 0, 1);
#else
	IndexScanDesc scan = index_beginscan(opened->heap, opened->index, snapshot, 0, 1);
#endif
	TupleTableSlot *slot = table_slot_create(opened->heap, NULL);

	for (int i = 0; i < recall->n_queries; i++)
	{
		RecallQuery	   *query = &recall->queries[i];
		ScanKeyData key;

		ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, RV_STRATEGY_ORDER, opened->index->rd_opcintype[0], recall->collation,
							   recall->distance.fn_oid, query->value);
		index_rescan(scan, NULL, 0, &key, 1);
		for (int row = 0; row < recall->k && index_getnext_slot(scan, ForwardScanDirection, slot); row++)
			if (rv_distance_compare(DatumGetFloat8(scan->xs_orderbyvals[0]), query->nearest[query->n_nearest - 1]) <= 0)
				query->found++;
	}
	ExecDropSingleTupleTableSlot(slot);
	index_endscan(scan);
}

static double
measure(RvOpened *opened, int wanted, int k)
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	struct IndexInfo *info = BuildIndexInfo(opened->index);
	Recall		recall;
	double		found = 0;
	double		total = 0;

	memset(&recall, 0, sizeof(recall));
	recall.k = k;
	rv_index_distance(opened->index, &recall.distance);
	recall.collation = opened->index->rd_indcollation[0];
	choose_queries(&recall, opened, snapshot, wanted);
	recall.row_context = AllocSetContextCreate(CurrentMemoryContext, "ruvector recall row", ALLOCSET_DEFAULT_SIZES);
	info->ii_Concurrent = true;	/* a snapshot's rows, not every version */
	info->ii_Unique = false;
	table_index_build_scan(opened->heap, opened->index, info, false, false, see_row, &recall,
						   table_beginscan_strat(opened->heap, snapshot, 0, NULL, true, false));
	scan_index(&recall, opened, snapshot);
	UnregisterSnapshot(snapshot);
	for (int i = 0; i < recall.n_queries; i++)
	{
		found += Min(recall.queries[i].found, recall.queries[i].n_nearest);
		total += recall.queries[i].n_nearest;
	}
	return total > 0 ? found / total : 1.0;
}

Datum
ruvector_recall(PG_FUNCTION_ARGS)
{
	int			wanted = PG_GETARG_INT32(1);
	int			k = PG_GETARG_INT32(2);
	RvOpened	opened;
	MemoryContext work;
	MemoryContext old;
	double		recall;

	if (wanted < 1 || wanted > MAX_QUERIES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of queries must be between 1 and %d, not %d", MAX_QUERIES, wanted)));
	if (k < 1 || k > MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("k must be between 1 and %d, not %d", MAX_K, k)));
	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, AccessShareLock, false);
	work = AllocSetContextCreate(CurrentMemoryContext, "ruvector recall", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	recall = measure(&opened, wanted, k);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	rv_inspect_close(&opened);
	PG_RETURN_FLOAT8(recall);
}

/* Maps every image and reads all of it, so that the first search finds it in memory. */
Datum
ruvector_prewarm(PG_FUNCTION_ARGS)
{
	RvOpened	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, AccessShareLock, false);
	RvView	   *view = rv_view_acquire_in(CurrentMemoryContext, opened.index);
	Size		page = (Size) sysconf(_SC_PAGESIZE);
	int64		bytes = 0;

	for (uint32 i = 0; i < view->n_segments; i++)
	{
		const RvImage *image = view->segments[i].image;
		volatile const char *at = image->map;

		(void) madvise(image->map, image->map_size, MADV_WILLNEED);
		for (Size offset = 0; offset < image->map_size; offset += page)
		{
			(void) at[offset];
			if (offset % (page * 4096) == 0)
				CHECK_FOR_INTERRUPTS();
		}
		bytes += (int64) image->map_size;
	}
	rv_inspect_close(&opened);
	PG_RETURN_INT64(bytes);
}
