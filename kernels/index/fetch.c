/* SPDX-License-Identifier: PostgreSQL
 *
 * fetch.c: see fetch.h. A row that is not visible to the snapshot has no distance and is dropped where it is met. The
 * index names the root of a chain of versions; the table access method finds the visible one. It has the value that was
 * indexed, since a version with another value would have an index entry of its own.
 */
#include "fetch.h"

#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "internal.h"

void
rv_index_distance(Relation index, FmgrInfo *distance)
{
	Oid			type = index->rd_opcintype[0];
	Oid			operator = get_opfamily_member(index->rd_opfamily[0], type, type, RV_STRATEGY_ORDER);

	if (!OidIsValid(operator))
		elog(ERROR, "missing operator %d of operator family %u", RV_STRATEGY_ORDER, index->rd_opfamily[0]);
	fmgr_info(get_opcode(operator), distance);
}

RvFetch *
rv_fetch_begin(Relation heap, Relation index, Snapshot snapshot, FmgrInfo *distance, Oid collation)
{
	RvFetch    *fetch = palloc0(sizeof(RvFetch));

	fetch->heap = heap;
	fetch->snapshot = snapshot;
	fetch->fetch = table_index_fetch_begin(heap);
	fetch->slot = table_slot_create(heap, NULL);
	fetch->attribute = index->rd_index->indkey.values[0];
	fetch->row_context = AllocSetContextCreate(CurrentMemoryContext, "ruvector fetch", ALLOCSET_DEFAULT_SIZES);
	fetch->distance = distance;
	fetch->collation = collation;
	if (fetch->attribute == 0)
	{
		fetch->info = BuildIndexInfo(index);
		fetch->estate = CreateExecutorState();
		GetPerTupleExprContext(fetch->estate)->ecxt_scantuple = fetch->slot;
	}
	return fetch;
}

double
rv_fetch_distance_to(RvFetch *fetch, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(fetch->row_context);
	double		distance = DatumGetFloat8(FunctionCall2Coll(fetch->distance, fetch->collation, value, fetch->query));

	MemoryContextSwitchTo(old);
	MemoryContextReset(fetch->row_context);
	return distance;
}

/* Puts the visible version into the slot. */
static bool
find(RvFetch *fetch, uint64 key)
{
	bool		again = false;
	bool		found;

	do
	{
		ItemPointerData tid;

		rv_tid_of_key(key, &tid);
		found = table_index_fetch_tuple(fetch->fetch, &tid, fetch->snapshot, fetch->slot, &again, NULL);
	} while (!found && again);
	return found;
}

/* The indexed value of the row in the slot, which is good until let_go(). False: it is NULL. */
static bool
indexed_value(RvFetch *fetch, Datum *value)
{
	bool		is_null = true;

	if (fetch->attribute != 0)
		*value = slot_getattr(fetch->slot, fetch->attribute, &is_null);
	else
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];
		MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(fetch->estate));

		FormIndexDatum(fetch->info, fetch->slot, fetch->estate, values, nulls);
		MemoryContextSwitchTo(old);
		*value = values[0];
		is_null = nulls[0];
	}
	return !is_null;
}

static void
let_go(RvFetch *fetch)
{
	ExecClearTuple(fetch->slot);
	if (fetch->estate != NULL)
		ResetPerTupleExprContext(fetch->estate);
}

RvFound
rv_fetch_distance(RvFetch *fetch, uint64 key, double *distance)
{
	RvFound		found = RV_ROW_INVISIBLE;
	Datum		value;

	if (find(fetch, key))
	{
		if (fetch->node != NULL && fetch->node->context != NULL && !rv_node_passes(fetch->node, fetch->slot))
			found = RV_ROW_DROPPED;
		else if (indexed_value(fetch, &value))
		{
			*distance = rv_fetch_distance_to(fetch, value);
			found = RV_ROW_FOUND;
		}
	}
	let_go(fetch);
	return found;
}

bool
rv_fetch_value(RvFetch *fetch, uint64 key, Datum *value)
{
	Datum		in_slot;
	bool		found = find(fetch, key) && indexed_value(fetch, &in_slot);

	if (found)
		*value = PointerGetDatum(PG_DETOAST_DATUM_COPY(in_slot));
	let_go(fetch);
	return found;
}

void
rv_fetch_reset(RvFetch *fetch)
{
	ExecClearTuple(fetch->slot);
	table_index_fetch_reset(fetch->fetch);
}

void
rv_fetch_end(RvFetch *fetch)
{
	if (fetch->estate != NULL)
		FreeExecutorState(fetch->estate);
	ExecDropSingleTupleTableSlot(fetch->slot);
	table_index_fetch_end(fetch->fetch);
	MemoryContextDelete(fetch->row_context);
	pfree(fetch);
}
