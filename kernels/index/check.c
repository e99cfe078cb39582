/* SPDX-License-Identifier: PostgreSQL
 *
 * check.c: ruvector_index_check: reads everything that an index consists of and compares it with itself and with the
 * table. One row for every damage found; no rows: the index is sound.
 *
 * Holds the maintenance lock, so that only inserts go on. What the heap must have in the index is what a snapshot sees
 * that was taken before the index's keys were read: a row that comes later may be missing from neither. A standby has no
 * such lock: what was found while replay changed the index is thrown away, and the check begins again.
 *
 * Pages have no checksum of ours. A segment's bytes have one, tombstones a count; the values in the delta are compared
 * with those in the table, and every key must name a line pointer that is in use there, so a wrong bit in tombstones or in
 * a key shows as a row that is missing or one that cannot be.
 */
#include "internal.h"

#include <sys/stat.h>

#include "access/heapam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "inspect.h"
#include "keylist.h"

#define MAX_REPORTS 100			/* of missing rows, of wrong keys, of wrong values */
#define MAX_TRIES 10			/* on a standby, while replay changes the index */

RV_FUNCTION(ruvector_index_check);

typedef struct Check
{
	Relation	heap;
	Relation	index;
	const RvOpclass *opclass;
	RvMeta	   *meta;
	Tuplestorestate *store;
	TupleDesc	descriptor;
	MemoryContext context;		/* of what is kept to the end */
	RvKeyList	rows;			/* all that live; sorted once complete */
	RvDelta    *delta;			/* sorted by TID once read */
	Size		missing;
	Size		different;
} Check;

static void report(Check *check, const char *where, const char *format,...) pg_attribute_printf(3, 4);

