/* SPDX-License-Identifier: PostgreSQL
 *
 * internal.h: what the files of kernels/index share. docs/design/index.md explains the whole, docs/design/pages.md the
 * page formats.
 *
 * Locks, in the order in which they are taken:
 *   1. the maintenance lock (LockPage on block 0): whoever changes or removes what is already in the index (seal, merge,
 *      vacuum). Inserts and scans never take it.
 *   2. the meta page's buffer lock, 3. the buffer lock of one delta page, 4. of pages that nobody else can reach yet.
 */
#ifndef RV_INDEX_INTERNAL_H
#define RV_INDEX_INTERNAL_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "nodes/tidbitmap.h"
#include "storage/block.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "compat.h"
#include "engine/engine.h"

#if PG_VERSION_NUM >= 160000
#define RV_RELNUMBER(rel)	((rel)->rd_locator.relNumber)
#define RV_SPCOID(rel)		((rel)->rd_locator.spcOid)
#define RV_DBOID(rel)		((rel)->rd_locator.dbOid)
#else
#define RV_RELNUMBER(rel)	((rel)->rd_node.relNode)
#define RV_SPCOID(rel)		((rel)->rd_node.spcNode)
#define RV_DBOID(rel)		((rel)->rd_node.dbNode)
#endif

#if PG_VERSION_NUM >= 180000
#define rv_vacuum_delay_point() vacuum_delay_point(false)
#else
#define rv_vacuum_delay_point() vacuum_delay_point()
#endif

/* ---- options.c ------------------------------------------------------------------------------------------------- */

#define RV_M_MIN 2
#define RV_M_DEFAULT 16
#define RV_M_MAX 100
#define RV_EF_CONSTRUCTION_MIN 4
#define RV_EF_CONSTRUCTION_DEFAULT 64
#define RV_EF_CONSTRUCTION_MAX 1000
#define RV_LISTS_MIN 1
#define RV_LISTS_DEFAULT 100
#define RV_LISTS_MAX 32768
#define RV_EF_SEARCH_MIN 1
#define RV_EF_SEARCH_DEFAULT 40
#define RV_EF_SEARCH_MAX 1000
#define RV_PROBES_MIN 1
#define RV_PROBES_DEFAULT 1
#define RV_PROBES_MAX 32768

typedef enum RvIterativeScan { RV_ITERATIVE_OFF, RV_ITERATIVE_RELAXED, RV_ITERATIVE_STRICT } RvIterativeScan;

#define RV_QUANTIZATION_CHOSEN 0	/* nothing said: sq8, and none for bit and sparse vectors, which have no other */

typedef struct RvOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			lists;
	int			quantization;	/* rv_quantization, or RV_QUANTIZATION_CHOSEN */
	int			ef_search;		/* -1: the setting's value */
	int			probes;			/* -1: the setting's value */
} RvOptions;

extern int	rv_iterative_scan;
extern int	rv_max_scan_tuples;
extern int	rv_max_probes;
extern double rv_scan_mem_multiplier;
extern int	rv_delta_limit_kb;
extern bool rv_background_maintenance;

extern void rv_options_init(void);
extern bytea *ruhnsw_options(Datum reloptions, bool validate);
extern bytea *ruivfflat_options(Datum reloptions, bool validate);
/* What holds for an index now: its own default unless the session chose a value. */
extern int	rv_effective_ef_search(Relation index);
extern int	rv_effective_probes(Relation index);

/* ---- opclass.c ------------------------------------------------------------------------------------------------- */

#define RV_STRATEGY_ORDER 1		/* ORDER BY column <operator> query */
#define RV_SUPPORT_DESCRIPTION 1	/* function(internal) returns a pointer to an RvOpclass */
#define RV_STRATEGY_RANGE 2		/* WHERE column <<@>> range */
#define RV_N_STRATEGIES 2
#define RV_N_SUPPORT 1

/* What an operator class says of its type and distance: static, never freed. */
typedef struct RvOpclass
{
	rv_metric	metric;
	rv_element	element;
	uint32		max_dims;
	/* value is detoasted and has a 4-byte header; *out points into it */
	void		(*extract) (const struct varlena *value, rv_vector *out, uint32 *dims);
	bool		zero_has_no_distance;	/* cosine: a zero vector is left out of the index */
} RvOpclass;

