/* SPDX-License-Identifier: PostgreSQL
 *
 * filter.h: a set of rows, as a bitmap scan of other indexes finds it, and what of it is in a segment.
 */
#ifndef RV_INDEX_FILTER_H
#define RV_INDEX_FILTER_H

#include "internal.h"
#include "keylist.h"

/* Ascending keys of rows. A key without a line (offset 0) stands for its whole page. */
typedef RvKeyList RvFilter;

/* In the current memory context; the bitmap may be freed afterwards. */
extern RvFilter *rv_filter_new(TIDBitmap *bitmap);
extern bool rv_filter_admits(const RvFilter *filter, uint64 key);
/* Tombstones of a segment, of which only those are not set that the filter admits too, in the filter's memory context;
 * *admitted: how many that are. */
extern uint64 *rv_filter_segment(const RvFilter *filter, const RvViewSegment *segment, uint32 *admitted);

extern bool rv_enable_filtered_scan;
/* filterplan.c, filterscan.c */
extern void rv_filter_paths(PlannerInfo *root, RelOptInfo *rel);
extern void rv_filter_init(void);

#endif							/* RV_INDEX_FILTER_H */
