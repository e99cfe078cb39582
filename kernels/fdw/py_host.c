/* SPDX-License-Identifier: PostgreSQL
 *
 * py_host.c: the interpreter inside a backend: when it starts, who holds the GIL, what Python may call, how a cancelled
 * query reaches Python code.
 *
 * Start: with the first call (rv_py_run). Python gets neither the signals nor the locale of the process. Its executable
 * is the one the library was built for (or ruvector_fdw.python), so the packages of that environment are found.
 *
 * GIL: held inside rv_py_run only; threads that Python code starts run on while PostgreSQL works. Where another library
 * (PL/Python) has started the interpreter before, it keeps the GIL for itself, and PyGILState handles that.
 *
 * Cancel: the SIGINT and SIGTERM handlers of the backend are wrapped. Ours calls the one before, which only sets flags,
 * and while Python runs also PyErr_SetInterruptEx, which Python documents as async-signal-safe. Python then calls our
 * handler at its next check: between byte codes of the main thread, and in C code that polls after EINTR (sleep,
 * sockets, locks). That handler does CHECK_FOR_INTERRUPTS; the ERROR it meets is kept in rv_py_interrupt, becomes a
 * Python exception derived from BaseException, and is thrown again when Python has unwound to rv_py_run; also when the
 * Python code has swallowed the exception.
 *
 * Sources: Python C API, "Initialization, Finalization, and Threads", PyConfig, PyErr_SetInterruptEx (3.10).
 */
#include "postgres.h"

#include <signal.h>

#include "py.h"

#include "miscadmin.h"
#include "utils/memutils.h"

static bool started;
static volatile sig_atomic_t depth;
static struct sigaction before_int;
static struct sigaction before_term;

static PyObject **owned;
static int	owned_count;
static int	owned_size;

/* ---- signals ---------------------------------------------------------------------------------------------- */

static void
on_signal(int signo)
{
	int			saved = errno;

	if (signo == SIGINT)
		before_int.sa_handler(signo);
	else
		before_term.sa_handler(signo);
	if (depth > 0)
		PyErr_SetInterruptEx(SIGINT);
	errno = saved;
}

static void
wrap_signal(int signo, struct sigaction *before)
{
	struct sigaction ours;

	if (sigaction(signo, NULL, before) != 0 || (before->sa_flags & SA_SIGINFO) ||
		before->sa_handler == SIG_IGN || before->sa_handler == SIG_DFL)
		return;
	ours = *before;
	ours.sa_handler = on_signal;
	sigaction(signo, &ours, NULL);
}

/* Python's own table must name a handler for SIGINT; the handler of the process stays the backend's. */
static void
install_signals(void)
{
	static const char code[] =
		"import signal, _ruvector_host\n"
		"signal.signal(signal.SIGINT, lambda signum, frame: _ruvector_host.check_interrupts())\n";
	struct sigaction mine;

	sigaction(SIGINT, NULL, &mine);
	if (PyRun_SimpleString(code) != 0)
		elog(ERROR, "could not prepare Python for query cancellation");
	sigaction(SIGINT, &mine, NULL);
	wrap_signal(SIGINT, &before_int);
	wrap_signal(SIGTERM, &before_term);
}

/* ---- start ------------------------------------------------------------------------------------------------ */

static void
check_status(PyStatus status)
{
	if (PyStatus_Exception(status))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not start Python: %s", status.err_msg ? status.err_msg : "unknown reason"),
				 errhint("Setting ruvector_fdw.python names the executable, now \"%s\".", rv_python)));
}

static void
initialize(void)
{
	PyPreConfig pre;
	PyConfig	config;
	PyStatus	status;

	/* numpy's BLAS would start a thread a processor: they take signals meant for the backend, and wait by spinning. */
	setenv("OPENBLAS_NUM_THREADS", "1", 0);
	setenv("OMP_NUM_THREADS", "1", 0);
	setenv("MKL_NUM_THREADS", "1", 0);
	if (PyImport_AppendInittab("_ruvector_host", rv_py_host_module) < 0)
		elog(ERROR, "out of memory");
	PyPreConfig_InitPythonConfig(&pre);
	pre.configure_locale = 0;
	pre.coerce_c_locale = 0;
	pre.utf8_mode = 1;
	pre.parse_argv = 0;
	check_status(Py_PreInitialize(&pre));

	PyConfig_InitPythonConfig(&config);
	config.install_signal_handlers = 0;
	config.parse_argv = 0;
	config.configure_c_stdio = 0;
	config.pathconfig_warnings = 0;
	status = PyConfig_SetBytesString(&config, &config.program_name, rv_python);
	if (!PyStatus_Exception(status))
		status = PyConfig_SetBytesString(&config, &config.executable, rv_python);
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	check_status(status);
}

/* The interpreter is PL/Python's: our module has to be put in by hand. */
static void
join_running(void)
{
	PyObject   *module = rv_py_host_module();

	if (!module || PyDict_SetItemString(PyImport_GetModuleDict(), "_ruvector_host", module) < 0)
		elog(ERROR, "could not add module _ruvector_host");
	Py_DECREF(module);
}

