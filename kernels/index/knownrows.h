/* SPDX-License-Identifier: PostgreSQL
 *
 * knownrows.h: which rows of a table pass a condition, as far as it has been read, as long as that holds (visible.h).
 */
#ifndef RV_INDEX_KNOWNROWS_H
#define RV_INDEX_KNOWNROWS_H

#include "fetch.h"
#include "filter.h"
#include "visible.h"

/* What is known of the pages that one page of the visibility map is about. */
typedef struct RvKnownPart
{
	BlockNumber looked_at;		/* pages, from its first one */
	XLogRecPtr	lsn;
	uint64		known[RV_MAP_WORDS];	/* pages whose rows are known, as in the map */
	RvKeyList	passing;		/* rows, ascending */
} RvKnownPart;

typedef struct RvKnownRows
{
	MemoryContext context;
	RvKnownPart **parts;
	uint32		n_parts;
	uint64		rows_read;		/* so far, all in all */
	uint64		pages_read;
} RvKnownRows;

/* Reads on in the table, which has so many blocks, until it has read so many rows or pages, or all. After an error the rows are
 * no longer good for anything. */
extern void rv_known_rows_read(RvKnownRows *rows, RvFetch *fetch, BlockNumber blocks, uint64 most_rows, uint64 most_pages);
/* Whether every page has been looked at. */
extern bool rv_known_rows_complete(const RvKnownRows *rows, BlockNumber blocks);
extern double rv_known_rows_a_page(const RvKnownRows *rows);

/* What of it holds now. */
typedef struct RvKnownNow
{
	uint64	  **pages;			/* of each part, bits as in the map; NULL: none */
	uint32		n_parts;
	BlockNumber blocks;
	uint64		others;			/* pages of which nothing is known */
	uint64		most_keys;
} RvKnownNow;

/* For a snapshot taken before. In the current memory context. */
extern RvKnownNow rv_known_rows_now(RvKnownRows *rows, Relation heap, BlockNumber blocks);
/* The rows that pass, and all those of other pages. In the current memory context. */
extern RvFilter *rv_known_rows_filter(const RvKnownRows *rows, const RvKnownNow *now);

#endif							/* RV_INDEX_KNOWNROWS_H */
