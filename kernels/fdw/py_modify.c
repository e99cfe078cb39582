/* SPDX-License-Identifier: PostgreSQL
 *
 * py_modify.c: INSERT, UPDATE, DELETE, TRUNCATE on the Python side. A Multicorn wrapper gets dicts and the value of its
 * rowid column; ours get a Batch and the row id that its scan gave out (carried as ctid).
 *
 * What the wrapper returns replaces the row in the slot, so that RETURNING and triggers see it.
 */
#include "postgres.h"

#include "py.h"

#include "access/tupdesc.h"
#include "executor/executor.h"

struct RvModify
{
	RvInstance *instance;
	TupleDesc	desc;
	RvType	  **types;
	Bitmapset  *update_attrs;
	AttrNumber	rowid_attnum;	/* Multicorn: column of the table; 0 when there is none */
};

typedef struct ModifyCall
{
	RvInstance *instance;
	TupleDesc	desc;
	RvModify   *modify;
	TupleTableSlot **slots;
	int			count;
	bool		bulk;
	Datum		rowid;
	int			number;			/* result */
	RvOutcome	outcome;		/* result */
} ModifyCall;

static void
rowid_body(void *arg)
{
	ModifyCall *call = arg;
	char	   *name = rv_c_string(rv_own(PyObject_GetAttrString(call->instance->object, "rowid_column")));

	for (int i = 0; i < call->desc->natts; i++)
		if (!TupleDescAttr(call->desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(call->desc, i)->attname), name) == 0)
			call->number = i + 1;
}

AttrNumber
rv_py_rowid_attnum(RvInstance *instance, TupleDesc desc)
{
	ModifyCall	call = {.instance = instance, .desc = desc};

	rv_py_run(rowid_body, &call);
	return (AttrNumber) call.number;
}

static void
batch_size_body(void *arg)
{
	ModifyCall *call = arg;
	long		size = PyLong_AsLong(rv_own(PyObject_GetAttrString(call->instance->object, "modify_batch_size")));

	if (size == -1 && PyErr_Occurred())
		rv_py_raise();
	call->number = (int) Min(Max(size, 1), 65535);
}

int
rv_py_batch_size(RvInstance *instance)
{
	ModifyCall	call = {.instance = instance};

	rv_py_run(batch_size_body, &call);
	return call.number;
}

static void
check_writable_body(void *arg)
{
	ModifyCall *call = arg;

	rv_py_call(call->instance->object, "check_writable", "()");
}

RvModify *
rv_py_modify_begin(RvInstance *instance, TupleDesc desc, Bitmapset *update_attrs)
{
	RvModify   *modify = palloc0(sizeof(RvModify));
	ModifyCall	call = {.instance = instance};

	modify->instance = instance;
	modify->desc = desc;
	modify->types = rv_types(desc, instance->extended);
	modify->update_attrs = update_attrs;
	if (instance->extended)
		rv_py_run(check_writable_body, &call);
	else
		modify->rowid_attnum = rv_py_rowid_attnum(instance, desc);	/* also says that the wrapper is writable */
	return modify;
}

/* ---- rows ------------------------------------------------------------------------------------------------- */

static PyObject *
slot_to_dict(RvModify *modify, TupleTableSlot *slot)
{
	PyObject   *dict = rv_own(PyDict_New());

	for (int i = 0; i < modify->desc->natts; i++)
	{
		bool		isnull;
		Datum		datum;

		if (!modify->types[i])
			continue;
		datum = slot_getattr(slot, i + 1, &isnull);
		if (PyDict_SetItem(dict, rv_py_string(NameStr(TupleDescAttr(modify->desc, i)->attname)),
						   rv_to_python(modify->types[i], datum, isnull)) < 0)
			rv_py_raise();
	}
	return dict;
}

/* A row that the wrapper returned. Its values live in the slot's own memory. */
static void
store_row(RvModify *modify, PyObject *row, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	rv_row_from_python(modify->desc, modify->types, NULL, row, slot);
	ExecStoreVirtualTuple(slot);
	ExecMaterializeSlot(slot);
}

/* Columns that a returned Batch lacks keep what the slot has. */
static void
store_batch(RvModify *modify, PyObject *object, TupleTableSlot **slots, int count)
{
	PyObject   *columns = rv_own(PyObject_GetAttrString(object, "columns"));
	RvBatch    *batch = rv_batch_new(modify->desc, modify->types, NULL);

	rv_batch_load(batch, object);
	if (rv_batch_count(batch) != count)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("the returned batch has %lld rows, not %d", (long long) rv_batch_count(batch), count)));
	for (int row = 0; row < count; row++)
	{
		TupleTableSlot *slot = slots[row];
		int			natts = modify->desc->natts;
		Datum	   *values = palloc(sizeof(Datum) * natts);
		bool	   *nulls = palloc(sizeof(bool) * natts);

		slot_getallattrs(slot);
		memcpy(values, slot->tts_values, sizeof(Datum) * natts);
		memcpy(nulls, slot->tts_isnull, sizeof(bool) * natts);
		rv_batch_row(batch, row, slot);
		for (int i = 0; i < natts; i++)
		{
			int			has;

			if (!modify->types[i])
				continue;
			has = PySequence_Contains(columns, rv_py_string(NameStr(TupleDescAttr(modify->desc, i)->attname)));
			if (has < 0)
				rv_py_raise();
			if (has)
			{
				values[i] = slot->tts_values[i];
				nulls[i] = slot->tts_isnull[i];
			}
		}
		ExecClearTuple(slot);
		memcpy(slot->tts_values, values, sizeof(Datum) * natts);
		memcpy(slot->tts_isnull, nulls, sizeof(bool) * natts);
		ExecStoreVirtualTuple(slot);
		ExecMaterializeSlot(slot);
	}
	rv_batch_unload(batch);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static void