/* sys.path from the setting, then `multicorn` for wrappers written for it. */
static void
prepare(void)
{
	PyObject   *path = PySys_GetObject("path");
	char	   *copy = pstrdup(rv_python_path);
	char	   *directory;
	char	   *rest = NULL;
	Py_ssize_t	at = 0;

	for (directory = strtok_r(copy, ":", &rest); directory; directory = strtok_r(NULL, ":", &rest))
	{
		PyObject   *entry = PyUnicode_DecodeFSDefault(directory);

		if (!entry || !path || PyList_Insert(path, at++, entry) < 0)
			PyErr_Clear();
		Py_XDECREF(entry);
	}
	install_signals();
	rv_own(PyImport_ImportModule("ruvector_fdw.multicorn_compat"));
}

static void
start(void)
{
	static bool python_started;
	static bool prepared;

	if (started)
		return;
	if (!python_started)
	{
		if (Py_IsInitialized())
			join_running();
		else
		{
			initialize();
			PyEval_SaveThread();
		}
		python_started = true;
	}
	/* a second try is possible after a failure, for instance of a missing package */
	if (!prepared)
	{
		PyGILState_STATE gil = PyGILState_Ensure();

		PG_TRY();
		{
			prepare();
		}
		PG_FINALLY();
		{
			rv_own_release(0);
			PyGILState_Release(gil);
		}
		PG_END_TRY();
		prepared = true;
	}
	started = true;
}

/* ---- runs ------------------------------------------------------------------------------------------------- */

PyObject *
rv_own(PyObject *object)
{
	if (!object)
		rv_py_raise();
	if (owned_count == owned_size)
	{
		int			size = Max(64, owned_size * 2);
		PyObject  **bigger = realloc(owned, size * sizeof(PyObject *));

		if (!bigger)
		{
			Py_DECREF(object);
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		}
		owned = bigger;
		owned_size = size;
	}
	owned[owned_count++] = object;
	return object;
}

int
rv_own_mark(void)
{
	return owned_count;
}

void
rv_own_release(int mark)
{
	while (owned_count > mark)
	{
		PyObject   *object = owned[--owned_count];

		Py_DECREF(object);
	}
}

void
rv_py_run(void (*body) (void *arg), void *arg)
{
	PyGILState_STATE gil;
	int			mark;

	start();
	if (depth == 0)
		rv_py_interrupt = NULL;
	depth++;
	/* one that arrived before depth was set: on_signal did not tell Python */
	if (InterruptPending)
		PyErr_SetInterruptEx(SIGINT);
	gil = PyGILState_Ensure();
	mark = owned_count;
	PG_TRY();
	{
		body(arg);
	}
	PG_FINALLY();
	{
		rv_own_release(mark);
		PyGILState_Release(gil);
		depth--;
	}
	PG_END_TRY();
	if (rv_py_interrupt)
		ReThrowError(rv_py_interrupt);
}

void
rv_py_run_quiet(void (*body) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		rv_py_run(body, arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(WARNING,
				(errcode(error->sqlerrcode), errmsg_internal("%s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->detail_log ? errdetail_log("%s", error->detail_log) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
		FreeErrorData(error);
	}
	PG_END_TRY();
}

void
rv_py_drop(PyObject *object)
{
	PyGILState_STATE gil;

	if (!object)
		return;
	gil = PyGILState_Ensure();
	Py_DECREF(object);
	PyErr_Clear();
	PyGILState_Release(gil);
}

typedef struct Attribute
{
	const char *module;
	const char *name;
	PyObject   *object;
} Attribute;

PyObject *
rv_py_attribute(const char *module, const char *name)
{
	static Attribute known[64];
	static int	count;
	Attribute  *attribute;
	PyObject   *imported;

	for (int i = 0; i < count; i++)
		if ((known[i].name == name && known[i].module == module) ||
			(strcmp(known[i].name, name) == 0 && strcmp(known[i].module, module) == 0))
			return known[i].object;
	if (count == lengthof(known))
		elog(ERROR, "too many attributes of Python modules are in use");
	imported = rv_own(PyImport_ImportModule(module));
	attribute = &known[count];
	attribute->object = PyObject_GetAttrString(imported, name);
	if (!attribute->object)
		rv_py_raise();
	attribute->module = module;
	attribute->name = name;
	count++;
	return attribute->object;
}

PyObject *
rv_py_call(PyObject *object, const char *method, const char *format,...)
{
	PyObject   *callable;
	PyObject   *args;
	va_list		list;

	if (strcmp(format, "()") == 0)
		return rv_own(PyObject_CallMethodNoArgs(object, rv_own(PyUnicode_InternFromString(method))));
	callable = rv_own(PyObject_GetAttrString(object, method));
	va_start(list, format);
	args = Py_VaBuildValue(format, list);
	va_end(list);
	return rv_own(PyObject_CallObject(callable, rv_own(args)));
}
