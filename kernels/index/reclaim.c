/* SPDX-License-Identifier: PostgreSQL
 *
 * reclaim.c: finds pages that belong to nothing: written by a seal or merge that an error or crash ended before the meta
 * page named them, or free ones that the free space map (which is not logged) has forgotten.
 *
 * The caller holds the maintenance lock, so no chain of a segment or of tombstones is being written or freed. Inserts go
 * on: a delta page is let go only when its number, which they make grow, is smaller than that of the delta's first.
 */
#include "internal.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#define LOST_SHARE_TO_RECLAIM 16	/* a pass over the whole index for less than that part of it is not worth it */

typedef struct Used
{
	uint8	   *bits;			/* one a block */
	BlockNumber blocks;
	bool		has_delta;
	uint32		delta_number;	/* of the delta's first page, which only the maintenance lock's holder moves */
} Used;

static bool
is_used(const Used *used, BlockNumber block)
{
	return (used->bits[block / 8] >> (block % 8) & 1) != 0;
}

/* False: the chain is damaged, so what belongs to it cannot be told. */
static bool
mark_chain(Relation index, Used *used, RvPageKind kind, uint64 owner, RvRun run)
{
	BlockNumber block = run.first;

	for (uint32 number = 0; number < run.pages; number++)
	{
		Buffer		buffer;
		Page		page;
		bool		fits;

		CHECK_FOR_INTERRUPTS();
		if (block >= used->blocks)
			return false;
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		fits = rv_page_is(page, kind) && RvPageTailOf(page)->owner == owner && RvPageTailOf(page)->number == number;
		used->bits[block / 8] |= 1 << (block % 8);
		block = fits ? RvPageTailOf(page)->next : InvalidBlockNumber;
		UnlockReleaseBuffer(buffer);
		if (!fits)
			return false;
	}
	return true;
}

/* Written by an insert or left by a seal that was ended before its last step. */
static bool
is_old_delta(const Used *used, Page page)
{
	return used->has_delta && rv_page_is(page, RV_PAGE_DELTA) &&
		(int32) (RvPageTailOf(page)->number - used->delta_number) < 0;
}

static bool
reclaim_page(Relation index, const Used *used, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(index, block);
	Page		page;
	bool		lost;
	bool		is_free;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	is_free = PageIsNew(page) || rv_page_is(page, RV_PAGE_FREE);
	lost = rv_page_is(page, RV_PAGE_SEGMENT) || rv_page_is(page, RV_PAGE_TOMBSTONES) || is_old_delta(used, page);
	if (lost)
	{
		GenericXLogState *state = GenericXLogStart(index);

		RvPageTailOf(GenericXLogRegisterBuffer(state, buffer, 0))->kind = RV_PAGE_FREE;
		GenericXLogFinish(state);
	}
	UnlockReleaseBuffer(buffer);
	if (lost || is_free)
		RecordFreeIndexPage(index, block);
	return lost;
}

/* A page that a session has just added belongs to it before it is initialised: only where that session had no lock on it
 * yet when the file was already longer (before PostgreSQL 16) must the lock on extension be waited for. */
static BlockNumber
count_blocks(Relation index)
{
	bool		lock = !RELATION_IS_LOCAL(index);
	BlockNumber blocks;

	if (lock)
		LockRelationForExtension(index, ExclusiveLock);
	blocks = RelationGetNumberOfBlocks(index);
	if (lock)
		UnlockRelationForExtension(index, ExclusiveLock);
	return blocks;
}

static void
mark_delta(Relation index, Used *used, const RvMeta *meta)
{
	Buffer		buffer;

	used->has_delta = meta->delta_head < used->blocks;
	if (!used->has_delta)
		return;
	buffer = ReadBuffer(index, meta->delta_head);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	used->has_delta = rv_page_is(BufferGetPage(buffer), RV_PAGE_DELTA);
	if (used->has_delta)
		used->delta_number = RvPageTailOf(BufferGetPage(buffer))->number;
	UnlockReleaseBuffer(buffer);
}

/* Pages that are neither used nor known to be free. Inserts and seals go on meanwhile, so it is about right. */
static uint64
count_lost(Relation index)
{
	RvMeta	   *meta = rv_meta_read(index);
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	uint64		known = 1 + meta->delta_pages;

	for (uint32 i = 0; i < meta->n_segments; i++)
		known += (uint64) meta->segments[i].run.pages +
			(meta->segments[i].tombstones.first != InvalidBlockNumber ? meta->segments[i].tombstones.pages : 0);
	for (BlockNumber block = RV_META_BLOCK + 1; block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (GetRecordedFreeSpace(index, block) > 0)
			known++;
	}
	pfree(meta);
	return blocks > known ? blocks - known : 0;
}

uint64
rv_reclaim_if_worth_it(Relation index)
{
	uint64		reclaimed = 0;

	if (count_lost(index) * LOST_SHARE_TO_RECLAIM <= RelationGetNumberOfBlocks(index) || !rv_maintenance_try_lock(index))
		return 0;
	reclaimed = rv_reclaim(index);
	rv_maintenance_unlock(index);
	return reclaimed;
}

uint64
rv_reclaim(Relation index)
{
	RvMeta	   *meta = rv_meta_read(index);
	Used		used;
	uint64		reclaimed = 0;

	used.blocks = count_blocks(index);
	mark_delta(index, &used, meta);
	used.bits = palloc_extended(used.blocks / 8 + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < meta->n_segments; i++)
	{
		const RvSegmentEntry *entry = &meta->segments[i];

		if (!mark_chain(index, &used, RV_PAGE_SEGMENT, entry->uid, entry->run) ||
			(entry->tombstones.first != InvalidBlockNumber &&
			 !mark_chain(index, &used, RV_PAGE_TOMBSTONES, entry->uid, entry->tombstones)))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("segment %u of index \"%s\" is corrupted", i, RelationGetRelationName(index)),
					 errhint("Please REINDEX it.")));
	}
	for (BlockNumber block = RV_META_BLOCK + 1; block < used.blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_used(&used, block) && reclaim_page(index, &used, block))
			reclaimed++;
	}
	IndexFreeSpaceMapVacuum(index);
	pfree(used.bits);
	pfree(meta);
	return reclaimed;
}
