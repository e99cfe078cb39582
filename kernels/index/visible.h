/* SPDX-License-Identifier: PostgreSQL
 *
 * visible.h: pages of a table that are as they were.
 *
 * A page's bit in the visibility map says that every row of it is visible to everybody. Whoever changes the page clears the
 * bit first, and only VACUUM or COPY FREEZE sets it again, which gives the page of the map a new LSN (an unlogged table's has none). So what
 * was read of a page while its bit was set holds as long as the bit is set and the map's page has the LSN that it had then, for
 * every snapshot taken before the bit is looked at: for the reason that an index-only scan does not look at the table.
 */
#ifndef RV_INDEX_VISIBLE_H
#define RV_INDEX_VISIBLE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/visibilitymapdefs.h"
#include "storage/bufpage.h"
#include "utils/relcache.h"

/* The layout of visibilitymap.c, the same since 9.6: two bits a page of the table, the lower one for all-visible. */
#define RV_MAP_BYTES (BLCKSZ - MAXALIGN(SizeOfPageHeaderData))
#define RV_MAP_WORDS (RV_MAP_BYTES / sizeof(uint64))
#define RV_MAP_PAGES (RV_MAP_BYTES * BITS_PER_BYTE / BITS_PER_HEAPBLOCK)
#define RV_PAGES_A_WORD (64 / BITS_PER_HEAPBLOCK)
#define RV_VISIBLE_BITS UINT64CONST(0x5555555555555555)

/* One page of the map: all-visible bits only, two bits apart. */
typedef struct RvVisible
{
	XLogRecPtr	lsn;
	uint64		bits[RV_MAP_WORDS];
} RvVisible;

/* Whether the map of this table can tell. */
extern bool rv_visible_tells(Relation heap);
/* The number-th page of the map. All zero where there is none. */
extern void rv_visible_read(Relation heap, uint32 number, RvVisible *visible);

#endif							/* RV_INDEX_VISIBLE_H */
