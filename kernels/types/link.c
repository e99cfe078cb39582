/* SPDX-License-Identifier: PostgreSQL
 *
 * link.c: the objects that name both pgvector's types and ours: casts between them, and operator classes of ruhnsw and
 * ruivfflat over pgvector's types.
 *
 * The bytes are the same, so the casts between types of one kind have no function. From pgvector's type to ours such a cast
 * is implicit, so that a query vector still declared as vector searches a converted column; back it is for assignment,
 * because two implicit casts would make every mixed expression ambiguous. Casts between types of two kinds are too.
 *
 * The operator classes are read from ours in the catalogs: the same access method, support functions and strategies, with
 * the operator of the same name over pgvector's type. So this file knows nothing of the index access methods.
 *
 * None of these objects is a member of the extension: as a member it would make DROP EXTENSION vector CASCADE take the
 * whole extension with it. They are made by SQL, and where that happens inside the install script they are set free
 * afterwards.
 */
#include "postgres.h"

#include "catalog/objectaddress.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "types/link.h"
#include "types/safe_path.h"

RV_FUNCTION(ruvector_link_pgvector);
RV_FUNCTION(ruvector_unlink_pgvector);

/* Rows: a statement that makes an object, and the object as ALTER EXTENSION names it. $1 is ours, $2 is pgvector. What is
 * there already is left out. */
#define PAIRS \
	"WITH member AS (" \
	"  SELECT d.refobjid AS extension, t.oid, t.typname AS name FROM pg_depend d JOIN pg_type t ON t.oid = d.objid" \
	"  WHERE d.classid = 'pg_type'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')," \
	" pair AS (" \
	"  SELECT ours.name, ours.oid AS ours, theirs.oid AS theirs FROM member ours JOIN member theirs" \
	"    ON theirs.name = CASE ours.name WHEN 'ruvector' THEN 'vector' ELSE ours.name END" \
	"  WHERE ours.extension = $1 AND theirs.extension = $2" \
	"    AND ours.name IN ('ruvector', 'halfvec', 'sparsevec'))"
#define CREATE_CASTS \
	" SELECT format('CREATE CAST (%s AS %s) %s', source::regtype, target::regtype, how)," \
	"        format('CAST (%s AS %s)', source::regtype, target::regtype)" \
	" FROM wanted w WHERE NOT EXISTS (SELECT FROM pg_cast c WHERE c.castsource = w.source AND c.casttarget = w.target)" \
	" ORDER BY 2"

static const char same_bytes_query[] =
	PAIRS ", wanted AS ("
	"  SELECT theirs AS source, ours AS target, 'WITHOUT FUNCTION AS IMPLICIT' AS how FROM pair"
	"  UNION ALL SELECT ours, theirs, 'WITHOUT FUNCTION AS ASSIGNMENT' FROM pair)"
	CREATE_CASTS;

/* Between types of two kinds. From theirs by the functions of our own casts, whose argument is relabelled. From ours, as in
 * embedding::halfvec(3) of a ruvector where halfvec is pgvector's, through text, which both dense types share: a function
 * that returns pgvector's type could be no member of the extension. Before PostgreSQL 16 the server does not record that a
 * cast by function needs the cast that relabels, so that pg_dump and pg_upgrade may make them in the wrong order: there
 * only the dense types convert, both ways through text. */
#if PG_VERSION_NUM >= 160000
#define FROM_THEIRS "format('WITH FUNCTION %s AS ASSIGNMENT', castfunc::regprocedure) AS how FROM our_cast"
#else
#define FROM_THEIRS "'WITH INOUT AS ASSIGNMENT' AS how FROM our_cast WHERE dense"
#endif
static const char conversions_query[] =
	PAIRS ", our_cast AS ("
	"  SELECT c.castfunc, s.ours AS our_source, s.theirs AS their_source, t.ours AS our_target, t.theirs AS their_target,"
	"         'sparsevec' NOT IN (s.name, t.name) AS dense"
	"  FROM pg_cast c JOIN pair s ON s.ours = c.castsource JOIN pair t ON t.ours = c.casttarget WHERE s.ours <> t.ours),"
	" wanted AS ("
	"  SELECT their_source AS source, our_target AS target, " FROM_THEIRS
	"  UNION ALL SELECT our_source, their_target, 'WITH INOUT AS ASSIGNMENT' FROM our_cast WHERE dense)"
	CREATE_CASTS;