extern const RvOpclass *rv_opclass(Relation index);
/* False: NULL-like, the value has no place in the index (a zero vector under cosine). Raises when it is too large. */
extern bool rv_vector_indexable(const RvOpclass *opclass, const rv_vector *vector);
/* False for a query that has no distance to anything. */
extern bool rv_vector_is_zero(rv_element element, const rv_vector *vector);
/* Without its schema, as the messages of distance functions have it; "vector" when there is no such type. */
extern const char *rv_type_name(Oid type);

/* ---- validate.c ------------------------------------------------------------------------------------------------ */

extern bool rv_validate(Oid opclass);

/* ---- pages.c: page layout, chains of pages ----------------------------------------------------------------------- */

#define RV_PAGE_ID 0xFFB7		/* last two bytes of every page, for tools that look at pages from outside */
#define RV_META_BLOCK 0
#define RV_META_MAGIC 0x52564958	/* "RVIX" */
#define RV_META_VERSION 1

typedef enum RvPageKind
{
	RV_PAGE_META = 1, RV_PAGE_SEGMENT = 2, RV_PAGE_TOMBSTONES = 3, RV_PAGE_DELTA = 4, RV_PAGE_FREE = 5
} RvPageKind;

/* The special area of every page. */
typedef struct RvPageTail
{
	uint64		owner;			/* uid of the segment, 0 for meta, delta, free */
	BlockNumber next;			/* in the chain, or InvalidBlockNumber */
	uint32		number;			/* position in the chain; delta: sequence number */
	uint16		kind;			/* RvPageKind */
	uint16		page_id;		/* RV_PAGE_ID */
	uint32		unused;
} RvPageTail;

#define RvPageTailOf(page)	((RvPageTail *) PageGetSpecialPointer(page))
#define RV_PAGE_PAYLOAD		(BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - MAXALIGN(sizeof(RvPageTail)))

extern void rv_page_init(Page page, RvPageKind kind, uint64 owner, uint32 number, BlockNumber next);
/* Whether the page is ours and of that kind; never raises, the page may be anything. */
extern bool rv_page_is(Page page, RvPageKind kind);
/* A page of nobody's, exclusively locked, contents undefined. */
extern Buffer rv_page_allocate(Relation index);
/* Give an allocated page back, unused. */
extern void rv_page_return(Relation index, Buffer buffer);

typedef struct RvRun
{
	BlockNumber first;
	uint32		pages;
} RvRun;

/* Writes bytes as a chain of pages, WAL-logged where the relation needs it. */
extern RvRun rv_run_write(Relation index, RvPageKind kind, uint64 owner, const void *bytes, size_t size);
/* Reads a chain into out[size]. False when a page is not what it should be (the chain was freed, or damage): *bad is
 * that block. */
extern bool rv_run_read(Relation index, RvPageKind kind, uint64 owner, RvRun run, void *out, size_t size, BlockNumber *bad);
/* Marks the first pages of a chain free, through WAL, and gives them to the free space map. */
extern void rv_run_free(Relation index, RvPageKind kind, uint64 owner, BlockNumber first, uint32 pages);

/* ---- meta.c: block 0 --------------------------------------------------------------------------------------------- */

typedef struct RvSegmentEntry
{
	uint64		uid;			/* random: identifies the bytes for ever, across timelines */
	uint64		bytes;
	RvRun		run;
	uint32		slots;
	uint32		nodes;
	uint32		crc;			/* CRC32C of the bytes */
	uint32		dead;			/* bits set in the tombstones */
	RvRun		tombstones;		/* first = InvalidBlockNumber: none */
	uint32		moved;			/* of the dead, those that are in another segment now */
	uint32		unused;
} RvSegmentEntry;

typedef struct RvMeta
{
	uint32		magic;
	uint32		version;
	uint64		index_uid;		/* random, drawn when the index is built */
	uint64		generation;		/* changes with the segments, tombstones and the head of the delta */
	uint16		kind;			/* rv_kind */
	uint16		metric;
	uint16		element;
	uint16		quantization;
	uint32		dims;
	uint32		m;
	uint32		ef_construction;
	uint32		lists;
	BlockNumber delta_head;
	BlockNumber delta_tail;
	uint32		delta_pages;
	uint32		n_segments;
	double		build_seconds;
	int64		built_at;		/* TimestampTz */
	int64		maintained_at;
	uint64		most_rows;		/* that a round of maintenance may put into a segment, so as not to be in the way; 0: any */
	uint64		unused[3];
	RvSegmentEntry segments[FLEXIBLE_ARRAY_MEMBER];
} RvMeta;

