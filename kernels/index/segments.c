/* SPDX-License-Identifier: PostgreSQL
 *
 * segments.c: views. A view is an index at one generation: its segments with their images and tombstones, and its
 * delta as far as it has been read. The latest view of every index is kept by the backend; a scan holds a reference to
 * the one it began with, so merges and vacuums change nothing under it.
 *
 * No lock is held while a view is made: it is valid when the meta page's generation is the same before and after.
 */
#include "internal.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct ViewSlot
{
	Oid			index_oid;
	RvView	   *view;
} ViewSlot;

static HTAB *views = NULL;
static MemoryContext views_context = NULL;

static void
destroy(RvView *view)
{
	for (uint32 i = 0; i < view->n_segments; i++)
		if (view->segments[i].image != NULL)
			rv_image_release(view->segments[i].image);
	MemoryContextDelete(view->context);
}

void
rv_view_release(RvView *view)
{
	if (--view->refs == 0 && !view->current)
		destroy(view);
}

static void
drop_from_cache(ViewSlot *slot)
{
	RvView	   *view = slot->view;

	hash_search(views, &slot->index_oid, HASH_REMOVE, NULL);
	view->current = false;
	if (view->refs == 0)
		destroy(view);
}

void
rv_view_forget(Oid index_oid)
{
	ViewSlot   *slot = views != NULL ? hash_search(views, &index_oid, HASH_FIND, NULL) : NULL;

	if (slot != NULL)
		drop_from_cache(slot);
}

/* Dropped, rebuilt or otherwise changed: the view would keep its images mapped. */
static void
relation_changed(Datum arg, Oid relation)
{
	if (OidIsValid(relation))
		rv_view_forget(relation);
	else if (views != NULL)
	{
		HASH_SEQ_STATUS status;
		ViewSlot   *slot;

		hash_seq_init(&status, views);
		while ((slot = hash_seq_search(&status)) != NULL)
			drop_from_cache(slot);
	}
}

uint64 *
rv_tombstones_read(Relation index, const RvSegmentEntry *entry, MemoryContext context, BlockNumber *bad)
{
	Size		size = rv_tombstone_bytes(entry->slots);
	uint64	   *bits = MemoryContextAllocHuge(context, size);

	if (rv_run_read(index, RV_PAGE_TOMBSTONES, entry->uid, entry->tombstones, bits, size, bad))
		return bits;
	pfree(bits);
	return NULL;
}

void
rv_tombstones_write(Relation index, RvSegmentEntry *entry, const uint64 *bits)
{
	Size		size = rv_tombstone_bytes(entry->slots);
	uint32		dead = 0;

	for (Size i = 0; i < size / sizeof(uint64); i++)
		dead += pg_popcount64(bits[i]);
	entry->tombstones = rv_run_write(index, RV_PAGE_TOMBSTONES, entry->uid, bits, size);
	entry->dead = dead;
}

/* Fills the view from the meta page. False: something changed meanwhile; *bad names the block. */
static bool
fill(RvView *view, Relation index, const RvMeta *meta, BlockNumber *bad)
{
	view->meta = *meta;
	view->segments = MemoryContextAllocZero(view->context, sizeof(RvViewSegment) * Max(meta->n_segments, 1));
	for (uint32 i = 0; i < meta->n_segments; i++)
	{
		RvViewSegment *segment = &view->segments[i];

		segment->entry = meta->segments[i];
		*bad = segment->entry.run.first;
		segment->image = rv_image_open(index, &segment->entry, NULL);
		if (segment->image == NULL)
			return false;
		view->n_segments = i + 1;
		if (segment->image->info.slots != segment->entry.slots)
			return false;
		if (segment->entry.tombstones.first != InvalidBlockNumber)
		{
			segment->tombstones = rv_tombstones_read(index, &segment->entry, view->context, bad);
			if (segment->tombstones == NULL)
				return false;
		}
	}
	view->delta = rv_delta_new(view->context);
	return true;
}

/* A new view with one reference, the caller's; NULL when the index changed while it was made. */
static RvView *
make(Relation index)
{
	RvMeta	   *meta = rv_meta_read(index);
	MemoryContext context = AllocSetContextCreate(views_context, "ruvector view", ALLOCSET_DEFAULT_SIZES);
	RvView	   *view = MemoryContextAllocZero(context, sizeof(RvView));
	BlockNumber bad = InvalidBlockNumber;
	bool		filled = false;
	uint64		index_uid;
	uint64		generation;

	view->index_oid = RelationGetRelid(index);
	view->context = context;
	view->refs = 1;
	PG_TRY();
	{
		filled = fill(view, index, meta, &bad);
		if (!filled)
		{
			rv_meta_identity(index, &index_uid, &generation);
			if (index_uid == meta->index_uid && generation == meta->generation)
				ereport(ERROR,
						(errcode(ERRCODE_INDEX_CORRUPTED),
						 errmsg("index \"%s\" is corrupted in the pages from block %u on", RelationGetRelationName(index),
								bad),
						 errhint("Please REINDEX it.")));
		}
	}
	PG_CATCH();
	{
		destroy(view);
		PG_RE_THROW();
	}
	PG_END_TRY();
	pfree(meta);
	if (filled)
		return view;
	destroy(view);
	return NULL;
}

