/* SPDX-License-Identifier: PostgreSQL
 *
 * filterscan.h: what the planner's side of a filtered scan needs of the executor's.
 */
#ifndef RV_INDEX_FILTERSCAN_H
#define RV_INDEX_FILTERSCAN_H

#include "filter.h"

#include "nodes/extensible.h"

#define RV_FILTERED_SCAN_NAME "RuvectorFilteredScan"

/* A CustomScan: custom_private has the list of the vector index, custom_exprs the ordering's expression, column <operator>
 * query; custom_plans the plan of the bitmap. */
extern const CustomScanMethods rv_filtered_scan_methods;

#endif							/* RV_INDEX_FILTERSCAN_H */