#define RV_MAX_SEGMENTS ((RV_PAGE_PAYLOAD - offsetof(RvMeta, segments)) / sizeof(RvSegmentEntry))
#define RV_META_SIZE(n) (offsetof(RvMeta, segments) + sizeof(RvSegmentEntry) * (n))
#define RvMetaOfPage(page) ((RvMeta *) PageGetContents(page))

extern void rv_meta_create(Relation index, ForkNumber fork, const RvMeta *meta);
/* A palloc'd copy; raises when block 0 is not a meta page of ours. */
extern RvMeta *rv_meta_read(Relation index);
extern void rv_meta_identity(Relation index, uint64 *index_uid, uint64 *generation);
/* Locks block 0 exclusively and checks it; *meta points into the buffer. */
extern Buffer rv_meta_lock(Relation index, RvMeta **meta);
/* Writes meta under a new generation. The caller holds the maintenance lock, so only the delta can have grown: its place
 * is kept as it is, except that it begins at new_head when that is valid, with sealed_pages fewer. */
extern void rv_meta_replace(Relation index, const RvMeta *meta, BlockNumber new_head, uint32 sealed_pages);
/* The caller holds the maintenance lock. */
extern void rv_meta_set_most_rows(Relation index, uint64 rows);
extern void rv_spec_from_meta(const RvMeta *meta, rv_spec *spec);
extern uint64 rv_random_uid(void);
extern void rv_report(rv_status status, const rv_error *error, Relation index) __attribute__((noreturn));

/* ---- delta.c ------------------------------------------------------------------------------------------------------ */

typedef struct RvDeltaItem
{
	ItemPointerData tid;
	struct varlena *value;
} RvDeltaItem;

/* The rows of the delta, decoded; grows while the generation stays. */
typedef struct RvDelta
{
	MemoryContext context;
	MemoryContext rows;			/* child of it, with items and values */
	Size		limit;			/* 0: none. A read ends with the page and row after which there are so many bytes */
	bool		only_counted;	/* count and bytes, no items */
	RvDeltaItem *items;
	uint32		count;
	uint32		capacity;
	BlockNumber block;			/* to go on from, with the items of it that are in */
	uint32		sequence;
	OffsetNumber offset;
	BlockNumber next;			/* after block, when it was read */
	uint32		pages;
	Size		bytes;
	struct RvDeltaCodes *codes;	/* NULL: none yet */
} RvDelta;

/* Appends; true when the delta should be sealed. */
extern bool rv_delta_append(Relation index, ItemPointer tid, const struct varlena *value);
extern RvDelta *rv_delta_new(MemoryContext parent);
/* Gives up the rows that were read, not the place. */
extern void rv_delta_forget(RvDelta *delta);
/* Reads what is new from head on. False: the chain changed underneath. until: last block to read, or Invalid. */
extern bool rv_delta_read(Relation index, RvDelta *delta, BlockNumber head, BlockNumber until);
/* Lets the delta go on in a new page, so that everything before it stays as it is. False: there are no pages. */
typedef struct RvDeltaCut
{
	BlockNumber head;			/* of what is cut off */
	BlockNumber last;
	BlockNumber new_head;
	uint32		pages;
} RvDeltaCut;
extern bool rv_delta_cut(Relation index, RvDeltaCut *cut);
/* Frees the pages that were cut off, once the meta page no longer names them. */
extern void rv_delta_free(Relation index, const RvDeltaCut *cut);
/* Marks items dead for which the callback says so; returns how many. any_dead: there are dead ones, of now or before. */
extern uint64 rv_delta_bulk_delete(Relation index, BlockNumber head, IndexBulkDeleteCallback callback, void *state,
								   uint64 *remaining, bool *any_dead);

/* ---- deltacodes.c: compact codes of the delta's rows ------------------------------------------------------------- */

struct RvView;

/* The first rows of the view's delta in codes, as many as it is worth to have; count 0: none. They stay as they are while
 * the caller holds the view, whatever is read into its delta meanwhile. Counts one scan of the whole delta. */
extern rv_coded rv_delta_coded(Relation index, struct RvView *view);
/* Of this backend, beside what is in the views' memory contexts. */
extern Size rv_delta_coder_bytes(void);

/* ---- images.c, sweep.c --------------------------------------------------------------------------------------------- */

