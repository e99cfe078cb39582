/* SPDX-License-Identifier: PostgreSQL
 *
 * py_import.c: IMPORT FOREIGN SCHEMA, and the checks of options that only Python can make.
 */
#include "postgres.h"

#include "py.h"

#include "nodes/parsenodes.h"

typedef struct ImportCall
{
	const char *wrapper;
	List	   *server_options;
	ImportForeignSchemaStmt *stmt;
	const char *server_name;
	const char *restriction;
	List	   *commands;		/* result */
} ImportCall;

static PyObject *
get_class(const char *wrapper)
{
	return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute("ruvector_fdw.multicorn_compat", "get_class"),
											   rv_py_string(wrapper), NULL));
}

static void
import_body(void *arg)
{
	ImportCall *call = arg;
	PyObject   *class = get_class(call->wrapper);
	PyObject   *names = rv_own(PyList_New(0));
	PyObject   *tables;
	PyObject   *iterator;
	PyObject   *table;
	ListCell   *cell;

	foreach(cell, call->stmt->table_list)
	{
		if (PyList_Append(names, rv_py_string(lfirst_node(RangeVar, cell)->relname)) < 0)
			rv_py_raise();
	}
	tables = rv_py_call(class, "import_schema", "(OOOOO)", rv_py_string(call->stmt->remote_schema),
						rv_py_options(call->server_options, "wrapper"), rv_py_options(call->stmt->options, NULL),
						call->restriction ? rv_py_string(call->restriction) : Py_None, names);
	iterator = rv_own(PyObject_GetIter(tables));
	while ((table = PyIter_Next(iterator)) != NULL)
		call->commands = lappend(call->commands,
								 rv_c_string(rv_py_call(rv_own(table), "to_statement", "(OO)",
														rv_py_string(call->stmt->local_schema),
														rv_py_string(call->server_name))));
	if (PyErr_Occurred())
		rv_py_raise();
}

List *
rv_py_import(const char *wrapper, List *server_options, ImportForeignSchemaStmt *stmt, const char *server_name,
			 const char *restriction)
{
	ImportCall	call = {wrapper, server_options, stmt, server_name, restriction, NIL};

	rv_py_run(import_body, &call);
	return call.commands;
}

static void
check_class_body(void *arg)
{
	get_class(arg);
}

void
rv_py_check_class(const char *wrapper)
{
	rv_py_run(check_class_body, unconstify(char *, wrapper));
}

typedef struct OptionsCall
{
	const char *catalog;
	List	   *options;
} OptionsCall;

static void
check_options_body(void *arg)
{
	OptionsCall *call = arg;

	rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute("ruvector_fdw.options", "check"), rv_py_string(call->catalog),
										rv_py_options(call->options, NULL), NULL));
}

void
rv_py_check_options(const char *catalog, List *options)
{
	OptionsCall call = {catalog, options};

	rv_py_run(check_options_body, &call);
}
