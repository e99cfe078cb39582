/* SPDX-License-Identifier: PostgreSQL
 *
 * threshold.c: finds WHERE column <operator> query < radius in a query and plans it on an index.
 *
 * The planner matches a clause to an index when one side of its operator is the indexed column; here it is a distance.
 * So set_rel_pathlist_hook looks through the clauses itself and gives the index clause an operator of its own, column
 * <<@>> range (see range.c). The paths are:
 *   - a plain index scan, which enforces the clause exactly: it is not checked again, while a bitmap heap scan would
 *     evaluate the original clause for every row, not knowing that the two are the same;
 *   - the same in the order of the distance, where the query wants that;
 *   - the same for each row of another relation, when query or radius come from there;
 *   - a bitmap scan where several thresholds are joined by OR.
 *
 * The planner knows nothing of how many rows are within a radius and guesses a third of them. Where query and radius
 * are known the index is asked; else RV_RANGE_SELECTIVITY holds. The estimate becomes the clause's.
 */
#include "internal.h"

#include <float.h>
#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_func.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "filter.h"
#include "range.h"

bool		rv_enable_range_scan = true;

static set_rel_pathlist_hook_type previous_hook = NULL;

static bool
is_ours(const IndexOptInfo *index)
{
	return index->amcostestimate == rv_costestimate && !index->hypothetical && (index->indpred == NIL || index->predOK);
}

typedef struct RangeQual
{
	Expr	   *distance;		/* the OpExpr or FuncExpr */
	Node	   *column;
	Node	   *query;
	Node	   *radius;			/* float8 */
	bool		inclusive;
} RangeQual;

typedef struct RangeOperator
{
	Oid			operator;
	Oid			range_type;
	Oid			distance;		/* function of strategy 1 */
	Oid			maker;			/* ruvector_range */
} RangeOperator;

/* ruvector_range, which is in the schema of the operator's function. */
static Oid
maker_of(Oid operator)
{
	Oid			arguments[4] = {ANYELEMENTOID, FLOAT8OID, BOOLOID, OIDOID};
	char	   *schema = get_namespace_name(get_func_namespace(get_opcode(operator)));

	return LookupFuncName(list_make2(makeString(schema), makeString(pstrdup("ruvector_range"))), 4, arguments, true);
}

static bool
find_operator(const IndexOptInfo *index, RangeOperator *out)
{
	Oid			order = get_opfamily_member(index->opfamily[0], index->opcintype[0], index->opcintype[0], RV_STRATEGY_ORDER);
	CatCList   *list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(index->opfamily[0]));

	out->operator = InvalidOid;
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amop entry = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (entry->amopstrategy == RV_STRATEGY_RANGE && entry->amoppurpose == AMOP_SEARCH)
		{
			out->operator = entry->amopopr;
			out->range_type = entry->amoprighttype;
		}
	}
	ReleaseSysCacheList(list);
	out->distance = OidIsValid(order) ? get_opcode(order) : InvalidOid;
	out->maker = OidIsValid(out->operator) ? maker_of(out->operator) : InvalidOid;
	return OidIsValid(out->maker) && OidIsValid(out->distance);
}

static void
call_of(Node *node, Oid *function, List **args)
{
	*function = InvalidOid;
	*args = NIL;
	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		*function = ((OpExpr *) node)->opfuncid;
		*args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, FuncExpr))
	{
		*function = ((FuncExpr *) node)->funcid;
		*args = ((FuncExpr *) node)->args;
	}
}

/* distance < radius, in any of its spellings. The other side as float8. */
static bool
split_comparison(PlannerInfo *root, Node *clause, Node **distance, Node **radius, bool *inclusive)
{
	Oid			function;
	List	   *args;
	bool		distance_first;
	bool		is_float4;

	call_of(clause, &function, &args);
	if (list_length(args) != 2)
		return false;
	distance_first = function == F_FLOAT8LT || function == F_FLOAT8LE || function == F_FLOAT84LT || function == F_FLOAT84LE;
	is_float4 = function == F_FLOAT84LT || function == F_FLOAT84LE || function == F_FLOAT48GT || function == F_FLOAT48GE;
	if (!distance_first && function != F_FLOAT8GT && function != F_FLOAT8GE && function != F_FLOAT48GT &&
		function != F_FLOAT48GE)
		return false;
	*inclusive = function == F_FLOAT8LE || function == F_FLOAT84LE || function == F_FLOAT8GE || function == F_FLOAT48GE;
	*distance = distance_first ? linitial(args) : lsecond(args);
	*radius = distance_first ? lsecond(args) : linitial(args);
	if (is_float4)
		*radius = eval_const_expressions(root, (Node *) makeFuncExpr(F_FLOAT8_FLOAT4, FLOAT8OID, list_make1(*radius),
																	  InvalidOid, InvalidOid, COERCE_IMPLICIT_CAST));
	return true;
}