#define RV_MAX_RUNS 32

/* A segment's bytes, mapped; counted references, backend-local. */
typedef struct RvImage
{
	uint64		uid;
	int			refs;
	void	   *map;
	size_t		map_size;
	rv_segment *segment;
	rv_segment_info info;
	bool		in_memory;		/* temporary tables: anonymous memory, no file */
	uint32		n_runs;			/* of ascending keys; 0: not known yet, more than fit: RV_MAX_RUNS + 1 */
	uint32		run_starts[RV_MAX_RUNS];
} RvImage;

/* Maps the image of a segment, making its file from the pages when it is missing or wrong. NULL: the pages are no
 * longer this segment's (the caller reads the meta page again). bytes: the blob when the caller has it, else NULL. */
extern RvImage *rv_image_open(Relation index, const RvSegmentEntry *entry, const void *bytes);
extern void rv_image_release(RvImage *image);
/* CRC32C; looks for interrupts. */
extern uint32 rv_bytes_crc(const void *bytes, size_t size);
extern void rv_image_unlink(Relation index, uint64 uid);
/* What is wrong with the image file compared with the right bytes; NULL: nothing, or there is none. */
extern const char *rv_image_check(Relation index, const RvSegmentEntry *entry, const void *bytes);
/* Deletes images of this database that belong to nothing, and old ones of merged segments of this index. */
extern void rv_image_sweep(Relation index);
/* After this transaction: those of what it drops, moves or makes anew. */
extern void rv_image_sweep_later(void);
extern void rv_image_init(void);
#define RV_IMAGE_DIRECTORY "pgsql_tmp_ruvector"
extern Size rv_image_mapped_bytes(int *count);
/* Of all images of this database, and how many. */
extern Size rv_image_file_bytes(int *count);

/* ---- sessions.c: what all sessions hold ------------------------------------------------------------------------------ */

typedef struct RvHoldings
{
	int			sessions;		/* of this database that hold anything */
	uint64		mapped_bytes;
	uint64		cache_bytes;
} RvHoldings;

/* Says what this session holds now, where others can read it. Never raises. */
extern void rv_sessions_note(void);
extern RvHoldings rv_sessions_holdings(void);
/* What this session keeps besides images. */
extern Size rv_session_cache_bytes(void);
extern void rv_sessions_init(void);

/* ---- segments.c: what a backend knows of an index ------------------------------------------------------------------- */

typedef struct RvViewSegment
{
	RvSegmentEntry entry;
	RvImage    *image;
	uint64	   *tombstones;		/* NULL: none; one bit a slot */
} RvViewSegment;

typedef struct RvView
{
	Oid			index_oid;
	int			refs;
	bool		current;		/* in the cache */
	MemoryContext context;
	RvMeta		meta;			/* without its segments */
	uint32		n_segments;
	RvViewSegment *segments;
	RvDelta    *delta;
} RvView;

/* The index as it is now, delta read to its end. One reference, released by rv_view_release. */
extern RvView *rv_view_acquire(Relation index);
/* The same, released when the memory context is reset. */
extern RvView *rv_view_acquire_in(MemoryContext context, Relation index);
/* The same for who holds the maintenance lock, without reading the delta, which may be any size. */
extern RvView *rv_view_acquire_segments_in(MemoryContext context, Relation index);
extern void rv_view_release(RvView *view);
extern void rv_view_forget(Oid index_oid);
extern Size rv_view_bytes(void);
extern uint64 *rv_tombstones_read(Relation index, const RvSegmentEntry *entry, MemoryContext context, BlockNumber *bad);
/* Writes tombstones in place of what entry has; the old chain is the caller's to free after rv_meta_replace. */
extern void rv_tombstones_write(Relation index, RvSegmentEntry *entry, const uint64 *bits);

static inline Size
rv_tombstone_bytes(uint32 slots)
{
	return ((Size) slots + 63) / 64 * sizeof(uint64);
}

static inline uint64
rv_key_of_tid(ItemPointer tid)
{
	return ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) | ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
rv_tid_of_key(uint64 key, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (key >> 16), (OffsetNumber) (key & 0xFFFF));
}

/* ---- build.c ---------------------------------------------------------------------------------------------------------- */

#define RV_BUILD_PHASE_LOADING 2
#define RV_BUILD_PHASE_TRAINING 3
#define RV_BUILD_PHASE_ENCODING 4
#define RV_BUILD_PHASE_ASSIGNING 5
#define RV_BUILD_PHASE_LINKING 6
#define RV_BUILD_PHASE_WRITING 7