/* Images of segments that are in the old view and not in the new one: nobody will map them again. */
static void
unlink_left_behind(Relation index, const RvView *old, const RvView *new)
{
	for (uint32 i = 0; i < old->n_segments; i++)
	{
		bool		kept = false;

		for (uint32 j = 0; j < new->n_segments && !kept; j++)
			kept = new->segments[j].entry.uid == old->segments[i].entry.uid;
		if (!kept)
			rv_image_unlink(index, old->segments[i].entry.uid);
	}
}

/* The view for a generation, made when there is none. One reference is the caller's. */
static RvView *
latest(Relation index)
{
	Oid			index_oid = RelationGetRelid(index);
	uint64		index_uid;
	uint64		generation;
	ViewSlot   *slot;
	RvView	   *view;
	bool		found;

	if (views == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(ViewSlot)};

		views_context = AllocSetContextCreate(TopMemoryContext, "ruvector views", ALLOCSET_DEFAULT_SIZES);
		views = hash_create("ruvector views", 32, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	}
	rv_meta_identity(index, &index_uid, &generation);
	slot = hash_search(views, &index_oid, HASH_FIND, NULL);
	if (slot != NULL && slot->view->meta.index_uid == index_uid && slot->view->meta.generation == generation)
	{
		slot->view->refs++;
		return slot->view;
	}
	do
		view = make(index);
	while (view == NULL);

	/* making it may have handled invalidations */
	slot = hash_search(views, &index_oid, HASH_FIND, NULL);
	if (slot != NULL)
	{
		if (slot->view->meta.index_uid == view->meta.index_uid)
			unlink_left_behind(index, slot->view, view);
		drop_from_cache(slot);
	}
	slot = hash_search(views, &index_oid, HASH_ENTER, &found);
	slot->view = view;
	view->current = true;
	return view;
}

/* Reads what the delta has got since. False: it is not what it should be. */
static bool
read_delta(Relation index, RvView *view)
{
	bool		read = true;

	PG_TRY();
	{
		/* the index may have got its first delta page since the view was made: that is no new generation */
		if (view->meta.delta_head == InvalidBlockNumber)
		{
			RvMeta	   *meta = rv_meta_read(index);

			if (meta->index_uid == view->meta.index_uid && meta->generation == view->meta.generation)
				view->meta.delta_head = meta->delta_head;
			pfree(meta);
		}
		read = rv_delta_read(index, view->delta, view->meta.delta_head, InvalidBlockNumber);
	}
	PG_CATCH();
	{
		/* what was read may end within a row */
		if (view->current)
			rv_view_forget(view->index_oid);
		rv_view_release(view);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return read;
}

RvView *
rv_view_acquire(Relation index)
{
	for (;;)
	{
		RvView	   *view = latest(index);
		bool		read = read_delta(index, view);
		uint64		index_uid;
		uint64		generation;

		rv_meta_identity(index, &index_uid, &generation);
		if (index_uid == view->meta.index_uid && generation == view->meta.generation)
		{
			if (read)
				return view;
			rv_view_release(view);
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("the delta of index \"%s\" is corrupted", RelationGetRelationName(index)),
					 errhint("Please REINDEX it.")));
		}
		rv_view_release(view);
	}
}

static void
release_in_callback(void *arg)
{
	rv_view_release(arg);
}

static RvView *
release_with(MemoryContext context, MemoryContextCallback *callback, RvView *view)
{
	callback->func = release_in_callback;
	callback->arg = view;
	MemoryContextRegisterResetCallback(context, callback);
	return view;
}

RvView *
rv_view_acquire_in(MemoryContext context, Relation index)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));

	return release_with(context, callback, rv_view_acquire(index));
}

RvView *
rv_view_acquire_segments_in(MemoryContext context, Relation index)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));

	return release_with(context, callback, latest(index));
}

Size
rv_view_bytes(void)
{
	return views_context != NULL ? MemoryContextMemAllocated(views_context, true) + rv_delta_coder_bytes() : 0;
}
