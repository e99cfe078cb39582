/* SPDX-License-Identifier: PostgreSQL
 *
 * delta.c: the rows that are not in a segment yet: a chain of pages, appended to by inserts, read in full by scans.
 *
 * An item is a row's heap TID and its value as it came, detoasted. One that is larger than a page is cut into pieces on
 * pages of its own, which are written first and become part of the chain by the one record that links them, so a crash
 * never leaves half of one. Whoever wants to append takes the meta page's lock, then the tail's; the meta lock is shared
 * unless the tail has to move. Page numbers only grow along the chain: a reader that stood on a page while it was freed
 * and used again notices.
 */
#include "internal.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "utils/memutils.h"

typedef struct DeltaPiece
{
	ItemPointerData tid;
	uint16		unused;
	uint32		total;			/* bytes of the value */
	uint32		done;			/* bytes of it in earlier pieces */
} DeltaPiece;

#define MAX_PIECE_DATA (MAXALIGN_DOWN(RV_PAGE_PAYLOAD - sizeof(ItemIdData)) - sizeof(DeltaPiece))

static void
add_piece(Relation index, Page page, const DeltaPiece *piece, const char *value, Size length)
{
	union
	{
		char		bytes[BLCKSZ];
		DeltaPiece	piece;
	}			item;

	item.piece = *piece;
	memcpy(item.bytes + sizeof(DeltaPiece), value + piece->done, length);
	if (PageAddItem(page, (Item) item.bytes, sizeof(DeltaPiece) + length, InvalidOffsetNumber, false, false) ==
		InvalidOffsetNumber)
		elog(ERROR, "could not add item to delta page of index \"%s\"", RelationGetRelationName(index));
}

