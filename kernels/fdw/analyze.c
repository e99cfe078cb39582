/* SPDX-License-Identifier: PostgreSQL
 *
 * analyze.c: ANALYZE of a foreign table: one scan of all columns, rows sampled by PostgreSQL's own reservoir (Vitter's
 * algorithm, as file_fdw and postgres_fdw use it).
 */
#include "postgres.h"

#include "fdw.h"

#include "access/htup_details.h"
#include "commands/vacuum.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sampling.h"

static int
acquire_rows(Relation rel, int elevel, HeapTuple *rows, int targrows, double *totalrows, double *totaldeadrows)
{
	TupleDesc	desc = RelationGetDescr(rel);
	RvRequest	request = {.attrs = bms_add_range(NULL, 1, desc->natts)};
	MemoryContext context = CurrentMemoryContext;
	MemoryContext per_row = AllocSetContextCreate(context, "ruvector_fdw sample", ALLOCSET_DEFAULT_SIZES);
	RvInstance *instance = rv_instance_get(RelationGetRelid(rel), rel->rd_rel->relowner);
	RvCursor   *cursor = rv_py_execute(instance, desc, &request);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ReservoirStateData state;
	double		skip = -1;
	double		seen = 0;
	int			count = 0;

	reservoir_init_selection_state(&state, targrows);
	for (;;)
	{
		bool		found;
		int			place;

#if PG_VERSION_NUM >= 180000
		vacuum_delay_point(true);
#else
		vacuum_delay_point();
#endif
		MemoryContextReset(per_row);
		MemoryContextSwitchTo(per_row);
		found = rv_py_next(cursor, slot);
		MemoryContextSwitchTo(context);
		if (!found)
			break;
		seen++;
		if (count < targrows)
		{
			rows[count++] = ExecCopySlotHeapTuple(slot);
			continue;
		}
		if (skip < 0)
			skip = reservoir_get_next_S(&state, seen - 1, targrows);
		if (skip <= 0)
		{
			place = (int) (targrows * sampler_random_fract(&state.randstate));
			heap_freetuple(rows[place]);
			rows[place] = ExecCopySlotHeapTuple(slot);
		}
		skip -= 1;
	}
	rv_py_cursor_close(cursor);
	rv_py_end_scan(instance);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(per_row);
	*totalrows = seen;
	*totaldeadrows = 0;
	ereport(elevel,
			(errmsg("\"%s\": table contains %.0f rows; %d rows in sample", RelationGetRelationName(rel), seen, count)));
	return count;
}

bool
rv_analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages)
{
	*func = acquire_rows;
	*totalpages = 1;			/* not 0: that means never analyzed */
	return true;
}