/* The same for operator classes, one row for the family and one for the class. An operator class of ours over type T
 * gives one over pgvector's type of T, in that type's schema; for bit, where the type is the core's but the operators are
 * pgvector's, only where the name is free there. */
static const char opclasses_query[] =
	"WITH member AS ("
	"  SELECT d.refobjid AS extension, d.classid, d.objid FROM pg_depend d"
	"  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'),"
	" their_type AS ("
	"  SELECT t.oid, t.typname FROM member m JOIN pg_type t ON t.oid = m.objid"
	"  WHERE m.classid = 'pg_type'::regclass AND m.extension = $2),"
	" ours AS ("
	"  SELECT c.*, a.amname, t.typname,"
	"         CASE t.typname WHEN 'ruvector' THEN regexp_replace(c.opcname, '^ru', '') ELSE c.opcname::text END AS name,"
	"         CASE WHEN t.typname = 'bit' THEN t.oid ELSE their_type.oid END AS their_type"
	"  FROM member m JOIN pg_opclass c ON c.oid = m.objid JOIN pg_am a ON a.oid = c.opcmethod"
	"    JOIN pg_type t ON t.oid = c.opcintype"
	"    LEFT JOIN their_type ON their_type.typname = CASE t.typname WHEN 'ruvector' THEN 'vector' ELSE t.typname END"
	"  WHERE m.classid = 'pg_opclass'::regclass AND m.extension = $1 AND a.amname IN ('ruhnsw', 'ruivfflat')),"
	" schema AS (SELECT e.extnamespace AS oid, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
	"            WHERE e.oid = $2),"
	/* Our operators with pgvector's of the same name in place of ours */
	" item AS ("
	"  SELECT o.oid, format('OPERATOR %s %I.%s (%s, %s)%s', p.amopstrategy, schema.nspname, theirs.oprname,"
	"         theirs.oprleft::regtype, theirs.oprright::regtype,"
	"         CASE p.amoppurpose WHEN 'o' THEN"
	"           (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, f.opfname) FROM pg_opfamily f"
	"            JOIN pg_namespace sn ON sn.oid = f.opfnamespace WHERE f.oid = p.amopsortfamily) ELSE '' END) AS text,"
	"         1 AS kind, p.amopstrategy AS number"
	"  FROM ours o CROSS JOIN schema JOIN pg_amop p ON p.amopfamily = o.opcfamily"
	"    JOIN pg_operator mine ON mine.oid = p.amopopr"
	"    JOIN pg_operator theirs ON theirs.oprname = mine.oprname AND theirs.oprnamespace = schema.oid"
	"      AND theirs.oprleft = o.their_type"
	"      AND theirs.oprright = CASE mine.oprright WHEN o.opcintype THEN o.their_type ELSE mine.oprright END"
	"    JOIN member tm ON tm.classid = 'pg_operator'::regclass AND tm.objid = theirs.oid AND tm.extension = $2"
	"  UNION ALL"
	/* Ours that take any type on their left serve theirs too */
	"  SELECT o.oid, format('OPERATOR %s %I.%s (%s, %s)', p.amopstrategy, mn.nspname, mine.oprname, mine.oprleft::regtype,"
	"         mine.oprright::regtype), 3, p.amopstrategy"
	"  FROM ours o JOIN pg_amop p ON p.amopfamily = o.opcfamily JOIN pg_operator mine ON mine.oid = p.amopopr"
	"    JOIN pg_namespace mn ON mn.oid = mine.oprnamespace"
	"  WHERE p.amoppurpose = 's' AND mine.oprleft = 'anyelement'::regtype"
	"  UNION ALL"
	"  SELECT o.oid, format('FUNCTION %s (%s, %s) %s', p.amprocnum, o.their_type::regtype, o.their_type::regtype,"
	"         p.amproc::oid::regprocedure), 2, p.amprocnum"
	"  FROM ours o JOIN pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype"
	"    AND p.amprocrighttype = o.opcintype),"
	" made AS ("
	"  SELECT o.amname, o.name, o.their_type, schema.nspname, o.opcdefault,"
	"         string_agg(item.text, ', ' ORDER BY item.kind, item.number) AS items"
	"  FROM ours o CROSS JOIN schema JOIN item ON item.oid = o.oid"
	"  WHERE o.their_type IS NOT NULL"
	"    AND EXISTS (SELECT FROM item i WHERE i.oid = o.oid AND i.kind = 1)"
	"    AND NOT EXISTS (SELECT FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod"
	"                    WHERE c.opcname = o.name AND c.opcnamespace = schema.oid AND a.amname = o.amname)"
	"    AND NOT EXISTS (SELECT FROM pg_opfamily f JOIN pg_am a ON a.oid = f.opfmethod"
	"                    WHERE f.opfname = o.name AND f.opfnamespace = schema.oid AND a.amname = o.amname)"
	"  GROUP BY o.amname, o.name, o.their_type, schema.nspname, o.opcdefault)"
	" SELECT format('CREATE OPERATOR FAMILY %I.%I USING %I', nspname, name, amname),"
	"        format('OPERATOR FAMILY %I.%I USING %I', nspname, name, amname), amname, name, 1 FROM made"
	" UNION ALL"
	" SELECT format('CREATE OPERATOR CLASS %I.%I %sFOR TYPE %s USING %I FAMILY %1$I.%2$I AS %6$s', nspname, name,"
	"               CASE WHEN opcdefault AND their_type <> 'bit'::regtype THEN 'DEFAULT ' ELSE '' END,"
	"               their_type::regtype, amname, items),"
	"        format('OPERATOR CLASS %I.%I USING %I', nspname, name, amname), amname, name, 2 FROM made"
	" ORDER BY 3, 4, 5";

