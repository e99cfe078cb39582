/* SPDX-License-Identifier: PostgreSQL
 *
 * plan_limit.c: LIMIT and OFFSET, pushed into the scan only when nothing is left to do above it: one table, every
 * condition kept exactly, the whole order kept, a plain SELECT. To a Multicorn wrapper, as Multicorn has it: no WHERE
 * at all, constants only.
 */
#include "postgres.h"

#include "plan.h"

#include "catalog/pg_type.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"

RvOperand
rv_limit_operand(Node *expr)
{
	RvOperand	operand = {.expr = (Expr *) expr,.type = INT8OID};

	if (!expr)
		operand.bound = operand.isnull = true;
	else if (IsA(expr, Const))
	{
		operand.bound = true;
		operand.isnull = ((Const *) expr)->constisnull;
		operand.datum = ((Const *) expr)->constvalue;
	}
	return operand;
}

/* The one foreign table of the query when its scan can be the whole query but for the limit. */
static RelOptInfo *
single_table(PlannerInfo *root)
{
	Query	   *parse = root->parse;
	RelOptInfo *rel;
	int			relid;

	if (parse->commandType != CMD_SELECT || parse->limitOption == LIMIT_OPTION_WITH_TIES || parse->rowMarks != NIL ||
		parse->groupClause != NIL || parse->groupingSets != NIL || parse->distinctClause != NIL ||
		parse->setOperations != NULL || parse->havingQual != NULL || parse->hasAggs || parse->hasWindowFuncs ||
		parse->hasTargetSRFs || !bms_get_singleton_member(root->all_baserels, &relid))
		return NULL;
	rel = find_base_rel(root, relid);
	if (rel->reloptkind != RELOPT_BASEREL || !rel->fdwroutine || rel->fdwroutine->GetForeignPlan != rv_get_plan ||
		!bms_is_empty(rel->lateral_relids) || !rel->fdw_private)
		return NULL;			/* without fdw_private: the conditions contradict one another, no scan was planned */
	return rel;
}

static bool
limit_is_const(RvOperand *operand)
{
	return operand->expr == NULL || (operand->bound && !operand->isnull);
}

void
rv_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output, void *extra)
{
	FinalPathExtraData *final = extra;
	RelOptInfo *rel;
	PlanRel    *plan;
	RvRequest	request;
	RvEstimate	estimate;
	double		rows;
	Cost		startup;
	Cost		total;
	bool		ordered = root->sort_pathkeys != NIL;
	ForeignPath *path;
	ListCell   *cell;

	if (stage != UPPERREL_FINAL || !final->limit_needed || !(rel = single_table(root)))
		return;
	plan = rel->fdw_private;
	if (ordered && !pathkeys_contained_in(root->sort_pathkeys, plan->pathkeys))
		return;
	request = plan->request;
	request.keys = ordered ? plan->keys : NIL;
	request.has_limit = true;
	request.limit = rv_limit_operand(root->parse->limitCount);
	request.offset = rv_limit_operand(root->parse->limitOffset);
	if (plan->extended ? plan->local != NIL :
		(rel->baserestrictinfo != NIL || !limit_is_const(&request.limit) || !limit_is_const(&request.offset)))
		return;
	if (!rv_py_can_limit(plan->instance, plan->desc, &request))
		return;
	estimate = plan->estimate;
	if (plan->extended)
		rv_py_estimate(plan->instance, plan->desc, &request, &estimate);
	rv_scan_cost(root, rel, plan, &estimate, rel->rows, &startup, &total);
	rows = rel->rows;
	adjust_limit_rows_costs(&rows, &startup, &total, final->offset_est, final->count_est);
	/* never dearer than the same scan below a Limit node */
	foreach(cell, output->pathlist)
	{
		Path	   *other = lfirst(cell);

		if (IsA(other, LimitPath) && IsA(((LimitPath *) other)->subpath, ForeignPath))
		{
			startup = Min(startup, other->startup_cost);
			total = Min(total, other->total_cost * (1 - 1e-6));
		}
	}
	path = rv_make_path(root, rel, root->upper_targets[UPPERREL_FINAL], rows, Min(startup, total), total,
						root->sort_pathkeys, NULL, PATH_LIMITED | (ordered ? PATH_ORDERED : 0));
	add_path(output, (Path *) path);
}
