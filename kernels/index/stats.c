/* SPDX-License-Identifier: PostgreSQL
 *
 * stats.c: functions that tell about an index or act on it: ruvector_index_stats, ruvector_memory_stats,
 * ruvector_index_maintenance. Telling needs SELECT on the table or ownership, acting what VACUUM needs: ownership of table
 * or database, or MAINTAIN (17 on).
 */
#include "internal.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "inspect.h"

RV_FUNCTION(ruvector_index_stats);
RV_FUNCTION(ruvector_memory_stats);
RV_FUNCTION(ruvector_index_maintenance);

static bool
may_act(Oid table)
{
#if PG_VERSION_NUM >= 170000
	if (pg_class_aclcheck(table, GetUserId(), ACL_MAINTAIN) == ACLCHECK_OK)
		return true;
#endif
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, table, GetUserId()) ||
		object_ownercheck(DatabaseRelationId, MyDatabaseId, GetUserId());
#else
	return pg_class_ownercheck(table, GetUserId()) || pg_database_ownercheck(MyDatabaseId, GetUserId());
#endif
}

/* Raises where there is nothing to open. */
static Oid
table_of(Oid index_oid)
{
	char	   *name = get_rel_name(index_oid);
	Oid			table = IndexGetRelation(index_oid, true);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", index_oid)));
	if (!OidIsValid(table))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not an index", name)));
	if (get_rel_relkind(index_oid) == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is a partitioned index", name),
				 errhint("Name the index of a partition: pg_partition_tree('%s') lists them.", name)));
	return table;
}

static void
become_owner(RvOpened *opened)
{
	GetUserIdAndSecContext(&opened->user, &opened->security);
	SetUserIdAndSecContext(opened->heap->rd_rel->relowner, opened->security | SECURITY_RESTRICTED_OPERATION);
	opened->settings = NewGUCNestLevel();
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#endif
}

