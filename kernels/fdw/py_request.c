/* SPDX-License-Identifier: PostgreSQL
 *
 * py_request.c: a request as Python sees it: Qual, VectorQual, NullQual, BoolQual, SortKey, VectorSortKey and, for our
 * own protocol, one SearchRequest (ruvector_fdw/abc.py, ruvector_fdw/request.py). A value that is not bound yet is
 * UNBOUND.
 *
 * All of it runs inside rv_py_run.
 */
#include "postgres.h"

#include "py.h"

#include "access/tupdesc.h"

#define ABC "ruvector_fdw.abc"
#define REQUEST "ruvector_fdw.request"

static PyObject *
new_reference(PyObject *object)
{
	Py_INCREF(object);
	return rv_own(object);
}

static PyObject *
column_name(TupleDesc desc, AttrNumber attnum)
{
	return rv_py_string(NameStr(TupleDescAttr(desc, attnum - 1)->attname));
}

static PyObject *
operand(RvOperand *value, bool extended)
{
	if (!value->bound)
		return new_reference(rv_py_attribute(ABC, "UNBOUND"));
	if (value->isnull)
		return new_reference(Py_None);
	return rv_to_python(rv_type(value->type, -1, extended), value->datum, false);
}

PyObject *
rv_py_limit(RvOperand *value)
{
	return operand(value, true);
}

static PyObject *
op_qual(RvQual *qual, TupleDesc desc, bool extended)
{
	PyObject   *name = rv_py_string(qual->operator);

	if (qual->list != RV_LIST_NONE)
		name = rv_own(Py_BuildValue("(OO)", name, qual->list == RV_LIST_ANY ? Py_True : Py_False));
	return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(ABC, "Qual"), column_name(desc, qual->attnum), name,
											   operand(&qual->value, extended), NULL));
}

static PyObject *
null_qual(RvQual *qual, TupleDesc desc, bool extended)
{
	if (extended)
		return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(REQUEST, "NullQual"),
												   column_name(desc, qual->attnum),
												   qual->is_null ? Py_True : Py_False, NULL));
	return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(ABC, "Qual"), column_name(desc, qual->attnum),
											   rv_py_string(qual->is_null ? "=" : "<>"), Py_None, NULL));
}

PyObject *
rv_py_qual(RvQual *qual, TupleDesc desc, bool extended)
{
	PyObject   *args;
	ListCell   *cell;
	int			at = 0;

	switch (qual->kind)
	{
		case RV_QUAL_OP:
			return op_qual(qual, desc, extended);
		case RV_QUAL_NULL:
			return null_qual(qual, desc, extended);
		case RV_QUAL_DISTANCE:
			return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(REQUEST, "VectorQual"),
													   column_name(desc, qual->attnum), rv_py_string(qual->operator),
													   operand(&qual->value, true), rv_py_string(qual->comparison),
													   operand(&qual->threshold, true), NULL));
		case RV_QUAL_AND:
		case RV_QUAL_OR:
			break;
	}
	args = rv_own(PyTuple_New(list_length(qual->args)));
	foreach(cell, qual->args)
	{
		PyObject   *arg = rv_py_qual(lfirst(cell), desc, extended);

		Py_INCREF(arg);
		PyTuple_SET_ITEM(args, at++, arg);
	}
	return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(REQUEST, "BoolQual"),
											   rv_py_string(qual->kind == RV_QUAL_AND ? "AND" : "OR"), args, NULL));
}

PyObject *
rv_py_quals(List *quals, TupleDesc desc, bool extended)
{
	PyObject   *list = rv_own(PyList_New(0));
	ListCell   *cell;

	foreach(cell, quals)
	{
		if (PyList_Append(list, rv_py_qual(lfirst(cell), desc, extended)) < 0)
			rv_py_raise();
	}
	return list;
}

PyObject *
rv_py_keys(List *keys, TupleDesc desc)
{
	PyObject   *list = rv_own(PyList_New(0));
	ListCell   *cell;

	foreach(cell, keys)
	{
		RvKey	   *key = lfirst(cell);
		PyObject   *name = column_name(desc, key->attnum);
		PyObject   *object;

		if (key->operator)
			object = rv_own(PyObject_CallFunction(rv_py_attribute(REQUEST, "VectorSortKey"), "OiOO", name,
												  (int) key->attnum, rv_py_string(key->operator),
												  operand(&key->query, true)));
		else
			object = rv_own(PyObject_CallFunction(rv_py_attribute(ABC, "SortKey"), "OiOOO", name, (int) key->attnum,
												  key->reversed ? Py_True : Py_False,
												  key->nulls_first ? Py_True : Py_False,
												  key->collation ? rv_py_string(key->collation) : Py_None));
		if (PyList_Append(list, object) < 0)
			rv_py_raise();
	}
	return list;
}

PyObject *
rv_py_columns(RvRequest *request, TupleDesc desc, bool ordered)
{
	PyObject   *list = rv_own(PyList_New(0));

	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped || !bms_is_member(i + 1, request->attrs))
			continue;
		if (PyList_Append(list, column_name(desc, i + 1)) < 0)
			rv_py_raise();
	}
	return rv_own(ordered ? PyList_AsTuple(list) : PySet_New(list));
}

PyObject *
rv_py_request(RvRequest *request, TupleDesc desc)
{
	PyObject   *class = rv_py_attribute(REQUEST, "SearchRequest");
	PyObject   *quals = rv_own(PyList_AsTuple(rv_py_quals(request->quals, desc, true)));
	PyObject   *keys = rv_own(PyList_AsTuple(rv_py_keys(request->keys, desc)));
	PyObject   *limit = request->has_limit ? rv_py_limit(&request->limit) : new_reference(Py_None);
	PyObject   *offset = NULL;

	if (request->has_limit && !(request->offset.bound && request->offset.isnull))
		offset = rv_py_limit(&request->offset);
	else
		offset = rv_own(PyLong_FromLong(0));
	return rv_own(PyObject_CallFunctionObjArgs(class, rv_py_columns(request, desc, true), quals, keys, limit, offset,
											   request->need_rowids ? Py_True : Py_False, NULL));
}
