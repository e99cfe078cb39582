/* SPDX-License-Identifier: PostgreSQL
 *
 * maintain.c: sealing the delta into a segment, merging segments, leaving dead rows behind.
 *
 * All three are one operation: a new segment is built from the delta and some of the segments, and takes their place by
 * one change of the meta page. Lists are taken over from the largest segment, and clustered anew where the engine finds that
 * rows have come which they do not fit (engine.h, rv_list_change). Which segments: those no larger than what is merged already (so sizes fall by half or
 * more along the list, there are at most log2 of them, and a row is moved at most so many times), and those of which
 * a good part is dead. Until the meta page changes nothing of the old is touched, so an error, a cancel or a crash
 * leaves the index as it was; pages already written are then found by rv_reclaim.
 *
 * The caller holds a lock on the index that keeps DROP and REINDEX away; the maintenance lock keeps others of its kind
 * and VACUUM away. Whoever waits for either makes a running merge stop.
 */
#include "internal.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define DEAD_SHARE_TO_REWRITE 0.2
/* Peak memory of building over the bytes of the finished segment: codes, links twice, the blob. */
#define PEAK_OVER_BYTES 3.0

typedef struct Task
{
	int			threads;
	Relation	index;
	RvView	   *view;
	RvMeta	   *meta;
	bool	   *merge;			/* one a segment */
	uint32		n_merge;
	bool		seal;
	RvDeltaCut	cut;
	rv_list_change lists;		/* of the new segment */
	int			flags;
	MemoryContext context;
} Task;

static uint64
live(const RvSegmentEntry *entry)
{
	return entry->slots - entry->dead;
}

/* Only strong locks can be asked about: weaker ones may not be in the shared table. */
static bool
someone_waits(void *arg)
{
	Task	   *plan = arg;
	LOCKTAG		tag;

	SET_LOCKTAG_PAGE(tag, plan->index->rd_lockInfo.lockRelId.dbId, plan->index->rd_lockInfo.lockRelId.relId,
					 RV_META_BLOCK);
	return LockHasWaiters(&tag, ExclusiveLock, false) ||
		((plan->flags & RV_MAINTAIN_YIELD) != 0 && LockHasWaitersRelation(plan->index, ShareUpdateExclusiveLock)) ||
		((plan->flags & RV_MAINTAIN_WORKER) != 0 && rv_database_is_wanted());
}

/* The smallest segment that is not chosen yet. */
static int
smallest_left(const Task *plan)
{
	int			best = -1;

	for (uint32 i = 0; i < plan->meta->n_segments; i++)
		if (!plan->merge[i] && (best < 0 || live(&plan->meta->segments[i]) < live(&plan->meta->segments[best])))
			best = i;
	return best;
}

static void
choose(Task *plan)
{
	const RvDelta *delta = plan->view->delta;
	bool		all = (plan->flags & RV_MAINTAIN_ALL) != 0;
	uint64		rows;
	double		bytes;
	double		limit = (double) maintenance_work_mem * 1024;
	int			i;

	/* dead rows alone too: sealing is what frees their pages */
	plan->seal = all ? delta->count > 0 || plan->meta->delta_pages > 1 :
		plan->meta->delta_pages >= (uint32) rv_delta_limit_kb / (BLCKSZ / 1024);
	rows = plan->seal ? delta->count : 0;
	bytes = plan->seal ? (double) delta->bytes : 0;
	for (uint32 s = 0; s < plan->meta->n_segments; s++)
	{
		const RvSegmentEntry *entry = &plan->meta->segments[s];

		if (entry->dead > (all ? 0 : DEAD_SHARE_TO_REWRITE * entry->slots) &&
			(bytes + entry->bytes) * PEAK_OVER_BYTES <= limit)
		{
			plan->merge[s] = true;
			plan->n_merge++;
			rows += live(entry);
			bytes += entry->bytes;
		}
	}
	while ((i = smallest_left(plan)) >= 0)
	{
		const RvSegmentEntry *entry = &plan->meta->segments[i];

		/* the meta page has room for so many: better more memory for once than no place for a new segment */
		if (!plan->seal || plan->meta->n_segments - plan->n_merge < RV_MAX_SEGMENTS)
		{
			if (!all && live(entry) > rows)
				break;
			if ((bytes + entry->bytes) * PEAK_OVER_BYTES > limit)
				break;
		}
		plan->merge[i] = true;
		plan->n_merge++;
		rows += live(entry);
		bytes += entry->bytes;
	}
	/* one segment alone, without dead rows, would come out as it is */
	if (!plan->seal && plan->n_merge == 1)
		for (uint32 s = 0; s < plan->meta->n_segments; s++)
			if (plan->merge[s] && plan->meta->segments[s].dead == 0)
				plan->n_merge = 0;
}

/* The codes of the largest segment that is merged are moved as they are, if its model is the new one's. */
static const rv_segment *
model(const Task *plan)
{
	const RvViewSegment *best = NULL;

	for (uint32 i = 0; i < plan->meta->n_segments; i++)
		if ((plan->merge[i] || plan->n_merge == 0) &&
			(best == NULL || plan->view->segments[i].entry.slots > best->entry.slots))
			best = &plan->view->segments[i];
	return best != NULL ? best->image->segment : NULL;
}

