/* SPDX-License-Identifier: PostgreSQL
 *
 * check.c: ruvector_index_check: reads everything that an index consists of and compares it with itself and with the
 * table. One row for every damage found; no rows: the index is sound.
 *
 * Holds the maintenance lock, so that only inserts go on. What the heap must have in the index is what a snapshot sees
 * that was taken before the index's keys were read: a row that comes later may be missing from neither.
 */
#include "internal.h"

#include <sys/stat.h>

#include "access/heapam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "inspect.h"

#define MAX_REPORTS 100			/* of missing rows, of wrong keys */

RV_FUNCTION(ruvector_index_check);

typedef struct Check
{
	Relation	heap;
	Relation	index;
	const RvOpclass *opclass;
	RvMeta	   *meta;
	Tuplestorestate *store;
	TupleDesc	descriptor;
	uint64	   *keys;			/* of all live rows; sorted once complete */
	Size		n_keys;
	Size		capacity;
	Size		missing;
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

static void
add_key(Check *check, uint64 key)
{
	if (check->n_keys == check->capacity)
	{
		check->capacity = Max(check->capacity * 2, 1024);
		check->keys = check->keys == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint64) * check->capacity) :
			repalloc_huge(check->keys, sizeof(uint64) * check->capacity);
	}
	check->keys[check->n_keys++] = key;
}

static int
compare_keys(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
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

/* The engine's own checks over bytes that are right by their CRC, or not: it never reads outside of them. */
static void
check_contents(Check *check, const RvSegmentEntry *entry, const char *where, const void *bytes)
{
	rv_segment *segment;
	rv_segment_info info;
	rv_error	error;
	uint64	   *tombstones;
	rv_status	status = rv_segment_open(bytes, entry->bytes, RV_OPEN_VERIFY, &segment, &error);

	if (status != RV_OK)
	{
		report(check, where, "%s", error.message);
		return;
	}
	if (rv_segment_check(segment, &error) != RV_OK)
		report(check, where, "%s", error.message);
	rv_segment_info_get(segment, &info);
	if (info.slots != entry->slots || info.nodes != entry->nodes)
		report(check, where, "%u rows in %u nodes, but the meta page says %u in %u", info.slots, info.nodes, entry->slots,
			   entry->nodes);
	else if (info.spec.dims != check->meta->dims || info.spec.metric != (rv_metric) check->meta->metric ||
			 info.spec.element != (rv_element) check->meta->element)
		report(check, where, "made for another type, metric or number of dimensions");
	else
	{
		tombstones = check_tombstones(check, entry, where);
		for (uint32 slot = 0; slot < info.slots; slot++)
			if (tombstones == NULL || (tombstones[slot / 64] >> (slot % 64) & 1) == 0)
				add_key(check, rv_segment_key(segment, slot));
	}
	rv_segment_close(segment);
}

static void
check_segment(Check *check, uint32 number)
{
	const RvSegmentEntry *entry = &check->meta->segments[number];
	char		where[64];
	char	   *memory = palloc_extended(entry->bytes + 64, MCXT_ALLOC_HUGE);
	char	   *bytes = (char *) TYPEALIGN(64, memory);
	BlockNumber bad = InvalidBlockNumber;
	pg_crc32c	crc;

	snprintf(where, sizeof(where), "segment %u", number);
	if (!rv_run_read(check->index, RV_PAGE_SEGMENT, entry->uid, entry->run, bytes, entry->bytes, &bad))
		report(check, where, "block %u is not the page that it should be", bad);
	else
	{
		INIT_CRC32C(crc);
		COMP_CRC32C(crc, bytes, entry->bytes);
		FIN_CRC32C(crc);
		if (crc != entry->crc)
			report(check, where, "the checksum over all pages is wrong");
		check_contents(check, entry, where, bytes);
		if (!RelationUsesLocalBuffers(check->index))
		{
			const char *problem = rv_image_check(check->index, entry, bytes);

			if (problem != NULL)
				report(check, where, "%s", problem);
		}
	}
	pfree(memory);
}

static void
check_delta(Check *check)
{
	RvDelta    *delta = rv_delta_new(CurrentMemoryContext);

	if (check->meta->delta_head != InvalidBlockNumber &&
		!rv_delta_read(check->index, delta, check->meta->delta_head, InvalidBlockNumber))
		report(check, "delta", "the page behind block %u is not a delta page, or not the next one", delta->block);
	else if (delta->pages < check->meta->delta_pages)
		report(check, "delta", "%u pages, but the meta page says %u", delta->pages, check->meta->delta_pages);
	for (uint32 i = 0; i < delta->count; i++)
	{
		const struct varlena *value = delta->items[i].value;
		rv_vector	vector;
		uint32		dims = 0;

		if (VARATT_IS_EXTENDED(value))
			report(check, "delta", "row (%u,%u) has no plain value", ItemPointerGetBlockNumberNoCheck(&delta->items[i].tid),
				   ItemPointerGetOffsetNumberNoCheck(&delta->items[i].tid));
		else
			check->opclass->extract(value, &vector, &dims);
		if (dims != 0 && dims != check->meta->dims)
			report(check, "delta", "row (%u,%u) has %u dimensions, not %u",
				   ItemPointerGetBlockNumberNoCheck(&delta->items[i].tid),
				   ItemPointerGetOffsetNumberNoCheck(&delta->items[i].tid), dims, check->meta->dims);
		add_key(check, rv_key_of_tid(&delta->items[i].tid));
	}
	MemoryContextDelete(delta->context);
}

/* No row twice, none that the table cannot have. */
static void
check_keys(Check *check)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(check->heap);
	Size		reports = 0;

	if (check->n_keys > 1)
		qsort(check->keys, check->n_keys, sizeof(uint64), compare_keys);
	for (Size i = 0; i < check->n_keys && reports < MAX_REPORTS; i++)
	{
		unsigned	block = (unsigned) (check->keys[i] >> 16);
		unsigned	offset = (unsigned) (check->keys[i] & 0xFFFF);

		if (block >= blocks || offset == 0 || check->keys[i] >> 48 != 0)
		{
			report(check, "keys", "row (%u,%u) is not in the table", block, offset);
			reports++;
		}
		else if (i > 0 && check->keys[i] == check->keys[i - 1])
		{
			report(check, "keys", "row (%u,%u) is in the index more than once", block, offset);
			reports++;
		}
	}
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
		(check->n_keys == 0 || bsearch(&key, check->keys, check->n_keys, sizeof(uint64), compare_keys) == NULL) &&
		check->missing++ < MAX_REPORTS)
		report(check, "table", "row (%u,%u) is not in the index", ItemPointerGetBlockNumber(tid),
			   ItemPointerGetOffsetNumber(tid));
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
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	struct IndexInfo *info = BuildIndexInfo(check->index);
	TableScanDesc scan = table_beginscan_strat(check->heap, snapshot, 0, NULL, true, true);

	check->meta = rv_meta_read(check->index);
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

Datum
ruvector_index_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		recovery = RecoveryInProgress();
	RvOpened	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, AccessShareLock, false);
	MemoryContext old;
	MemoryContext work;
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
	if (!recovery)
		rv_maintenance_lock(opened.index);
	work = AllocSetContextCreate(CurrentMemoryContext, "ruvector check", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	check_all(&check);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	if (!recovery)
		rv_maintenance_unlock(opened.index);
	rv_inspect_close(&opened);
	return (Datum) 0;
}
