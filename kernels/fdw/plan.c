/* SPDX-License-Identifier: PostgreSQL
 *
 * plan.c: planning a scan: which conditions, order and limit the wrapper keeps, what that costs, and the plan node.
 *
 * Paths: one without order; one for as much of the query's order as the wrapper keeps; for joins, one for each set of
 * columns by which it can look rows up; and one with LIMIT and OFFSET, only when nothing is left to do locally: every
 * condition kept exactly, the whole order kept, a plain SELECT of one table.
 *
 * Costs. A Multicorn wrapper: its _startup_cost, and rows * width in all. Ours: what `estimate` says, and the local
 * checks on top. Rows: what the wrapper says of the whole table, times the selectivity of all conditions.
 */
#include "postgres.h"

#include "plan.h"

#include "access/table.h"
#include "access/sysattr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/* ---- columns ---------------------------------------------------------------------------------------------- */

static void
add_attributes(RvRequest *request, Bitmapset *varattnos, TupleDesc desc)
{
	int			attr = -1;

	while ((attr = bms_next_member(varattnos, attr)) >= 0)
	{
		int			attnum = attr + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			request->attrs = bms_add_member(request->attrs, attnum);
		else if (attnum == SelfItemPointerAttributeNumber)
			request->need_rowids = true;
		else if (attnum == 0)	/* the whole row */
			request->attrs = bms_add_range(request->attrs, 1, desc->natts);
	}
}

static void
add_expr_columns(RvRequest *request, Node *expr, Index relid, TupleDesc desc)
{
	Bitmapset  *attrs = NULL;

	pull_varattnos(expr, relid, &attrs);
	add_attributes(request, attrs, desc);
}

/* ---- size ------------------------------------------------------------------------------------------------- */

static Oid
scan_user(RelOptInfo *rel, PlannerInfo *root)
{
#if PG_VERSION_NUM >= 160000
	return OidIsValid(rel->userid) ? rel->userid : GetUserId();
#else
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

/* The level of a condition: Multicorn's are always checked again. */
static RvPush
push_level(PlanRel *plan, RvQual *qual)
{
	return plan->extended ? rv_py_can_push(plan->instance, plan->desc, qual) : RV_PUSH_HINT;
}

static void
classify(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan)
{
	ListCell   *cell;

	foreach(cell, rel->baserestrictinfo)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, cell);
		RvQual	   *qual = rinfo->pseudoconstant ? NULL : rv_qual_from_clause(rel, rinfo->clause, plan->extended);
		RvPush		level = qual ? push_level(plan, qual) : RV_PUSH_NONE;

		if (level != RV_PUSH_NONE)
		{
			Pushed	   *pushed = palloc(sizeof(Pushed));

			pushed->rinfo = rinfo;
			pushed->qual = qual;
			pushed->level = level;
			plan->pushed = lappend(plan->pushed, pushed);
			plan->request.quals = lappend(plan->request.quals, qual);
		}
		if (level != RV_PUSH_EXACT)
			plan->local = lappend(plan->local, rinfo);
		/* a row that is locked may be checked once more, with all its conditions */
		if (level != RV_PUSH_EXACT || root->rowMarks != NIL)
			add_expr_columns(&plan->request, (Node *) rinfo->clause, rel->relid, plan->desc);
	}
	add_expr_columns(&plan->request, (Node *) rel->reltarget->exprs, rel->relid, plan->desc);
}

void
rv_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	PlanRel    *plan = palloc0(sizeof(PlanRel));
	Relation	relation = table_open(relid, NoLock);

	rel->fdw_private = plan;
	plan->desc = CreateTupleDescCopyConstr(RelationGetDescr(relation));
	table_close(relation, NoLock);
	plan->instance = rv_instance_get(relid, scan_user(rel, root));
	plan->extended = rv_instance_extended(plan->instance);
	classify(root, rel, plan);
	if (plan->extended)
	{
		RvRequest	whole = {.attrs = plan->request.attrs};
		RvEstimate	all;

		rv_py_estimate(plan->instance, plan->desc, &plan->request, &plan->estimate);
		all = plan->estimate;
		if (plan->request.quals != NIL)
			rv_py_estimate(plan->instance, plan->desc, &whole, &all);
		rel->tuples = Max(all.rows, 1);
		rel->rows = rel->tuples * clauselist_selectivity(root, rel->baserestrictinfo, 0, JOIN_INNER, NULL);
		rel->rows = clamp_row_est(Min(rel->rows, plan->estimate.rows));
	}
	else
	{
		rv_py_rel_size(plan->instance, plan->desc, &plan->request, &plan->estimate);
		rel->rows = clamp_row_est(plan->estimate.rows);
		rel->tuples = Max(rel->tuples, rel->rows);
	}
	if (plan->estimate.width > 0)
		rel->reltarget->width = plan->estimate.width;
}

/* ---- paths ------------------------------------------------------------------------------------------------ */

