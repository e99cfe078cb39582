/* SPDX-License-Identifier: PostgreSQL
 *
 * place.c: in which schema the extension's objects live.
 *
 * pgvector uses some names that ours must have too, because a query shall move over by changing the name vector alone:
 * the types halfvec and sparsevec, hamming_distance, jaccard_distance, <~> and <%> on bit, and the operator classes over
 * these types. These are the shared objects. They live in the extension's schema, beside everything else, while that is
 * free of pgvector; while it is not they live in schema ruvector, so that both extensions work in either order of
 * creation. Where they live follows from where pgvector is and from nothing else: so a restored dump puts them where the
 * dumped tables say.
 *
 * The install script makes everything in a schema of its own and then calls ruvector_place once. Objects are moved with
 * the server's own code for ALTER EXTENSION ... SET SCHEMA, which checks ownership and takes the locks.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/alter.h"
#include "commands/extension.h"
#include "commands/schemacmds.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "types/place.h"
#include "types/types.h"

RV_FUNCTION(ruvector_place);

static const char *const shared_types[] = {"halfvec", "sparsevec"};
static const char *const shared_functions[] = {"hamming_distance", "jaccard_distance"};

Oid
rv_extension_schema(Oid extension)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(relation, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return result;
}

static bool
is_shared_type_name(const char *name)
{
	for (size_t i = 0; i < lengthof(shared_types); i++)
	{
		if (strcmp(name, shared_types[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_shared_kind(RvTypeKind kind)
{
	return kind == RV_TYPE_HALFVEC || kind == RV_TYPE_SPARSEVEC || kind == RV_TYPE_BIT;
}

static bool
is_shared_function(Form_pg_proc proc)
{
	if (proc->pronargs != 2 || proc->proargtypes.values[0] != BITOID || proc->proargtypes.values[1] != BITOID)
		return false;
	for (size_t i = 0; i < lengthof(shared_functions); i++)
	{
		if (strcmp(NameStr(proc->proname), shared_functions[i]) == 0)
			return true;
	}
	return false;
}

/* A family has no type of its own: ours are named for theirs. */
static bool
is_shared_family_name(const char *name)
{
	return strncmp(name, "halfvec_", 8) == 0 || strncmp(name, "sparsevec_", 10) == 0 || strncmp(name, "bit_", 4) == 0;
}

/* The cache to find an object of this class in, -1 for a class without shared objects. */
static int
cache_of_class(Oid class)
{
	switch (class)
	{
		case TypeRelationId:
			return TYPEOID;
		case ProcedureRelationId:
			return PROCOID;
		case OperatorRelationId:
			return OPEROID;
		case OperatorClassRelationId:
			return CLAOID;
		case OperatorFamilyRelationId:
			return OPFAMILYOID;
		default:
			return -1;
	}
}

/* Is this member of our extension one of the shared objects? */
static bool
is_shared(Oid class, Oid object)
{
	int			cache = cache_of_class(class);
	HeapTuple	tuple;
	void	   *form;
	bool		result = false;

	if (cache < 0)
		return false;
	tuple = SearchSysCache1(cache, ObjectIdGetDatum(object));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = GETSTRUCT(tuple);
	switch (cache)
	{
		case TYPEOID:
			result = is_shared_type_name(NameStr(((Form_pg_type) form)->typname));
			break;
		case PROCOID:
			result = is_shared_function((Form_pg_proc) form);
			break;
		case OPEROID:
			result = ((Form_pg_operator) form)->oprleft == BITOID;
			break;
		case CLAOID:
			result = is_shared_kind(rv_type_kind(((Form_pg_opclass) form)->opcintype));
			break;
		case OPFAMILYOID:
			result = is_shared_family_name(NameStr(((Form_pg_opfamily) form)->opfname));
			break;
	}
	ReleaseSysCache(tuple);
	return result;
}

