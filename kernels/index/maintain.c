/* SPDX-License-Identifier: PostgreSQL
 *
 * maintain.c: sealing the delta into a segment, merging segments, leaving dead rows behind.
 *
 * All three are one operation: a new segment is built from the delta and some of the segments, and takes their place by
 * one change of the meta page. Lists are taken over from the largest segment, and clustered anew where the engine finds that
 * rows have come which they do not fit (engine.h, rv_list_change). Which segments: those no larger than what is merged already (so sizes fall by half or
 * more along the list, there are at most log2 of them, and a row is moved at most so many times), and those of which
 * a good part is dead. A delta that memory does not allow in one segment is sealed from its beginning on, part by part. So
 * is a segment rewritten that has more live rows than memory allows: those of its first slots go to a segment of their own,
 * and are tombstones in the old one from the same change of the meta page on, until what is left fits.
 * Until the meta page changes nothing of the old is touched, so an error, a cancel or a crash leaves the index as it was; pages
 * already written are then found by rv_reclaim.
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
#define SEGMENTS_TO_REWRITE (RV_MAX_SEGMENTS / 2)	/* no more than these by rewriting in parts: the rest is for what is sealed */
#define DELTA_BYTES_AT_ONCE (256 * 1024)	/* of rows read and not in the builder yet */
#define MEMORY_AT_LEAST ((Size) 4 * 1024 * 1024)	/* a builder takes one for nothing: less would make segments of a few hundred rows */

#define FEWEST_ROWS 1000		/* that a round is cut down to: it is over in a moment, and then makes way for nobody */
#define REWRITE_ONLY 256		/* with RV_MAINTAIN_ALL: leave the delta */

typedef struct Task
{
	int			threads;
	Relation	index;
	RvView	   *view;
	RvMeta	   *meta;
	bool	   *merge;			/* one a segment */
	uint32		n_merge;
	bool		seal;
	bool		cut_short;		/* only the first part of the delta */
	uint64	   *moved;			/* only a part of the one segment to merge: its tombstones once that is gone */
	uint64	   *not_moved;		/* and with all else marked */
	uint32		n_moved;
	RvDeltaCut	cut;
	uint64		delta_rows;		/* in the delta */
	Size		delta_bytes;
	uint64		rows;			/* that are to be in the new segment */
	uint64		most_rows;		/* that may be */
	uint64		sealed_rows;
	rv_list_change lists;		/* of the new segment */
	int			flags;
	MemoryContext context;
} Task;

static uint64
live(const RvSegmentEntry *entry)
{
	return entry->slots - entry->dead;
}

/* What a segment is made of. */
typedef struct Load
{
	uint64		rows;
	uint64		vectors;		/* distinct, at most */
	double		bytes;
} Load;

/* With what a segment adds when it is merged. */
static Load
with_segment(Load load, const RvSegmentEntry *entry)
{
	load.rows += live(entry);
	load.vectors += Min(live(entry), entry->nodes);
	load.bytes += (double) entry->bytes * live(entry) / Max(entry->slots, 1);
	return load;
}

/* The most that is in one of so many parts with as many live rows each. */
static Load
part_of(const RvSegmentEntry *entry, uint32 parts)
{
	Load		load = with_segment((Load) {0}, entry);

	load.rows = (load.rows + parts - 1) / parts;
	load.vectors = Min(load.vectors, load.rows);
	load.bytes /= parts;
	return load;
}

static Size
memory_limit(void)
{
	return Max((Size) maintenance_work_mem * 1024, MEMORY_AT_LEAST);
}

/* Whether such a segment can be made in the memory that is allowed. */
static bool
fits(const RvMeta *meta, Load load)
{
	rv_spec		spec;

	rv_spec_from_meta(meta, &spec);
	return rv_peak_bytes(&spec, load.vectors, load.rows, (uint64) load.bytes) <= memory_limit();
}

static bool
is_mostly_dead(const RvSegmentEntry *entry)
{
	return entry->dead > DEAD_SHARE_TO_REWRITE * entry->slots;
}

/* How many segments its live rows make, in the memory that is allowed. */
static uint32
parts_of(const RvMeta *meta, const RvSegmentEntry *entry)
{
	uint32		parts = 1;

	while (parts <= SEGMENTS_TO_REWRITE && !fits(meta, part_of(entry, parts)))
		parts++;
	return parts;
}

