/* SPDX-License-Identifier: PostgreSQL
 *
 * filterplan.c: WHERE filter ORDER BY column <operator> query LIMIT k, where other indexes can say which rows pass the
 * filter: a path that looks for the nearest among just these.
 *
 * The planner has two ways of its own: the rows that pass, from the heap, sorted; or all rows in the order of the distance
 * until enough have passed. The first reads every row that passes, the second every row that is nearer than the last one
 * returned. A filtered scan takes the bitmap of the first way and lets the vector index rank what is in it by codes, so
 * that only the rows that are returned, and the few that codes cannot tell from them, are read from the heap.
 *
 * The path has a bitmap heap path below it, whose plan has the bitmap's plan below it: that one becomes the scan's child.
 * Every clause stays the scan's own qual, so lossy pages and indexes that need a recheck are nothing special.
 */
#include "filterscan.h"

#include <math.h>

#include "nodes/extensible.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"

bool		rv_enable_filtered_scan = true;

/* A code read out of order, with its key's place in the bitmap and in the queue: 0.15 us (8 dims) to 0.35 us (384). As
 * what a row costs in cost.c that is read in order and dropped, fitted to times: docs/design/filters.md. */
#define ADMITTED_OPERATORS 40.0
/* Beginning: the query's codes, the bits of a segment. A few rows are sooner read and sorted. */
#define START_OPERATORS 1000.0

static bool
is_ours(const IndexOptInfo *index)
{
	return index->amcostestimate == rv_costestimate;
}

static bool
serves(Path *path)
{
	ListCell   *cell;
	List	   *parts;

	if (IsA(path, IndexPath))
		return !is_ours(((IndexPath *) path)->indexinfo);
	parts = IsA(path, BitmapAndPath) ? ((BitmapAndPath *) path)->bitmapquals :
		IsA(path, BitmapOrPath) ? ((BitmapOrPath *) path)->bitmapquals : NIL;
	foreach(cell, parts)
		if (!serves(lfirst(cell)))
			return false;
	return parts != NIL;
}

/* What a bitmap scan of other indexes would be made of, as far as the planner kept a path with it; else NULL. */
static Path *
bitmap_of(Path *path)
{
	Path	   *bitmap = NULL;

	if (path->param_info != NULL || path->parallel_workers > 0)
		return NULL;
	if (IsA(path, BitmapHeapPath))
		bitmap = ((BitmapHeapPath *) path)->bitmapqual;
	else if (IsA(path, IndexPath) && ((IndexPath *) path)->indexclauses != NIL && ((IndexPath *) path)->indexorderbys == NIL &&
			 ((IndexPath *) path)->indexinfo->amhasgetbitmap)
		bitmap = path;
	return bitmap != NULL && serves(bitmap) ? bitmap : NULL;
}

static bool
is_ordered_by_us(Path *path)
{
	IndexPath  *index = (IndexPath *) path;

	return IsA(path, IndexPath) && path->param_info == NULL && is_ours(index->indexinfo) && index->indexclauses == NIL &&
		list_length(index->indexorderbys) == 1;
}

static void
cost_filtered(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, Path *bitmap)
{
	Cost		bitmap_cost;
	Selectivity selectivity;
	QualCost	quals;
	double		found;
	double		pages;

	cost_bitmap_tree_node(bitmap, &bitmap_cost, &selectivity);
	cost_qual_eval(&quals, rel->baserestrictinfo, root);
	found = clamp_row_est(selectivity * rel->tuples);
	pages = Min(found, index_pages_fetched(found, rel->pages, 0, root));
	path->path.rows = rel->rows;
	path->path.startup_cost = bitmap_cost + rel->reltarget->cost.startup + quals.startup +
		(START_OPERATORS + found * ADMITTED_OPERATORS) * cpu_operator_cost;
	path->path.total_cost = path->path.startup_cost + pages * random_page_cost +
		found * (2.0 * cpu_operator_cost * log2(found + 2) + cpu_tuple_cost + quals.per_tuple) +
		rel->rows * rel->reltarget->cost.per_tuple;
}

static Plan *
plan_filtered(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);
	Plan	   *below = linitial(custom_plans);

	/* a one-time condition of the relation's stands above this scan too */
	while (IsA(below, Result))
		below = outerPlan(below);
	if (!IsA(below, BitmapHeapScan))
		elog(ERROR, "unexpected node %d below a filtered scan", (int) nodeTag(below));
	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = extract_actual_clauses(clauses, false);
	scan->scan.scanrelid = rel->relid;
	scan->flags = path->flags;
	scan->custom_plans = list_make1(outerPlan(below));
	scan->custom_exprs = list_make1(copyObject(lsecond(path->custom_private)));
	scan->custom_private = list_make1(linitial(path->custom_private));
	scan->methods = &rv_filtered_scan_methods;
	return &scan->scan.plan;
}

static const CustomPathMethods path_methods = {
	.CustomName = RV_FILTERED_SCAN_NAME,
	.PlanCustomPath = plan_filtered
};

static void
add_filtered(PlannerInfo *root, RelOptInfo *rel, const IndexPath *ordered, Path *bitmap)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.parallel_safe = rel->consider_parallel;
	path->path.pathkeys = ordered->path.pathkeys;
#if PG_VERSION_NUM >= 150000
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
#endif
	path->custom_paths = list_make1(create_bitmap_heap_path(root, rel, bitmap, rel->lateral_relids, 1.0, 0));
	path->custom_private = list_make2(list_make1_oid(ordered->indexinfo->indexoid), linitial(ordered->indexorderbys));
	path->methods = &path_methods;
	cost_filtered(root, rel, path, bitmap);
	add_path(rel, &path->path);
}

void
rv_filter_paths(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *orders = NIL;
	List	   *bitmaps = NIL;
	ListCell   *cell;
	ListCell   *other;

	/* without iteration a scan is to end after its first batch, whatever that has */
	if (!rv_enable_filtered_scan || !enable_bitmapscan || !enable_indexscan || rv_iterative_scan == RV_ITERATIVE_OFF ||
		rel->baserestrictinfo == NIL || rel->lateral_relids != NULL)
		return;
	foreach(cell, rel->pathlist)
	{
		Path	   *bitmap = bitmap_of(lfirst(cell));

		if (is_ordered_by_us(lfirst(cell)))
			orders = lappend(orders, lfirst(cell));
		if (bitmap != NULL)
			bitmaps = lappend(bitmaps, bitmap);
	}
	/* add_path never frees an index path, nor what a bitmap heap path is made of */
	foreach(cell, orders)
		foreach(other, bitmaps)
			add_filtered(root, rel, lfirst(cell), lfirst(other));
}