static void
add_delta(const Task *plan, RvBuild *build, const RvDelta *delta)
{
	const RvOpclass *opclass = rv_opclass(plan->index);

	for (uint32 i = 0; i < delta->count; i++)
	{
		rv_vector	vector;
		uint32		dims;
		rv_error	error;
		rv_status	status;

		if ((i & 255) == 0)
			CHECK_FOR_INTERRUPTS();
		opclass->extract(delta->items[i].value, &vector, &dims);
		status = rv_builder_add(build->builder, &vector, rv_key_of_tid(&delta->items[i].tid), &error);
		if (status != RV_OK)
			rv_report(status, &error, plan->index);
	}
}

/* Builds and stores the new segment. False: stopped. slots = 0: nothing was left to put into it. */
static bool
build_segment(Task *plan, RvSegmentEntry *entry)
{
	rv_spec		spec;
	RvBuild    *build;
	bool		finished = true;

	rv_spec_from_meta(plan->meta, &spec);
	build = rv_build_begin(plan->context, &spec, model(plan), plan->index);
	if (plan->seal)
	{
		RvDelta    *delta = rv_delta_new(plan->context);

		if (!rv_delta_read(plan->index, delta, plan->cut.head, plan->cut.last))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("the delta of index \"%s\" is corrupted", RelationGetRelationName(plan->index)),
					 errhint("Please REINDEX it.")));
		add_delta(plan, build, delta);
		MemoryContextDelete(delta->context);
	}
	for (uint32 i = 0; i < plan->meta->n_segments && plan->n_merge > 0; i++)
	{
		rv_error	error;
		rv_status	status;

		if (!plan->merge[i])
			continue;
		CHECK_FOR_INTERRUPTS();
		status = rv_builder_add_segment(build->builder, plan->view->segments[i].image->segment,
										plan->view->segments[i].tombstones, &error);
		if (status != RV_OK)
			rv_report(status, &error, plan->index);
	}
	memset(entry, 0, sizeof(*entry));
	if (rv_builder_count(build->builder) > 0)
	{
		InvalidateCatalogSnapshot();
		finished = rv_build_finish(build, plan->index, plan->threads, false, someone_waits, plan, entry);
		if (finished)
			rv_builder_list_change(build->builder, &plan->lists);
	}
	rv_build_end(build);
	return finished;
}

/* Puts the new segment in the place of what it was made from. */
static void
replace(Task *plan, const RvSegmentEntry *entry, RvMaintenance *result)
{
	RvMeta	   *meta = palloc(RV_PAGE_PAYLOAD);
	uint32		kept = 0;

	memcpy(meta, plan->meta, RV_META_SIZE(plan->meta->n_segments));
	for (uint32 i = 0; i < plan->meta->n_segments; i++)
		if (plan->n_merge == 0 || !plan->merge[i])
			meta->segments[kept++] = plan->meta->segments[i];
	if (entry->slots > 0)
	{
		if (kept == RV_MAX_SEGMENTS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("index \"%s\" has too many segments", RelationGetRelationName(plan->index)),
					 errhint("Increase maintenance_work_mem and call ruvector_index_maintenance().")));
		meta->segments[kept++] = *entry;
	}
	meta->n_segments = kept;
	meta->maintained_at = GetCurrentTimestamp();
	rv_meta_replace(plan->index, meta, plan->seal ? plan->cut.new_head : InvalidBlockNumber,
					plan->seal ? plan->cut.pages : 0);

	if (plan->seal)
		rv_delta_free(plan->index, &plan->cut);
	for (uint32 i = 0; i < plan->meta->n_segments && plan->n_merge > 0; i++)
	{
		const RvSegmentEntry *old = &plan->meta->segments[i];

		if (!plan->merge[i])
			continue;
		rv_run_free(plan->index, RV_PAGE_SEGMENT, old->uid, old->run.first, old->run.pages);
		if (old->tombstones.first != InvalidBlockNumber)
			rv_run_free(plan->index, RV_PAGE_TOMBSTONES, old->uid, old->tombstones.first, old->tombstones.pages);
		rv_image_unlink(plan->index, old->uid);
		result->dropped_rows += old->dead;
	}
	result->merged_segments += plan->n_merge;
	result->lists = plan->lists;
	if (plan->seal)
		result->sealed_rows += plan->view->delta->count;
}

static void
maintain_locked(Task *plan, RvMaintenance *result)
{
	RvSegmentEntry entry;

	plan->meta = rv_meta_read(plan->index);
	plan->merge = palloc0(sizeof(bool) * Max(plan->meta->n_segments, 1));
	choose(plan);
	if (!plan->seal && plan->n_merge == 0)
		return;
	if (plan->seal && !rv_delta_cut(plan->index, &plan->cut))
		plan->seal = false;
	if (build_segment(plan, &entry))
		replace(plan, &entry, result);
	else
		result->stopped = true;
}

bool
rv_maintain(int threads, Relation index, int flags, RvMaintenance *result)
{
	MemoryContext context;
	MemoryContext old;
	Task		plan;

	memset(result, 0, sizeof(*result));
	if (flags & RV_MAINTAIN_NOWAIT)
	{
		if (!rv_maintenance_try_lock(index))
			return false;
	}
	else
		rv_maintenance_lock(index);
	context = AllocSetContextCreate(CurrentMemoryContext, "ruvector maintenance", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	memset(&plan, 0, sizeof(plan));
	plan.threads = threads;
	plan.index = index;
	plan.context = context;
	plan.flags = flags;
	plan.view = rv_view_acquire_in(context, index);
	maintain_locked(&plan, result);
	if ((flags & RV_MAINTAIN_ALL) != 0 && !result->stopped)
		result->reclaimed_pages = rv_reclaim(index);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	rv_maintenance_unlock(index);
	return true;
}
