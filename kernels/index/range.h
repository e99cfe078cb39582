/* SPDX-License-Identifier: PostgreSQL
 *
 * range.h: the right operand of the range operator: all rows within a distance of a query.
 */
#ifndef RV_INDEX_RANGE_H
#define RV_INDEX_RANGE_H

#include "postgres.h"

#include "nodes/pathnodes.h"
#include "utils/rel.h"

/* A value of type ruvector_range: varlena, then the query as a plain varlena of query_type, aligned to 8. */
typedef struct RvRange
{
	int32		vl_len_;
	Oid			query_type;
	Oid			distance;		/* function (query_type, query_type) returns float8 */
	bool		inclusive;		/* <= instead of < */
	char		unused[3];
	double		radius;
	char		query[FLEXIBLE_ARRAY_MEMBER];
} RvRange;

static inline bool
rv_range_contains(const RvRange *range, double distance)
{
	/* as float8 compares: NaN equals itself and is larger than everything else */
	if (distance != distance)
		return range->inclusive && range->radius != range->radius;
	if (range->radius != range->radius)
		return true;
	return range->inclusive ? distance <= range->radius : distance < range->radius;
}

extern bool rv_enable_range_scan;
extern void rv_range_init(void);

/* Whoever asks for a radius wants few rows: where nothing is known, the share of them. */
#define RV_RANGE_SELECTIVITY 0.005

/* How many rows are within, < 0: cannot tell. query is not NULL. */
extern double rv_range_estimate(Relation index, Datum query, double radius);
/* Whether the path's index condition was made by threshold.c, with the selectivity that it estimated. */
extern bool rv_range_path_is_ours(const IndexPath *path);

#endif							/* RV_INDEX_RANGE_H */
