/* SPDX-License-Identifier: PostgreSQL
 *
 * py_cursor.c: a running scan on the Python side: an iterator, and the batch that is being read from it.
 *
 * A cursor belongs to the memory context it was made in: a reset of that context (end of query, error) closes it, so
 * that a generator never outlives its query.
 */
#include "postgres.h"

#include "py.h"

#include "access/tupdesc.h"
#include "executor/executor.h"

struct RvCursor
{
	RvInstance *instance;
	TupleDesc	desc;
	RvType	  **types;
	Bitmapset  *attrs;
	PyObject   *iterator;		/* NULL: the wrapper returned None */
	RvBatch    *batch;
	int64		at;				/* next row of the batch */
};

typedef struct ExecuteCall
{
	RvCursor   *cursor;
	RvRequest  *request;
} ExecuteCall;

static void
execute_body(void *arg)
{
	ExecuteCall *call = arg;
	RvCursor   *cursor = call->cursor;
	RvRequest  *request = call->request;
	PyObject   *object = cursor->instance->object;
	PyObject   *rows;

	if (cursor->instance->extended)
		rows = rv_py_call(object, "scan", "(O)", rv_py_request(request, cursor->desc));
	else
	{
		PyObject   *kwargs = rv_own(PyDict_New());

		/* only what was pushed down: older wrappers do not know these arguments */
		if (request->keys != NIL &&
			PyDict_SetItemString(kwargs, "sortkeys", rv_py_keys(request->keys, cursor->desc)) < 0)
			rv_py_raise();
		if (request->has_limit && request->limit.expr &&
			PyDict_SetItemString(kwargs, "limit", rv_py_limit(&request->limit)) < 0)
			rv_py_raise();
		if (request->has_limit && request->offset.expr &&
			PyDict_SetItemString(kwargs, "offset", rv_py_limit(&request->offset)) < 0)
			rv_py_raise();
		rows = rv_own(PyObject_Call(rv_own(PyObject_GetAttrString(object, "execute")),
									rv_own(Py_BuildValue("(OO)", rv_py_quals(request->quals, cursor->desc, false),
														 rv_py_columns(request, cursor->desc, false))), kwargs));
	}
	if (rows == Py_None)
		return;
	cursor->iterator = PyObject_GetIter(rows);
	if (!cursor->iterator)
		rv_py_raise();
}

/* A memory-context callback: nothing may be raised. */
static void
close_cursor(void *arg)
{
	RvCursor   *cursor = arg;
	PyGILState_STATE gil;

	if (!cursor->iterator)
		return;
	gil = PyGILState_Ensure();
	rv_batch_unload(cursor->batch);
	Py_CLEAR(cursor->iterator);
	PyErr_Clear();
	PyGILState_Release(gil);
}

RvCursor *
rv_py_execute(RvInstance *instance, TupleDesc desc, RvRequest *request)
{
	RvCursor   *cursor = palloc0(sizeof(RvCursor));
	ExecuteCall call = {cursor, request};
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	cursor->instance = instance;
	cursor->desc = desc;
	cursor->types = rv_types(desc, rv_instance_extended(instance));
	cursor->attrs = request->attrs;
	cursor->batch = rv_batch_new(desc, cursor->types, request->attrs);
	callback->func = close_cursor;
	callback->arg = cursor;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	rv_py_run(execute_body, &call);
	return cursor;
}

typedef struct NextCall
{
	RvCursor   *cursor;
	TupleTableSlot *slot;
	bool		found;
} NextCall;

static void
next_body(void *arg)
{
	NextCall   *call = arg;
	RvCursor   *cursor = call->cursor;

	for (;;)
	{
		PyObject   *row;
		int			batch = 0;

		if (cursor->at < rv_batch_count(cursor->batch))
		{
			rv_batch_row(cursor->batch, cursor->at++, call->slot);
			call->found = true;
			return;
		}
		row = PyIter_Next(cursor->iterator);
		if (!row)
		{
			if (PyErr_Occurred())
				rv_py_raise();
			return;
		}
		rv_own(row);
		if (row == Py_None)
			return;				/* Multicorn: the end */
		if (cursor->instance->extended)
			batch = PyObject_IsInstance(row, rv_py_attribute("ruvector_fdw.request", "Batch"));
		if (batch < 0)
			rv_py_raise();
		if (!batch)
		{
			rv_row_from_python(cursor->desc, cursor->types, cursor->attrs, row, call->slot);
			call->found = true;
			return;
		}
		rv_batch_load(cursor->batch, row);
		cursor->at = 0;
	}
}

bool
rv_py_next(RvCursor *cursor, TupleTableSlot *slot)
{
	NextCall	call = {cursor, slot, false};

	ExecClearTuple(slot);
	if (cursor->at < rv_batch_count(cursor->batch) && rv_batch_is_plain(cursor->batch))
	{
		rv_batch_row(cursor->batch, cursor->at++, slot);
		call.found = true;
	}
	else if (cursor->iterator)
		rv_py_run(next_body, &call);
	if (call.found)
		ExecStoreVirtualTuple(slot);
	return call.found;
}

void
rv_py_cursor_close(RvCursor *cursor)
{
	close_cursor(cursor);
}

static void
end_scan_body(void *arg)
{
	rv_py_call(((RvInstance *) arg)->object, "end_scan", "()");
}

void
rv_py_end_scan(RvInstance *instance)
{
	rv_py_run(end_scan_body, instance);
}
