/* SPDX-License-Identifier: PostgreSQL
 *
 * options.c: storage parameters of the two access methods, and the settings ruvector.*.
 *
 * A setting that the session, role, database or configuration left at its default takes the index's own value (WITH
 * (ef_search = ...)), so that a search default survives connection poolers. The source of a value is only told to check
 * hooks, hence the extra pointer that they hand to the assign hooks.
 */
#include "internal.h"

#include "access/reloptions.h"
#include "utils/guc.h"

#include "filter.h"
#include "filtercache.h"
#include "index.h"
#include "range.h"

int			rv_iterative_scan = RV_ITERATIVE_STRICT;
int			rv_max_scan_tuples = 20000;
int			rv_max_probes = RV_PROBES_MAX;
double		rv_scan_mem_multiplier = 1;
int			rv_delta_limit_kb = 4096;
bool		rv_background_maintenance = true;

static int	ef_search = RV_EF_SEARCH_DEFAULT;
static int	probes = RV_PROBES_DEFAULT;
static bool ef_search_chosen = false;
static bool probes_chosen = false;

static relopt_kind hnsw_kind;
static relopt_kind ivfflat_kind;

static const struct config_enum_entry iterative_scan_values[] = {
	{"off", RV_ITERATIVE_OFF, false},
	{"relaxed_order", RV_ITERATIVE_RELAXED, false},
	{"strict_order", RV_ITERATIVE_STRICT, false},
	{NULL, 0, false}
};

static relopt_enum_elt_def quantization_values[] = {
	{"none", RV_QUANTIZATION_NONE},
	{"f16", RV_QUANTIZATION_F16},
	{"sq8", RV_QUANTIZATION_SQ8},
	{"pq16", RV_QUANTIZATION_PQ16},
	{"binary", RV_QUANTIZATION_BINARY},
	{(const char *) NULL, 0}
};

/* The extra pointer must be malloc'ed (guc_malloc from 16 on) and is freed by the caller of the hook. */
static bool
remember_source(int *newval, void **extra, GucSource source)
{
#if PG_VERSION_NUM >= 160000
	bool	   *chosen = guc_malloc(LOG, sizeof(bool));
#else
	bool	   *chosen = malloc(sizeof(bool));
#endif

	if (chosen == NULL)
		return false;
	*chosen = source != PGC_S_DEFAULT;
	*extra = chosen;
	return true;
}

static void
assign_ef_search(int newval, void *extra)
{
	ef_search_chosen = extra != NULL && *(bool *) extra;
}

static void
assign_probes(int newval, void *extra)
{
	probes_chosen = extra != NULL && *(bool *) extra;
}

static void
add_common_options(relopt_kind kind)
{
	add_enum_reloption(kind, "quantization", "How vectors are stored in the index", quantization_values,
					   RV_QUANTIZATION_CHOSEN, "Valid values are \"none\", \"f16\", \"sq8\", \"pq16\" and \"binary\".",
					   AccessExclusiveLock);
}

