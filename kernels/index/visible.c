/* SPDX-License-Identifier: PostgreSQL
 *
 * visible.c: see visible.h.
 */
#include "visible.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "access/xlog.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

bool
rv_visible_tells(Relation heap)
{
	return RelationNeedsWAL(heap) && heap->rd_tableam == GetHeapamTableAmRoutine();
}

void
rv_visible_read(Relation heap, uint32 number, RvVisible *visible)
{
	Buffer		buffer = InvalidBuffer;
	Page		page;

	/* pins the page, without making it as visibilitymap_pin() would */
	(void) visibilitymap_get_status(heap, number * (BlockNumber) RV_MAP_PAGES, &buffer);
	if (!BufferIsValid(buffer))
	{
		memset(visible, 0, sizeof(*visible));
		return;
	}
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	visible->lsn = PageGetLSN(page);
	memcpy(visible->bits, PageGetContents(page), RV_MAP_BYTES);
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < (int) RV_MAP_WORDS; i++)
		visible->bits[i] &= RV_VISIBLE_BITS;
}
