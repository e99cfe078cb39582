/* SPDX-License-Identifier: PostgreSQL
 *
 * ddl.c: event triggers that keep ruvector and pgvector out of each other's way.
 *
 * Before CREATE EXTENSION vector (or one that requires it, with CASCADE) and ALTER EXTENSION vector SET SCHEMA, the
 * objects whose names collide leave the schema in question (place.c); after pgvector has gone from it they come back. Both
 * are needed for a dump to restore: the restored database must arrive at the same schemas by the same commands.
 *
 * Before DROP EXTENSION vector or ruvector, without CASCADE, the links between the two go (link.c): made for the user, they
 * shall not stand in the user's way. Before a statement that makes a link which is there already, that goes first: a dump
 * makes the links one by one, also where CREATE EXTENSION ruvector has found pgvector and made them all.
 *
 * Before ALTER TABLE ... ALTER COLUMN ... TYPE to one of our types from pgvector's, what cannot follow the column (an
 * index of hnsw or ivfflat, a view, a rule, a generated column) is named in one error that says what to do; the server's own error would name
 * an operator class, or nothing to do.
 *
 * The functions are SECURITY DEFINER, since the one who creates pgvector need not own our extension. They decide by
 * catalog lookups; the few queries run with a safe search path.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "types/link.h"
#include "types/place.h"
#include "types/safe_path.h"
#include "types/types.h"

RV_FUNCTION(ruvector_before_ddl);
RV_FUNCTION(ruvector_after_ddl);

static EventTriggerData *
trigger_data(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by the event trigger manager")));
	return (EventTriggerData *) fcinfo->context;
}

/* Does creating this extension with CASCADE create pgvector too? */
static bool
requires_pgvector(const char *extension)
{
	static const char query[] =
		"WITH RECURSIVE needs(name) AS (SELECT $1::name UNION"
		"  SELECT unnest(v.requires) FROM needs n JOIN pg_available_extension_versions v ON v.name = n.name)"
		" SELECT 1 FROM needs WHERE name = 'vector'";
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(extension);
	int			level = rv_safe_path_begin();
	bool		result;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the available extensions");
	result = SPI_processed > 0;
	SPI_finish();
	rv_safe_path_end(level);
	return result;
}

/* The schema that CREATE EXTENSION puts pgvector into, InvalidOid when it does not exist yet or pgvector is not made. */
static Oid
created_in(const CreateExtensionStmt *statement)
{
	const char *schema = NULL;
	bool		cascade = false;
	ListCell   *cell;
	List	   *path;
	Oid			result;

	if (OidIsValid(get_extension_oid("vector", true)))
		return InvalidOid;
	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "schema") == 0)
			schema = defGetString(option);
		else if (strcmp(option->defname, "cascade") == 0)
			cascade = defGetBoolean(option);
	}
	if (strcmp(statement->extname, "vector") != 0 && !(cascade && requires_pgvector(statement->extname)))
		return InvalidOid;
	if (schema != NULL)
		return get_namespace_oid(schema, true);
	path = fetch_search_path(false);
	result = path == NIL ? InvalidOid : linitial_oid(path);
	list_free(path);
	return result;
}

static void
make_room(Oid schema)
{
	Oid			extension = get_extension_oid("ruvector", true);

	if (!OidIsValid(schema) || !OidIsValid(extension) || schema != rv_extension_schema(extension))
		return;
	if (!rv_shared_are_out(extension) && rv_move_shared(extension, true))
		ereport(NOTICE,
				(errmsg("halfvec, sparsevec and the distances on bit of ruvector have moved to schema \"%s\"",
						RV_FALLBACK_SCHEMA),
				 errdetail("pgvector has objects of the same names."),
				 errhint("SELECT ruvector_link_pgvector() makes casts between the types of both extensions.")));
}

