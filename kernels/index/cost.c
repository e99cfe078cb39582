/* SPDX-License-Identifier: PostgreSQL
 *
 * cost.c: what an index scan costs the planner. The index serves ORDER BY distance and nothing else; without it the path
 * must never win. With it nearly all the cost is at the start (the search), and each further row costs little until the
 * scan has to be resumed.
 */
#include "internal.h"

#include <float.h>
#include <math.h>

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/float.h"
#include "utils/selfuncs.h"

#include "range.h"

/* Estimating one candidate by its code costs about this many operators; from bench: 1536 bits in some 30 ns. */
#define CODE_OPERATORS 1.0
/* Candidates estimated for each of ef: neighbours of the expanded nodes that were not seen before. */
#define VISITED_PER_EF 12.0
/* A row that the WHERE clause drops: some 20 nodes are met for it and its tuple is looked at, 3 to 6 us. Other plans pay by the
 * page, and the wider the rows, the more of their price is pages, of which one in memory takes a tenth of the time that CPU of
 * the same price takes: so a row's time is worth ten times its share of a page, too. docs/design/filters.md has which plan is then
 * taken where. */
#define DROPPED_OPERATORS 500.0
#define DROPPED_PAGES 10.0
/* A code of a list's scan is read in a row with its neighbours, at a bit a dimension. */
#define SCAN_CODE_SHARE 0.2

static void
never(IndexPath *path, Cost *startup, Cost *total, Selectivity *selectivity, double *correlation, double *pages)
{
	*startup = get_float8_infinity();
	*total = get_float8_infinity();
	*selectivity = 0;
	*correlation = 0;
	*pages = 0;
#if PG_VERSION_NUM >= 180000
	path->path.disabled_nodes = 2;	/* more than a sequential scan that is disabled */
#endif
}

/* An inner product of 8-bit codes costs about this many operators, by dims: from bench, 1536 in some 40 ns. */
#define RANGE_CODE_OPERATORS(dims) (0.25 + (dims) / 1024.0)

/* Rows leave in the order of the heap: as many pages as a bitmap scan reads, at its price a page. cost_index knows a
 * correlation between two extremes instead; this is the one that gives the same. */
static double
correlation_of_heap_order(const RelOptInfo *rel, Selectivity selectivity)
{
	double		pages = Max(rel->pages, 1);
	double		rows = selectivity * rel->tuples;
	double		fetched = Min(2 * pages * rows / (2 * pages + Max(rows, 1)), pages);
	double		least = random_page_cost + Max(ceil(selectivity * pages) - 1, 0) * seq_page_cost;
	double		most = fetched * random_page_cost;
	double		wanted = fetched * (random_page_cost - (random_page_cost - seq_page_cost) * sqrt(fetched / pages));
	double		square = most > least ? (most - wanted) / (most - least) : 0;

	return sqrt(Min(Max(square, 0), 1));
}

/* All codes are looked at before the first row is returned. In the order of the distance the rows are then read as the
 * bounds ask for them, else in the order of the heap. */
static void
cost_range(IndexPath *path, Relation index, Cost *startup, Cost *total, Selectivity *selectivity, double *correlation,
		   double *pages)
{
	IndexClause *clause = linitial_node(IndexClause, path->indexclauses);
	double		estimate = linitial_node(RestrictInfo, clause->indexquals)->norm_selec;
	double		dims = Max(TupleDescAttr(RelationGetDescr(index), 0)->atttypmod, 1);
	double		rows = Max(path->indexinfo->tuples, 1);
	double		found;

	*selectivity = estimate >= 0 ? estimate : RV_RANGE_SELECTIVITY;
	found = *selectivity * path->indexinfo->rel->tuples;
	*startup = rows * RANGE_CODE_OPERATORS(dims) * cpu_operator_cost;
	*total = *startup + found * cpu_index_tuple_cost;
	if (path->indexorderbys != NIL)
		*total += found * (cpu_operator_cost * log2(found + 2) + cpu_tuple_cost);
	*correlation = path->indexorderbys != NIL ? 0 : correlation_of_heap_order(path->indexinfo->rel, *selectivity);
	*pages = 0;
}

/* How many rows an ordered scan of all would return. One that is dropped for its distance comes after those that pass, and is
 * not read where these are enough. */
