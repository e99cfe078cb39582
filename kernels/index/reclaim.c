/* SPDX-License-Identifier: PostgreSQL
 *
 * reclaim.c: finds pages that belong to nothing: written by a seal or merge that an error or crash ended before the meta
 * page named them, or free ones that the free space map (which is not logged) has forgotten.
 *
 * The caller holds the maintenance lock, so no chain of a segment or of tombstones is being written or freed. Delta pages
 * are left alone: inserts go on.
 */
#include "internal.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

typedef struct Used
{
	uint8	   *bits;			/* one a block */
	BlockNumber blocks;
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

static bool
reclaim_page(Relation index, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(index, block);
	Page		page;
	bool		lost;
	bool		is_free;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	is_free = PageIsNew(page) || rv_page_is(page, RV_PAGE_FREE);
	lost = rv_page_is(page, RV_PAGE_SEGMENT) || rv_page_is(page, RV_PAGE_TOMBSTONES);
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

uint64
rv_reclaim(Relation index)
{
	RvMeta	   *meta = rv_meta_read(index);
	Used		used;
	uint64		reclaimed = 0;

	used.blocks = RelationGetNumberOfBlocks(index);
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
		if (!is_used(&used, block) && reclaim_page(index, block))
			reclaimed++;
	}
	IndexFreeSpaceMapVacuum(index);
	pfree(used.bits);
	pfree(meta);
	return reclaimed;
}