/* Whether a segment that is too large to be rewritten at once is to be rewritten in parts. Searching so many takes as many
 * times as long as one, and passing dead rows by as many as there are rows for a live one: no more parts than that. */
static bool
is_parted(const RvMeta *meta, const RvSegmentEntry *entry)
{
	uint32		parts;

	if (!is_mostly_dead(entry))
		return false;
	parts = parts_of(meta, entry);
	return parts > 1 && parts * live(entry) <= entry->slots && meta->n_segments + parts <= SEGMENTS_TO_REWRITE;
}

static bool
delta_is_due(const RvMeta *meta)
{
	return meta->delta_pages >= (uint32) rv_delta_limit_kb / (BLCKSZ / 1024);
}

bool
rv_maintenance_is_due(const RvMeta *meta)
{
	if (delta_is_due(meta))
		return true;
	for (uint32 i = 0; i < meta->n_segments; i++)
		if ((is_mostly_dead(&meta->segments[i]) && fits(meta, with_segment((Load) {0}, &meta->segments[i]))) ||
			is_parted(meta, &meta->segments[i]))
			return true;
	return false;
}

/* Only strong locks can be asked about: weaker ones may not be in the shared table. */
static bool
someone_waits(void *arg)
{
	Task	   *plan = arg;
	LOCKTAG		tag;

	if (plan->most_rows <= FEWEST_ROWS)
		return false;
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

static bool
may_be_made(const Task *plan, Load load)
{
	return load.rows <= plan->most_rows && fits(plan->meta, load);
}

static void
choose(Task *plan)
{
	bool		all = (plan->flags & RV_MAINTAIN_ALL) != 0;
	Load		load = {0};
	int			i;

	/* dead rows alone too: sealing is what frees their pages */
	if ((plan->flags & REWRITE_ONLY) == 0)
		plan->seal = all ? plan->delta_rows > 0 || plan->meta->delta_pages > 1 : delta_is_due(plan->meta);
	if (plan->seal)
		load = (Load) {plan->delta_rows, plan->delta_rows, (double) plan->delta_bytes};
	for (uint32 s = 0; s < plan->meta->n_segments; s++)
	{
		const RvSegmentEntry *entry = &plan->meta->segments[s];

		if ((all ? entry->dead > 0 : is_mostly_dead(entry)) && may_be_made(plan, with_segment(load, entry)))
		{
			plan->merge[s] = true;
			plan->n_merge++;
			load = with_segment(load, entry);
		}
	}
	while ((i = smallest_left(plan)) >= 0)
	{
		const RvSegmentEntry *entry = &plan->meta->segments[i];

		/* the meta page has room for so many: better more memory for once than no place for a new segment */
		if (!plan->seal || plan->meta->n_segments - plan->n_merge < RV_MAX_SEGMENTS)
		{
			if (!all && live(entry) > load.rows)
				break;
			if (!may_be_made(plan, with_segment(load, entry)))
				break;
		}
		plan->merge[i] = true;
		plan->n_merge++;
		load = with_segment(load, entry);
	}
	plan->rows = load.rows;
	/* one segment alone, without dead rows, would come out as it is */
	if (!plan->seal && plan->n_merge == 1)
		for (uint32 s = 0; s < plan->meta->n_segments; s++)
			if (plan->merge[s] && plan->meta->segments[s].dead == 0)
				plan->n_merge = 0;
}

/* The first part of a segment that is rewritten in parts. */
static void
choose_part(Task *plan)
{
	uint32		s = 0;
	const RvSegmentEntry *entry;
	const uint64 *dead;
	uint64		wanted;
	uint32		parts;

	while (s < plan->meta->n_segments && !is_parted(plan->meta, &plan->meta->segments[s]))
		s++;
	if (s == plan->meta->n_segments)
		return;
	entry = &plan->meta->segments[s];
	dead = plan->view->segments[s].tombstones;
	parts = parts_of(plan->meta, entry);
	wanted = (live(entry) + parts - 1) / parts;
	if (wanted > plan->most_rows)
		return;
	plan->rows = wanted;
	plan->moved = palloc_extended(rv_tombstone_bytes(entry->slots), MCXT_ALLOC_HUGE);
	plan->not_moved = palloc_extended(rv_tombstone_bytes(entry->slots), MCXT_ALLOC_HUGE);
	memcpy(plan->moved, dead, rv_tombstone_bytes(entry->slots));
	memset(plan->not_moved, 0xFF, rv_tombstone_bytes(entry->slots));
	for (uint32 slot = 0; slot < entry->slots && plan->n_moved < wanted; slot++)
	{
		uint64		bit = UINT64CONST(1) << (slot % 64);

		if ((dead[slot / 64] & bit) != 0)
			continue;
		plan->moved[slot / 64] |= bit;
		plan->not_moved[slot / 64] &= ~bit;
		plan->n_moved++;
	}
	plan->merge[s] = true;
	plan->n_merge = 1;
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
add_rows(const Task *plan, RvBuild *build, const RvDelta *delta)
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

static void
report_corrupt_delta(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("the delta of index \"%s\" is corrupted", RelationGetRelationName(index)),
			 errhint("Please REINDEX it.")));
}

