/* SPDX-License-Identifier: PostgreSQL
 *
 * vacuum.c: VACUUM. Dead rows get a tombstone bit in their segment or a dead mark in the delta; nothing moves. The
 * maintenance lock keeps seal and merge away meanwhile, which would move rows from where they were looked for.
 *
 * VACUUM lets heap TIDs be used again only after this has returned. A scan that begins later finds the new generation;
 * one that began before has a snapshot that does not see what takes a TID over.
 */
#include "internal.h"

#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#define SLOTS_BETWEEN_DELAYS 1024

void
rv_maintenance_lock(Relation index)
{
	LockPage(index, RV_META_BLOCK, ExclusiveLock);
}

bool
rv_maintenance_try_lock(Relation index)
{
	return ConditionalLockPage(index, RV_META_BLOCK, ExclusiveLock);
}

void
rv_maintenance_unlock(Relation index)
{
	UnlockPage(index, RV_META_BLOCK, ExclusiveLock);
}

/* The segment's tombstones with the newly dead added, NULL when there are none. */
static uint64 *
find_dead(const RvViewSegment *segment, IndexBulkDeleteCallback callback, void *callback_state,
		  IndexBulkDeleteResult *stats)
{
	Size		size = rv_tombstone_bytes(segment->entry.slots);
	uint64	   *bits = palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint64		found = 0;

	if (segment->tombstones != NULL)
		memcpy(bits, segment->tombstones, size);
	for (uint32 slot = 0; slot < segment->entry.slots; slot++)
	{
		uint64		bit = UINT64CONST(1) << (slot % 64);
		ItemPointerData tid;

		if (slot % SLOTS_BETWEEN_DELAYS == 0)
			rv_vacuum_delay_point();
		if ((bits[slot / 64] & bit) != 0)
			continue;
		rv_tid_of_key(rv_segment_key(segment->image->segment, slot), &tid);
		if (callback(&tid, callback_state))
		{
			bits[slot / 64] |= bit;
			found++;
		}
		else
			stats->num_index_tuples++;
	}
	stats->tuples_removed += found;
	if (found > 0)
		return bits;
	pfree(bits);
	return NULL;
}

static void
bulk_delete(Relation index, RvView *view, IndexBulkDeleteCallback callback, void *callback_state,
			IndexBulkDeleteResult *stats)
{
	RvMeta	   *meta = rv_meta_read(index);
	RvSegmentEntry *old = palloc(sizeof(RvSegmentEntry) * Max(meta->n_segments, 1));
	int			n_old = 0;
	uint64		remaining = 0;
	bool		any_dead;
	bool		changed = false;

	for (uint32 i = 0; i < meta->n_segments; i++)
	{
		uint64	   *bits = find_dead(&view->segments[i], callback, callback_state, stats);

		if (bits == NULL)
			continue;
		changed = true;
		if (meta->segments[i].tombstones.first != InvalidBlockNumber)
			old[n_old++] = meta->segments[i];
		rv_tombstones_write(index, &meta->segments[i], bits);
		pfree(bits);
	}
	stats->tuples_removed += rv_delta_bulk_delete(index, meta->delta_head, callback, callback_state, &remaining, &any_dead);
	stats->num_index_tuples += remaining;
	/* marks in the delta may also be those of a VACUUM that ended before it came to this */
	if (changed || any_dead)
		rv_meta_replace(index, meta, InvalidBlockNumber, 0);
	for (int i = 0; i < n_old; i++)
		rv_run_free(index, RV_PAGE_TOMBSTONES, old[i].uid, old[i].tombstones.first, old[i].tombstones.pages);
}

IndexBulkDeleteResult *
rv_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback, void *state)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ruvector vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	IndexBulkDeleteResult *result = stats != NULL ? stats : palloc0(sizeof(IndexBulkDeleteResult));
	RvView	   *view;

	result->num_index_tuples = 0;
	rv_maintenance_lock(info->index);
	view = rv_view_acquire_segments_in(context, info->index);
	old = MemoryContextSwitchTo(context);
	bulk_delete(info->index, view, callback, state, result);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	rv_maintenance_unlock(info->index);
	return result;
}

/* Without a lock: when the delta is sealed meanwhile, what is counted is an estimate. */
static void
count_rows(Relation index, const RvMeta *meta, IndexBulkDeleteResult *stats)
{
	RvDelta    *delta = rv_delta_new(CurrentMemoryContext);

	delta->only_counted = true;
	stats->estimated_count = !rv_delta_read(index, delta, meta->delta_head, meta->delta_tail);
	stats->num_index_tuples = delta->count;
	MemoryContextDelete(delta->context);
	for (uint32 i = 0; i < meta->n_segments; i++)
		stats->num_index_tuples += meta->segments[i].slots - meta->segments[i].dead;
}

/* What VACUUM leaves behind it, a worker takes away: segments that are mostly dead rows, and rows that nobody has sealed.
 * VACUUM itself would take as long as a build. Nobody but this session can do it for a temporary table. */
static void
ask_for_maintenance(Relation index, const RvMeta *meta)
{
	RvMaintenance result;

	if (!rv_maintenance_is_due(meta))
		return;
	if (RelationUsesLocalBuffers(index))
		rv_maintain(rv_build_threads(NULL), index, RV_MAINTAIN_NOWAIT, &result);
	else if (rv_background_maintenance)
		(void) rv_request_worker(index);
}

IndexBulkDeleteResult *
rv_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	RvMeta	   *meta;

	if (info->analyze_only)
		return stats;
	meta = rv_meta_read(info->index);
	if (stats == NULL)
	{
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		count_rows(info->index, meta, stats);
	}
	stats->pages_deleted = rv_reclaim_if_worth_it(info->index);
	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	/* such as those of databases that were dropped by sessions without this library */
	if (!RelationUsesLocalBuffers(info->index))
		rv_image_sweep(info->index);
	ask_for_maintenance(info->index, meta);
	pfree(meta);
	return stats;
}
