/* SPDX-License-Identifier: PostgreSQL
 *
 * modify.c: INSERT (also COPY FROM and batches), UPDATE, DELETE, TRUNCATE.
 *
 * A row is named by the wrapper's rowid column (Multicorn) or by the ctid our scans give out. An UPDATE of ours passes
 * the columns that the statement sets; Multicorn's passes all, as its contract says.
 */
#include "postgres.h"

#include "fdw.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "optimizer/inherit.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "parser/parsetree.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
#include "utils/lsyscache.h"
#include "utils/rel.h"

typedef struct ModifyState
{
	RvModify   *modify;
	RvInstance *instance;
	bool		extended;
	bool		bulk;			/* the executor hands rows over in batches */
	AttrNumber	rowid;			/* of the plan's junk column */
	AttrNumber *returning;		/* plan column that holds a table column, for DELETE ... RETURNING; 0: none */
} ModifyState;

static Oid
modify_user(ResultRelInfo *info, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecGetResultRelCheckAsUser(info, estate);
#else
	RangeTblEntry *rte = info->ri_RangeTableIndex > 0 ? exec_rt_fetch(info->ri_RangeTableIndex, estate) : NULL;

	return rte && OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

/* ---- planning --------------------------------------------------------------------------------------------- */

/* A child of an inheritance tree has no permissions of its own: those of the table that was named count. */
static Oid
target_user(PlannerInfo *root, RangeTblEntry *rte)
{
	Oid			user = InvalidOid;
	RangeTblEntry *named = rte;

	if (root->parse->resultRelation > 0)
		named = planner_rt_fetch(root->parse->resultRelation, root);
#if PG_VERSION_NUM >= 160000
	if (named->perminfoindex > 0)
		user = getRTEPermissionInfo(root->parse->rteperminfos, named)->checkAsUser;
#else
	user = named->checkAsUser;
#endif
	return OidIsValid(user) ? user : GetUserId();
}

/* The name of the junk column that carries a table column. In an inheritance tree one name must mean one and the same
 * Var in every child, and children may number their columns differently. */
static char *
junk_name(TupleDesc desc, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);

	return psprintf("ruvector_fdw %d %u %d %s", attnum, att->atttypid, att->atttypmod, NameStr(att->attname));
}

static Var *
column_var(Index rtindex, TupleDesc desc, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);

	return makeVar(rtindex, attnum, att->atttypid, att->atttypmod, att->attcollation, 0);
}

/* DELETE ... RETURNING reads the columns of the row as they were: those that it names, or of a child of the table that
 * was named, whose columns may stand elsewhere, all. */
static void
add_returning_columns(PlannerInfo *root, Index rtindex, TupleDesc desc)
{
	Bitmapset  *attrs = NULL;

	if (rtindex == (Index) root->parse->resultRelation)
		pull_varattnos((Node *) root->parse->returningList, rtindex, &attrs);
	else
		attrs = bms_make_singleton(-FirstLowInvalidHeapAttributeNumber);
	for (int attnum = 1; attnum <= desc->natts; attnum++)
	{
		if (TupleDescAttr(desc, attnum - 1)->attisdropped)
			continue;
		if (bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, attrs) ||
			bms_is_member(-FirstLowInvalidHeapAttributeNumber, attrs))
			add_row_identity_var(root, column_var(rtindex, desc, attnum), rtindex, junk_name(desc, attnum));
	}
}

static void
add_update_targets(PlannerInfo *root, Index rtindex, RangeTblEntry *rte, Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);
	RvInstance *instance = rv_instance_get(RelationGetRelid(relation), target_user(root, rte));
	AttrNumber	rowid;

	if (rv_instance_extended(instance))
		add_row_identity_var(root, makeVar(rtindex, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0), rtindex,
							 "ctid");
	else
	{
		rowid = rv_py_rowid_attnum(instance, desc);
		if (rowid == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_COLUMN_NUMBER), errmsg("The rowid attribute does not exist")));
		add_row_identity_var(root, column_var(rtindex, desc, rowid), rtindex, junk_name(desc, rowid));
	}
	if (root->parse->commandType == CMD_DELETE && root->parse->returningList != NIL)
		add_returning_columns(root, rtindex, desc);
}

