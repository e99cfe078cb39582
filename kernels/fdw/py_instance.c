/* SPDX-License-Identifier: PostgreSQL
 *
 * py_instance.c: the wrapper objects of this backend: made on first use of a table, kept, made anew when options or
 * columns have changed, told about transactions.
 *
 * One object a table and user, because the user mapping is among its options. A catalog invalidation only marks
 * objects; at the next use their fingerprint (options and columns as text) tells whether anything they saw has changed.
 * An object that was replaced in the middle of a transaction lives on until that transaction has ended, so that what it
 * has written is committed or rolled back. It also lives as long as a scan holds it.
 */
#include "postgres.h"

#include "py.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static RvInstance *instances;

/* ---- catalogs --------------------------------------------------------------------------------------------- */

static void
on_relcache(Datum arg, Oid relid)
{
	for (RvInstance *instance = instances; instance; instance = instance->next)
		if (!OidIsValid(relid) || instance->relid == relid)
			instance->valid = false;
}

#if PG_VERSION_NUM >= 190000
static void
on_syscache(Datum arg, SysCacheIdentifier cache, uint32 hash)
#else
static void
on_syscache(Datum arg, int cache, uint32 hash)
#endif
{
	on_relcache((Datum) 0, InvalidOid);
}

static void
append_options(StringInfo buffer, List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		char	   *value = defGetString(option);

		appendStringInfo(buffer, "%s=%zu:%s;", option->defname, strlen(value), value);
	}
}

static char *
make_fingerprint(Oid relid, Oid userid, TupleDesc desc)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	append_options(&buffer, rv_options(relid, userid));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		appendStringInfo(&buffer, "|%d %s %u %d %d ", i, NameStr(att->attname), att->atttypid, att->atttypmod,
						 att->attnotnull);
		append_options(&buffer, GetForeignColumnOptions(relid, att->attnum));
	}
	return buffer.data;
}

/* ---- making ----------------------------------------------------------------------------------------------- */

PyObject *
rv_py_options(List *options, const char *without)
{
	PyObject   *dict = rv_own(PyDict_New());
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (without && strcmp(option->defname, without) == 0)
			continue;
		if (PyDict_SetItem(dict, rv_py_string(option->defname), rv_py_string(defGetString(option))) < 0)
			rv_py_raise();
	}
	return dict;
}

/* name -> ColumnDefinition, in table order */
PyObject *
rv_py_column_definitions(Oid relid, TupleDesc desc)
{
	PyObject   *dict = rv_own(PyObject_CallNoArgs(rv_py_attribute("collections", "OrderedDict")));
	PyObject   *class = rv_py_attribute("ruvector_fdw.abc", "ColumnDefinition");

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		PyObject   *name;
		PyObject   *column;

		if (att->attisdropped)
			continue;
		name = rv_py_string(NameStr(att->attname));
		column = rv_own(PyObject_CallFunction(class, "OIiOOOO", name, (unsigned int) att->atttypid,
											  (int) att->atttypmod,
											  rv_py_string(format_type_with_typemod(att->atttypid, att->atttypmod)),
											  rv_py_string(format_type_be(att->atttypid)),
											  rv_py_options(GetForeignColumnOptions(relid, att->attnum), NULL),
											  att->attnotnull ? Py_True : Py_False));
		if (PyObject_SetItem(dict, name, column) < 0)
			rv_py_raise();
	}
	return dict;
}

typedef struct MakeCall
{
	Oid			relid;
	Oid			userid;
	TupleDesc	desc;
	RvInstance *instance;
} MakeCall;

static void
make_body(void *arg)
{
	MakeCall   *call = arg;
	List	   *options = rv_options(call->relid, call->userid);
	const char *wrapper = rv_options_wrapper(options);
	PyObject   *get_class = rv_py_attribute("ruvector_fdw.multicorn_compat", "get_class");
	PyObject   *class;
	PyObject   *object;
	int			extended;

	if (rv_options_kind(options))
		rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute("ruvector_fdw.options", "check"), rv_py_string("table"),
											rv_py_options(GetForeignTable(call->relid)->options, NULL), NULL));
	class = rv_own(PyObject_CallFunctionObjArgs(get_class, rv_py_string(wrapper), NULL));
	object = rv_own(PyObject_CallFunctionObjArgs(class, rv_py_options(options, "wrapper"),
												 rv_py_column_definitions(call->relid, call->desc), NULL));
	extended = PyObject_IsInstance(object, rv_py_attribute("ruvector_fdw.abc", "VectorForeignDataWrapper"));
	if (extended < 0)
		rv_py_raise();
	Py_INCREF(object);
	call->instance->object = object;
	call->instance->extended = extended == 1;
}

static void
close_body(void *arg)
{
	PyObject   *object = arg;

	rv_py_call(object, "close", "()");
}

static void
discard(RvInstance *instance)
{
	for (RvInstance **at = &instances; *at; at = &(*at)->next)
		if (*at == instance)
		{
			*at = instance->next;
			break;
		}
	if (instance->object && instance->extended)
		rv_py_run_quiet(close_body, instance->object);
	rv_py_drop(instance->object);
	if (instance->fingerprint)
		pfree(instance->fingerprint);
	pfree(instance);
}

