/* SPDX-License-Identifier: PostgreSQL
 *
 * py_plan.c: what the planner and EXPLAIN ask a wrapper. Multicorn's methods for its wrappers, with Multicorn's
 * argument forms and checks; SearchRequest for ours.
 */
#include "postgres.h"

#include "py.h"

#include "access/tupdesc.h"

typedef struct PlanCall
{
	RvInstance *instance;
	TupleDesc	desc;
	RvRequest  *request;
	RvQual	   *qual;
	List	   *keys;
	RvEstimate *estimate;
	bool		verbose;
	int			number;			/* result */
	List	   *list;			/* result */
} PlanCall;

static double
as_double(PyObject *object)
{
	double		value = PyFloat_AsDouble(object);

	if (value == -1.0 && PyErr_Occurred())
		rv_py_raise();
	return value;
}

/* Multicorn truncates both to integers. */
static void
rel_size_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *object = call->instance->object;
	PyObject   *size = rv_py_call(object, "get_rel_size", "(OO)", rv_py_quals(call->request->quals, call->desc, false),
								  rv_py_columns(call->request, call->desc, false));

	if (!PyTuple_Check(size) || PyTuple_GET_SIZE(size) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("The get_rel_size python method should return a tuple of length 2")));
	call->estimate->rows = as_double(rv_own(PyNumber_Long(PyTuple_GET_ITEM(size, 0))));
	call->estimate->width = (int) as_double(rv_own(PyNumber_Long(PyTuple_GET_ITEM(size, 1))));
	call->estimate->startup_cost = as_double(rv_own(PyObject_GetAttrString(object, "_startup_cost")));
	call->estimate->per_row_cost = call->estimate->width;	/* Multicorn: total cost is rows * width */
}

void
rv_py_rel_size(RvInstance *instance, TupleDesc desc, RvRequest *request, RvEstimate *estimate)
{
	PlanCall	call = {.instance = instance, .desc = desc, .request = request, .estimate = estimate};

	rv_py_run(rel_size_body, &call);
}

static void
estimate_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *request = rv_py_request(call->request, call->desc);
	PyObject   *result = rv_py_call(call->instance->object, "estimate", "(O)", request);
	RvEstimate *estimate = call->estimate;

	estimate->rows = as_double(rv_own(PyObject_GetAttrString(result, "rows")));
	estimate->width = (int) as_double(rv_own(PyObject_GetAttrString(result, "width")));
	estimate->startup_cost = as_double(rv_own(PyObject_GetAttrString(result, "startup_cost")));
	estimate->per_row_cost = as_double(rv_own(PyObject_GetAttrString(result, "per_row_cost")));
}

void
rv_py_estimate(RvInstance *instance, TupleDesc desc, RvRequest *request, RvEstimate *estimate)
{
	PlanCall	call = {.instance = instance, .desc = desc, .request = request, .estimate = estimate};

	rv_py_run(estimate_body, &call);
}

static void
can_push_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *qual = rv_py_qual(call->qual, call->desc, true);
	PyObject   *answer = rv_py_call(call->instance->object, "can_push", "(O)", qual);

	if (PyBool_Check(answer))
		call->number = answer == Py_True ? RV_PUSH_EXACT : RV_PUSH_NONE;
	else
		call->number = (int) as_double(answer);
}

RvPush
rv_py_can_push(RvInstance *instance, TupleDesc desc, RvQual *qual)
{
	PlanCall	call = {.instance = instance, .desc = desc, .qual = qual};

	rv_py_run(can_push_body, &call);
	return (RvPush) call.number;
}

/* The answer counts as far as it repeats the question. Python's == compares SortKey by value; our own keys, which hold
 * arrays, by identity. */
static void
can_sort_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *asked = rv_py_keys(call->keys, call->desc);
	PyObject   *answer = rv_py_call(call->instance->object, "can_sort", "(O)", asked);
	PyObject   *kept;

	if (answer == Py_None)
		return;
	kept = rv_own(PySequence_List(answer));
	while (call->number < PyList_GET_SIZE(kept) && call->number < PyList_GET_SIZE(asked))
	{
		int			equal = PyObject_RichCompareBool(PyList_GET_ITEM(kept, call->number),
													 PyList_GET_ITEM(asked, call->number), Py_EQ);

		if (equal < 0)
			rv_py_raise();
		if (equal == 0)
			break;
		call->number++;
	}
}

int
rv_py_can_sort(RvInstance *instance, TupleDesc desc, List *keys)
{
	PlanCall	call = {.instance = instance, .desc = desc, .keys = keys};

	rv_py_run(can_sort_body, &call);
	return call.number;
}

