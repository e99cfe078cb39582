/* SPDX-License-Identifier: PostgreSQL
 *
 * handler.c: the table of callbacks that PostgreSQL gets for ruvector_fdw.
 */
#include "postgres.h"

#include "fdw.h"

RV_FUNCTION(ruvector_fdw_handler);

Datum
ruvector_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = rv_get_rel_size;
	routine->GetForeignPaths = rv_get_paths;
	routine->GetForeignPlan = rv_get_plan;
	routine->GetForeignUpperPaths = rv_get_upper_paths;
	routine->BeginForeignScan = rv_begin_scan;
	routine->IterateForeignScan = rv_iterate_scan;
	routine->ReScanForeignScan = rv_rescan;
	routine->EndForeignScan = rv_end_scan;
	routine->ExplainForeignScan = rv_explain_scan;
	routine->AnalyzeForeignTable = rv_analyze_table;
	routine->ImportForeignSchema = rv_import_schema;
	rv_modify_callbacks(routine);
	PG_RETURN_POINTER(routine);
}