static bool
match_qual(PlannerInfo *root, IndexOptInfo *index, const RangeOperator *operator, RestrictInfo *info, RangeQual *out)
{
	Node	   *distance;
	Oid			function;
	List	   *args;

	if (info->pseudoconstant || info->orclause != NULL || !restriction_is_securely_promotable(info, index->rel) ||
		!split_comparison(root, (Node *) info->clause, &distance, &out->radius, &out->inclusive))
		return false;
	call_of(distance, &function, &args);
	if (function != operator->distance || list_length(args) != 2)
		return false;
	if (match_index_to_operand(linitial(args), 0, index))
	{
		out->column = linitial(args);
		out->query = lsecond(args);
	}
	else if (match_index_to_operand(lsecond(args), 0, index))
	{
		out->column = lsecond(args);
		out->query = linitial(args);
	}
	else
		return false;
	out->distance = (Expr *) distance;
	return is_pseudo_constant_for_index(root, out->query, index) && is_pseudo_constant_for_index(root, out->radius, index) &&
		exprType(out->query) == index->opcintype[0];
}

static Selectivity
estimate(PlannerInfo *root, IndexOptInfo *index, const RestrictInfo *rinfo, const RangeQual *qual)
{
	Const	   *query = (Const *) estimate_expression_value(root, qual->query);
	Const	   *radius = (Const *) estimate_expression_value(root, qual->radius);
	Relation	relation;
	double		rows;

	/* a row-level policy's table: what the plan shows must not depend on hidden rows */
	if (!IsA(query, Const) || !IsA(radius, Const) || query->constisnull || radius->constisnull ||
		index->rel->baserestrict_min_security < rinfo->security_level || index->rel->tuples < 1)
		return RV_RANGE_SELECTIVITY;
	relation = index_open(index->indexoid, NoLock);
	rows = rv_range_estimate(relation, query->constvalue, DatumGetFloat8(radius->constvalue));
	index_close(relation, NoLock);
	if (rows < 0)
		return RV_RANGE_SELECTIVITY;
	return Min(rows / index->rel->tuples, 1.0);
}

static IndexClause *
make_clause(PlannerInfo *root, const RangeOperator *operator, RestrictInfo *info, const RangeQual *qual)
{
	IndexClause *clause = makeNode(IndexClause);
	Const	   *distance = makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(operator->distance), false, true);
	List	   *args = list_make4(copyObject(qual->query), copyObject(qual->radius), makeBoolConst(qual->inclusive, false),
								  distance);
	Expr	   *range = (Expr *) makeFuncExpr(operator->maker, operator->range_type, args, InvalidOid,
											  exprCollation(qual->query), COERCE_EXPLICIT_CALL);
	Expr	   *condition = make_opclause(operator->operator, BOOLOID, false, copyObject((Expr *) qual->column),
										  (Expr *) eval_const_expressions(root, (Node *) range), InvalidOid,
										  exprCollation(qual->query));
	RestrictInfo *made;

	set_opfuncid((OpExpr *) condition);
	made = make_simple_restrictinfo(root, condition);
	made->norm_selec = info->norm_selec;
	clause->rinfo = info;
	clause->indexquals = list_make1(made);
	clause->lossy = false;
	clause->indexcol = 0;
	clause->indexcols = NIL;
	return clause;
}

bool
rv_range_path_is_ours(const IndexPath *path)
{
	IndexClause *clause;

	if (list_length(path->indexclauses) != 1)
		return false;
	clause = linitial_node(IndexClause, path->indexclauses);
	return list_length(clause->indexquals) == 1 && linitial(clause->indexquals) != (void *) clause->rinfo;
}

/* An index scan is no use where the index may lack rows within: NaN radius, included, of a metric under which some rows
 * have no distance. rangescan.c lets a bitmap scan cope with it. */