/* fdw_private of a modify: the attnums that an UPDATE sets, NIL for all. */
static List *
plan_modify(PlannerInfo *root, ModifyTable *plan, Index rtindex, int subplan)
{
	RangeTblEntry *rte = planner_rt_fetch(rtindex, root);
	Relation	relation;
	Bitmapset  *updated;
	List	   *attnums = NIL;
	int			attr = -1;

	if (plan->onConflictAction != ONCONFLICT_NONE &&
		rv_instance_extended(rv_instance_get(rte->relid, target_user(root, rte))))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ON CONFLICT is not supported on foreign table \"%s\"", get_rel_name(rte->relid))));
	if (plan->operation != CMD_UPDATE)
		return NIL;
	relation = table_open(rte->relid, NoLock);
	if (!(relation->trigdesc && relation->trigdesc->trig_update_before_row))
	{
		/* since these releases extraUpdatedCols is empty */
#if PG_VERSION_NUM >= 150002 || (PG_VERSION_NUM >= 140007 && PG_VERSION_NUM < 150000)
		updated = get_rel_all_updated_cols(root, find_base_rel(root, rtindex));
#else
		updated = bms_union(rte->updatedCols, rte->extraUpdatedCols);
#endif
		while ((attr = bms_next_member(updated, attr)) >= 0)
		{
			AttrNumber	attnum = attr + FirstLowInvalidHeapAttributeNumber;

			if (attnum <= 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("system columns cannot be updated")));
			attnums = lappend_int(attnums, attnum);
		}
	}
	table_close(relation, NoLock);
	return list_make1(attnums);
}

/* ---- begin and end ---------------------------------------------------------------------------------------- */

static ModifyState *
begin(EState *estate, ResultRelInfo *info, List *update_attnums)
{
	Relation	relation = info->ri_RelationDesc;
	ModifyState *state = palloc0(sizeof(ModifyState));
	Bitmapset  *attrs = NULL;
	ListCell   *cell;

	foreach(cell, update_attnums)
		attrs = bms_add_member(attrs, lfirst_int(cell));
	rv_check_may_write(RelationGetRelid(relation), relation->rd_rel->relowner, modify_user(info, estate));
	state->instance = rv_instance_get(RelationGetRelid(relation), modify_user(info, estate));
	state->extended = rv_instance_extended(state->instance);
	state->modify = rv_py_modify_begin(state->instance, RelationGetDescr(relation), attrs);
	info->ri_FdwState = state;
	return state;
}

static void
find_junk(ModifyState *state, ResultRelInfo *info, Plan *subplan, CmdType operation)
{
	TupleDesc	desc = RelationGetDescr(info->ri_RelationDesc);
	const char *name = "ctid";

	if (!state->extended)
	{
		AttrNumber	rowid = rv_py_rowid_attnum(state->instance, desc);

		if (rowid == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_COLUMN_NUMBER), errmsg("The rowid attribute does not exist")));
		name = junk_name(desc, rowid);
	}
	state->rowid = ExecFindJunkAttributeInTlist(subplan->targetlist, name);
	if (!AttributeNumberIsValid(state->rowid))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_COLUMN_NUMBER), errmsg("The rowid_column could not be identified")));
	if (operation != CMD_DELETE)
		return;
	state->returning = palloc0(sizeof(AttrNumber) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			state->returning[i] = ExecFindJunkAttributeInTlist(subplan->targetlist, junk_name(desc, i + 1));
}

static void
begin_modify(ModifyTableState *mtstate, ResultRelInfo *info, List *fdw_private, int subplan, int eflags)
{
	ModifyState *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state = begin(mtstate->ps.state, info, fdw_private == NIL ? NIL : linitial(fdw_private));
	if (mtstate->operation == CMD_UPDATE || mtstate->operation == CMD_DELETE)
		find_junk(state, info, outerPlanState(mtstate)->plan, mtstate->operation);
}

/* COPY FROM, and rows routed to a partition. A row that an UPDATE moves into a foreign table whose own rows it is yet to
 * update would be found and updated once more: refused, as postgres_fdw does. */
