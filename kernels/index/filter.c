/* SPDX-License-Identifier: PostgreSQL
 *
 * filter.c: see filter.h.
 *
 * The keys of a segment are in the order in which rows came into it: that of the heap where CREATE INDEX read it, and a
 * few such runs one after the other where segments were merged. Each run is intersected with the filter's keys by
 * galloping through it. Where there are many runs (lists, rows with equal vectors, writers side by side) every key is
 * looked at, first by a bit for its page.
 */
#include "filter.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#define KEY_PAGE(key) ((key) >> 16)

static void
add_page(RvFilter *filter, BlockNumber page, bool lossy, const OffsetNumber *offsets, int count)
{
	if (lossy)
		rv_keylist_add(filter, (uint64) page << 16);
	else
		for (int i = 0; i < count; i++)
			rv_keylist_add(filter, (uint64) page << 16 | offsets[i]);
}

RvFilter *
rv_filter_new(TIDBitmap *bitmap)
{
	RvFilter   *filter = palloc0(sizeof(RvFilter));

	filter->context = CurrentMemoryContext;
	if (!tbm_is_empty(bitmap))
	{
#if PG_VERSION_NUM >= 180000
		TBMPrivateIterator *iterator = tbm_begin_private_iterate(bitmap);
		TBMIterateResult page;
		OffsetNumber offsets[TBM_MAX_TUPLES_PER_PAGE];

		while (tbm_private_iterate(iterator, &page))
			add_page(filter, page.blockno, page.lossy, offsets,
					 page.lossy ? 0 : tbm_extract_page_tuple(&page, offsets, TBM_MAX_TUPLES_PER_PAGE));
		tbm_end_private_iterate(iterator);
#else
		TBMIterator *iterator = tbm_begin_iterate(bitmap);
		TBMIterateResult *page;

		while ((page = tbm_iterate(iterator)) != NULL)
			add_page(filter, page->blockno, page->ntuples < 0, page->offsets, page->ntuples);
		tbm_end_iterate(iterator);
#endif
	}
	return filter;
}

/* The first of keys[from .. end) that is not below the key, or end: near from it is found in few steps. */
static Size
gallop(const uint64 *keys, Size from, Size end, uint64 key)
{
	Size		step = 1;
	Size		low = from;		/* what is before it is below the key */
	Size		high;

	while (low + step < end && keys[low + step] < key)
	{
		low += step;
		step *= 2;
	}
	high = Min(low + step, end);
	while (low < high)
	{
		Size		middle = low + (high - low) / 2;

		if (keys[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
rv_filter_admits(const RvFilter *filter, uint64 key)
{
	Size		at = gallop(filter->keys, 0, filter->count, KEY_PAGE(key) << 16);

	if (at == filter->count || KEY_PAGE(filter->keys[at]) != KEY_PAGE(key))
		return false;
	if ((filter->keys[at] & 0xFFFF) == 0)
		return true;
	at = gallop(filter->keys, at, filter->count, key);
	return at < filter->count && filter->keys[at] == key;
}

/* Where the keys of the segment begin to ascend anew. */
static void
find_runs(RvImage *image)
{
	const uint64 *keys = rv_segment_keys(image->segment);
	uint32		slots = image->info.slots;
	uint32		n = 1;

	image->run_starts[0] = 0;
	for (uint32 i = 1; i < slots && n <= RV_MAX_RUNS; i++)
		if (keys[i] <= keys[i - 1])
		{
			if (n < RV_MAX_RUNS)
				image->run_starts[n] = i;
			n++;
		}
	image->n_runs = n;
}

typedef struct Admission
{
	const uint64 *tombstones;	/* of the segment, or NULL */
	uint64	   *bits;
	uint32		count;
} Admission;

static inline void
admit(Admission *admission, Size slot)
{
	uint64		bit = UINT64CONST(1) << (slot % 64);

	if (admission->tombstones != NULL && (admission->tombstones[slot / 64] & bit) != 0)
		return;
	admission->bits[slot / 64] &= ~bit;
	admission->count++;
}

static void
admit_run(Admission *admission, const RvFilter *filter, const uint64 *keys, Size start, Size end)
{
	Size		at = start;
	Size		i = 0;

	while (i < filter->count && at < end)
	{
		uint64		wanted = filter->keys[i];

		at = gallop(keys, at, end, wanted);
		if (at == end)
			break;
		if ((wanted & 0xFFFF) == 0)
			for (; at < end && KEY_PAGE(keys[at]) == KEY_PAGE(wanted); at++)
				admit(admission, at);
		else if (keys[at] == wanted)
			admit(admission, at++);
		i++;
		/* either side may be the longer one */
		if (at < end && i < filter->count && KEY_PAGE(filter->keys[i]) < KEY_PAGE(keys[at]))
			i = gallop(filter->keys, i, filter->count, KEY_PAGE(keys[at]) << 16);
	}
}

static void
admit_any(Admission *admission, const RvFilter *filter, const uint64 *keys, Size slots)
{
	uint64		first;
	uint64		last;
	uint64	   *pages;

	if (filter->count == 0)
		return;
	first = KEY_PAGE(filter->keys[0]);
	last = KEY_PAGE(filter->keys[filter->count - 1]);
	pages = palloc0((last - first + 64) / 64 * sizeof(uint64));
	for (Size i = 0; i < filter->count; i++)
	{
		uint64		page = KEY_PAGE(filter->keys[i]) - first;

		pages[page / 64] |= UINT64CONST(1) << (page % 64);
	}
	for (Size slot = 0; slot < slots; slot++)
	{
		uint64		page = KEY_PAGE(keys[slot]) - first;	/* wraps around when it is before */

		if ((slot & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (page <= last - first && (pages[page / 64] >> (page % 64) & 1) != 0 && rv_filter_admits(filter, keys[slot]))
			admit(admission, slot);
	}
	pfree(pages);
}

uint64 *
rv_filter_segment(const RvFilter *filter, const RvViewSegment *segment, uint32 *admitted)
{
	RvImage    *image = segment->image;
	const uint64 *keys = rv_segment_keys(image->segment);
	uint32		slots = image->info.slots;
	Size		bytes = Max(rv_tombstone_bytes(slots), sizeof(uint64));
	Admission	admission = {.tombstones = segment->tombstones};

	admission.bits = MemoryContextAllocHuge(filter->context, bytes);
	memset(admission.bits, 0xFF, bytes);
	if (image->n_runs == 0)
		find_runs(image);
	if (image->n_runs > RV_MAX_RUNS)
		admit_any(&admission, filter, keys, slots);
	else
		for (uint32 run = 0; run < image->n_runs; run++)
			admit_run(&admission, filter, keys, image->run_starts[run],
					  run + 1 < image->n_runs ? image->run_starts[run + 1] : slots);
	*admitted = admission.count;
	return admission.bits;
}
