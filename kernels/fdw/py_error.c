/* SPDX-License-Identifier: PostgreSQL
 *
 * py_error.c: a Python exception becomes one PostgreSQL error, at the outermost C frame.
 *
 * - An interrupt (cancel, timeout, shutdown): the error that CHECK_FOR_INTERRUPTS raised, unchanged.
 * - Ours (it has `sqlstate`): its message, detail, hint and SQLSTATE.
 * - Multicorn's log_to_postgres at ERROR or CRITICAL: its message, hint and detail; CRITICAL is FATAL.
 * - Any other: "Error in python: <type>" with the text as detail, as Multicorn words it; SQLSTATE 38000 as PL/Python,
 *   or one that says more (memory, not implemented).
 * The traceback goes to the server log alone: it may show code and values that a client has no business with.
 */
#include "postgres.h"

#include "py.h"

/* The text of an attribute when it is a str, else NULL. Never leaves an exception behind. */
static char *
text_attribute(PyObject *object, const char *name)
{
	PyObject   *value = PyObject_GetAttrString(object, name);
	char	   *text = NULL;

	if (value && PyUnicode_Check(value))
		text = rv_c_string(rv_own(value));
	else
		Py_XDECREF(value);
	PyErr_Clear();
	return text;
}

static char *
describe(PyObject *value)
{
	PyObject   *text = PyObject_Str(value);

	if (!text)
	{
		PyErr_Clear();
		return pstrdup("(the exception cannot be printed)");
	}
	return rv_c_string(rv_own(text));
}

static char *
format_traceback(PyObject *type, PyObject *value, PyObject *trace)
{
	PyObject   *module = PyImport_ImportModule("traceback");
	PyObject   *lines = NULL;
	PyObject   *empty = NULL;
	PyObject   *joined = NULL;
	char	   *text = NULL;

	if (module)
		lines = PyObject_CallMethod(module, "format_exception", "OOO", type, value ? value : Py_None,
									trace ? trace : Py_None);
	if (lines && (empty = PyUnicode_FromString("")))
		joined = PyUnicode_Join(empty, lines);
	if (joined)
		text = rv_c_string(joined);
	PyErr_Clear();
	Py_XDECREF(module);
	Py_XDECREF(lines);
	Py_XDECREF(empty);
	Py_XDECREF(joined);
	return text;
}

static int
sqlstate_of(PyObject *type, const char *sqlstate)
{
	if (sqlstate && strlen(sqlstate) == 5 && strspn(sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
		return MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4]);
	if (PyErr_GivenExceptionMatches(type, PyExc_MemoryError))
		return ERRCODE_OUT_OF_MEMORY;
	if (PyErr_GivenExceptionMatches(type, PyExc_NotImplementedError))
		return ERRCODE_FEATURE_NOT_SUPPORTED;
	return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
}

void
rv_py_raise(void)
{
	PyObject   *type;
	PyObject   *value;
	PyObject   *trace;
	int			level = ERROR;
	char	   *message;
	char	   *detail;
	char	   *hint;
	char	   *sqlstate;
	char	   *traceback;

	PyErr_Fetch(&type, &value, &trace);
	if (!type)
		elog(ERROR, "a Python call failed without an exception");
	PyErr_NormalizeException(&type, &value, &trace);
	rv_own(type);
	rv_own(value);
	if (trace)
		rv_own(trace);

	if (rv_py_interrupt)
	{
		ErrorData  *error = rv_py_interrupt;

		rv_py_interrupt = NULL;
		ReThrowError(error);
	}

	traceback = format_traceback(type, value, trace);
	sqlstate = text_attribute(value, "sqlstate");
	message = text_attribute(value, "message");
	detail = text_attribute(value, "detail");
	hint = text_attribute(value, "hint");
	if (PyObject_HasAttrString(value, "_is_multicorn_exception"))
	{
		PyObject   *code = PyObject_GetAttrString(value, "code");

		if (code && PyLong_Check(code) && PyLong_AsLong(code) >= 4)
			level = FATAL;
		Py_XDECREF(code);
		PyErr_Clear();
		if (!message)
			message = describe(value);
	}
	else if (!sqlstate || !message)
	{
		PyObject   *name = PyObject_GetAttrString(type, "__name__");

		message = psprintf("Error in python: %s", name ? rv_c_string(rv_own(name)) : "exception");
		detail = describe(value);
		hint = NULL;
	}
	ereport(level,
			(errcode(sqlstate_of(type, sqlstate)),
			 errmsg_internal("%s", message),
			 detail && *detail ? errdetail_internal("%s", detail) : 0,
			 traceback ? errdetail_log("%s%s%s", detail ? detail : "", detail ? "\n" : "", traceback) : 0,
			 hint ? errhint("%s", hint) : 0));
	pg_unreachable();
}