ForeignPath *
rv_make_path(PlannerInfo *root, RelOptInfo *rel, PathTarget *target, double rows, Cost startup, Cost total,
			 List *pathkeys, Relids required_outer, int flags)
{
	List	   *private = list_make1_int(flags);

	return create_foreignscan_path(root, rel, target, rows,
#if PG_VERSION_NUM >= 180000
								   0,
#endif
								   startup, total, pathkeys, required_outer, NULL,
#if PG_VERSION_NUM >= 170000
								   NIL,
#endif
								   private);
}

void
rv_scan_cost(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan, RvEstimate *estimate, double rows, Cost *startup,
			 Cost *total)
{
	double		produced = rows;
	QualCost	local;

	*startup = estimate->startup_cost;
	if (!plan->extended)
	{
		*total = *startup + rows * estimate->width;
		return;
	}
	cost_qual_eval(&local, plan->local, root);
	if (plan->local != NIL)
		produced = clamp_row_est(rows / Max(clauselist_selectivity(root, plan->local, 0, JOIN_INNER, NULL), 1e-9));
	produced = Min(produced, Max(rel->tuples, rows));
	*startup += local.startup;
	*total = *startup + produced * (estimate->per_row_cost + cpu_tuple_cost + local.per_tuple);
}

/* The member of a pathkey's class that is an expression over this relation alone. */
static Expr *
pathkey_expr(RelOptInfo *rel, PathKey *pathkey)
{
	EquivalenceClass *ec = pathkey->pk_eclass;
	EquivalenceMember *member;
#if PG_VERSION_NUM >= 180000
	EquivalenceMemberIterator iterator;

	if (ec->ec_has_volatile)
		return NULL;
	setup_eclass_member_iterator(&iterator, ec, rel->relids);
	while ((member = eclass_member_iterator_next(&iterator)) != NULL)
	{
#else
	ListCell   *cell;

	if (ec->ec_has_volatile)
		return NULL;
	foreach(cell, ec->ec_members)
	{
		member = lfirst(cell);
#endif
		if (bms_equal(member->em_relids, rel->relids))
			return member->em_expr;
	}
	return NULL;
}

/* Whether a sort key means the type's own order, the only one a wrapper is told of: ORDER BY ... USING may mean another. */
static bool
is_default_order(PathKey *pathkey, Expr *expr)
{
	TypeCacheEntry *entry = lookup_type_cache(exprType((Node *) expr), TYPECACHE_BTREE_OPFAMILY);

	return entry->btree_opf == pathkey->pk_opfamily;
}

static bool
pathkey_reversed(PathKey *pathkey)
{
#if PG_VERSION_NUM >= 180000
	return pathkey->pk_cmptype == COMPARE_GT;
#else
	return pathkey->pk_strategy == BTGreaterStrategyNumber;
#endif
}

static void
find_order(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan)
{
	List	   *keys = NIL;
	ListCell   *cell;
	int			kept;

	foreach(cell, root->query_pathkeys)
	{
		PathKey    *pathkey = lfirst(cell);
		Expr	   *expr = pathkey_expr(rel, pathkey);
		RvKey	   *key = NULL;

		if (expr && is_default_order(pathkey, expr))
			key = rv_key_from_expr(rel, expr, pathkey_reversed(pathkey), pathkey->pk_nulls_first, plan->extended);

		if (!key)
		{
			if (!plan->extended)
				return;			/* Multicorn asks for all of an order or nothing */
			break;
		}
		keys = lappend(keys, key);
	}
	if (keys == NIL)
		return;
	kept = rv_py_can_sort(plan->instance, plan->desc, keys);
	plan->keys = list_truncate(keys, kept);
	plan->pathkeys = list_truncate(list_copy(root->query_pathkeys), kept);
}

/* ---- joins ------------------------------------------------------------------------------------------------ */

typedef struct MemberCheck
{
	AttrNumber	attnum;
} MemberCheck;

static bool
member_is_column(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *member, void *arg)
{
	Var		   *var = (Var *) member->em_expr;

	return IsA(var, Var) && (Index) var->varno == rel->relid && var->varattno == ((MemberCheck *) arg)->attnum;
}

/* A join clause `column = outer expression` that can be a parameter of a scan of rel. */
static RestrictInfo *
find_join_clause(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan, AttrNumber attnum, List *candidates)
{
	ListCell   *cell;

	foreach(cell, candidates)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, cell);
		RvQual	   *qual;

		if (!join_clause_is_movable_to(rinfo, rel))
			continue;
		qual = rv_qual_from_clause(rel, rinfo->clause, plan->extended);
		if (qual && qual->kind == RV_QUAL_OP && qual->attnum == attnum && strcmp(qual->operator, "=") == 0 &&
			push_level(plan, qual) != RV_PUSH_NONE)
			return rinfo;
	}
	return NULL;
}

