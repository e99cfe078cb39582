/* SPDX-License-Identifier: PostgreSQL
 *
 * build.c: CREATE INDEX, and the running of an engine builder wherever a segment is made.
 *
 * The heap is read by this backend, one row at a time, into the builder's memory; when that would pass
 * maintenance_work_mem the segment is closed and another begun. The builder's threads know nothing of PostgreSQL; while
 * they run, this backend sleeps in rv_builder_poll and looks for interrupts twenty times a second. The builder is freed
 * by the reset of its memory context, so an error joins the threads before it leaves.
 */
#include "internal.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/tableam.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define POLL_MS 50
#define MAPPED_BLOCK (512 * 1024)
#define MAX_BYTES_BETWEEN_LOOKS (256 * 1024)

typedef struct BuildState
{
	Relation	heap;
	Relation	index;
	const RvOpclass *opclass;
	rv_spec		spec;
	RvMeta	   *meta;			/* with the segments so far */
	RvBuild    *build;			/* the open segment, NULL: none */
	MemoryContext build_context;
	MemoryContext row_context;
	Size		memory_limit;
	uint64		rows_between_looks; /* at the memory that is in use */
	int			threads;
	double		indexed;
	double		scanned;
	double		expected;		/* rows in the table, as far as known */
} BuildState;

char *
rv_build_phase_name(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case RV_BUILD_PHASE_LOADING:
			return "loading tuples";
		case RV_BUILD_PHASE_TRAINING:
			return "training quantizer";
		case RV_BUILD_PHASE_ENCODING:
			return "encoding vectors";
		case RV_BUILD_PHASE_ASSIGNING:
			return "assigning vectors to lists";
		case RV_BUILD_PHASE_LINKING:
			return "building graph";
		case RV_BUILD_PHASE_WRITING:
			return "writing pages";
		default:
			return NULL;
	}
}

static void
free_builder(void *arg)
{
	RvBuild    *build = arg;

	rv_builder_free(build->builder);
	build->builder = NULL;
}

/* What an array was given the system gets back when it is freed, or else the next array's memory comes on top of it: of a
 * thread's own arena the allocator returns nothing, and the size from which it maps a block by itself it raises to that of
 * the largest block ever freed. */
static void
prepare_allocator(void)
{
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, MAPPED_BLOCK);
#endif
}

RvBuild *
rv_build_begin(MemoryContext context, const rv_spec *spec, const rv_segment *model, Relation index)
{
	RvBuild    *build = MemoryContextAllocZero(context, sizeof(RvBuild));
	rv_error	error;
	rv_status	status;

	prepare_allocator();
	status = rv_builder_new(spec, model, &build->builder, &error);

	if (status != RV_OK)
		rv_report(status, &error, index);
	build->callback.func = free_builder;
	build->callback.arg = build;
	MemoryContextRegisterResetCallback(context, &build->callback);
	return build;
}

bool
rv_build_fits(RvBuild *build, Size bytes, Relation index)
{
	bool		fits;
	rv_error	error;
	rv_status	status = rv_builder_fits(build->builder, bytes, &fits, &error);

	if (status != RV_OK)
		rv_report(status, &error, index);
	return fits;
}

void
rv_build_end(RvBuild *build)
{
	free_builder(build);
#ifdef __GLIBC__
	/* and the small ones */
	malloc_trim(0);
#endif
}

static void
report_progress(const rv_progress *progress)
{
	static const int phases[] = {
		[RV_PHASE_LOADING] = RV_BUILD_PHASE_LOADING, [RV_PHASE_TRAINING] = RV_BUILD_PHASE_TRAINING,
		[RV_PHASE_ENCODING] = RV_BUILD_PHASE_ENCODING, [RV_PHASE_ASSIGNING] = RV_BUILD_PHASE_ASSIGNING,
		[RV_PHASE_LINKING] = RV_BUILD_PHASE_LINKING, [RV_PHASE_WRITING] = RV_BUILD_PHASE_WRITING
	};
	const int	what[] = {PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_CREATEIDX_TUPLES_TOTAL, PROGRESS_CREATEIDX_TUPLES_DONE};
	int64		values[3];

	/* loading is said where rows are read; the builder itself is at it until its threads have begun */
	if ((int) progress->phase <= RV_PHASE_LOADING || progress->phase >= lengthof(phases))
		return;
	values[0] = phases[progress->phase];
	values[1] = (int64) progress->total;
	values[2] = (int64) progress->done;
	pgstat_progress_update_multi_param(3, what, values);
}

/* Pages first, then the image from the same bytes. */
static void
store_segment(Relation index, const void *bytes, size_t size, RvSegmentEntry *entry)
{
	rv_segment *segment;
	rv_segment_info info;
	rv_error	error;
	rv_status	status = rv_segment_open(bytes, size, 0, &segment, &error);

	if (status != RV_OK)
		rv_report(status, &error, index);
	rv_segment_info_get(segment, &info);
	rv_segment_close(segment);
	memset(entry, 0, sizeof(*entry));
	entry->uid = rv_random_uid();
	entry->bytes = size;
	entry->slots = info.slots;
	entry->nodes = info.nodes;
	entry->crc = rv_bytes_crc(bytes, size);
	entry->tombstones.first = InvalidBlockNumber;
	entry->run = rv_run_write(index, RV_PAGE_SEGMENT, entry->uid, bytes, size);
	if (!RelationUsesLocalBuffers(index))
		rv_image_release(rv_image_open(index, entry, bytes));
}