extern IndexBuildResult *ruhnsw_build(Relation heap, Relation index, struct IndexInfo *info);
extern IndexBuildResult *ruivfflat_build(Relation heap, Relation index, struct IndexInfo *info);
extern void ruhnsw_buildempty(Relation index);
extern void ruivfflat_buildempty(Relation index);
extern char *rv_build_phase_name(int64 phase);

/* A builder that lives no longer than a memory context. */
typedef struct RvBuild
{
	rv_builder *builder;
	MemoryContextCallback callback;
} RvBuild;

extern RvBuild *rv_build_begin(MemoryContext context, const rv_spec *spec, const rv_segment *model, Relation index);
/* Runs the builder to its end and stores the segment in pages and image. may_stop: polled, true ends it early (false is
 * returned). */
extern bool rv_build_finish(RvBuild *build, Relation index, int threads, bool progress, bool (*may_stop) (void *), void *arg,
							RvSegmentEntry *entry);
/* Whether finishing with what is in it takes no more memory than that. */
extern bool rv_build_fits(RvBuild *build, Size bytes, Relation index);
extern void rv_build_end(RvBuild *build);
extern int	rv_build_threads(Relation heap);

/* ---- the callbacks ------------------------------------------------------------------------------------------------------ */

extern bool rv_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
					  IndexUniqueCheck unique, bool unchanged, struct IndexInfo *info);
extern IndexBulkDeleteResult *rv_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
											IndexBulkDeleteCallback callback, void *state);
extern IndexBulkDeleteResult *rv_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats);
extern void rv_costestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup, Cost *total,
							Selectivity *selectivity, double *correlation, double *pages);
extern void rv_cost_init(void);
extern IndexScanDesc rv_beginscan(Relation index, int nkeys, int norderbys);
extern void rv_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys);
extern bool rv_gettuple(IndexScanDesc scan, ScanDirection direction);
extern int64 rv_getbitmap(IndexScanDesc scan, TIDBitmap *bitmap);
extern void rv_endscan(IndexScanDesc scan);
extern bool rv_index_is_ours(Relation index);
/* stream.c: what this backend keeps for its next searches */
extern Size rv_stream_kept_bytes(void);

/* ---- maintain.c, worker.c ------------------------------------------------------------------------------------------------ */

typedef struct RvMaintenance
{
	uint64		sealed_rows;
	uint32		merged_segments;
	uint32		segments_left;	/* RV_MAINTAIN_ALL: more than one, memory did not suffice */
	uint64		dropped_rows;
	uint64		dead_left;		/* the same: in segments that memory did not suffice to rewrite */
	uint64		reclaimed_pages;
	rv_list_change lists;
	bool		stopped;
} RvMaintenance;

#define RV_MAINTAIN_ALL 1		/* everything into one segment, as far as memory allows */
#define RV_MAINTAIN_NOWAIT 2	/* give up when someone else maintains */
#define RV_MAINTAIN_YIELD 4		/* the caller holds ShareUpdateExclusiveLock on the index: stop for who waits for it */
#define RV_MAINTAIN_WORKER 8	/* in a background worker: stop for who waits for the database */

/* Seals, merges and compacts; the caller holds RowExclusiveLock or more on the index. False: someone else is at it. */
extern bool rv_maintain(int threads, Relation index, int flags, RvMaintenance *result);
extern bool rv_database_is_wanted(void);
/* Whether a worker would find something to do: enough unsealed rows, or enough dead ones. */
extern bool rv_maintenance_is_due(const RvMeta *meta);
/* Frees pages that belong to nothing; the caller holds the maintenance lock. How many were not free before. */
extern uint64 rv_reclaim(Relation index);
/* The same when a part of the index that is worth a pass over it is lost; takes the maintenance lock, without waiting. */
extern uint64 rv_reclaim_if_worth_it(Relation index);
extern void rv_request_maintenance(Relation heap, Relation index);
/* Asks for a worker, unless someone is at it. False: none can be had. */
extern bool rv_request_worker(Relation index);
extern void rv_maintenance_lock(Relation index);
extern bool rv_maintenance_try_lock(Relation index);
extern void rv_maintenance_unlock(Relation index);

#endif							/* RV_INDEX_INTERNAL_H */