/* The maintenance lock keeps the delta's head where it is; its end may grow. */
static void
measure_delta(Task *plan)
{
	RvDelta    *delta = rv_delta_new(plan->context);

	delta->only_counted = true;
	if (plan->meta->delta_head != InvalidBlockNumber &&
		!rv_delta_read(plan->index, delta, plan->meta->delta_head, plan->meta->delta_tail))
		report_corrupt_delta(plan->index);
	plan->delta_rows = delta->count;
	plan->delta_bytes = delta->bytes;
	MemoryContextDelete(delta->context);
}

/* What was cut off goes into the builder, or the part of it that memory allows: the cut is then shortened to it, and no
 * segment is merged. Once the meta page is full of segments, more memory is better than no place for a new one. */
static void
add_delta(Task *plan, RvBuild *build)
{
	RvDelta    *delta = rv_delta_new(plan->context);
	bool		may_part = plan->meta->n_segments < RV_MAX_SEGMENTS;

	delta->limit = DELTA_BYTES_AT_ONCE;
	for (;;)
	{
		if (!rv_delta_read(plan->index, delta, plan->cut.head, plan->cut.last))
			report_corrupt_delta(plan->index);
		add_rows(plan, build, delta);
		plan->sealed_rows += delta->count;
		if (delta->block == plan->cut.last)
			break;
		if (may_part && (plan->sealed_rows >= plan->most_rows || !rv_build_fits(build, memory_limit(), plan->index)))
		{
			plan->cut_short = true;
			plan->cut.last = delta->block;
			plan->cut.new_head = delta->next;
			plan->cut.pages = delta->pages;
			plan->n_merge = 0;
			plan->rows = plan->sealed_rows;
			break;
		}
		rv_delta_forget(delta);
	}
	MemoryContextDelete(delta->context);
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
	rv_builder_interrupt(build->builder, &InterruptPending);
	if (plan->seal)
		add_delta(plan, build);
	for (uint32 i = 0; i < plan->meta->n_segments && plan->n_merge > 0; i++)
	{
		rv_error	error;
		rv_status	status;

		if (!plan->merge[i])
			continue;
		do
		{
			CHECK_FOR_INTERRUPTS();
			status = rv_builder_add_segment(build->builder, plan->view->segments[i].image->segment,
											plan->moved != NULL ? plan->not_moved : plan->view->segments[i].tombstones,
											&error);
		} while (status == RV_INTERRUPTED);
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

static uint64
rows_of(const RvMeta *meta)
{
	uint64		rows = 0;

	for (uint32 i = 0; i < meta->n_segments; i++)
		rows += live(&meta->segments[i]);
	return rows;
}

/* Puts the new segment in the place of what it was made from. */
static void
replace(Task *plan, const RvSegmentEntry *entry, RvMaintenance *result)
{
	RvMeta	   *meta = palloc(RV_PAGE_PAYLOAD);
	uint32		kept = 0;

	memcpy(meta, plan->meta, RV_META_SIZE(plan->meta->n_segments));
	for (uint32 i = 0; i < plan->meta->n_segments; i++)
	{
		if (plan->n_merge > 0 && plan->merge[i] && plan->moved == NULL)
			continue;
		meta->segments[kept] = plan->meta->segments[i];
		if (plan->n_merge > 0 && plan->merge[i])
		{
			rv_tombstones_write(plan->index, &meta->segments[kept], plan->moved);
			meta->segments[kept].moved += plan->n_moved;
		}
		kept++;
	}
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
	/* nobody was in a hurry: the next round may be larger again */
	meta->most_rows = plan->most_rows >= rows_of(meta) ? 0 : 2 * plan->most_rows;
	rv_meta_replace(plan->index, meta, plan->seal ? plan->cut.new_head : InvalidBlockNumber,
					plan->seal ? plan->cut.pages : 0);

	if (plan->seal)
		rv_delta_free(plan->index, &plan->cut);
	for (uint32 i = 0; i < plan->meta->n_segments && plan->n_merge > 0; i++)
	{
		const RvSegmentEntry *old = &plan->meta->segments[i];

		if (!plan->merge[i])
			continue;
		if (old->tombstones.first != InvalidBlockNumber)
			rv_run_free(plan->index, RV_PAGE_TOMBSTONES, old->uid, old->tombstones.first, old->tombstones.pages);
		if (plan->moved != NULL)
			continue;
		rv_run_free(plan->index, RV_PAGE_SEGMENT, old->uid, old->run.first, old->run.pages);
		rv_image_unlink(plan->index, old->uid);
		result->dropped_rows += old->dead - old->moved;
	}
	result->merged_segments += plan->n_merge;
	result->lists = plan->lists;
	if (plan->seal)
		result->sealed_rows += plan->sealed_rows;
}

static void
maintain_locked(Task *plan, RvMaintenance *result)
{
	bool		all = (plan->flags & RV_MAINTAIN_ALL) != 0;
	RvSegmentEntry entry;

	plan->meta = rv_meta_read(plan->index);
	plan->merge = palloc0(sizeof(bool) * Max(plan->meta->n_segments, 1));
	plan->most_rows = all || plan->meta->most_rows == 0 ? UINT64_MAX : plan->meta->most_rows;
	measure_delta(plan);
	if (all || !delta_is_due(plan->meta))
		choose_part(plan);
	if (plan->moved == NULL)
		choose(plan);
	if (!plan->seal && plan->n_merge == 0)
		return;
	if (plan->seal && !rv_delta_cut(plan->index, &plan->cut))
		plan->seal = false;
	if (build_segment(plan, &entry))
		replace(plan, &entry, result);
	else
	{
		result->stopped = true;
		/* VACUUMs may follow one another faster than so much can be merged, and what is stopped is in vain */
		if (!all)
			rv_meta_set_most_rows(plan->index, Max(plan->rows / 2, FEWEST_ROWS));
	}
}

/* One new segment at the most. True: of the delta, or of a segment, only a part went into it. */
static bool
maintain_once(int threads, Relation index, int flags, RvMaintenance *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ruvector maintenance", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Task		plan;

	memset(&plan, 0, sizeof(plan));
	plan.threads = threads;
	plan.index = index;
	plan.context = context;
	plan.flags = flags;
	plan.view = rv_view_acquire_segments_in(context, index);
	maintain_locked(&plan, result);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return plan.cut_short || plan.moved != NULL;
}

/* True: there are dead rows in a segment that can be rewritten alone. */
static bool
see_what_is_left(Relation index, RvMaintenance *result)
{
	RvMeta	   *meta = rv_meta_read(index);
	bool		can_be_rewritten = false;

	result->segments_left = meta->n_segments;
	result->dead_left = 0;
	for (uint32 i = 0; i < meta->n_segments; i++)
	{
		const RvSegmentEntry *entry = &meta->segments[i];

		result->dead_left += entry->dead;
		can_be_rewritten = can_be_rewritten || (entry->dead > 0 && fits(meta, with_segment((Load) {0}, entry)));
	}
	pfree(meta);
	return can_be_rewritten;
}

bool
rv_maintain(int threads, Relation index, int flags, RvMaintenance *result)
{
	bool		all = (flags & RV_MAINTAIN_ALL) != 0;

	memset(result, 0, sizeof(*result));
	if (flags & RV_MAINTAIN_NOWAIT)
	{
		if (!rv_maintenance_try_lock(index))
			return false;
	}
	else
		rv_maintenance_lock(index);
	while (maintain_once(threads, index, flags, result) && all && !result->stopped)
		;
	/* those that memory did not allow beside the others */
	while (all && !result->stopped && see_what_is_left(index, result))
	{
		uint64		dropped = result->dropped_rows;

		maintain_once(threads, index, flags | REWRITE_ONLY, result);
		if (result->dropped_rows == dropped)
			break;
	}
	if (all && !result->stopped)
		result->reclaimed_pages = rv_reclaim(index);
	rv_maintenance_unlock(index);
	return true;
}