static void
add_lookup_path(PlannerInfo *root, RelOptInfo *rel, PlanRel *plan, RvPathKey *key)
{
	Relids		outer = NULL;
	ParamPathInfo *info;
	RvEstimate	estimate = plan->estimate;
	double		rows;
	Cost		startup;
	Cost		total;
	ListCell   *cell;

	foreach(cell, key->attnums)
	{
		MemberCheck check = {(AttrNumber) lfirst_int(cell)};
		List	   *candidates = rel->has_eclass_joins ?
			generate_implied_equalities_for_column(root, rel, member_is_column, &check, rel->lateral_referencers) : NIL;
		RestrictInfo *rinfo = find_join_clause(root, rel, plan, check.attnum, list_concat(candidates, rel->joininfo));

		if (!rinfo)
			return;
		outer = bms_union(outer, rinfo->clause_relids);
	}
	outer = bms_del_members(bms_union(outer, rel->lateral_relids), rel->relids);
	if (bms_is_empty(outer))
		return;
	info = get_baserel_parampathinfo(root, rel, outer);
	rows = clamp_row_est(Min(key->rows, info->ppi_rows));
	if (plan->extended)
		rows = clamp_row_est(info->ppi_rows);
	rv_scan_cost(root, rel, plan, &estimate, Max(rows, key->rows), &startup, &total);
	add_path(rel, (Path *) rv_make_path(root, rel, NULL, rows, startup, total, NIL, outer, 0));
}

void
rv_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	PlanRel    *plan = rel->fdw_private;
	List	   *lookups = rv_py_path_keys(plan->instance, plan->desc);
	Relids		lateral = rel->lateral_relids;
	Cost		startup;
	Cost		total;
	ListCell   *cell;

	rv_scan_cost(root, rel, plan, &plan->estimate, rel->rows, &startup, &total);
	add_path(rel, (Path *) rv_make_path(root, rel, NULL, rel->rows, startup, total, NIL, lateral, 0));
	find_order(root, rel, plan);
	if (plan->keys != NIL)
	{
		RvEstimate	estimate = plan->estimate;

		if (plan->extended)
		{
			RvRequest	request = plan->request;

			request.keys = plan->keys;
			rv_py_estimate(plan->instance, plan->desc, &request, &estimate);
		}
		rv_scan_cost(root, rel, plan, &estimate, rel->rows, &startup, &total);
		add_path(rel, (Path *) rv_make_path(root, rel, NULL, rel->rows, startup, total, plan->pathkeys, lateral,
											PATH_ORDERED));
	}
	foreach(cell, lookups)
		add_lookup_path(root, rel, plan, lfirst(cell));
}

/* ---- plan ------------------------------------------------------------------------------------------------- */

static Pushed *
find_pushed(PlanRel *plan, RelOptInfo *rel, RestrictInfo *rinfo)
{
	ListCell   *cell;
	Pushed	   *pushed;

	foreach(cell, plan->pushed)
	{
		pushed = lfirst(cell);
		if (pushed->rinfo == rinfo)
			return pushed;
	}
	if (list_member_ptr(rel->baserestrictinfo, rinfo))
		return NULL;
	/* a join clause of a parameterised path */
	pushed = palloc0(sizeof(Pushed));
	pushed->rinfo = rinfo;
	pushed->qual = rv_qual_from_clause(rel, rinfo->clause, plan->extended);
	if (!pushed->qual || (pushed->level = push_level(plan, pushed->qual)) == RV_PUSH_NONE)
		return NULL;
	return pushed;
}

ForeignScan *
rv_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist, List *clauses,
			Plan *outer_plan)
{
	PlanRel    *plan = rel->fdw_private;
	int			flags = linitial_int(path->fdw_private);
	RvRequest	request = plan->request;
	List	   *local = NIL;
	List	   *recheck = NIL;
	List	   *exprs;
	List	   *private;
	ListCell   *cell;

	request.quals = NIL;
	foreach(cell, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, cell);
		Pushed	   *pushed;

		if (rinfo->pseudoconstant)
			continue;
		pushed = find_pushed(plan, rel, rinfo);
		if (pushed)
			request.quals = lappend(request.quals, pushed->qual);
		if (pushed && pushed->level == RV_PUSH_EXACT)
			recheck = lappend(recheck, rinfo->clause);
		else
		{
			local = lappend(local, rinfo->clause);
			add_expr_columns(&request, (Node *) rinfo->clause, rel->relid, plan->desc);
		}
	}
	if (flags & PATH_ORDERED)
		request.keys = plan->keys;
	if (flags & PATH_LIMITED)
	{
		request.has_limit = true;
		request.limit = rv_limit_operand(root->parse->limitCount);
		request.offset = rv_limit_operand(root->parse->limitOffset);
	}
	private = rv_request_to_private(&request, &exprs);
	return make_foreignscan(tlist, local, rel->relid, exprs, private, NIL, recheck, outer_plan);
}
