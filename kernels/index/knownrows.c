/* SPDX-License-Identifier: PostgreSQL
 *
 * knownrows.c: see knownrows.h.
 *
 * Rows are named as indexes name them, by the root of their chain of versions. On a page all of whose rows are visible to
 * everybody a chain has one version.
 */
#include "knownrows.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

#define PARTS_OF(blocks) (((blocks) + RV_MAP_PAGES - 1) / RV_MAP_PAGES)

/* Of a table of so many pages, those that are in the part. */
static BlockNumber
pages_of(uint32 number, BlockNumber blocks)
{
	return Min(blocks - number * (BlockNumber) RV_MAP_PAGES, RV_MAP_PAGES);
}

/* One reading of the table, a part of it or all. */
typedef struct Reading
{
	RvKnownRows *rows;
	RvFetch    *fetch;
	BlockNumber blocks;			/* of the table */
	TupleTableSlot *slot;
	BufferAccessStrategy strategy;
	uint64		rows_left;
	uint64		pages_left;
	RvVisible	visible;
} Reading;

static void
forget(RvKnownPart *part)
{
	memset(part->known, 0, sizeof(part->known));
	part->passing.count = 0;
	part->looked_at = 0;
}

/* The rows of a page that are visible to everybody: the place that indexes know of each, and that of its tuple. */
static int
rows_of(Page page, OffsetNumber *roots, OffsetNumber *items)
{
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	int			n = 0;

	for (OffsetNumber root = FirstOffsetNumber; root <= last; root = OffsetNumberNext(root))
	{
		ItemId		id = PageGetItemId(page, root);
		OffsetNumber item = ItemIdIsRedirected(id) ? ItemIdGetRedirect(id) : root;

		id = PageGetItemId(page, item);
		if (!ItemIdIsNormal(id) || (item == root && HeapTupleHeaderIsHeapOnly((HeapTupleHeader) PageGetItem(page, id))))
			continue;
		roots[n] = root;
		items[n++] = item;
	}
	return n;
}

static void
read_page(Reading *reading, RvKnownPart *part, BlockNumber block)
{
	RvFetch    *fetch = reading->fetch;
	RvNode	   *node = fetch->node;
	OffsetNumber roots[MaxHeapTuplesPerPage];
	OffsetNumber items[MaxHeapTuplesPerPage];
	Buffer		buffer = ReadBufferExtended(fetch->heap, MAIN_FORKNUM, block, RBM_NORMAL, reading->strategy);
	Page		page = BufferGetPage(buffer);
	int			n;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	n = rows_of(page, roots, items);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	for (int i = 0; i < n; i++)
	{
		ItemId		id = PageGetItemId(page, items[i]);
		HeapTupleData tuple;

		tuple.t_data = (HeapTupleHeader) PageGetItem(page, id);
		tuple.t_len = ItemIdGetLength(id);
		tuple.t_tableOid = RelationGetRelid(fetch->heap);
		ItemPointerSet(&tuple.t_self, block, items[i]);
		ExecStoreBufferHeapTuple(&tuple, reading->slot, buffer);
		node->context->ecxt_scantuple = reading->slot;
		if (ExecQual(node->state->ps.qual, node->context))
			rv_keylist_add(&part->passing, (uint64) block << 16 | roots[i]);
		ResetExprContext(node->context);
	}
	ExecClearTuple(reading->slot);
	ReleaseBuffer(buffer);
	reading->rows->rows_read += n;
	reading->rows->pages_read++;
	reading->rows_left -= Min(reading->rows_left, (uint64) n);
	reading->pages_left--;
}