/* What links made: free-standing objects that name a type or an operator of both extensions. Columns statement, class,
 * object. */
#define LINKS \
	"WITH member AS (" \
	"  SELECT d.refobjid AS extension, d.classid, d.objid FROM pg_depend d" \
	"  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.refobjid IN ($1, $2))," \
	" link AS (" \
	"  SELECT format('DROP OPERATOR FAMILY %I.%I USING %I', n.nspname, f.opfname, a.amname) AS statement," \
	"         'pg_opfamily'::regclass AS class, f.oid AS object, 1 AS step" \
	"  FROM pg_opfamily f JOIN pg_am a ON a.oid = f.opfmethod JOIN pg_namespace n ON n.oid = f.opfnamespace" \
	"  WHERE a.amname IN ('ruhnsw', 'ruivfflat')" \
	"    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_opfamily'::regclass AND m.objid = f.oid)" \
	"    AND EXISTS (SELECT FROM pg_amop p JOIN member m ON m.classid = 'pg_operator'::regclass AND m.objid = p.amopopr" \
	"                WHERE p.amopfamily = f.oid AND m.extension = $2)" \
	"  UNION ALL" \
	"  SELECT format('DROP CAST (%s AS %s)', c.castsource::regtype, c.casttarget::regtype), 'pg_cast'::regclass, c.oid," \
	"         CASE c.castmethod WHEN 'b' THEN 2 ELSE 1 END" \
	"  FROM pg_cast c JOIN member s ON s.classid = 'pg_type'::regclass AND s.objid = c.castsource" \
	"    JOIN member t ON t.classid = 'pg_type'::regclass AND t.objid = c.casttarget" \
	"  WHERE s.extension <> t.extension AND (c.castmethod <> 'f' OR EXISTS (" \
	"    SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = c.castfunc AND m.extension = $1)))"

static const char links_query[] = LINKS " SELECT statement FROM link ORDER BY step";

/* One of them, when nothing uses it: $3 is the class, $4 the object. Indexes use the operator class of a family; casts with
 * a function use those without (since PostgreSQL 16 they depend on them), and go with them. */
static const char unused_link_query[] =
	LINKS
	" SELECT statement FROM link"
	" WHERE ((class = $3 AND object = $4) OR (class = 'pg_cast'::regclass AND EXISTS ("
	"    SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = object AND d.refclassid = $3 AND d.refobjid = $4)))"
	"   AND NOT EXISTS (SELECT FROM pg_depend d LEFT JOIN pg_opclass c"
	"                     ON d.refclassid = 'pg_opclass'::regclass AND c.oid = d.refobjid"
	"                   WHERE d.deptype = 'n' AND d.classid NOT IN ('pg_opclass'::regclass, 'pg_cast'::regclass)"
	"                   AND ((d.refclassid = $3 AND d.refobjid = $4) OR ($3 = 'pg_opfamily'::regclass AND c.opcfamily = $4)))"
	" ORDER BY step";

