/* SPDX-License-Identifier: PostgreSQL
 *
 * plan.h: what the planner's parts share about one foreign table of one query.
 */
#ifndef RV_PLAN_H
#define RV_PLAN_H

#include "fdw.h"

typedef struct Pushed
{
	RestrictInfo *rinfo;
	RvQual	   *qual;
	RvPush		level;
} Pushed;

/* RelOptInfo.fdw_private */
typedef struct PlanRel
{
	RvInstance *instance;
	bool		extended;
	TupleDesc	desc;
	List	   *pushed;			/* Pushed */
	List	   *local;			/* RestrictInfo: checked by PostgreSQL */
	List	   *keys;			/* RvKey: the order the wrapper keeps */
	List	   *pathkeys;		/* the same as PathKey */
	RvRequest	request;		/* quals and attrs of the scan without parameters */
	RvEstimate	estimate;		/* of that request */
} PlanRel;

/* ForeignPath.fdw_private is a list: the PlanRel's keys apply or not, the limit is pushed or not. */
#define PATH_ORDERED 1
#define PATH_LIMITED 2

extern ForeignPath *rv_make_path(PlannerInfo *root, RelOptInfo *rel, PathTarget *target, double rows, Cost startup,
								 Cost total, List *pathkeys, Relids required_outer, int flags);
/* Cost of returning `rows` rows; the store may have to produce more where conditions are left to us. */
extern void rv_scan_cost(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan, RvEstimate *estimate, double rows,
						 Cost *startup, Cost *total);
extern RvOperand rv_limit_operand(Node *expr);

#endif							/* RV_PLAN_H */
