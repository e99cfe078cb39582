/* SPDX-License-Identifier: PostgreSQL
 *
 * filtercache.h: which rows pass a condition that comes again and again.
 */
#ifndef RV_INDEX_FILTERCACHE_H
#define RV_INDEX_FILTERCACHE_H

#include "fetch.h"
#include "filter.h"

extern int	rv_filter_cache_kb;

/* What a scan behind a condition tells the cache when it has ended. */
typedef struct RvFilterUse
{
	uint64		id;				/* of the condition; 0: not one for the cache */
	bool		filtered;		/* the scan was given a filter */
} RvFilterUse;

/* The rows that pass the condition of the fetch's node, and some that may not; NULL: it is not known which, or a walk past
 * those that do not pass costs less. In the current memory context. */
extern RvFilter *rv_filter_cache_find(RvFetch *fetch, RvFilterUse *use);
/* How many rows such a scan has found and dropped. */
extern void rv_filter_cache_note(const RvFilterUse *use, uint64 found, uint64 dropped);
/* Of this session. */
extern Size rv_filter_cache_bytes(void);
extern void rv_filter_cache_init(void);

#endif							/* RV_INDEX_FILTERCACHE_H */