bool
rv_build_finish(RvBuild *build, Relation index, int threads, bool progress, bool (*may_stop) (void *), void *arg,
				RvSegmentEntry *entry)
{
	rv_error	error;
	rv_progress state;
	const void *bytes;
	size_t		size;
	rv_status	status = rv_builder_start(build->builder, threads, &error);

	while (status == RV_OK || status == RV_BUSY)
	{
		CHECK_FOR_INTERRUPTS();
		if (may_stop != NULL && may_stop(arg))
			return false;
		memset(&state, 0, sizeof(state));
		status = rv_builder_poll(build->builder, POLL_MS, &state, &error);
		if (progress)
			report_progress(&state);
		if (status == RV_OK)
			break;
	}
	if (status == RV_OK)
		status = rv_builder_blob(build->builder, &bytes, &size, &error);
	if (status != RV_OK)
		rv_report(status, &error, index);
	if (progress)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, RV_BUILD_PHASE_WRITING);
	store_segment(index, bytes, size, entry);
	return true;
}

int
rv_build_threads(Relation heap)
{
	int			threads = max_parallel_maintenance_workers;

	if (heap != NULL)
		threads = Min(threads, RelationGetParallelWorkers(heap, threads));
	return threads + 1;
}

/* Closes the open segment and puts it on the list. */
static void
close_segment(BuildState *state)
{
	if (state->build == NULL)
		return;
	if (rv_builder_count(state->build->builder) > 0)
	{
		if (state->meta->n_segments == RV_MAX_SEGMENTS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("index \"%s\" would need more than %d segments", RelationGetRelationName(state->index),
							(int) RV_MAX_SEGMENTS),
					 errhint("Increase maintenance_work_mem.")));
		rv_build_finish(state->build, state->index, state->threads, true, NULL, NULL,
						&state->meta->segments[state->meta->n_segments]);
		state->meta->n_segments++;
	}
	rv_build_end(state->build);
	state->build = NULL;
	MemoryContextReset(state->build_context);
}

static void
report_loading(const BuildState *state)
{
	const int	what[] = {PROGRESS_CREATEIDX_SUBPHASE, PROGRESS_CREATEIDX_TUPLES_TOTAL, PROGRESS_CREATEIDX_TUPLES_DONE};
	const int64 values[] = {RV_BUILD_PHASE_LOADING, (int64) state->expected, (int64) state->scanned};

	pgstat_progress_update_multi_param(3, what, values);
}

static void
add_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	BuildState *state = arg;
	MemoryContext old;
	struct varlena *value;
	rv_vector	vector;
	uint32		dims;

	state->scanned++;
	if (!isnull[0])
	{
		old = MemoryContextSwitchTo(state->row_context);
		value = PG_DETOAST_DATUM(values[0]);
		state->opclass->extract(value, &vector, &dims);
		if (rv_vector_indexable(state->opclass, &vector))
		{
			rv_error	error;
			rv_status	status;

			if (state->build == NULL)
			{
				state->build = rv_build_begin(state->build_context, &state->spec, NULL, index);
				status = rv_builder_add_threads(state->build->builder, state->threads, &error);
				if (status != RV_OK)
					rv_report(status, &error, index);
			}
			status = rv_builder_add(state->build->builder, &vector, rv_key_of_tid(tid), &error);
			if (status != RV_OK)
				rv_report(status, &error, index);
			state->indexed++;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(state->row_context);

		/* what finishing takes grows with every row: look often enough, not always */
		if (state->build != NULL && rv_builder_count(state->build->builder) % state->rows_between_looks == 0 &&
			!rv_build_fits(state->build, state->memory_limit, index))
		{
			ereport(NOTICE,
					(errmsg("closing a segment of index \"%s\" after %.0f tuples: maintenance_work_mem is reached",
							RelationGetRelationName(index), state->indexed),
					 errdetail("Searching several segments takes longer than searching one."),
					 errhint("Increase maintenance_work_mem to build one segment.")));
			close_segment(state);
			report_loading(state);
		}
	}
	if (state->scanned > state->expected)
	{
		state->expected = state->scanned;
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) state->expected);
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) state->scanned);
}