void
rv_options_init(void)
{
	hnsw_kind = add_reloption_kind();
	add_int_reloption(hnsw_kind, "m", "Max number of connections", RV_M_DEFAULT, RV_M_MIN, RV_M_MAX, AccessExclusiveLock);
	add_int_reloption(hnsw_kind, "ef_construction", "Size of the dynamic candidate list for construction",
					  RV_EF_CONSTRUCTION_DEFAULT, RV_EF_CONSTRUCTION_MIN, RV_EF_CONSTRUCTION_MAX, AccessExclusiveLock);
	add_int_reloption(hnsw_kind, "ef_search", "Value of ruvector.ef_search for this index where the session chose none",
					  -1, RV_EF_SEARCH_MIN, RV_EF_SEARCH_MAX, ShareUpdateExclusiveLock);
	add_common_options(hnsw_kind);

	ivfflat_kind = add_reloption_kind();
	add_int_reloption(ivfflat_kind, "lists", "Number of inverted lists", RV_LISTS_DEFAULT, RV_LISTS_MIN, RV_LISTS_MAX,
					  AccessExclusiveLock);
	add_int_reloption(ivfflat_kind, "probes", "Value of ruvector.probes for this index where the session chose none",
					  -1, RV_PROBES_MIN, RV_PROBES_MAX, ShareUpdateExclusiveLock);
	add_common_options(ivfflat_kind);

	DefineCustomIntVariable("ruvector.ef_search", "Sets the size of the dynamic candidate list for search",
							"Valid range is 1..1000.", &ef_search, RV_EF_SEARCH_DEFAULT, RV_EF_SEARCH_MIN,
							RV_EF_SEARCH_MAX, PGC_USERSET, 0, remember_source, assign_ef_search, NULL);
	DefineCustomIntVariable("ruvector.probes", "Sets the number of probes", "Valid range is 1..lists.", &probes,
							RV_PROBES_DEFAULT, RV_PROBES_MIN, RV_PROBES_MAX, PGC_USERSET, 0, remember_source,
							assign_probes, NULL);
	DefineCustomIntVariable("ruvector.max_probes", "Sets the max number of probes for iterative scans", NULL,
							&rv_max_probes, RV_PROBES_MAX, RV_PROBES_MIN, RV_PROBES_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("ruvector.iterative_scan", "Sets the mode for iterative scans",
							 "strict_order: rows in exact order of distance; relaxed_order: a row found late is returned "
							 "out of order instead of left out; off: the first batch only.",
							 &rv_iterative_scan, RV_ITERATIVE_STRICT, iterative_scan_values, PGC_USERSET, 0, NULL, NULL,
							 NULL);
	DefineCustomIntVariable("ruvector.max_scan_tuples", "Sets the max number of tuples to visit for iterative scans", NULL,
							&rv_max_scan_tuples, 20000, 1, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("ruvector.scan_mem_multiplier", "Sets the multiple of work_mem to use for iterative scans",
							 "A scan that holds more gets no further candidates.", &rv_scan_mem_multiplier, 1, 1, 1000,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("ruvector.delta_limit", "Sets the size of an index's unsealed rows past which they are sealed",
							NULL, &rv_delta_limit_kb, 4096, 64, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("ruvector.enable_range_scan", "Lets indexes answer comparisons of a distance with a radius",
							 NULL, &rv_enable_range_scan, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomBoolVariable("ruvector.enable_filtered_scan",
							 "Lets an index look for the nearest among the rows that other indexes find for a filter", NULL,
							 &rv_enable_filtered_scan, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("ruvector.filter_cache_size",
							"Sets the memory in which a session remembers which rows pass the filters of its ordered scans",
							"0 remembers none.", &rv_filter_cache_kb, 8192, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL,
							NULL, NULL);
	DefineCustomBoolVariable("ruvector.background_maintenance", "Lets a background worker seal and merge",
							 "When off, the inserting session does it.", &rv_background_maintenance, true, PGC_USERSET, 0,
							 NULL, NULL, NULL);
}

static bytea *
parse_options(Datum reloptions, bool validate, relopt_kind kind)
{
	static const relopt_parse_elt hnsw[] = {
		{.optname = "m", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RvOptions, m)},
		{.optname = "ef_construction", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RvOptions, ef_construction)},
		{.optname = "ef_search", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RvOptions, ef_search)},
		{.optname = "quantization", .opttype = RELOPT_TYPE_ENUM, .offset = offsetof(RvOptions, quantization)}
	};
	static const relopt_parse_elt ivfflat[] = {
		{.optname = "lists", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RvOptions, lists)},
		{.optname = "probes", .opttype = RELOPT_TYPE_INT, .offset = offsetof(RvOptions, probes)},
		{.optname = "quantization", .opttype = RELOPT_TYPE_ENUM, .offset = offsetof(RvOptions, quantization)}
	};

	if (kind == hnsw_kind)
		return (bytea *) build_reloptions(reloptions, validate, kind, sizeof(RvOptions), hnsw, lengthof(hnsw));
	return (bytea *) build_reloptions(reloptions, validate, kind, sizeof(RvOptions), ivfflat, lengthof(ivfflat));
}

bytea *
ruhnsw_options(Datum reloptions, bool validate)
{
	return parse_options(reloptions, validate, hnsw_kind);
}

bytea *
ruivfflat_options(Datum reloptions, bool validate)
{
	return parse_options(reloptions, validate, ivfflat_kind);
}

int
rv_effective_ef_search(Relation index)
{
	RvOptions  *options = (RvOptions *) index->rd_options;

	return !ef_search_chosen && options != NULL && options->ef_search > 0 ? options->ef_search : ef_search;
}

int
rv_effective_probes(Relation index)
{
	RvOptions  *options = (RvOptions *) index->rd_options;

	return !probes_chosen && options != NULL && options->probes > 0 ? options->probes : probes;
}