static bool
needs_bitmap(const IndexOptInfo *index, const RangeQual *qual)
{
	Const	   *radius = (Const *) qual->radius;
	Relation	relation;
	bool		lacks;

	if (!qual->inclusive || (IsA(radius, Const) && (radius->constisnull || !isnan(DatumGetFloat8(radius->constvalue)))))
		return false;
	relation = index_open(index->indexoid, NoLock);
	lacks = rv_opclass(relation)->zero_has_no_distance;
	index_close(relation, NoLock);
	return lacks;
}

/* A clause that an index can serve, and the scan for it. */
typedef struct Match
{
	IndexOptInfo *index;
	RestrictInfo *rinfo;
	RangeOperator operator;
	RangeQual	qual;
} Match;

static bool
match_clause(PlannerInfo *root, IndexOptInfo *index, RestrictInfo *rinfo, Match *match)
{
	if (!find_operator(index, &match->operator) || !match_qual(root, index, &match->operator, rinfo, &match->qual))
		return false;
	match->index = index;
	match->rinfo = rinfo;
	return true;
}

static IndexPath *
make_path(PlannerInfo *root, const Match *match, Relids outer, double loops)
{
	return create_index_path(root, match->index,
							 list_make1(make_clause(root, &match->operator, match->rinfo, &match->qual)),
							 NIL, NIL, NIL, ForwardScanDirection, false, outer, loops, false);
}

static void
add_scan(PlannerInfo *root, RelOptInfo *rel, const Match *match, Relids outer, double loops)
{
	IndexPath  *path = make_path(root, match, outer, loops);

	if (needs_bitmap(match->index, &match->qual))
		add_path(rel, (Path *) create_bitmap_heap_path(root, rel, (Path *) path, outer, loops, 0));
	else
		add_path(rel, (Path *) path);
}

/* Where a path of the index in the wanted order is there, the same with the bound. */
static void
add_ordered_scan(PlannerInfo *root, RelOptInfo *rel, const Match *match)
{
	IndexPath  *ordered = NULL;
	ListCell   *cell;

	foreach(cell, rel->pathlist)
	{
		IndexPath  *path = lfirst(cell);

		if (IsA(path, IndexPath) && path->indexinfo == match->index && path->path.param_info == NULL &&
			path->indexclauses == NIL && list_length(path->indexorderbys) == 1 &&
			equal(linitial(path->indexorderbys), match->qual.distance))
			ordered = path;
	}
	if (ordered == NULL || needs_bitmap(match->index, &match->qual))
		return;
	add_path(rel, (Path *)
			 create_index_path(root, match->index,
							   list_make1(make_clause(root, &match->operator, match->rinfo, &match->qual)),
							   ordered->indexorderbys, ordered->indexorderbycols, ordered->path.pathkeys,
							   ForwardScanDirection, false, rel->lateral_relids, 1.0, false));
}

/* A scan for one part of an OR: a threshold, or an AND with one. */
static IndexPath *
scan_for_arm(PlannerInfo *root, RelOptInfo *rel, Node *arm)
{
	List	   *clauses = is_andclause(arm) ? ((BoolExpr *) arm)->args : list_make1(arm);
	ListCell   *cell;
	ListCell   *index_cell;

	foreach(cell, clauses)
	{
		RestrictInfo *rinfo = lfirst(cell);

		foreach(index_cell, rel->indexlist)
		{
			Match		match;

			if (IsA(rinfo, RestrictInfo) && is_ours(lfirst(index_cell)) &&
				match_clause(root, lfirst(index_cell), rinfo, &match))
			{
				rinfo->norm_selec = estimate(root, match.index, rinfo, &match.qual);
				return make_path(root, &match, rel->lateral_relids, 1.0);
			}
		}
	}
	return NULL;
}

static Path *
scan_for_or(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *rinfo)
{
	List	   *scans = NIL;
	ListCell   *cell;

	if (!is_orclause(rinfo->orclause) || !restriction_is_securely_promotable(rinfo, rel))
		return NULL;
	foreach(cell, ((BoolExpr *) rinfo->orclause)->args)
	{
		IndexPath  *scan = scan_for_arm(root, rel, lfirst(cell));

		if (scan == NULL)
			return NULL;
		scans = lappend(scans, scan);
	}
	rinfo->norm_selec = -1;
	return (Path *) create_bitmap_or_path(root, rel, scans);
}