static RvMeta *
new_meta(Relation index, rv_kind kind)
{
	RvMeta	   *meta = palloc0(RV_PAGE_PAYLOAD);
	RvOptions  *options = (RvOptions *) index->rd_options;
	const RvOpclass *opclass = rv_opclass(index);
	int			dims = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	if (dims < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("column does not have dimensions")));
	if ((uint32) dims > opclass->max_dims)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %u dimensions for %s index", opclass->max_dims,
						kind == RV_KIND_IVF ? "ruivfflat" : "ruhnsw")));
	meta->magic = RV_META_MAGIC;
	meta->version = RV_META_VERSION;
	meta->index_uid = rv_random_uid();
	meta->generation = 1;
	meta->kind = kind;
	meta->metric = opclass->metric;
	meta->element = opclass->element;
	meta->quantization = options != NULL ? options->quantization : RV_QUANTIZATION_CHOSEN;
	if (meta->quantization == RV_QUANTIZATION_CHOSEN)
		meta->quantization = opclass->element == RV_ELEMENT_BIT || opclass->element == RV_ELEMENT_SPARSE ?
			RV_QUANTIZATION_NONE : RV_QUANTIZATION_SQ8;
	meta->dims = dims;
	meta->m = kind == RV_KIND_HNSW ? (options != NULL ? options->m : RV_M_DEFAULT) : 0;
	meta->ef_construction = kind == RV_KIND_HNSW ? (options != NULL ? options->ef_construction : RV_EF_CONSTRUCTION_DEFAULT) : 0;
	meta->lists = kind == RV_KIND_IVF ? (options != NULL ? options->lists : RV_LISTS_DEFAULT) : 0;
	meta->delta_head = InvalidBlockNumber;
	meta->delta_tail = InvalidBlockNumber;
	if (kind == RV_KIND_HNSW && meta->ef_construction < 2 * meta->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));
	return meta;
}

/* The builder itself refuses combinations that it cannot make: ask before the heap is read. */
static void
check_spec(const rv_spec *spec, Relation index)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ruvector check", ALLOCSET_SMALL_SIZES);

	rv_build_begin(context, spec, NULL, index);
	MemoryContextDelete(context);
}

static double
expected_rows(Relation heap)
{
	BlockNumber pages;
	double		rows;
	double		all_visible;

	table_relation_estimate_size(heap, NULL, &pages, &rows, &all_visible);
	return rows;
}

static IndexBuildResult *
build(Relation heap, Relation index, struct IndexInfo *info, rv_kind kind)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	TimestampTz started = GetCurrentTimestamp();
	BuildState	state;
	long		seconds;
	int			microseconds;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	memset(&state, 0, sizeof(state));
	state.heap = heap;
	state.index = index;
	state.opclass = rv_opclass(index);
	state.meta = new_meta(index, kind);
	rv_spec_from_meta(state.meta, &state.spec);
	check_spec(&state.spec, index);
	state.build_context = AllocSetContextCreate(CurrentMemoryContext, "ruvector build", ALLOCSET_DEFAULT_SIZES);
	state.row_context = AllocSetContextCreate(CurrentMemoryContext, "ruvector build row", ALLOCSET_DEFAULT_SIZES);
	state.memory_limit = (Size) maintenance_work_mem * 1024;
	state.rows_between_looks = Min(MAX_BYTES_BETWEEN_LOOKS / (state.spec.dims * sizeof(float)) + 1, 256);
	state.threads = rv_build_threads(heap);

	/* this may be a new file for an index that had another */
	rv_image_sweep_later();
	/* while a concurrent build goes on, others can open the index: maintenance would free pages that nothing names yet */
	rv_maintenance_lock(index);
	/* block 0 before any other; its list of segments comes last, so that it never names pages that are not there */
	rv_meta_create(index, MAIN_FORKNUM, state.meta);
	state.expected = expected_rows(heap);
	report_loading(&state);
	result->heap_tuples = table_index_build_scan(heap, index, info, true, false, add_row, &state, NULL);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) state.scanned);
	close_segment(&state);
	if (kind == RV_KIND_IVF && state.indexed < state.meta->lists)
		ereport(NOTICE,
				(errmsg("ruivfflat index created with little data"),
				 errdetail("This will cause low recall."),
				 errhint("Drop the index until the table has more data.")));

	TimestampDifference(started, GetCurrentTimestamp(), &seconds, &microseconds);
	state.meta->build_seconds = seconds + microseconds / 1e6;
	state.meta->built_at = GetCurrentTimestamp();
	rv_meta_replace(index, state.meta, InvalidBlockNumber, 0);
	rv_maintenance_unlock(index);
	result->index_tuples = state.indexed;
	MemoryContextDelete(state.build_context);
	MemoryContextDelete(state.row_context);
	return result;
}

IndexBuildResult *
ruhnsw_build(Relation heap, Relation index, struct IndexInfo *info)
{
	return build(heap, index, info, RV_KIND_HNSW);
}

IndexBuildResult *
ruivfflat_build(Relation heap, Relation index, struct IndexInfo *info)
{
	return build(heap, index, info, RV_KIND_IVF);
}

void
ruhnsw_buildempty(Relation index)
{
	rv_meta_create(index, INIT_FORKNUM, new_meta(index, RV_KIND_HNSW));
}

void
ruivfflat_buildempty(Relation index)
{
	rv_meta_create(index, INIT_FORKNUM, new_meta(index, RV_KIND_IVF));
}