/* The members of an extension, as object addresses. */
static List *
members(Oid extension)
{
	Relation	relation = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *result = NIL;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ExtensionRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(relation, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend dependency = (Form_pg_depend) GETSTRUCT(tuple);

		if (dependency->deptype == DEPENDENCY_EXTENSION && dependency->objsubid == 0)
		{
			ObjectAddress *address = palloc(sizeof(ObjectAddress));

			ObjectAddressSet(*address, dependency->classid, dependency->objid);
			result = lappend(result, address);
		}
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return result;
}

typedef enum Which
{
	ALL_MEMBERS,
	SHARED_MEMBERS,
	OTHER_MEMBERS
} Which;

/* Move members to a schema. Objects that have none (casts, access methods) are passed over by the server's code, those
 * that are there already by ours. */
static bool
move_members(Oid extension, Oid schema, Which which)
{
	ObjectAddresses *moved = new_object_addresses();
	ListCell   *cell;
	bool		any = false;

	foreach(cell, members(extension))
	{
		ObjectAddress *address = lfirst(cell);

		if (which != ALL_MEMBERS && is_shared(address->classId, address->objectId) != (which == SHARED_MEMBERS))
			continue;
		if (object_address_present(address, moved))
			continue;
		if (OidIsValid(AlterObjectNamespace_oid(address->classId, address->objectId, schema, moved)))
			any = true;
	}
	free_object_addresses(moved);
	if (any)
		CommandCounterIncrement();
	return any;
}

static bool
is_ours(Oid class, Oid object, Oid extension)
{
	return getExtensionOfObject(class, object) == extension;
}

bool
rv_shared_names_taken(Oid schema)
{
	Oid			extension = get_extension_oid("ruvector", true);
	Oid			bits[2] = {BITOID, BITOID};
	oidvector  *arguments = buildoidvector(bits, 2);

	for (size_t i = 0; i < lengthof(shared_types); i++)
	{
		Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(shared_types[i]),
										   ObjectIdGetDatum(schema));

		if (OidIsValid(type) && !is_ours(TypeRelationId, type, extension))
			return true;
	}
	for (size_t i = 0; i < lengthof(shared_functions); i++)
	{
		Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(shared_functions[i]),
											   PointerGetDatum(arguments), ObjectIdGetDatum(schema));

		if (OidIsValid(function) && !is_ours(ProcedureRelationId, function, extension))
			return true;
	}
	return false;
}

bool
rv_shared_are_out(Oid extension)
{
	Oid			schema = get_namespace_oid(RV_FALLBACK_SCHEMA, true);
	Oid			type;

	if (!OidIsValid(schema) || schema == rv_extension_schema(extension))
		return false;
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(shared_types[0]), ObjectIdGetDatum(schema));
	return OidIsValid(type) && is_ours(TypeRelationId, type, extension);
}

/* The fallback schema, made as a member of the extension when it is missing, so that it goes with the extension and a
 * dump leaves it to the extension. */
static Oid
fallback_schema(Oid extension)
{
	Oid			schema = get_namespace_oid(RV_FALLBACK_SCHEMA, true);
	ObjectAddress schema_address;
	ObjectAddress extension_address;

	if (OidIsValid(schema))
		return schema;
	schema = NamespaceCreate(RV_FALLBACK_SCHEMA, GetUserId(), false);
	CommandCounterIncrement();
	ObjectAddressSet(schema_address, NamespaceRelationId, schema);
	ObjectAddressSet(extension_address, ExtensionRelationId, extension);
	if (!OidIsValid(getExtensionOfObject(NamespaceRelationId, schema)))
		recordDependencyOn(&schema_address, &extension_address, DEPENDENCY_EXTENSION);
	CommandCounterIncrement();
	return schema;
}

bool
rv_move_shared(Oid extension, bool out)
{
	Oid			home = rv_extension_schema(extension);
	Oid			target;

	if (out)
	{
		if (strcmp(get_namespace_name(home), RV_FALLBACK_SCHEMA) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("extensions ruvector and vector cannot both be in schema \"%s\"", RV_FALLBACK_SCHEMA),
					 errhint("Create one of them in another schema.")));
		target = fallback_schema(extension);
	}
	else
		target = home;
	return move_members(extension, target, SHARED_MEMBERS);
}

/* For the install script: everything to the extension's schema, the shared objects to where they belong. */
Datum
ruvector_place(PG_FUNCTION_ARGS)
{
	Oid			home = PG_GETARG_OID(0);

	if (!creating_extension)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ruvector_place() can only be called from an extension script")));
	if (!rv_shared_names_taken(home))
		move_members(CurrentExtensionObject, home, ALL_MEMBERS);
	else
	{
		move_members(CurrentExtensionObject, home, OTHER_MEMBERS);
		rv_move_shared(CurrentExtensionObject, true);
		/* INFO, because an extension script silences notices */
		ereport(INFO,
				(errmsg("halfvec, sparsevec and the distances on bit of ruvector are in schema \"%s\"",
						RV_FALLBACK_SCHEMA),
				 errdetail("Schema \"%s\" holds pgvector's objects of the same names.", get_namespace_name(home))));
	}
	PG_RETURN_VOID();
}