/* Families of ours that nothing is in, named as a link names them. */
static const char empty_families_query[] =
	"SELECT format('DROP OPERATOR FAMILY %I.%I USING %I', n.nspname, f.opfname, a.amname)"
	" FROM pg_opfamily f JOIN pg_am a ON a.oid = f.opfmethod JOIN pg_namespace n ON n.oid = f.opfnamespace"
	" WHERE a.amname IN ('ruhnsw', 'ruivfflat') AND f.opfname ~ '^(vector|halfvec|sparsevec|bit)_'"
	"   AND NOT EXISTS (SELECT FROM pg_opclass c WHERE c.opcfamily = f.oid)"
	"   AND NOT EXISTS (SELECT FROM pg_amop p WHERE p.amopfamily = f.oid)"
	"   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_opfamily'::regclass AND d.objid = f.oid"
	"                   AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = $1 AND d.deptype = 'e')";

static void
execute(const char *statement)
{
	int			result = SPI_execute(statement, false, 0);

	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement, SPI_result_code_string(result));
}

/* Run a query whose rows are statements, then the statements. $1 is our extension, $2 pgvector's, $3 and $4 the object
 * that it is about, if any. Returns how many. */
static int
execute_rows(const char *query, Oid pgvector, ObjectAddress about, bool set_free)
{
	Oid			types[4] = {OIDOID, OIDOID, OIDOID, OIDOID};
	Datum		values[4] = {ObjectIdGetDatum(get_extension_oid("ruvector", false)), ObjectIdGetDatum(pgvector),
	ObjectIdGetDatum(about.classId), ObjectIdGetDatum(about.objectId)};
	int			result = SPI_execute_with_args(query, 4, types, values, NULL, false, 0);
	SPITupleTable *rows = SPI_tuptable;
	int			n = (int) SPI_processed;

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read the catalogs: %s", SPI_result_code_string(result));
	for (int i = 0; i < n; i++)
	{
		execute(SPI_getvalue(rows->vals[i], rows->tupdesc, 1));
		if (set_free)
			execute(psprintf("ALTER EXTENSION ruvector DROP %s", SPI_getvalue(rows->vals[i], rows->tupdesc, 2)));
	}
	return n;
}

/* Returns how many objects were made: 0 without pgvector, and when all is linked already. */
Datum
ruvector_link_pgvector(PG_FUNCTION_ARGS)
{
	Oid			pgvector = get_extension_oid("vector", true);
	bool		set_free = creating_extension && CurrentExtensionObject == get_extension_oid("ruvector", false);
	int			level;
	int			made;

	if (!OidIsValid(pgvector))
		PG_RETURN_INT32(0);
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to link ruvector with pgvector"),
				 errhint("Must be superuser to create casts without a function.")));
	level = rv_safe_path_begin();
	SPI_connect();
	made = execute_rows(same_bytes_query, pgvector, InvalidObjectAddress, set_free);
	made += execute_rows(conversions_query, pgvector, InvalidObjectAddress, set_free);
	made += execute_rows(opclasses_query, pgvector, InvalidObjectAddress, set_free);
	SPI_finish();
	rv_safe_path_end(level);
	PG_RETURN_INT32(made);
}

static int
run_alone(const char *query, Oid pgvector, ObjectAddress about)
{
	int			level = rv_safe_path_begin();
	int			n;

	SPI_connect();
	n = execute_rows(query, pgvector, about, false);
	SPI_finish();
	rv_safe_path_end(level);
	return n;
}

int
rv_unlink_pgvector(void)
{
	Oid			pgvector = get_extension_oid("vector", true);

	if (!OidIsValid(pgvector))
		return 0;
	return run_alone(links_query, pgvector, InvalidObjectAddress);
}

void
rv_drop_unused_link(Oid class, Oid object)
{
	Oid			pgvector = get_extension_oid("vector", true);

	if (OidIsValid(pgvector))
		run_alone(unused_link_query, pgvector, (ObjectAddress) {.classId = class,.objectId = object});
}

void
rv_drop_empty_families(void)
{
	run_alone(empty_families_query, InvalidOid, InvalidObjectAddress);
}

/* Returns how many objects were dropped. An index that uses a linked operator class stands in the way. */
Datum
ruvector_unlink_pgvector(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(rv_unlink_pgvector());
}
