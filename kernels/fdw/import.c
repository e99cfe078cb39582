/* SPDX-License-Identifier: PostgreSQL
 *
 * import.c: IMPORT FOREIGN SCHEMA: the wrapper class lists tables, PostgreSQL creates them (and checks their options).
 */
#include "postgres.h"

#include "fdw.h"

#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"

List *
rv_import_schema(ImportForeignSchemaStmt *stmt, Oid serverid)
{
	List	   *options = rv_server_options(serverid, GetUserId());
	const char *restriction = NULL;
	ListCell   *cell;

	/* a path here is read before any table with it exists; kind store takes the schema for one */
	if (strchr(stmt->remote_schema, '/') || strcmp(stmt->remote_schema, "..") == 0)
		rv_check_path_option("path");
	foreach(cell, stmt->options)
	{
		DefElem    *option = lfirst(cell);

		if (rv_is_path_option(option->defname))
			rv_check_path_option(option->defname);
	}
	if (stmt->list_type == FDW_IMPORT_SCHEMA_LIMIT_TO)
		restriction = "limit";
	else if (stmt->list_type == FDW_IMPORT_SCHEMA_EXCEPT)
		restriction = "except";
	return rv_py_import(rv_options_wrapper(options), options, stmt, GetForeignServer(serverid)->servername,
						restriction);
}
