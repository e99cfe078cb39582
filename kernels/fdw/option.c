/* SPDX-License-Identifier: PostgreSQL
 *
 * option.c: options: which may stand where, who may set them, and all of a table's together.
 *
 * A server names a class (`wrapper`, any Multicorn wrapper) or one of our stores (`kind`). A class name runs code as
 * the server's operating-system user, so only a superuser may give one. A path makes the server read and write files,
 * so it needs what file_fdw asks for: superuser, or pg_read_server_files. What else an option means is for Python to say.
 */
#include "postgres.h"

#include "fdw.h"

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#define OWN_CLASS "ruvector_fdw.wrapper.RuvectorForeignDataWrapper"

RV_FUNCTION(ruvector_fdw_validator);

static void
only_on_server(const char *name, Oid catalog)
{
	if (catalog == ForeignServerRelationId)
		return;
	if (strcmp(name, "wrapper") == 0 && catalog == ForeignTableRelationId)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("Cannot set the wrapper class on the table"),
				 errhint("Set it on the server")));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("option \"%s\" can only be set on the server", name)));
}

void
rv_check_path_option(const char *name)
{
	if (!superuser() && !has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set the \"%s\" option of ruvector_fdw", name),
				 errdetail("Only roles with privileges of the \"pg_read_server_files\" role may set this option.")));
}

bool
rv_is_path_option(const char *name)
{
	return strcmp(name, "path") == 0 || strcmp(name, "directory") == 0 || strcmp(name, "keys_path") == 0;
}

Datum
ruvector_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	const char *wrapper = NULL;
	const char *kind = NULL;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "wrapper") == 0)
		{
			only_on_server(option->defname, catalog);
			wrapper = defGetString(option);
			if (!superuser())
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("permission denied to set the \"wrapper\" option of ruvector_fdw"),
						 errdetail("Only superusers may name a Python class."),
						 errhint("Option \"kind\" names a store that any user may use.")));
		}
		else if (strcmp(option->defname, "kind") == 0)
		{
			only_on_server(option->defname, catalog);
			kind = defGetString(option);
		}
		else if (rv_is_path_option(option->defname))
			rv_check_path_option(option->defname);
		else if (catalog == UserMappingRelationId && !superuser() &&
				 (strcmp(option->defname, "sslcert") == 0 || strcmp(option->defname, "sslkey") == 0))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set the \"%s\" option of ruvector_fdw", option->defname),
					 errdetail("Only superusers may name the server's key files in a user mapping.")));
	}
	if (catalog == ForeignDataWrapperRelationId && options != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("ruvector_fdw takes its options on servers, user mappings, tables and columns")));
	if (catalog == ForeignServerRelationId)
	{
		if (wrapper && kind)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("options \"wrapper\" and \"kind\" exclude each other")));
		if (!wrapper && !kind)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
					 errmsg("The wrapper parameter is mandatory, specify a valid class name"),
					 errhint("Option \"kind\" names one of the built-in stores instead.")));
		if (wrapper)
			rv_py_check_class(wrapper);
		else
			rv_py_check_options("server", options);
	}
	PG_RETURN_VOID();
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* Like GetUserMapping, but NIL when there is none: most wrappers need none. */
static List *
user_mapping_options(Oid userid, Oid serverid)
{
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;
	List	   *options = NIL;

	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid), ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return options;
}

List *
rv_server_options(Oid serverid, Oid userid)
{
	return list_concat(list_copy(GetForeignServer(serverid)->options), user_mapping_options(userid, serverid));
}

List *
rv_options(Oid relid, Oid userid)
{
	ForeignTable *table = GetForeignTable(relid);

	return list_concat(list_copy(table->options), rv_server_options(table->serverid, userid));
}

static const char *
find_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return defGetString(option);
	}
	return NULL;
}

const char *
rv_options_wrapper(List *options)
{
	const char *wrapper = find_option(options, "wrapper");

	return wrapper ? wrapper : OWN_CLASS;
}

bool
rv_options_kind(List *options)
{
	return find_option(options, "wrapper") == NULL;
}

static bool
may_write_files(Oid role)
{
	return superuser_arg(role) || has_privs_of_role(role, ROLE_PG_WRITE_SERVER_FILES);
}

static bool
name_a_path(List *options)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		if (rv_is_path_option(((DefElem *) lfirst(cell))->defname))
			return true;
	}
	return false;
}

/* Writing files takes more than reading them: asked of who chose the path, the table's owner, or the user whose mapping
 * names another. */
void
rv_check_may_write(Oid relid, Oid owner, Oid userid)
{
	ForeignTable *table = GetForeignTable(relid);
	List	   *options = list_concat(list_copy(table->options), GetForeignServer(table->serverid)->options);

	if (name_a_path(options) && !may_write_files(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change a store of files"),
				 errdetail("The owner of the foreign table lacks the privileges of \"pg_write_server_files\".")));
	if (name_a_path(user_mapping_options(userid, table->serverid)) && !may_write_files(userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change a store of files"),
				 errdetail("The user mapping names files, and its user lacks the privileges of \"pg_write_server_files\".")));
}