/* Appends to the tail when it has room. */
static bool
append_to_page(Relation index, Buffer buffer, const DeltaPiece *piece, const char *value)
{
	GenericXLogState *state;

	if (!rv_page_is(BufferGetPage(buffer), RV_PAGE_DELTA))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("block %u of index \"%s\" is not a delta page", BufferGetBlockNumber(buffer),
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	if (PageGetFreeSpace(BufferGetPage(buffer)) < MAXALIGN(sizeof(DeltaPiece) + piece->total))
		return false;
	state = GenericXLogStart(index);
	add_piece(index, GenericXLogRegisterBuffer(state, buffer, 0), piece, value, piece->total);
	GenericXLogFinish(state);
	return true;
}

/* Links a page, or a chain from first to last, behind the tail, in one record with what the caller registered. */
static void
link_pages(GenericXLogState *state, Buffer meta_buffer, Buffer tail_buffer, BlockNumber first, BlockNumber last, uint32 pages)
{
	RvMeta	   *meta = RvMetaOfPage(GenericXLogRegisterBuffer(state, meta_buffer, 0));

	if (BufferIsValid(tail_buffer))
		RvPageTailOf(GenericXLogRegisterBuffer(state, tail_buffer, 0))->next = first;
	else
		meta->delta_head = first;
	meta->delta_tail = last;
	meta->delta_pages += pages;
}

static Buffer
lock_tail(Relation index, const RvMeta *meta)
{
	Buffer		buffer;

	if (meta->delta_tail == InvalidBlockNumber)
		return InvalidBuffer;
	buffer = ReadBuffer(index, meta->delta_tail);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	return buffer;
}

static uint32
next_number(Buffer tail_buffer)
{
	return BufferIsValid(tail_buffer) ? RvPageTailOf(BufferGetPage(tail_buffer))->number + 1 : 1;
}

/* A value larger than a page: its pieces on new pages, under the meta lock so that their numbers are known. */
static uint32
append_large(Relation index, DeltaPiece *piece, const char *value)
{
	RvMeta	   *meta;
	Buffer		meta_buffer = rv_meta_lock(index, &meta);
	Buffer		tail_buffer = lock_tail(index, meta);
	Buffer		previous = InvalidBuffer;
	BlockNumber first = InvalidBlockNumber;
	BlockNumber last;
	uint32		number = next_number(tail_buffer);
	uint32		pages = 0;
	uint32		total_pages;
	GenericXLogState *state;

	while (piece->done < piece->total)
	{
		Buffer		buffer = rv_page_allocate(index);
		Size		length = Min(piece->total - piece->done, (uint32) MAX_PIECE_DATA);
		Page		page;

		state = GenericXLogStart(index);
		page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
		rv_page_init(page, RV_PAGE_DELTA, 0, number++, InvalidBlockNumber);
		add_piece(index, page, piece, value, length);
		if (BufferIsValid(previous))
			RvPageTailOf(GenericXLogRegisterBuffer(state, previous, 0))->next = BufferGetBlockNumber(buffer);
		GenericXLogFinish(state);
		if (BufferIsValid(previous))
			UnlockReleaseBuffer(previous);
		else
			first = BufferGetBlockNumber(buffer);
		piece->done += length;
		pages++;
		previous = buffer;
	}
	last = BufferGetBlockNumber(previous);
	UnlockReleaseBuffer(previous);

	state = GenericXLogStart(index);
	link_pages(state, meta_buffer, tail_buffer, first, last, pages);
	GenericXLogFinish(state);
	total_pages = meta->delta_pages;
	if (BufferIsValid(tail_buffer))
		UnlockReleaseBuffer(tail_buffer);
	UnlockReleaseBuffer(meta_buffer);
	return total_pages;
}

/* The tail is full, or there is none: a new tail with the item. */
static uint32
append_new_page(Relation index, const DeltaPiece *piece, const char *value)
{
	Buffer		fresh = rv_page_allocate(index);
	RvMeta	   *meta;
	Buffer		meta_buffer = rv_meta_lock(index, &meta);
	Buffer		tail_buffer = lock_tail(index, meta);
	uint32		total_pages = 0;

	if (BufferIsValid(tail_buffer) && append_to_page(index, tail_buffer, piece, value))
		rv_page_return(index, fresh);	/* another session was here first */
	else
	{
		GenericXLogState *state = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(state, fresh, GENERIC_XLOG_FULL_IMAGE);

		rv_page_init(page, RV_PAGE_DELTA, 0, next_number(tail_buffer), InvalidBlockNumber);
		add_piece(index, page, piece, value, piece->total);
		link_pages(state, meta_buffer, tail_buffer, BufferGetBlockNumber(fresh), BufferGetBlockNumber(fresh), 1);
		GenericXLogFinish(state);
		total_pages = meta->delta_pages;
		UnlockReleaseBuffer(fresh);
	}
	if (BufferIsValid(tail_buffer))
		UnlockReleaseBuffer(tail_buffer);
	UnlockReleaseBuffer(meta_buffer);
	return total_pages;
}

bool
rv_delta_append(Relation index, ItemPointer tid, const struct varlena *value)
{
	DeltaPiece	piece;
	uint32		pages;

	memset(&piece, 0, sizeof(piece));
	piece.tid = *tid;
	piece.total = VARSIZE(value);
	if (piece.total > MAX_PIECE_DATA)
		pages = append_large(index, &piece, (const char *) value);
	else
	{
		Buffer		meta_buffer = ReadBuffer(index, RV_META_BLOCK);
		Buffer		tail_buffer;
		bool		done = false;

		LockBuffer(meta_buffer, BUFFER_LOCK_SHARE);
		tail_buffer = lock_tail(index, RvMetaOfPage(BufferGetPage(meta_buffer)));
		UnlockReleaseBuffer(meta_buffer);
		if (BufferIsValid(tail_buffer))
		{
			done = append_to_page(index, tail_buffer, &piece, (const char *) value);
			UnlockReleaseBuffer(tail_buffer);
		}
		if (done)
			return false;
		pages = append_new_page(index, &piece, (const char *) value);
	}
	/* asking once in a while is enough: whoever is asked seals everything there is */
	return pages > (uint32) rv_delta_limit_kb / (BLCKSZ / 1024) && (pages % 16 == 0 || piece.total > MAX_PIECE_DATA);
}

bool
rv_delta_cut(Relation index, RvDeltaCut *cut)
{
	Buffer		fresh = rv_page_allocate(index);
	RvMeta	   *meta;
	Buffer		meta_buffer = rv_meta_lock(index, &meta);
	Buffer		tail_buffer = lock_tail(index, meta);
	GenericXLogState *state;

	if (!BufferIsValid(tail_buffer))
	{
		UnlockReleaseBuffer(meta_buffer);
		rv_page_return(index, fresh);
		return false;
	}
	cut->head = meta->delta_head;
	cut->last = meta->delta_tail;
	cut->pages = meta->delta_pages;
	cut->new_head = BufferGetBlockNumber(fresh);
	state = GenericXLogStart(index);
	rv_page_init(GenericXLogRegisterBuffer(state, fresh, GENERIC_XLOG_FULL_IMAGE), RV_PAGE_DELTA, 0,
				 next_number(tail_buffer), InvalidBlockNumber);
	link_pages(state, meta_buffer, tail_buffer, cut->new_head, cut->new_head, 1);
	GenericXLogFinish(state);
	UnlockReleaseBuffer(tail_buffer);
	UnlockReleaseBuffer(meta_buffer);
	UnlockReleaseBuffer(fresh);
	return true;
}

void
rv_delta_free(Relation index, const RvDeltaCut *cut)
{
	rv_run_free(index, RV_PAGE_DELTA, 0, cut->head, cut->pages);
}

RvDelta *
rv_delta_new(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "ruvector delta", ALLOCSET_DEFAULT_SIZES);
	RvDelta    *delta = MemoryContextAllocZero(context, sizeof(RvDelta));

	delta->context = context;
	delta->rows = AllocSetContextCreate(context, "ruvector delta rows", ALLOCSET_DEFAULT_SIZES);
	delta->block = InvalidBlockNumber;
	return delta;
}