static void
can_limit_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *answer;

	if (call->instance->extended)
		answer = rv_py_call(call->instance->object, "accepts_limit", "(O)", rv_py_request(call->request, call->desc));
	else
		answer = rv_py_call(call->instance->object, "can_limit", "(OO)", rv_py_limit(&call->request->limit),
							rv_py_limit(&call->request->offset));
	call->number = PyObject_IsTrue(answer);
	if (call->number < 0)
		rv_py_raise();
}

bool
rv_py_can_limit(RvInstance *instance, TupleDesc desc, RvRequest *request)
{
	PlanCall	call = {.instance = instance, .desc = desc, .request = request};

	rv_py_run(can_limit_body, &call);
	return call.number > 0;
}

static AttrNumber
attnum_of(TupleDesc desc, PyObject *name)
{
	char	   *text = rv_c_string(name);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), text) == 0)
			return i + 1;
	return InvalidAttrNumber;
}

static void
path_keys_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *keys = rv_own(PySequence_List(rv_py_call(call->instance->object, "get_path_keys", "()")));

	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(keys); i++)
	{
		PyObject   *columns = rv_own(PySequence_List(rv_own(PySequence_GetItem(PyList_GET_ITEM(keys, i), 0))));
		PyObject   *rows = rv_own(PySequence_GetItem(PyList_GET_ITEM(keys, i), 1));
		RvPathKey  *key = palloc0(sizeof(RvPathKey));

		key->rows = as_double(rows);
		for (Py_ssize_t j = 0; j < PyList_GET_SIZE(columns); j++)
		{
			AttrNumber	attnum = attnum_of(call->desc, PyList_GET_ITEM(columns, j));

			if (attnum != InvalidAttrNumber)
				key->attnums = lappend_int(key->attnums, attnum);
		}
		if (list_length(key->attnums) == PyList_GET_SIZE(columns) && key->attnums != NIL)
			call->list = lappend(call->list, key);
	}
}

List *
rv_py_path_keys(RvInstance *instance, TupleDesc desc)
{
	PlanCall	call = {.instance = instance, .desc = desc};

	rv_py_run(path_keys_body, &call);
	return call.list;
}

static void
explain_body(void *arg)
{
	PlanCall   *call = arg;
	PyObject   *object = call->instance->object;
	RvRequest  *request = call->request;
	PyObject   *lines;
	PyObject   *kwargs;
	PyObject   *iterator;
	PyObject   *line;

	if (call->instance->extended)
		lines = rv_py_call(object, "explain_scan", "(OO)", rv_py_request(request, call->desc),
						   call->verbose ? Py_True : Py_False);
	else
	{
		kwargs = rv_own(PyDict_New());
		if (request->keys != NIL &&
			PyDict_SetItemString(kwargs, "sortkeys", rv_py_keys(request->keys, call->desc)) < 0)
			rv_py_raise();
		if (PyDict_SetItemString(kwargs, "verbose", call->verbose ? Py_True : Py_False) < 0 ||
			(request->limit.expr && PyDict_SetItemString(kwargs, "limit", rv_py_limit(&request->limit)) < 0) ||
			(request->offset.expr && PyDict_SetItemString(kwargs, "offset", rv_py_limit(&request->offset)) < 0))
			rv_py_raise();
		lines = rv_own(PyObject_Call(rv_own(PyObject_GetAttrString(object, "explain")),
									 rv_own(Py_BuildValue("(OO)", rv_py_quals(request->quals, call->desc, false),
														  rv_py_columns(request, call->desc, false))), kwargs));
	}
	if (lines == Py_None)
		return;
	iterator = rv_own(PyObject_GetIter(lines));
	while ((line = PyIter_Next(iterator)) != NULL)
	{
		rv_own(line);
		if (call->instance->extended)
		{
			call->list = lappend(call->list, rv_c_string(rv_own(PySequence_GetItem(line, 0))));
			line = rv_own(PySequence_GetItem(line, 1));
		}
		else
			call->list = lappend(call->list, pstrdup("Multicorn"));
		call->list = lappend(call->list, rv_c_string(line));
	}
	if (PyErr_Occurred())
		rv_py_raise();
}

List *
rv_py_explain(RvInstance *instance, TupleDesc desc, RvRequest *request, bool verbose)
{
	PlanCall	call = {.instance = instance, .desc = desc, .request = request, .verbose = verbose};

	rv_py_run(explain_body, &call);
	return call.list;
}
