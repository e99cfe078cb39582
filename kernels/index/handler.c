/* SPDX-License-Identifier: PostgreSQL
 *
 * handler.c: the two access methods. They differ in the kind of segment and in their options, in nothing else.
 */
#include "internal.h"

#include "utils/guc.h"

#include "explain.h"
#include "filter.h"
#include "filtercache.h"
#include "index.h"
#include "node.h"
#include "range.h"

RV_FUNCTION(ruhnsw_handler);
RV_FUNCTION(ruivfflat_handler);

static IndexAmRoutine *
common_routine(void)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	routine->amstrategies = RV_N_STRATEGIES;
	routine->amsupport = RV_N_SUPPORT;
	routine->amoptsprocnum = 0;
	routine->amcanorderbyop = true;
	routine->amoptionalkey = true;
	routine->amkeytype = InvalidOid;
	routine->amusemaintenanceworkmem = false;
	routine->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
#if PG_VERSION_NUM >= 170000
	routine->amcanbuildparallel = false;	/* threads, not workers */
#endif
	routine->aminsert = rv_insert;
	routine->ambulkdelete = rv_bulkdelete;
	routine->amvacuumcleanup = rv_vacuumcleanup;
	routine->amcostestimate = rv_costestimate;
	routine->ambuildphasename = rv_build_phase_name;
	routine->amvalidate = rv_validate;
	routine->ambeginscan = rv_beginscan;
	routine->amrescan = rv_rescan;
	routine->amgettuple = rv_gettuple;
	routine->amgetbitmap = rv_getbitmap;
	routine->amendscan = rv_endscan;
	return routine;
}

Datum
ruhnsw_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = common_routine();

	routine->ambuild = ruhnsw_build;
	routine->ambuildempty = ruhnsw_buildempty;
	routine->amoptions = ruhnsw_options;
	PG_RETURN_POINTER(routine);
}

Datum
ruivfflat_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = common_routine();

	routine->ambuild = ruivfflat_build;
	routine->ambuildempty = ruivfflat_buildempty;
	routine->amoptions = ruivfflat_options;
	PG_RETURN_POINTER(routine);
}

bool
rv_index_is_ours(Relation index)
{
	return index->rd_rel->relkind == RELKIND_INDEX && index->rd_indam != NULL && index->rd_indam->aminsert == rv_insert;
}

void
rv_index_init(void)
{
	rv_options_init();
	rv_range_init();
	rv_filter_init();
	rv_filter_cache_init();
	rv_node_init();
	rv_explain_init();
	rv_cost_init();
	rv_image_init();
	rv_sessions_init();
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("ruvector");
#else
	EmitWarningsOnPlaceholders("ruvector");
#endif
}