static void
begin_insert(ModifyTableState *mtstate, ResultRelInfo *info)
{
	if (mtstate->operation == CMD_UPDATE && info->ri_FdwState)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot route tuples into foreign table to be updated \"%s\"",
						RelationGetRelationName(info->ri_RelationDesc))));
	begin(mtstate->ps.state, info, NIL);
}

static void
end_modify(EState *estate, ResultRelInfo *info)
{
	ModifyState *state = info->ri_FdwState;

	if (state)
		rv_py_modify_end(state->modify);
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static int
batch_size(ResultRelInfo *info)
{
	ModifyState *state = info->ri_FdwState;
	int			size;

	/* what RETURNING and checks read, and what a BEFORE trigger may look up, must be there row by row */
	if (!state || info->ri_projectReturning != NULL || info->ri_WithCheckOptions != NIL ||
		(info->ri_TrigDesc && info->ri_TrigDesc->trig_insert_before_row))
		return 1;
	size = rv_py_batch_size(state->instance);
	state->bulk = size > 1;
	return size;
}

static TupleTableSlot *
exec_insert(EState *estate, ResultRelInfo *info, TupleTableSlot *slot, TupleTableSlot *plan_slot)
{
	ModifyState *state = info->ri_FdwState;

	rv_py_insert(state->modify, &slot, 1, false);
	return slot;
}

static TupleTableSlot **
exec_batch_insert(EState *estate, ResultRelInfo *info, TupleTableSlot **slots, TupleTableSlot **plan_slots, int *count)
{
	ModifyState *state = info->ri_FdwState;

	rv_py_insert(state->modify, slots, *count, true);
	return slots;
}

static Datum
junk(ModifyState *state, TupleTableSlot *plan_slot)
{
	bool		isnull;
	Datum		rowid = ExecGetJunkAttribute(plan_slot, state->rowid, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the rowid column of the row is NULL")));
	return rowid;
}

static TupleTableSlot *
exec_update(EState *estate, ResultRelInfo *info, TupleTableSlot *slot, TupleTableSlot *plan_slot)
{
	ModifyState *state = info->ri_FdwState;

	if (rv_py_update(state->modify, junk(state, plan_slot), slot) == RV_PASSED_OVER)
		return NULL;
	return slot;
}

static TupleTableSlot *
exec_delete(EState *estate, ResultRelInfo *info, TupleTableSlot *slot, TupleTableSlot *plan_slot)
{
	ModifyState *state = info->ri_FdwState;
	TupleDesc	desc = RelationGetDescr(info->ri_RelationDesc);

	RvOutcome	outcome = rv_py_delete(state->modify, junk(state, plan_slot), slot);

	if (outcome != RV_DONE)
		return outcome == RV_RETURNED ? slot : NULL;
	ExecClearTuple(slot);
	for (int i = 0; i < desc->natts; i++)
	{
		slot->tts_values[i] = (Datum) 0;
		slot->tts_isnull[i] = true;
		if (AttributeNumberIsValid(state->returning[i]))
			slot->tts_values[i] = ExecGetJunkAttribute(plan_slot, state->returning[i], &slot->tts_isnull[i]);
	}
	return ExecStoreVirtualTuple(slot);
}

static void
exec_truncate(List *relations, DropBehavior behavior, bool restart_seqs)
{
	ListCell   *cell;

	foreach(cell, relations)
	{
		Relation	relation = lfirst(cell);

		rv_check_may_write(RelationGetRelid(relation), relation->rd_rel->relowner, GetUserId());
		rv_py_truncate(rv_instance_get(RelationGetRelid(relation), GetUserId()));
	}
}

void
rv_modify_callbacks(FdwRoutine *routine)
{
	routine->AddForeignUpdateTargets = add_update_targets;
	routine->PlanForeignModify = plan_modify;
	routine->BeginForeignModify = begin_modify;
	routine->EndForeignModify = end_modify;
	routine->BeginForeignInsert = begin_insert;
	routine->EndForeignInsert = end_modify;
	routine->ExecForeignInsert = exec_insert;
	routine->ExecForeignBatchInsert = exec_batch_insert;
	routine->GetForeignModifyBatchSize = batch_size;
	routine->ExecForeignUpdate = exec_update;
	routine->ExecForeignDelete = exec_delete;
	routine->ExecForeignTruncate = exec_truncate;
}