/* Objects that nothing needs any more: replaced ones, and those of tables that are gone. */
static void
sweep(bool may_read_catalogs)
{
	RvInstance *next;

	for (RvInstance *instance = instances; instance; instance = next)
	{
		next = instance->next;
		if (instance->holds > 0 || instance->xact_depth > 0)
			continue;
		if (instance->current && may_read_catalogs && !instance->valid &&
			!SearchSysCacheExists1(FOREIGNTABLEREL, ObjectIdGetDatum(instance->relid)))
			instance->current = false;
		if (!instance->current)
			discard(instance);
	}
}

static RvInstance *
make(Oid relid, Oid userid, TupleDesc desc, char *fingerprint)
{
	static bool registered;
	MakeCall	call = {.relid = relid, .userid = userid, .desc = desc};
	RvInstance *instance;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(on_relcache, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNTABLEREL, on_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(USERMAPPINGOID, on_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(ATTNUM, on_syscache, (Datum) 0);
		registered = true;
	}
	sweep(true);
	instance = MemoryContextAllocZero(TopMemoryContext, sizeof(RvInstance));
	instance->relid = relid;
	instance->userid = userid;
	/* in the list at once, so that an invalidation during the making marks it */
	instance->valid = true;
	instance->next = instances;
	instances = instance;
	call.instance = instance;
	PG_TRY();
	{
		rv_py_user = userid;
		rv_py_run(make_body, &call);
		rv_py_user = InvalidOid;
		instance->fingerprint = MemoryContextStrdup(TopMemoryContext, fingerprint);
	}
	PG_CATCH();
	{
		rv_py_user = InvalidOid;
		discard(instance);
		PG_RE_THROW();
	}
	PG_END_TRY();
	instance->current = true;
	return instance;
}

/* ---- transactions ------------------------------------------------------------------------------------------- */

typedef struct XactBody
{
	RvInstance *instance;
	const char *method;
	int			level;			/* -1: no argument */
} XactBody;

static void
xact_body(void *arg)
{
	XactBody   *call = arg;

	if (call->level < 0)
		rv_py_call(call->instance->object, call->method, "()");
	else
		rv_py_call(call->instance->object, call->method, "(i)", call->level);
}

static void
tell(RvInstance *instance, const char *method, int level, bool quiet)
{
	XactBody	call = {instance, method, level};

	if (quiet)
		rv_py_run_quiet(xact_body, &call);
	else
		rv_py_run(xact_body, &call);
}

/* Brings the object into the current (sub)transaction. The depth is set first: when begin itself fails, the abort still
 * calls rollback. */
static void
begin(RvInstance *instance)
{
	int			level = GetCurrentTransactionNestLevel();

	if (instance->xact_depth == 0)
	{
		instance->xact_depth = 1;
		tell(instance, "begin", instance->extended ? IsolationUsesXactSnapshot() : IsolationIsSerializable(), false);
	}
	while (instance->xact_depth < level)
	{
		instance->xact_depth++;
		tell(instance, "sub_begin", instance->xact_depth, false);
	}
}

bool
rv_instances_in_xact(void)
{
	for (RvInstance *instance = instances; instance; instance = instance->next)
		if (instance->xact_depth > 0)
			return true;
	return false;
}

void
rv_instances_xact(RvXactCall call)
{
	static const char *const methods[] = {"pre_commit", "commit", "rollback"};

	for (RvInstance *instance = instances; instance; instance = instance->next)
	{
		if (instance->xact_depth == 0)
			continue;
		if (call != RV_XACT_PRE_COMMIT)
			instance->xact_depth = 0;
		tell(instance, methods[call], -1, call != RV_XACT_PRE_COMMIT);
	}
	if (call != RV_XACT_PRE_COMMIT)
		sweep(false);
}

void
rv_instances_subxact(bool commit, int level)
{
	for (RvInstance *instance = instances; instance; instance = instance->next)
	{
		if (instance->xact_depth < level)
			continue;
		if (commit)
			tell(instance, "sub_commit", level, false);
		else
			tell(instance, "sub_rollback", level, true);
		instance->xact_depth = level - 1;
	}
}

/* ---- use -------------------------------------------------------------------------------------------------- */

static void
let_go(void *arg)
{
	RvInstance *instance = arg;

	instance->holds--;
}

RvInstance *
rv_instance_get(Oid relid, Oid userid)
{
	RvInstance *instance;
	MemoryContextCallback *callback;
	Relation	rel;

	for (instance = instances; instance; instance = instance->next)
		if (instance->current && instance->relid == relid && instance->userid == userid)
			break;
	if (!instance || !instance->valid)
	{
		char	   *fingerprint;

		rel = relation_open(relid, AccessShareLock);
		fingerprint = make_fingerprint(relid, userid, RelationGetDescr(rel));
		if (instance && strcmp(instance->fingerprint, fingerprint) == 0)
			instance->valid = true;
		else
		{
			if (instance)
				instance->current = false;
			instance = make(relid, userid, RelationGetDescr(rel), fingerprint);
		}
		relation_close(rel, NoLock);
	}
	callback = palloc0(sizeof(MemoryContextCallback));
	callback->func = let_go;
	callback->arg = instance;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	instance->holds++;
	begin(instance);
	return instance;
}

bool
rv_instance_extended(RvInstance *instance)
{
	return instance->extended;
}