RvOpened
rv_inspect_open(Oid index_oid, LOCKMODE table_mode, LOCKMODE index_mode, bool acting)
{
	RvOpened	opened;
	Oid			heap_oid = table_of(index_oid);

	/* before a lock is waited for */
	if (!may_act(heap_oid) && (acting || pg_class_aclcheck(heap_oid, GetUserId(), ACL_SELECT) != ACLCHECK_OK))
		aclcheck_error(acting ? ACLCHECK_NOT_OWNER : ACLCHECK_NO_PRIV, acting ? OBJECT_INDEX : OBJECT_TABLE,
					   get_rel_name(acting ? index_oid : heap_oid));
	opened.heap = table_open(heap_oid, table_mode);
	opened.index = relation_open(index_oid, index_mode);
	opened.table_mode = table_mode;
	opened.index_mode = index_mode;
	if (!rv_index_is_ours(opened.index))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a ruhnsw or ruivfflat index", RelationGetRelationName(opened.index))));
	if (RELATION_IS_OTHER_TEMP(opened.index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot access temporary indexes of other sessions")));
	become_owner(&opened);
	return opened;
}

void
rv_inspect_close(RvOpened *opened)
{
	AtEOXact_GUC(false, opened->settings);
	SetUserIdAndSecContext(opened->user, opened->security);
	relation_close(opened->index, opened->index_mode);
	if (opened->heap != NULL)
		table_close(opened->heap, opened->table_mode);
}

static Datum
numeric_of(double value, int digits)
{
	Datum		numeric = DirectFunctionCall1(float8_numeric, Float8GetDatum(value));

	return DirectFunctionCall2(numeric_round, numeric, Int32GetDatum(digits));
}

static const char *
quantization_name(int quantization)
{
	switch (quantization)
	{
		case RV_QUANTIZATION_NONE:
			return "none";
		case RV_QUANTIZATION_F16:
			return "f16";
		case RV_QUANTIZATION_SQ8:
			return "sq8";
		case RV_QUANTIZATION_PQ16:
			return "pq16";
		case RV_QUANTIZATION_BINARY:
			return "binary";
		default:
			return "unknown";
	}
}

static const char *
metric_name(int metric)
{
	static const char *const names[] = {"unknown", "l2", "ip", "cosine", "l1", "hamming", "jaccard"};

	return metric > 0 && metric < (int) lengthof(names) ? names[metric] : names[0];
}

/* Bytes of one vector as its column holds it, without quantization. */
static double
plain_vector_bytes(const RvMeta *meta)
{
	switch (meta->element)
	{
		case RV_ELEMENT_F16:
			return meta->dims * 2.0;
		case RV_ELEMENT_BIT:
			return (meta->dims + 7) / 8;
		default:
			return meta->dims * 4.0;
	}
}

Datum
ruvector_index_stats(PG_FUNCTION_ARGS)
{
	RvOpened	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, AccessShareLock, false);
	RvView	   *view;
	TupleDesc	descriptor;
	Datum		values[22];
	bool		nulls[22] = {false};
	double		live = 0;
	double		dead = 0;
	double		nodes = 0;
	double		vectors = 0;
	double		traversal = 0;
	double		graph = 0;
	double		keys = 0;
	double		images = 0;
	double		pages = RelationGetNumberOfBlocks(opened.index);
	double		used = 1;
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	view = rv_view_acquire(opened.index);
	for (uint32 i = 0; i < view->n_segments; i++)
	{
		const RvViewSegment *segment = &view->segments[i];

		live += segment->entry.slots - segment->entry.dead;
		dead += segment->entry.dead;
		nodes += segment->entry.nodes;
		vectors += segment->image->info.bytes_vectors;
		traversal += segment->image->info.bytes_traversal;
		graph += segment->image->info.bytes_graph;
		keys += segment->image->info.bytes_keys;
		images += segment->image->map_size;
		used += segment->entry.run.pages + segment->entry.tombstones.pages;
	}
	used += view->delta->pages;

	values[n++] = CStringGetTextDatum(RelationGetRelationName(opened.index));
	values[n++] = numeric_of(pages * BLCKSZ / (1024.0 * 1024.0), 3);
	values[n++] = Int64GetDatum((int64) (live + view->delta->count));
	values[n++] = Int32GetDatum((int32) view->meta.dims);
	values[n++] = numeric_of(view->meta.build_seconds, 3);
	/* what a rewrite would win back: pages that are free, and rows that are dead */
	values[n++] = numeric_of(100.0 * (1.0 - (live + dead > 0 ? live / (live + dead) : 1.0) * Min(used / Max(pages, 1), 1.0)), 2);
	values[n++] = CStringGetTextDatum(view->meta.kind == RV_KIND_IVF ? "ruivfflat" : "ruhnsw");
	values[n++] = CStringGetTextDatum(metric_name(view->meta.metric));
	values[n++] = CStringGetTextDatum(quantization_name(view->meta.quantization));
	values[n++] = Int32GetDatum((int32) view->n_segments);
	values[n++] = Int64GetDatum((int64) view->delta->count);
	values[n++] = Int64GetDatum((int64) dead);
	values[n++] = Int64GetDatum((int64) nodes);
	values[n++] = Int64GetDatum((int64) vectors);
	values[n++] = Int64GetDatum((int64) traversal);
	values[n++] = Int64GetDatum((int64) graph);
	values[n++] = Int64GetDatum((int64) keys);
	values[n++] = Int64GetDatum((int64) images);
	/* how many times smaller the stored codes are than the vectors */
	if (vectors > 0)
		values[n++] = numeric_of(nodes * plain_vector_bytes(&view->meta) / vectors, 2);
	else
		nulls[n++] = true;
	values[n++] = Int64GetDatum((int64) view->meta.generation);
	if (view->meta.built_at != 0)
		values[n++] = TimestampTzGetDatum(view->meta.built_at);
	else
		nulls[n++] = true;
	if (view->meta.maintained_at != 0)
		values[n++] = TimestampTzGetDatum(view->meta.maintained_at);
	else
		nulls[n++] = true;
	rv_view_release(view);
	rv_inspect_close(&opened);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

Datum
ruvector_memory_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[8];
	bool		nulls[8] = {false};
	RvHoldings	all;
	int			n_images;
	int			n_files;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[1] = Int64GetDatum((int64) rv_image_mapped_bytes(&n_images));
	values[0] = Int32GetDatum(n_images);
	values[2] = Int64GetDatum((int64) rv_session_cache_bytes());
	values[4] = Int64GetDatum((int64) rv_image_file_bytes(&n_files));
	values[3] = Int32GetDatum(n_files);
	all = rv_sessions_holdings();
	values[5] = Int32GetDatum(all.sessions);
	values[6] = Int64GetDatum((int64) all.mapped_bytes);
	values[7] = Int64GetDatum((int64) all.cache_bytes);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

Datum
ruvector_index_maintenance(PG_FUNCTION_ARGS)
{
	RvOpened	opened;
	RvMaintenance result;
	int			threads;

	PreventCommandDuringRecovery("ruvector_index_maintenance()");
	opened = rv_inspect_open(PG_GETARG_OID(0), AccessShareLock, ShareUpdateExclusiveLock, true);
	threads = rv_build_threads(opened.heap);
	/* as the worker does: nothing of the table is looked at, and a merge takes too long to keep ALTER TABLE, and everybody
	 * behind it, waiting; who wants the index asks for its lock */
	table_close(opened.heap, opened.table_mode);
	opened.heap = NULL;
	rv_maintain(threads, opened.index, RV_MAINTAIN_ALL | RV_MAINTAIN_YIELD, &result);
	if (result.stopped)
		ereport(NOTICE,
				(errmsg("maintenance of index \"%s\" made way for a session that waited for it",
						RelationGetRelationName(opened.index))));
	else
		ereport(NOTICE,
				(errmsg("index \"%s\": %llu rows sealed, %u segments merged, %llu dead rows dropped",
						RelationGetRelationName(opened.index), (unsigned long long) result.sealed_rows,
						result.merged_segments, (unsigned long long) result.dropped_rows)));
	if (result.segments_left > 1)
		ereport(NOTICE,
				(errmsg("index \"%s\" has %u segments, which maintenance_work_mem does not suffice to merge",
						RelationGetRelationName(opened.index), result.segments_left),
				 errdetail("Searching several segments takes longer than searching one."),
				 errhint("Increase maintenance_work_mem and call ruvector_index_maintenance() again.")));
	if (result.dead_left > 0)
		ereport(NOTICE,
				(errmsg("index \"%s\" keeps %llu dead rows, whose segments maintenance_work_mem does not suffice to rewrite",
						RelationGetRelationName(opened.index), (unsigned long long) result.dead_left),
				 errhint("Increase maintenance_work_mem and call ruvector_index_maintenance() again.")));
	if (result.lists.anew)
		ereport(NOTICE,
				(errmsg("index \"%s\": lists clustered anew, since rows had come that they did not fit",
						RelationGetRelationName(opened.index)),
				 errdetail("The mean squared distance from the centroid fell from %g to %g, the share of rows in the list of a row went from %.2g %% to %.2g %%.",
						   result.lists.spread_before, result.lists.spread_after, 100 * result.lists.share_before,
						   100 * result.lists.share_after)));
	rv_inspect_close(&opened);
	PG_RETURN_VOID();
}