static double
rows_that_pass(PlannerInfo *root, const IndexPath *path)
{
	RelOptInfo *rel = path->indexinfo->rel;
	List	   *others = NIL;
	ListCell   *cell;

	foreach(cell, rel->baserestrictinfo)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		List	   *args = IsA(info->clause, OpExpr) ? ((OpExpr *) info->clause)->args : NIL;

		if (!list_member(args, linitial(path->indexorderbys)))
			others = lappend(others, info);
	}
	if (list_length(others) == list_length(rel->baserestrictinfo))
		return rel->rows;
	return rel->tuples * clauselist_selectivity(root, others, 0, JOIN_INNER, NULL);
}

void
rv_costestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup, Cost *total,
				Selectivity *selectivity, double *correlation, double *pages)
{
	GenericCosts costs;
	RelOptInfo *rel = path->indexinfo->rel;
	Relation	index;
	double		rows = Max(path->indexinfo->tuples, 1);
	double		ef;
	double		visited = 0;
	double		probed = 1;
	bool		is_lists;

	/* nothing to do, or an operator written by hand: it may name another distance than the index's */
	if (path->indexorderbys == NIL && !rv_range_path_is_ours(path))
	{
		never(path, startup, total, selectivity, correlation, pages);
		return;
	}
	index = index_open(path->indexinfo->indexoid, NoLock);
	if (rv_range_path_is_ours(path))
	{
		cost_range(path, index, startup, total, selectivity, correlation, pages);
		index_close(index, NoLock);
		return;
	}
	ef = rv_effective_ef_search(index);
	is_lists = index->rd_indam->ambuild == ruivfflat_build;
	if (is_lists)
	{
		RvOptions  *options = (RvOptions *) index->rd_options;
		double		lists = options != NULL ? options->lists : RV_LISTS_DEFAULT;

		/* every centroid, then the rows of the probed lists by codes of a bit a dimension */
		probed = Min(rv_effective_probes(index) / lists, 1);
		visited = lists + rows * probed * SCAN_CODE_SHARE + ef;
	}
	index_close(index, NoLock);
	/* A LIMIT that iterative scans may not reach: rows that pass the filter are this share of those scanned. */
	if (root->limit_tuples > 0 && bms_membership(root->all_baserels) == BMS_SINGLETON &&
		root->limit_tuples * (rel->tuples > 0 ? rel->tuples / Max(rel->rows, 1) : 1) > rv_max_scan_tuples &&
		rows > rv_max_scan_tuples)
	{
		never(path, startup, total, selectivity, correlation, pages);
		return;
	}

	MemSet(&costs, 0, sizeof(costs));
	costs.numIndexTuples = rows;
	genericcostestimate(root, path, loop_count, &costs);
	if (!is_lists)
		visited = Min(rows, ef * VISITED_PER_EF * Max(log2(rows) / 10, 0.5));
	*startup = visited * CODE_OPERATORS * cpu_operator_cost;
	/* Reading on to the end estimates every row and orders it. The planner takes of this the share of the rows that pass which
	 * a LIMIT wants: so of those that do not pass, too. */
	*total = *startup + rows * (CODE_OPERATORS * cpu_operator_cost * VISITED_PER_EF + cpu_index_tuple_cost +
								2.0 * cpu_operator_cost * log2(rows + 1)) +
		Max(rows - rows_that_pass(root, path), 0) * (DROPPED_OPERATORS * cpu_operator_cost +
									DROPPED_PAGES * seq_page_cost * rel->pages / Max(rel->tuples, 1));
	*selectivity = costs.indexSelectivity;
	*correlation = 0;
	*pages = costs.numIndexPages;
}

static get_relation_info_hook_type previous_hook = NULL;

/* The planner would put a bitmap scan over any partial index whose predicate holds, without a condition: no cost keeps it
 * from that where sequential scans are disabled. Ours has no rows for NULL and the like, so it cannot serve that; bitmap
 * scans with a condition are made by threshold.c itself. */
static void
hide_bitmap_scans(PlannerInfo *root, Oid relation, bool inherits, RelOptInfo *rel)
{
	ListCell   *cell;

	if (previous_hook != NULL)
		previous_hook(root, relation, inherits, rel);
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		if (index->amcostestimate == rv_costestimate)
			index->amhasgetbitmap = false;
	}
}

void
rv_cost_init(void)
{
	previous_hook = get_relation_info_hook;
	get_relation_info_hook = hide_bitmap_scans;
}