/* The names of what stands in the way, comma separated; NULL when nothing does. $1 table, $2 column. */
static char *
blockers(const char *query, Oid table, const char *column)
{
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(table), CStringGetTextDatum(column)};
	MemoryContext caller = CurrentMemoryContext;
	int			level = rv_safe_path_begin();
	char	   *result = NULL;

	SPI_connect();
	if (SPI_execute_with_args(query, 2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the dependencies of a column");
	if (SPI_processed == 1)
	{
		char	   *names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		if (names != NULL)
			result = MemoryContextStrdup(caller, names);
	}
	SPI_finish();
	rv_safe_path_end(level);
	return result;
}

/* The column of this name in the table and in all that inherit from it. */
#define COLUMNS_OF_TREE \
	"WITH RECURSIVE tree(oid) AS (SELECT $1 UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)," \
	" col AS (SELECT a.attrelid, a.attnum, a.atttypid FROM tree JOIN pg_attribute a ON a.attrelid = tree.oid AND a.attname = $2)"

static const char blocking_indexes[] =
	COLUMNS_OF_TREE
	" SELECT string_agg(DISTINCT i.oid::regclass::text, ', ') FROM col"
	" JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum"
	" JOIN pg_class i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND NOT i.relispartition"
	" JOIN pg_am a ON a.oid = i.relam JOIN pg_index x ON x.indexrelid = i.oid"
	" WHERE a.amname IN ('hnsw', 'ivfflat')"
	/* Of others, the ones whose operator class would be looked up by name and not take the new type */
	"    OR EXISTS (SELECT FROM pg_opclass c WHERE c.oid = ANY (x.indclass::oid[])"
	"               AND NOT c.opcdefault AND c.opcintype = col.atttypid)";

static const char blocking_rules[] =
	COLUMNS_OF_TREE
	" SELECT string_agg(DISTINCT CASE WHEN r.rulename = '_RETURN' THEN format('%sview %s',"
	"          CASE v.relkind WHEN 'm' THEN 'materialized ' ELSE '' END, r.ev_class::regclass)"
	"        ELSE format('rule %I on %s', r.rulename, r.ev_class::regclass) END, ', ') FROM col"
	" JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum"
	" JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class";

/* The ones of the column itself are converted with it */
static const char blocking_generated[] =
	COLUMNS_OF_TREE
	" SELECT string_agg(DISTINCT format('column %I of %s', g.attname, g.attrelid::regclass), ', ') FROM col"
	" JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum"
	" JOIN pg_attrdef x ON d.classid = 'pg_attrdef'::regclass AND x.oid = d.objid"
	" JOIN pg_attribute g ON g.attrelid = x.adrelid AND g.attnum = x.adnum"
	" WHERE g.attgenerated <> '' AND (g.attrelid, g.attnum) <> (col.attrelid, col.attnum)";

/* What cannot follow a column, in the order in which it is reported. */
static const struct
{
	const char *query;
	const char *reason;
	const char *label;
	const char *hint;
}			obstacles[] = {
	{blocking_indexes, "indexes with operator classes of its present type depend on it", "Indexes",
	"Drop them, convert the column, then create indexes with ruhnsw or ruivfflat."},
	{blocking_rules, "views or rules depend on it", "In the way",
	"Drop them, convert the column, then create them again; pg_get_viewdef() and pg_get_ruledef() give their definitions."},
	{blocking_generated, "generated columns depend on it", "In the way",
	"Drop them, convert the column, then add them again."},
};

/* Does this command turn a column of pgvector's into the type of ours with the same layout? */
static bool
converts_column(Oid table, const AlterTableCmd *command)
{
	const ColumnDef *definition = (const ColumnDef *) command->def;
	Type		type;
	Oid			target;
	Oid			source;
	RvTypeKind	kind;

	if (command->subtype != AT_AlterColumnType || definition->typeName == NULL)
		return false;
	type = LookupTypeName(NULL, definition->typeName, NULL, true);
	if (type == NULL)
		return false;
	target = typeTypeId(type);
	ReleaseSysCache((HeapTuple) type);
	source = get_atttype(table, get_attnum(table, command->name));
	kind = rv_type_kind(target);
	return kind != RV_TYPE_NONE && kind != RV_TYPE_BIT && source != target && rv_type_kind(source) == kind &&
		getExtensionOfObject(TypeRelationId, source) == get_extension_oid("vector", true);
}

static void
check_conversion(const AlterTableStmt *statement)
{
	Oid			table = RangeVarGetRelid(statement->relation, NoLock, true);
	ListCell   *cell;

	if (!OidIsValid(table) || !OidIsValid(get_extension_oid("vector", true)))
		return;
	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst(cell);
		char	   *names;

		if (!converts_column(table, command))
			continue;
		for (size_t i = 0; i < lengthof(obstacles); i++)
		{
			names = blockers(obstacles[i].query, table, command->name);
			if (names != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
						 errmsg("cannot convert column \"%s\" of relation \"%s\" because %s",
								command->name, get_rel_name(table), obstacles[i].reason),
						 errdetail("%s: %s.", obstacles[i].label, names),
						 errhint("%s", obstacles[i].hint)));
		}
	}
}