insert_bulk(RvModify *modify, TupleTableSlot **slots, int count)
{
	PyObject   *list = rv_own(PyList_New(0));
	PyObject   *result;

	for (int row = 0; row < count; row++)
		if (PyList_Append(list, slot_to_dict(modify, slots[row])) < 0)
			rv_py_raise();
	result = rv_py_call(modify->instance->object, "bulk_insert", "(O)", list);
	if (!PySequence_Check(result) || PySequence_Size(result) != count)
	{
		PyErr_Clear();
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("Returned list size does not match number of inserted values")));
	}
	for (int row = 0; row < count; row++)
	{
		PyObject   *item = rv_own(PySequence_GetItem(result, row));

		if (item != Py_None)
			store_row(modify, item, slots[row]);
	}
}

static void
insert_body(void *arg)
{
	ModifyCall *call = arg;
	RvModify   *modify = call->modify;
	PyObject   *object = modify->instance->object;
	PyObject   *result;

	if (modify->instance->extended)
	{
		result = rv_py_call(object, "insert_batch", "(O)",
							rv_batch_from_slots(modify->desc, modify->types, NULL, call->slots, call->count));
		if (result != Py_None)
			store_batch(modify, result, call->slots, call->count);
	}
	else if (call->bulk)
		insert_bulk(modify, call->slots, call->count);
	else
	{
		result = rv_py_call(object, "insert", "(O)", slot_to_dict(modify, call->slots[0]));
		if (result != Py_None)
			store_row(modify, result, call->slots[0]);
	}
}

void
rv_py_insert(RvModify *modify, TupleTableSlot **slots, int count, bool bulk)
{
	ModifyCall	call = {.modify = modify, .slots = slots, .count = count, .bulk = bulk};

	rv_py_run(insert_body, &call);
}

static PyObject *
rowid_object(RvModify *modify, Datum rowid)
{
	if (modify->instance->extended)
		return rv_own(PyLong_FromLongLong(rv_tid_to_rowid((ItemPointer) DatumGetPointer(rowid))));
	return rv_to_python(modify->types[modify->rowid_attnum - 1], rowid, false);
}

static void
update_body(void *arg)
{
	ModifyCall *call = arg;
	RvModify   *modify = call->modify;
	PyObject   *object = modify->instance->object;
	PyObject   *rowid = rowid_object(modify, call->rowid);
	PyObject   *result;

	if (modify->instance->extended)
	{
		result = rv_py_call(object, "update_row", "(OO)", rowid,
							rv_batch_from_slots(modify->desc, modify->types, modify->update_attrs, call->slots, 1));
		if (result == Py_False)
			call->outcome = RV_PASSED_OVER;
		else if (result != Py_None)
			store_batch(modify, result, call->slots, 1);
		return;
	}
	result = rv_py_call(object, "update", "(OO)", rowid, slot_to_dict(modify, call->slots[0]));
	if (result != Py_None)
		store_row(modify, result, call->slots[0]);
}

RvOutcome
rv_py_update(RvModify *modify, Datum rowid, TupleTableSlot *slot)
{
	ModifyCall	call = {.modify = modify, .slots = &slot, .rowid = rowid, .outcome = RV_DONE};

	rv_py_run(update_body, &call);
	return call.outcome;
}

static void
delete_body(void *arg)
{
	ModifyCall *call = arg;
	RvModify   *modify = call->modify;
	PyObject   *object = modify->instance->object;
	PyObject   *rowid = rowid_object(modify, call->rowid);
	PyObject   *result;

	if (modify->instance->extended)
	{
		if (rv_py_call(object, "delete_row", "(O)", rowid) == Py_False)
			call->outcome = RV_PASSED_OVER;
		return;
	}
	result = rv_py_call(object, "delete", "(O)", rowid);
	if (result != Py_None)
	{
		store_row(modify, result, call->slots[0]);
		call->outcome = RV_RETURNED;
	}
}

RvOutcome
rv_py_delete(RvModify *modify, Datum rowid, TupleTableSlot *slot)
{
	ModifyCall	call = {.modify = modify, .slots = &slot, .rowid = rowid, .outcome = RV_DONE};

	rv_py_run(delete_body, &call);
	return call.outcome;
}

static void
end_modify_body(void *arg)
{
	rv_py_call(((RvModify *) arg)->instance->object, "end_modify", "()");
}

void
rv_py_modify_end(RvModify *modify)
{
	rv_py_run(end_modify_body, modify);
}

static void
truncate_body(void *arg)
{
	RvInstance *instance = arg;

	if (!PyObject_HasAttrString(instance->object, "truncate"))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this foreign table cannot be truncated")));
	rv_py_call(instance->object, "truncate", "()");
}

void
rv_py_truncate(RvInstance *instance)
{
	rv_py_run(truncate_body, instance);
}