void
rv_delta_forget(RvDelta *delta)
{
	MemoryContextReset(delta->rows);
	delta->items = NULL;
	delta->count = delta->capacity = 0;
	delta->bytes = 0;
}

static void
remember(RvDelta *delta, ItemPointer tid, struct varlena *value)
{
	if (delta->count == delta->capacity)
	{
		delta->capacity = Max(delta->capacity * 2, 64);
		if (delta->items == NULL)
			delta->items = MemoryContextAllocHuge(delta->rows, sizeof(RvDeltaItem) * delta->capacity);
		else
			delta->items = repalloc_huge(delta->items, sizeof(RvDeltaItem) * delta->capacity);
	}
	delta->items[delta->count].tid = *tid;
	delta->items[delta->count].value = value;
	delta->count++;
}

/* The value whose pieces are being read. */
typedef struct Pending
{
	DeltaPiece	piece;
	char	   *value;			/* NULL: none */
} Pending;

/* False: the item is damaged. */
static bool
read_item(RvDelta *delta, Pending *pending, Page page, ItemId id)
{
	DeltaPiece	piece;
	Size		length = ItemIdGetLength(id);
	const char *data;

	if (length < sizeof(DeltaPiece) || ItemIdGetOffset(id) < SizeOfPageHeaderData ||
		ItemIdGetOffset(id) + length > ((PageHeader) page)->pd_special)
		return false;
	memcpy(&piece, PageGetItem(page, id), sizeof(DeltaPiece));
	data = (char *) PageGetItem(page, id) + sizeof(DeltaPiece);
	length -= sizeof(DeltaPiece);
	if (piece.done == 0)
	{
		if (piece.total < VARHDRSZ || piece.total > MaxAllocSize || length > piece.total)
			return false;
		delta->bytes += piece.total;
		if (delta->only_counted)
		{
			delta->count++;
			return true;
		}
		pending->piece = piece;
		pending->value = MemoryContextAlloc(delta->rows, piece.total);
	}
	else if (pending->value == NULL || pending->piece.done != piece.done || pending->piece.total != piece.total ||
			 !ItemPointerEquals(&pending->piece.tid, &piece.tid) || length > piece.total - piece.done)
	{
		pending->value = NULL;	/* the row's first piece was deleted */
		return true;
	}
	memcpy(pending->value + piece.done, data, length);
	pending->piece.done = piece.done + length;
	if (pending->piece.done == pending->piece.total)
	{
		if (VARATT_IS_EXTENDED(pending->value) || VARSIZE(pending->value) != piece.total)
			return false;
		remember(delta, &pending->piece.tid, (struct varlena *) pending->value);
		pending->value = NULL;
	}
	return true;
}