/* Goes on where the last reading ended; from the beginning when the map has changed since. */
static void
read_part(Reading *reading, RvKnownPart *part, uint32 number)
{
	BlockNumber first = number * (BlockNumber) RV_MAP_PAGES;
	BlockNumber pages = pages_of(number, reading->blocks);

	rv_visible_read(reading->fetch->heap, number, &reading->visible);
	if (part->lsn != reading->visible.lsn)
	{
		forget(part);
		part->lsn = reading->visible.lsn;
	}
	for (; part->looked_at < pages && reading->rows_left > 0 && reading->pages_left > 0; part->looked_at++)
	{
		Size		word = part->looked_at / RV_PAGES_A_WORD;
		uint64		bit = UINT64CONST(1) << (part->looked_at % RV_PAGES_A_WORD * BITS_PER_HEAPBLOCK);

		if ((reading->visible.bits[word] & bit) == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		read_page(reading, part, first + part->looked_at);
		part->known[word] |= bit;
	}
}

static void
read_parts(Reading *reading)
{
	RvKnownRows *rows = reading->rows;
	uint32		n = PARTS_OF(reading->blocks);

	if (n > rows->n_parts)
	{
		rows->parts = rows->parts == NULL ? MemoryContextAllocZero(rows->context, sizeof(RvKnownPart *) * n) :
			repalloc(rows->parts, sizeof(RvKnownPart *) * n);
		for (; rows->n_parts < n; rows->n_parts++)
			rows->parts[rows->n_parts] = NULL;
	}
	for (uint32 i = 0; i < n && reading->rows_left > 0 && reading->pages_left > 0; i++)
	{
		if (rows->parts[i] == NULL)
		{
			rows->parts[i] = MemoryContextAllocZero(rows->context, sizeof(RvKnownPart));
			rows->parts[i]->passing.context = rows->context;
		}
		read_part(reading, rows->parts[i], i);
	}
}

void
rv_known_rows_read(RvKnownRows *rows, RvFetch *fetch, BlockNumber blocks, uint64 most_rows, uint64 most_pages)
{
	Reading    *reading = palloc(sizeof(Reading));

	reading->rows = rows;
	reading->fetch = fetch;
	reading->blocks = blocks;
	reading->rows_left = most_rows;
	reading->pages_left = most_pages;
	reading->slot = MakeSingleTupleTableSlot(RelationGetDescr(fetch->heap), &TTSOpsBufferHeapTuple);
	reading->strategy = GetAccessStrategy(BAS_BULKREAD);
	read_parts(reading);
	ExecDropSingleTupleTableSlot(reading->slot);
	FreeAccessStrategy(reading->strategy);
	pfree(reading);
}

double
rv_known_rows_a_page(const RvKnownRows *rows)
{
	return rows->pages_read == 0 ? 1 : (double) rows->rows_read / rows->pages_read;
}

bool
rv_known_rows_complete(const RvKnownRows *rows, BlockNumber blocks)
{
	uint32		n = PARTS_OF(blocks);

	if (rows->n_parts < n)
		return false;
	for (uint32 i = 0; i < n; i++)
		if (rows->parts[i] == NULL || rows->parts[i]->looked_at < pages_of(i, blocks))
			return false;
	return true;
}

/* Of a part, the pages whose rows are still known, as bits; of the others only the number is told. NULL: none is. */
static uint64 *
still_known(RvKnownPart *part, Relation heap, uint32 number, BlockNumber pages, uint64 *others)
{
	RvVisible	visible;
	uint64	   *known = NULL;

	*others += pages;
	if (part == NULL)
		return NULL;
	rv_visible_read(heap, number, &visible);
	if (part->lsn != visible.lsn)
	{
		forget(part);
		return NULL;
	}
	known = palloc(sizeof(part->known));
	for (int i = 0; i < (int) RV_MAP_WORDS; i++)
	{
		known[i] = part->known[i] & visible.bits[i];
		*others -= pg_popcount64(known[i]);
	}
	return known;
}

/* The keys of known pages, and all others as whole pages, in order. */
static void
add_part(RvFilter *filter, const RvKnownPart *part, const uint64 *known, uint32 number, BlockNumber pages)
{
	uint64		first = (uint64) number * RV_MAP_PAGES;
	Size		next = 0;
	Size		count = known == NULL ? 0 : part->passing.count;

	for (BlockNumber page = 0; page < pages; page++)
	{
		uint64		word = known == NULL ? 0 : known[page / RV_PAGES_A_WORD];
		uint64		key = (first + page) << 16;

		if (page % RV_PAGES_A_WORD == 0 && word == RV_VISIBLE_BITS)
		{
			page += RV_PAGES_A_WORD - 1;
			continue;
		}
		if ((word >> (page % RV_PAGES_A_WORD * BITS_PER_HEAPBLOCK) & 1) != 0)
			continue;
		while (next < count && part->passing.keys[next] < key)
			filter->keys[filter->count++] = part->passing.keys[next++];
		while (next < count && part->passing.keys[next] >> 16 == first + page)
			next++;
		filter->keys[filter->count++] = key;
	}
	while (next < count)
		filter->keys[filter->count++] = part->passing.keys[next++];
}

RvKnownNow
rv_known_rows_now(RvKnownRows *rows, Relation heap, BlockNumber blocks)
{
	RvKnownNow	now = {.n_parts = PARTS_OF(blocks), .blocks = blocks};

	now.pages = palloc0(sizeof(uint64 *) * now.n_parts);
	for (uint32 i = 0; i < now.n_parts; i++)
	{
		RvKnownPart *part = i < rows->n_parts ? rows->parts[i] : NULL;

		now.pages[i] = still_known(part, heap, i, pages_of(i, blocks), &now.others);
		now.most_keys += now.pages[i] == NULL ? 0 : part->passing.count;
	}
	now.most_keys += now.others;
	return now;
}

RvFilter *
rv_known_rows_filter(const RvKnownRows *rows, const RvKnownNow *now)
{
	RvFilter   *filter = palloc0(sizeof(RvFilter));

	filter->context = CurrentMemoryContext;
	filter->keys = MemoryContextAllocHuge(filter->context, sizeof(uint64) * Max(now->most_keys, 1));
	for (uint32 i = 0; i < now->n_parts; i++)
		add_part(filter, now->pages[i] == NULL ? NULL : rows->parts[i], now->pages[i], i, pages_of(i, now->blocks));
	return filter;
}
