/* SPDX-License-Identifier: PostgreSQL
 *
 * pages.c: the layout of pages, finding a free one, and chains of pages (docs/design/pages.md).
 *
 * Every page has the standard header, contents from there to pd_lower, and an RvPageTail as its special area, so
 * checksums, hole compression and full-page images work as for any index. A chain holds the bytes of one thing: a
 * segment or its tombstones.
 *
 * Free pages: marked RV_PAGE_FREE through WAL, and then known to the free space map, which is not logged and may
 * therefore be wrong: a page taken from it is used only when its own mark says free (or it is all zero). No reader needs
 * a freed page to stay as it is: readers check every page's owner and number and, when something does not fit, begin
 * again from the meta page, whose generation has then changed. The same holds on a standby.
 */
#include "internal.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"

#define PAGES_BETWEEN_INTERRUPTS 64	/* half a megabyte */

void
rv_page_init(Page page, RvPageKind kind, uint64 owner, uint32 number, BlockNumber next)
{
	RvPageTail *tail;

	PageInit(page, BLCKSZ, sizeof(RvPageTail));
	tail = RvPageTailOf(page);
	tail->owner = owner;
	tail->next = next;
	tail->number = number;
	tail->kind = kind;
	tail->page_id = RV_PAGE_ID;
	tail->unused = 0;
}

bool
rv_page_is(Page page, RvPageKind kind)
{
	if (PageIsNew(page) || ((PageHeader) page)->pd_special != BLCKSZ - MAXALIGN(sizeof(RvPageTail)))
		return false;
	return RvPageTailOf(page)->page_id == RV_PAGE_ID && RvPageTailOf(page)->kind == kind;
}

static Buffer
extend(Relation index)
{
#if PG_VERSION_NUM >= 160000
	return ExtendBufferedRel(BMR_REL(index), MAIN_FORKNUM, NULL, EB_LOCK_FIRST);
#else
	bool		lock = !RELATION_IS_LOCAL(index);
	Buffer		buffer;

	if (lock)
		LockRelationForExtension(index, ExclusiveLock);
	buffer = ReadBuffer(index, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (lock)
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
#endif
}

Buffer
rv_page_allocate(Relation index)
{
	BlockNumber block;

	while ((block = GetFreeIndexPage(index)) != InvalidBlockNumber)
	{
		Buffer		buffer;

		/* the map may be of a longer file, before a crash of the machine or of another timeline */
		if (block >= RelationGetNumberOfBlocks(index))
			continue;
		buffer = ReadBuffer(index, block);
		if (ConditionalLockBuffer(buffer))
		{
			if (PageIsNew(BufferGetPage(buffer)) || rv_page_is(BufferGetPage(buffer), RV_PAGE_FREE))
				return buffer;
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
	}
	return extend(index);
}

void
rv_page_return(Relation index, Buffer buffer)
{
	BlockNumber block = BufferGetBlockNumber(buffer);

	UnlockReleaseBuffer(buffer);
	RecordFreeIndexPage(index, block);
}

/* Ends the writing of a page that no one can reach yet: the whole page goes to WAL. */
static void
finish_page(Relation index, Buffer buffer)
{
	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(index))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

/* Makes next the successor of a page that was finished without one. */
static void
link_behind(Relation index, BlockNumber block, BlockNumber next)
{
	Buffer		buffer = ReadBuffer(index, block);
	GenericXLogState *state;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	state = GenericXLogStart(index);
	RvPageTailOf(GenericXLogRegisterBuffer(state, buffer, 0))->next = next;
	GenericXLogFinish(state);
	UnlockReleaseBuffer(buffer);
}

/* A page's successor must be known before the page is logged, so the lock on one is kept while the next is found. Under a
 * lock no interrupt is looked at: every so many pages one is finished as if it were the last, and linked later. */
RvRun
rv_run_write(Relation index, RvPageKind kind, uint64 owner, const void *bytes, size_t size)
{
	RvRun		run = {InvalidBlockNumber, 0};
	Buffer		previous = InvalidBuffer;
	BlockNumber last = InvalidBlockNumber;
	size_t		done = 0;

	do
	{
		Buffer		buffer;
		Page		page;
		size_t		length = Min(size - done, (size_t) RV_PAGE_PAYLOAD);

		if (run.pages % PAGES_BETWEEN_INTERRUPTS == 0)
		{
			if (BufferIsValid(previous))
				finish_page(index, previous);
			previous = InvalidBuffer;
			CHECK_FOR_INTERRUPTS();
		}
		buffer = rv_page_allocate(index);
		page = BufferGetPage(buffer);
		rv_page_init(page, kind, owner, run.pages, InvalidBlockNumber);
		memcpy(PageGetContents(page), (const char *) bytes + done, length);
		((PageHeader) page)->pd_lower = MAXALIGN(SizeOfPageHeaderData) + length;
		if (run.pages == 0)
			run.first = BufferGetBlockNumber(buffer);
		else if (!BufferIsValid(previous))
			link_behind(index, last, BufferGetBlockNumber(buffer));
		else
		{
			RvPageTailOf(BufferGetPage(previous))->next = BufferGetBlockNumber(buffer);
			finish_page(index, previous);
		}
		previous = buffer;
		last = BufferGetBlockNumber(buffer);
		run.pages++;
		done += length;
	} while (done < size);
	finish_page(index, previous);
	return run;
}

bool
rv_run_read(Relation index, RvPageKind kind, uint64 owner, RvRun run, void *out, size_t size, BlockNumber *bad)
{
	BlockNumber block = run.first;
	BlockNumber n_blocks = RelationGetNumberOfBlocks(index);
	size_t		done = 0;

	for (uint32 number = 0; number < run.pages; number++)
	{
		Buffer		buffer;
		Page		page;
		RvPageTail *tail;
		size_t		length = Min(size - done, (size_t) RV_PAGE_PAYLOAD);
		bool		fits;

		CHECK_FOR_INTERRUPTS();
		*bad = block;
		if (block >= n_blocks)
			return false;
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		tail = RvPageTailOf(page);
		fits = rv_page_is(page, kind) && tail->owner == owner && tail->number == number &&
			((PageHeader) page)->pd_lower == MAXALIGN(SizeOfPageHeaderData) + length;
		if (fits)
		{
			memcpy((char *) out + done, PageGetContents(page), length);
			block = tail->next;
		}
		UnlockReleaseBuffer(buffer);
		if (!fits)
			return false;
		done += length;
	}
	return done == size && block == InvalidBlockNumber;
}

void
rv_run_free(Relation index, RvPageKind kind, uint64 owner, BlockNumber first, uint32 pages)
{
	BlockNumber block = first;
	uint32		number = 0;

	while (block != InvalidBlockNumber && number < pages)
	{
		Buffer		buffer = ReadBuffer(index, block);
		BlockNumber next;
		GenericXLogState *state;
		Page		page;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		/* the delta's numbers do not begin at 0 */
		if (!rv_page_is(page, kind) || RvPageTailOf(page)->owner != owner ||
			(kind != RV_PAGE_DELTA && RvPageTailOf(page)->number != number))
		{
			UnlockReleaseBuffer(buffer);
			break;
		}
		next = RvPageTailOf(page)->next;
		state = GenericXLogStart(index);
		page = GenericXLogRegisterBuffer(state, buffer, 0);
		RvPageTailOf(page)->kind = RV_PAGE_FREE;
		GenericXLogFinish(state);
		UnlockReleaseBuffer(buffer);
		RecordFreeIndexPage(index, block);
		block = next;
		number++;
	}
	IndexFreeSpaceMapVacuum(index);
}