bool
rv_delta_read(Relation index, RvDelta *delta, BlockNumber head, BlockNumber until)
{
	Pending		pending;
	BlockNumber block = delta->block;
	BlockNumber n_blocks = 0;

	memset(&pending, 0, sizeof(pending));
	if (block == InvalidBlockNumber)
		block = head;
	while (block != InvalidBlockNumber)
	{
		Buffer		buffer;
		Page		page;
		OffsetNumber max;
		BlockNumber next;

		CHECK_FOR_INTERRUPTS();
		/* the chain grows while it is read, and with it the file */
		if (block >= n_blocks && block >= (n_blocks = RelationGetNumberOfBlocks(index)))
			return false;
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (!rv_page_is(page, RV_PAGE_DELTA) || (delta->pages > 0 && RvPageTailOf(page)->number != delta->sequence))
		{
			UnlockReleaseBuffer(buffer);
			return false;
		}
		if (block != delta->block)
		{
			delta->pages++;
			delta->offset = 0;
			delta->block = block;
			delta->sequence = RvPageTailOf(page)->number;
		}
		max = PageGetMaxOffsetNumber(page);
		for (OffsetNumber offset = delta->offset + 1; offset <= max; offset++)
		{
			ItemId		id = PageGetItemId(page, offset);

			if (ItemIdIsNormal(id) && !read_item(delta, &pending, page, id))
			{
				UnlockReleaseBuffer(buffer);
				return false;
			}
		}
		delta->offset = max;
		next = delta->next = RvPageTailOf(page)->next;
		UnlockReleaseBuffer(buffer);
		if (block == until || (delta->limit > 0 && delta->bytes >= delta->limit && pending.value == NULL))
			break;
		if (next != InvalidBlockNumber)
			delta->sequence++;
		block = next;
	}
	return true;
}

uint64
rv_delta_bulk_delete(Relation index, BlockNumber head, IndexBulkDeleteCallback callback, void *callback_state,
					 uint64 *remaining, bool *any_dead)
{
	BlockNumber block = head;
	uint64		deleted = 0;

	*any_dead = false;

	while (block != InvalidBlockNumber)
	{
		Buffer		buffer = ReadBuffer(index, block);
		OffsetNumber dead[MaxOffsetNumber];
		int			n_dead = 0;
		Page		page;

		rv_vacuum_delay_point();
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		if (!rv_page_is(page, RV_PAGE_DELTA))
			ereport(ERROR,
					(errcode(ERRCODE_INDEX_CORRUPTED),
					 errmsg("block %u of index \"%s\" is not a delta page", block, RelationGetRelationName(index)),
					 errhint("Please REINDEX it.")));
		for (OffsetNumber offset = 1; offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			ItemId		id = PageGetItemId(page, offset);
			DeltaPiece	piece;

			if (!ItemIdIsNormal(id))
			{
				*any_dead = true;
				continue;
			}
			memcpy(&piece, PageGetItem(page, id), sizeof(DeltaPiece));
			if (piece.done != 0)
				continue;
			if (callback(&piece.tid, callback_state))
				dead[n_dead++] = offset;
			else
				(*remaining)++;
		}
		if (n_dead > 0)
		{
			GenericXLogState *state = GenericXLogStart(index);
			Page		copy = GenericXLogRegisterBuffer(state, buffer, 0);

			for (int i = 0; i < n_dead; i++)
				ItemIdMarkDead(PageGetItemId(copy, dead[i]));
			GenericXLogFinish(state);
			deleted += n_dead;
			*any_dead = true;
		}
		block = RvPageTailOf(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	return deleted;
}