static void
report(Check *check, const char *where, const char *format,...)
{
	char		text[512];
	va_list		args;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	values[0] = CStringGetTextDatum(where);
	values[1] = CStringGetTextDatum(text);
	tuplestore_putvalues(check->store, check->descriptor, values, nulls);
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/* Looks for interrupts where PostgreSQL can (15 on). */
static void
sort(void *elements, Size count, Size size, qsort_arg_comparator compare)
{
#if PG_VERSION_NUM >= 150000
	qsort_interruptible(elements, count, size, compare, NULL);
#else
	qsort_arg(elements, count, size, compare, NULL);
#endif
}

static uint64 *
check_tombstones(Check *check, const RvSegmentEntry *entry, const char *where)
{
	BlockNumber bad = InvalidBlockNumber;
	uint64	   *bits;
	uint32		dead = 0;

	if (entry->tombstones.first == InvalidBlockNumber)
	{
		if (entry->dead != 0)
			report(check, where, "%u rows are said to be dead, but there are no tombstones", entry->dead);
		return NULL;
	}
	bits = rv_tombstones_read(check->index, entry, CurrentMemoryContext, &bad);
	if (bits == NULL)
	{
		report(check, where, "tombstones: block %u is not the page that it should be", bad);
		return NULL;
	}
	for (Size i = 0; i < rv_tombstone_bytes(entry->slots) / sizeof(uint64); i++)
		dead += pg_popcount64(bits[i]);
	if (dead != entry->dead)
		report(check, where, "tombstones: %u bits are set, %u rows are said to be dead", dead, entry->dead);
	return bits;
}

static void
close_segment(void *segment)
{
	rv_segment_close(segment);
}

/* The engine's own checks over bytes that are right by their CRC, or not: it never reads outside of them. The segment is
 * closed with the memory context. */
static void
check_contents(Check *check, const RvSegmentEntry *entry, const char *where, const void *bytes)
{
	rv_segment *segment;
	rv_segment_info info;
	rv_error	error;
	uint64	   *tombstones;
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	rv_status	status = rv_segment_open(bytes, entry->bytes, 0, &segment, &error);

	if (status != RV_OK)
	{
		report(check, where, "%s", error.message);
		return;
	}
	callback->func = close_segment;
	callback->arg = segment;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	while ((status = rv_segment_check(segment, &InterruptPending, &error)) == RV_INTERRUPTED)
		CHECK_FOR_INTERRUPTS();
	if (status != RV_OK)
		report(check, where, "%s", error.message);
	rv_segment_info_get(segment, &info);
	if (info.slots != entry->slots || info.nodes != entry->nodes)
		report(check, where, "%u rows in %u nodes, but the meta page says %u in %u", info.slots, info.nodes, entry->slots,
			   entry->nodes);
	else if (info.spec.dims != check->meta->dims || info.spec.metric != (rv_metric) check->meta->metric ||
			 info.spec.element != (rv_element) check->meta->element || info.spec.kind != (rv_kind) check->meta->kind ||
			 info.spec.quantization != (rv_quantization) check->meta->quantization || info.spec.m != check->meta->m)
		report(check, where, "made for another type, metric, quantization, m or number of dimensions than the meta page says");
	else
	{
		tombstones = check_tombstones(check, entry, where);
		for (uint32 slot = 0; slot < info.slots; slot++)
			if (tombstones == NULL || (tombstones[slot / 64] >> (slot % 64) & 1) == 0)
				rv_keylist_add(&check->rows, rv_segment_key(segment, slot));
	}
}

static void
check_segment(Check *check, uint32 number)
{
	const RvSegmentEntry *entry = &check->meta->segments[number];
	MemoryContext work = AllocSetContextCreate(check->context, "ruvector check segment", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	char		where[64];
	char	   *bytes = (char *) TYPEALIGN(64, palloc_extended(entry->bytes + 64, MCXT_ALLOC_HUGE));
	BlockNumber bad = InvalidBlockNumber;

	snprintf(where, sizeof(where), "segment %u", number);
	if (!rv_run_read(check->index, RV_PAGE_SEGMENT, entry->uid, entry->run, bytes, entry->bytes, &bad))
		report(check, where, "block %u is not the page that it should be", bad);
	else
	{
		if (rv_bytes_crc(bytes, entry->bytes) != entry->crc)
			report(check, where, "the checksum over all pages is wrong");
		check_contents(check, entry, where, bytes);
		if (!RelationUsesLocalBuffers(check->index))
		{
			const char *problem = rv_image_check(check->index, entry, bytes);

			if (problem != NULL)
				report(check, where, "%s", problem);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

static void
check_meta(Check *check)
{
	if (check->meta->metric != check->opclass->metric || check->meta->element != check->opclass->element ||
		check->meta->dims != (uint32) TupleDescAttr(RelationGetDescr(check->index), 0)->atttypmod)
		report(check, "meta", "made for another type, metric or number of dimensions than the index's");
}

static int
compare_items(const void *a, const void *b, void *arg)
{
	return ItemPointerCompare((ItemPointer) &((const RvDeltaItem *) a)->tid, (ItemPointer) &((const RvDeltaItem *) b)->tid);
}

/* Inserts go on: where the chain ends can be compared only when it ended there before and after. */
static void
check_delta_chain(Check *check)
{
	RvDelta    *delta = check->delta;
	RvMeta	   *after;

	if (check->meta->delta_head != InvalidBlockNumber &&
		!rv_delta_read(check->index, delta, check->meta->delta_head, InvalidBlockNumber))
	{
		report(check, "delta", "block %u or what follows it is damaged", delta->block);
		return;
	}
	after = rv_meta_read(check->index);
	if (delta->pages < check->meta->delta_pages)
		report(check, "delta", "%u pages, but the meta page says %u", delta->pages, check->meta->delta_pages);
	else if (after->delta_tail == check->meta->delta_tail && delta->block != after->delta_tail)
		report(check, "delta", "the chain ends in block %u, but the meta page says %u", delta->block, after->delta_tail);
	pfree(after);
}

static void
check_delta(Check *check)
{
	RvDelta    *delta = check->delta = rv_delta_new(CurrentMemoryContext);

	check_delta_chain(check);
	for (uint32 i = 0; i < delta->count; i++)
	{
		const struct varlena *value = delta->items[i].value;
		rv_vector	vector;
		uint32		dims;

		check->opclass->extract(value, &vector, &dims);
		if (dims != check->meta->dims)
			report(check, "delta", "row (%u,%u) has %u dimensions, not %u",
				   ItemPointerGetBlockNumberNoCheck(&delta->items[i].tid),
				   ItemPointerGetOffsetNumberNoCheck(&delta->items[i].tid), dims, check->meta->dims);
		rv_keylist_add(&check->rows, rv_key_of_tid(&delta->items[i].tid));
	}
	if (delta->count > 1)
		sort(delta->items, delta->count, sizeof(RvDeltaItem), compare_items);
}

/* Whether the table has a line pointer in use there: VACUUM takes a row out of the index before its place is given up.
 * *buffer: pinned from call to call. Other table access methods have their own ways. */
static bool
is_in_use(Relation heap, BlockNumber block, OffsetNumber offset, Buffer *buffer)
{
	Page		page;
	bool		in_use;

	if (heap->rd_rel->relam != HEAP_TABLE_AM_OID)
		return true;
	*buffer = ReleaseAndReadBuffer(*buffer, heap, block);
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(*buffer);
	in_use = !PageIsNew(page) && offset <= PageGetMaxOffsetNumber(page) && ItemIdIsUsed(PageGetItemId(page, offset));
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	return in_use;
}

/* No row twice, none that the table cannot have. */
static void
check_keys(Check *check)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(check->heap);
	Buffer		buffer = InvalidBuffer;
	Size		reports = 0;

	if (check->rows.count > 1)
		sort(check->rows.keys, check->rows.count, sizeof(uint64), compare_keys);
	for (Size i = 0; i < check->rows.count && reports < MAX_REPORTS; i++)
	{
		unsigned	block = (unsigned) (check->rows.keys[i] >> 16);
		unsigned	offset = (unsigned) (check->rows.keys[i] & 0xFFFF);

		CHECK_FOR_INTERRUPTS();
		if (check->rows.keys[i] >> 48 != 0 || block >= blocks || offset == 0 || !is_in_use(check->heap, block, offset, &buffer))
		{
			report(check, "keys", "row (%u,%u) is not in the table", block, offset);
			reports++;
		}
		else if (i > 0 && check->rows.keys[i] == check->rows.keys[i - 1])
		{
			report(check, "keys", "row (%u,%u) is in the index more than once", block, offset);
			reports++;
		}
	}
	if (BufferIsValid(buffer))
		ReleaseBuffer(buffer);
}

static void
compare_value(Check *check, ItemPointer tid, const struct varlena *value)
{
	RvDeltaItem wanted = {.tid = *tid};
	const RvDeltaItem *item = check->delta->count == 0 ? NULL :
		bsearch_arg(&wanted, check->delta->items, check->delta->count, sizeof(RvDeltaItem), compare_items, NULL);

	if (item != NULL && (VARSIZE(item->value) != VARSIZE(value) || memcmp(item->value, value, VARSIZE(value)) != 0) &&
		check->different++ < MAX_REPORTS)
		report(check, "delta", "row (%u,%u) has another value than in the table", ItemPointerGetBlockNumber(tid),
			   ItemPointerGetOffsetNumber(tid));
}

static void
check_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Check	   *check = arg;
	uint64		key = rv_key_of_tid(tid);
	struct varlena *value;
	rv_vector	vector;
	uint32		dims;

	if (isnull[0])
		return;
	value = PG_DETOAST_DATUM(values[0]);
	check->opclass->extract(value, &vector, &dims);
	if (rv_vector_indexable(check->opclass, &vector) &&
		(check->rows.count == 0 || bsearch_arg(&key, check->rows.keys, check->rows.count, sizeof(uint64), compare_keys, NULL) == NULL) &&
		check->missing++ < MAX_REPORTS)
		report(check, "table", "row (%u,%u) is not in the index", ItemPointerGetBlockNumber(tid),
			   ItemPointerGetOffsetNumber(tid));
	compare_value(check, tid, value);
	if ((Pointer) value != DatumGetPointer(values[0]))
		pfree(value);
}

static void
check_pages(Check *check)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(check->index);

	for (BlockNumber block = 1; block < blocks; block++)
	{
		Buffer		buffer;
		Page		page;
		char		where[64];

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBuffer(check->index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		snprintf(where, sizeof(where), "block %u", block);
		if (!PageIsNew(page) && !rv_page_is(page, RV_PAGE_SEGMENT) && !rv_page_is(page, RV_PAGE_TOMBSTONES) &&
			!rv_page_is(page, RV_PAGE_DELTA) && !rv_page_is(page, RV_PAGE_FREE))
			report(check, where, "not a page of this access method");
		UnlockReleaseBuffer(buffer);
	}
}

static void
check_all(Check *check)
{
	Snapshot	snapshot;
	struct IndexInfo *info;
	TableScanDesc scan;

	check->context = CurrentMemoryContext;
	check->rows.context = CurrentMemoryContext;
	check->meta = rv_meta_read(check->index);
	if (!check->index->rd_index->indisvalid)
	{
		report(check, "index", "not valid: the command that was to build it is not finished, or has failed");
		return;
	}
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	info = BuildIndexInfo(check->index);
	scan = table_beginscan_strat(check->heap, snapshot, 0, NULL, true, true);
	check_meta(check);
	for (uint32 i = 0; i < check->meta->n_segments; i++)
		check_segment(check, i);
	check_delta(check);
	check_keys(check);
	check_pages(check);
	info->ii_Concurrent = true;
	info->ii_Unique = false;
	table_index_build_scan(check->heap, check->index, info, true, false, check_row, check, scan);
	if (check->missing > MAX_REPORTS)
		report(check, "table", "%zu more rows are not in the index", check->missing - MAX_REPORTS);
	UnregisterSnapshot(snapshot);
}

/* What was found is of one generation, or it is not said. */
static void
check_on_standby(Check *check)
{
	const Check fresh = *check;

	for (int i = 0; i < MAX_TRIES; i++)
	{
		MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "ruvector check", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(work);
		uint64		index_uid;
		uint64		generation;
		bool		same;

		*check = fresh;
		check_all(check);
		rv_meta_identity(check->index, &index_uid, &generation);
		same = index_uid == check->meta->index_uid && generation == check->meta->generation;
		MemoryContextSwitchTo(old);
		MemoryContextDelete(work);
		if (same)
			return;
		tuplestore_clear(check->store);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("could not check index \"%s\": replay changed it %d times meanwhile",
					RelationGetRelationName(check->index), MAX_TRIES)));
}

static void
check_on_primary(Check *check)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "ruvector check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);

	rv_maintenance_lock(check->index);
	check_all(check);
	rv_maintenance_unlock(check->index);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

Datum
ruvector_index_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	RvOpened	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, AccessShareLock, false);
	MemoryContext old;
	Check		check;

	if (result == NULL || !IsA(result, ReturnSetInfo) || (result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	memset(&check, 0, sizeof(check));
	if (get_call_result_type(fcinfo, NULL, &check.descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	check.descriptor = CreateTupleDescCopy(check.descriptor);
	check.store = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = check.store;
	result->setDesc = check.descriptor;
	MemoryContextSwitchTo(old);

	check.heap = opened.heap;
	check.index = opened.index;
	check.opclass = rv_opclass(opened.index);
	if (RecoveryInProgress())
		check_on_standby(&check);
	else
		check_on_primary(&check);
	rv_inspect_close(&opened);
	return (Datum) 0;
}
