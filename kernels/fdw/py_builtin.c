/* SPDX-License-Identifier: PostgreSQL
 *
 * py_builtin.c: module _ruvector_host, what Python code may ask of the backend (ruvector_fdw/host.py is its face).
 *
 * These functions have Python frames above them, which a longjmp must not cut off: whatever may raise an ERROR runs in
 * `guarded` and becomes a Python exception. They change nothing in PostgreSQL but the assignment of a transaction
 * number, so no subtransaction is needed to clean up after an error.
 *
 * Python code may have threads, and they run while the backend is inside of PostgreSQL, which knows of one thread alone:
 * another one is refused.
 */
#include "postgres.h"

#include <pthread.h>

#include "py.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "replication/message.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

ErrorData  *rv_py_interrupt;
PyObject   *rv_py_interrupt_class;
Oid			rv_py_user;
static pthread_t own_thread;

/* Runs body; an ERROR becomes the Python exception `class` (or, for the interrupt, is kept). False when it did. */
static bool
guarded(void (*body) (void *), void *arg, PyObject *class)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	if (!pthread_equal(pthread_self(), own_thread))
	{
		PyErr_SetString(PyExc_RuntimeError, "PostgreSQL answers the thread of its backend only");
		return false;
	}
	PG_TRY();
	{
		body(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		PyErr_SetString(class, error->message ? error->message : "interrupted");
		if (class == rv_py_interrupt_class)
			rv_py_interrupt = error;
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

static void
check_body(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static PyObject *
host_check_interrupts(PyObject *self, PyObject *args)
{
	if (!guarded(check_body, NULL, rv_py_interrupt_class))
		return NULL;
	Py_RETURN_NONE;
}

typedef struct LogCall
{
	int			level;
	const char *message;
	const char *hint;
	const char *detail;
} LogCall;

static void
log_body(void *arg)
{
	LogCall    *call = arg;

	ereport(call->level,
			(errmsg_internal("%s", pg_any_to_server(call->message, strlen(call->message), PG_UTF8)),
			 call->detail ? errdetail_internal("%s", pg_any_to_server(call->detail, strlen(call->detail), PG_UTF8)) : 0,
			 call->hint ? errhint("%s", pg_any_to_server(call->hint, strlen(call->hint), PG_UTF8)) : 0));
}

/* log(message, level, hint, detail): levels as in Python's logging */
static PyObject *
host_log(PyObject *self, PyObject *args)
{
	LogCall		call;
	int			level;

	if (!PyArg_ParseTuple(args, "sizz", &call.message, &level, &call.hint, &call.detail))
		return NULL;
	call.level = level < 20 ? DEBUG1 : level < 30 ? INFO : WARNING;
	if (!guarded(log_body, &call, PyExc_RuntimeError))
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
host_interrupt_flag(PyObject *self, PyObject *args)
{
	return PyLong_FromVoidPtr((void *) &InterruptPending);
}

static void
xid_body(void *arg)
{
	*(FullTransactionId *) arg = GetTopFullTransactionId();
}

static PyObject *
host_current_xid(PyObject *self, PyObject *args)
{
	FullTransactionId xid;

	if (!guarded(xid_body, &xid, PyExc_RuntimeError))
		return NULL;
	return PyLong_FromUnsignedLongLong(U64FromFullTransactionId(xid));
}

typedef struct StatusCall
{
	uint64		xid;
	char		status[32];		/* "" for unknown */
} StatusCall;

static void
status_body(void *arg)
{
	StatusCall *call = arg;
	LOCAL_FCINFO(fcinfo, 1);
	Datum		status;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = UInt64GetDatum(call->xid);
	fcinfo->args[0].isnull = false;
	status = pg_xact_status(fcinfo);
	call->status[0] = '\0';
	if (!fcinfo->isnull)
		strlcpy(call->status, text_to_cstring(DatumGetTextPP(status)), sizeof(call->status));
}

static PyObject *
host_xact_status(PyObject *self, PyObject *args)
{
	StatusCall	call;
	unsigned long long xid;

	if (!PyArg_ParseTuple(args, "K", &xid))
		return NULL;
	call.xid = xid;
	if (!guarded(status_body, &call, PyExc_ValueError))
		return NULL;
	if (call.status[0] == '\0')
		Py_RETURN_NONE;
	return PyUnicode_FromString(call.status);
}

/* A number that is in no WAL record on disk is given out again after a crash. So it is put there, before anybody else
 * remembers it; and the commit must be on disk when it is announced, whatever synchronous_commit says. */
static void
secure_body(void *arg)
{
#if PG_VERSION_NUM >= 170000
	XLogRecPtr	at = LogLogicalMessage("ruvector_fdw", "x", 1, true, false);
#else
	XLogRecPtr	at = LogLogicalMessage("ruvector_fdw", "x", 1, true);
#endif

	XLogFlush(at);
	ForceSyncCommit();
}

static PyObject *
host_secure_xid(PyObject *self, PyObject *args)
{
	if (!guarded(secure_body, NULL, PyExc_RuntimeError))
		return NULL;
	Py_RETURN_NONE;
}

static void
superuser_body(void *arg)
{
	*(bool *) arg = superuser_arg(OidIsValid(rv_py_user) ? rv_py_user : GetUserId());
}

static PyObject *
host_is_superuser(PyObject *self, PyObject *args)
{
	bool		answer;

	if (!guarded(superuser_body, &answer, PyExc_RuntimeError))
		return NULL;
	return PyBool_FromLong(answer);
}

static PyObject *
host_cluster_id(PyObject *self, PyObject *args)
{
	return PyUnicode_FromFormat("%llu", (unsigned long long) GetSystemIdentifier());
}

typedef struct TypeCall
{
	const char *name;
	Oid			type;
} TypeCall;

static void
type_body(void *arg)
{
	TypeCall   *call = arg;
	int32		typmod;

#if PG_VERSION_NUM >= 160000
	if (!parseTypeString(call->name, &call->type, &typmod, NULL))
		call->type = InvalidOid;
#else
	parseTypeString(call->name, &call->type, &typmod, true);
#endif
}

static PyObject *
host_type_oid(PyObject *self, PyObject *args)
{
	TypeCall	call = {0};

	if (!PyArg_ParseTuple(args, "s", &call.name))
		return NULL;
	if (!guarded(type_body, &call, PyExc_ValueError))
	{
		PyErr_Clear();
		Py_RETURN_NONE;
	}
	if (!OidIsValid(call.type))
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLong(call.type);
}

static PyMethodDef host_methods[] = {
	{"check_interrupts", host_check_interrupts, METH_VARARGS, "Raise when the query was cancelled."},
	{"log", host_log, METH_VARARGS, "log(message, level, hint, detail)"},
	{"interrupt_flag_address", host_interrupt_flag, METH_NOARGS, "Address of an int that is not 0 when to stop."},
	{"current_xid", host_current_xid, METH_NOARGS, "The 64-bit number of the top transaction."},
	{"secure_xid", host_secure_xid, METH_NOARGS, "Make the transaction's number survive a crash, and its commit synchronous."},
	{"xact_status", host_xact_status, METH_VARARGS, "committed, aborted, in progress or None."},
	{"cluster_id", host_cluster_id, METH_NOARGS, "The system identifier of the cluster."},
	{"is_superuser", host_is_superuser, METH_NOARGS, "Whether the role that is acted for is a superuser."},
	{"type_oid", host_type_oid, METH_VARARGS, "The OID of a type by its SQL name, or None."},
	{NULL, NULL, 0, NULL}
};

static PyModuleDef host_module = {
	PyModuleDef_HEAD_INIT, "_ruvector_host", NULL, -1, host_methods, NULL, NULL, NULL, NULL
};

PyObject *
rv_py_host_module(void)
{
	PyObject   *module = PyModule_Create(&host_module);

	own_thread = pthread_self();
	if (!module)
		return NULL;
	rv_py_interrupt_class = PyErr_NewException("_ruvector_host.QueryCanceled", PyExc_BaseException, NULL);
	if (!rv_py_interrupt_class || PyModule_AddObjectRef(module, "QueryCanceled", rv_py_interrupt_class) < 0)
		return NULL;
	return module;
}
