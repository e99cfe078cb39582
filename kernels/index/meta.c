/* SPDX-License-Identifier: PostgreSQL
 *
 * meta.c: block 0, which says what the index is and what it consists of. A change of the list of segments is one WAL
 * record over this page, so it happens entirely or not at all.
 *
 * The delta's tail is moved by inserts under the page's exclusive lock; everything else by whoever holds the
 * maintenance lock.
 */
#include "internal.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#define META_PAGE_LOWER(n) (MAXALIGN(SizeOfPageHeaderData) + RV_META_SIZE(n))

uint64
rv_random_uid(void)
{
	uint64		uid = 0;

	while (uid == 0)
		if (!pg_strong_random(&uid, sizeof(uid)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	return uid;
}

/* Called on an empty fork: block 0 is the first page it gets. */
void
rv_meta_create(Relation index, ForkNumber fork, const RvMeta *meta)
{
	Buffer		buffer;
	Page		page;

#if PG_VERSION_NUM >= 160000
	buffer = ExtendBufferedRel(BMR_REL(index), fork, NULL, EB_LOCK_FIRST | EB_SKIP_EXTENSION_LOCK);
#else
	buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
#endif
	Assert(BufferGetBlockNumber(buffer) == RV_META_BLOCK);
	page = BufferGetPage(buffer);
	START_CRIT_SECTION();
	rv_page_init(page, RV_PAGE_META, 0, 0, InvalidBlockNumber);
	memcpy(RvMetaOfPage(page), meta, RV_META_SIZE(meta->n_segments));
	((PageHeader) page)->pd_lower = META_PAGE_LOWER(meta->n_segments);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(index) || fork == INIT_FORKNUM)
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

static void
check_meta(Relation index, Page page)
{
	RvMeta	   *meta = RvMetaOfPage(page);

	if (!rv_page_is(page, RV_PAGE_META) || meta->magic != RV_META_MAGIC || meta->n_segments > RV_MAX_SEGMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has no valid meta page", RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	if (meta->version != RV_META_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, this ruvector supports version %u",
						RelationGetRelationName(index), meta->version, RV_META_VERSION),
				 errhint("Please REINDEX it.")));
}

RvMeta *
rv_meta_read(Relation index)
{
	RvMeta	   *copy = palloc(RV_PAGE_PAYLOAD);
	Buffer		buffer = ReadBuffer(index, RV_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	check_meta(index, BufferGetPage(buffer));
	memcpy(copy, RvMetaOfPage(BufferGetPage(buffer)), RV_META_SIZE(RvMetaOfPage(BufferGetPage(buffer))->n_segments));
	UnlockReleaseBuffer(buffer);
	return copy;
}

void
rv_meta_identity(Relation index, uint64 *index_uid, uint64 *generation)
{
	Buffer		buffer = ReadBuffer(index, RV_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	check_meta(index, BufferGetPage(buffer));
	*index_uid = RvMetaOfPage(BufferGetPage(buffer))->index_uid;
	*generation = RvMetaOfPage(BufferGetPage(buffer))->generation;
	UnlockReleaseBuffer(buffer);
}

Buffer
rv_meta_lock(Relation index, RvMeta **meta)
{
	Buffer		buffer = ReadBuffer(index, RV_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	check_meta(index, BufferGetPage(buffer));
	*meta = RvMetaOfPage(BufferGetPage(buffer));
	return buffer;
}

void
rv_meta_replace(Relation index, const RvMeta *meta, BlockNumber new_head, uint32 sealed_pages)
{
	RvMeta	   *current;
	Buffer		buffer = rv_meta_lock(index, &current);
	GenericXLogState *state = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(state, buffer, 0);
	RvMeta		before = *current;
	RvMeta	   *after = RvMetaOfPage(page);

	memcpy(after, meta, RV_META_SIZE(meta->n_segments));
	after->delta_head = new_head != InvalidBlockNumber ? new_head : before.delta_head;
	after->delta_tail = before.delta_tail;
	after->delta_pages = before.delta_pages - sealed_pages;
	after->generation = before.generation + 1;
	((PageHeader) page)->pd_lower = META_PAGE_LOWER(meta->n_segments);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
}

void
rv_meta_set_most_rows(Relation index, uint64 rows)
{
	RvMeta	   *current;
	Buffer		buffer = rv_meta_lock(index, &current);
	GenericXLogState *state = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(state, buffer, 0);

	RvMetaOfPage(page)->most_rows = rows;
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
}

void
rv_spec_from_meta(const RvMeta *meta, rv_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->kind = (rv_kind) meta->kind;
	spec->metric = (rv_metric) meta->metric;
	spec->element = (rv_element) meta->element;
	spec->quantization = (rv_quantization) meta->quantization;
	spec->dims = meta->dims;
	spec->m = meta->m;
	spec->ef_construction = meta->ef_construction;
	spec->lists = meta->lists;
	spec->seed = 1;
}

void
rv_report(rv_status status, const rv_error *error, Relation index)
{
	int			code = ERRCODE_INTERNAL_ERROR;

	if (status == RV_NO_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				 errdetail("Failed in index \"%s\".", RelationGetRelationName(index))));
	else if (status == RV_CORRUPT)
		code = ERRCODE_INDEX_CORRUPTED;
	else if (status == RV_INVALID)
		code = ERRCODE_DATA_EXCEPTION;
	else if (status == RV_UNSUPPORTED)
		code = ERRCODE_FEATURE_NOT_SUPPORTED;
	else if (status == RV_CANCELLED)
		code = ERRCODE_QUERY_CANCELED;
	ereport(ERROR,
			(errcode(code),
			 errmsg("%s", error->message[0] != '\0' ? error->message : "vector index operation failed"),
			 errdetail("Index \"%s\".", RelationGetRelationName(index)),
			 status == RV_CORRUPT ? errhint("Please REINDEX it.") : 0));
	pg_unreachable();
}