static void
unlink_dropped(const DropStmt *statement)
{
	ListCell   *cell;

	if (statement->removeType != OBJECT_EXTENSION || statement->behavior == DROP_CASCADE ||
		!OidIsValid(get_extension_oid("ruvector", true)))
		return;
	foreach(cell, statement->objects)
	{
		const char *name = strVal(lfirst(cell));

		if (strcmp(name, "vector") == 0 || strcmp(name, "ruvector") == 0)
			rv_unlink_pgvector();
	}
}

/* The operator family of this name, which may be that of an operator class. */
static Oid
existing_family(List *name, const char *access_method)
{
	Oid			method = get_am_oid(access_method, true);

	return OidIsValid(method) ? get_opfamily_oid(method, name, true) : InvalidOid;
}

static void
replace_link(Oid class, Oid object)
{
	/* Most often there is none, which needs no query */
	if (OidIsValid(object) && OidIsValid(get_extension_oid("ruvector", true)))
		rv_drop_unused_link(class, object);
}

static void
replace_cast_link(const CreateCastStmt *statement)
{
	Oid			source = LookupTypeNameOid(NULL, statement->sourcetype, true);
	Oid			target = LookupTypeNameOid(NULL, statement->targettype, true);

	if (OidIsValid(source) && OidIsValid(target))
		replace_link(CastRelationId, get_cast_oid(source, target, true));
}

/* An operator class comes with a family of its name, or into one that a statement before this one has made. */
static void
replace_class_link(CreateOpClassStmt *statement)
{
	Oid			method = get_am_oid(statement->amname, true);

	if (OidIsValid(method) && OidIsValid(get_opclass_oid(method, statement->opclassname, true)))
		replace_link(OperatorFamilyRelationId, existing_family(statement->opclassname, statement->amname));
}

Datum
ruvector_before_ddl(PG_FUNCTION_ARGS)
{
	Node	   *statement = trigger_data(fcinfo)->parsetree;

	if (IsA(statement, CreateExtensionStmt))
		make_room(created_in((CreateExtensionStmt *) statement));
	else if (IsA(statement, AlterObjectSchemaStmt))
	{
		AlterObjectSchemaStmt *alter = (AlterObjectSchemaStmt *) statement;

		if (alter->objectType == OBJECT_EXTENSION && strcmp(strVal(alter->object), "vector") == 0)
			make_room(get_namespace_oid(alter->newschema, true));
	}
	else if (IsA(statement, DropStmt))
		unlink_dropped((DropStmt *) statement);
	else if (IsA(statement, AlterTableStmt))
		check_conversion((AlterTableStmt *) statement);
	else if (IsA(statement, CreateCastStmt))
		replace_cast_link((CreateCastStmt *) statement);
	else if (IsA(statement, CreateOpFamilyStmt))
		replace_link(OperatorFamilyRelationId, existing_family(((CreateOpFamilyStmt *) statement)->opfamilyname,
																((CreateOpFamilyStmt *) statement)->amname));
	else if (IsA(statement, CreateOpClassStmt))
		replace_class_link((CreateOpClassStmt *) statement);
	PG_RETURN_NULL();
}

Datum
ruvector_after_ddl(PG_FUNCTION_ARGS)
{
	Oid			extension = get_extension_oid("ruvector", true);

	(void) trigger_data(fcinfo);
	if (!OidIsValid(extension))
		PG_RETURN_NULL();
	if (!OidIsValid(get_extension_oid("vector", true)))
		rv_drop_empty_families();
	if (rv_shared_are_out(extension) && !rv_shared_names_taken(rv_extension_schema(extension)))
	{
		rv_move_shared(extension, false);
		ereport(NOTICE,
				(errmsg("halfvec, sparsevec and the distances on bit of ruvector are back in schema \"%s\"",
						get_namespace_name(rv_extension_schema(extension)))));
	}
	PG_RETURN_NULL();
}