/* The clauses' selectivities are known better now: so are the relation's rows. */
static void
update_rows(PlannerInfo *root, RelOptInfo *rel)
{
	double		before = rel->rows;
	List	   *lists[2] = {rel->pathlist, rel->partial_pathlist};
	ListCell   *cell;

	rel->rows = clamp_row_est(rel->tuples *
							  clauselist_selectivity(root, rel->baserestrictinfo, 0, JOIN_INNER, NULL));
	for (int i = 0; i < 2; i++)
		foreach(cell, lists[i])
		{
			Path	   *path = lfirst(cell);

			if (path->param_info == NULL)
				path->rows = clamp_row_est(path->rows * rel->rows / before);
		}
}

static double
rows_of(PlannerInfo *root, Relids outer)
{
	double		rows = DBL_MAX;
	int			i = -1;

	while ((i = bms_next_member(outer, i)) >= 0)
	{
		RelOptInfo *rel = i < root->simple_rel_array_size ? root->simple_rel_array[i] : NULL;

		if (rel != NULL && rel->rows > 0)
			rows = Min(rows, rel->rows);
	}
	return rows < DBL_MAX ? rows : 1;
}

/* Query or radius from other relations: a scan for each of their rows. */
static void
add_join_scan(PlannerInfo *root, RelOptInfo *rel, const Match *match)
{
	Relids		outer = bms_union(match->rinfo->clause_relids, rel->lateral_relids);
	ListCell   *cell;
	bool		known = false;

	outer = bms_del_member(outer, rel->relid);
	if (match->rinfo->norm_selec < 0)
		match->rinfo->norm_selec = RV_RANGE_SELECTIVITY;
	foreach(cell, rel->ppilist)
		known = known || bms_equal(((ParamPathInfo *) lfirst(cell))->ppi_req_outer, outer);
	if (!known)
	{
		/* the planner's guess of a third, in ours */
		ParamPathInfo *info = get_baserel_parampathinfo(root, rel, outer);

		info->ppi_rows = clamp_row_est(info->ppi_rows / DEFAULT_INEQ_SEL * RV_RANGE_SELECTIVITY);
	}
	add_scan(root, rel, match, outer, rows_of(root, outer));
}

static void
add_threshold_paths(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *matches = NIL;
	List	   *bitmaps = NIL;
	ListCell   *cell;
	ListCell   *index_cell;

	foreach(index_cell, rel->indexlist)
	{
		if (!is_ours(lfirst(index_cell)))
			continue;
		foreach(cell, rel->baserestrictinfo)
		{
			Match	   *match = palloc(sizeof(Match));

			if (!match_clause(root, lfirst(index_cell), lfirst(cell), match))
				continue;
			match->rinfo->norm_selec = estimate(root, match->index, match->rinfo, &match->qual);
			matches = lappend(matches, match);
		}
	}
	foreach(cell, rel->baserestrictinfo)
	{
		Path	   *bitmap = ((RestrictInfo *) lfirst(cell))->orclause != NULL ? scan_for_or(root, rel, lfirst(cell)) : NULL;

		if (bitmap != NULL)
			bitmaps = lappend(bitmaps, bitmap);
	}
	if (matches != NIL || bitmaps != NIL)
		update_rows(root, rel);
	foreach(cell, matches)
	{
		add_ordered_scan(root, rel, lfirst(cell));
		add_scan(root, rel, lfirst(cell), rel->lateral_relids, 1.0);
	}
	foreach(cell, bitmaps)
		add_path(rel, (Path *) create_bitmap_heap_path(root, rel, lfirst(cell), rel->lateral_relids, 1.0, 0));
	foreach(index_cell, rel->indexlist)
	{
		if (!is_ours(lfirst(index_cell)))
			continue;
		foreach(cell, rel->joininfo)
		{
			Match		match;

			if (join_clause_is_movable_to(lfirst(cell), rel) && match_clause(root, lfirst(index_cell), lfirst(cell), &match))
				add_join_scan(root, rel, &match);
		}
	}
}

static void
plan_thresholds(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	ListCell   *cell;
	bool		any = false;

	if (previous_hook != NULL)
		previous_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_RELATION || rte->inh || rte->tablesample != NULL || !IS_SIMPLE_REL(rel) || IS_DUMMY_REL(rel))
		return;
	foreach(cell, rel->indexlist)
		any = any || is_ours(lfirst(cell));
	if (any && rv_enable_range_scan)
		add_threshold_paths(root, rel);
	if (any)
		rv_filter_paths(root, rel);
}

void
rv_range_init(void)
{
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = plan_thresholds;
}
