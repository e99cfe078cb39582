/* SPDX-License-Identifier: PostgreSQL
 *
 * range.c: the value of type ruvector_range and the operator <<@>>.
 *
 * PostgreSQL can match a qual to an index only as column operator value. So a comparison of a distance with a radius
 * becomes column <<@>> range, with range = ruvector_range(query, radius, inclusive, distance), where threshold.c plans an
 * index scan. The operator is in every operator class as strategy 2 and takes any type on its left, so classes over
 * pgvector's types have the same one. Its function does what it says also outside of an index scan, which EvalPlanQual
 * needs. A range has no input: none can be stored and come back with a function that means something else.
 */
#include "internal.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "range.h"

RV_FUNCTION(ruvector_range);
RV_FUNCTION(ruvector_range_in);
RV_FUNCTION(ruvector_range_out);
RV_FUNCTION(ruvector_within);

/* Only a distance that the user might call himself, over the type of the query. */
static void
check_distance(Oid function, Oid type)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("function with OID %u does not exist", function)));
	fits = ((Form_pg_proc) GETSTRUCT(tuple))->pronargs == 2 &&
		((Form_pg_proc) GETSTRUCT(tuple))->prorettype == FLOAT8OID &&
		((Form_pg_proc) GETSTRUCT(tuple))->proargtypes.values[0] == type &&
		((Form_pg_proc) GETSTRUCT(tuple))->proargtypes.values[1] == type &&
		((Form_pg_proc) GETSTRUCT(tuple))->proisstrict && !((Form_pg_proc) GETSTRUCT(tuple))->proretset;
	ReleaseSysCache(tuple);
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("function %s is not a distance between two values of type %s", format_procedure(function),
						format_type_be(type))));
#if PG_VERSION_NUM >= 160000
	if (object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
#else
	if (pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
#endif
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
}

/* ruvector_range(query anyelement, radius float8, inclusive bool, distance oid) */
Datum
ruvector_range(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			distance = PG_GETARG_OID(3);
	struct varlena *query;
	RvRange    *range;

	if (!OidIsValid(type) || get_typlen(type) != -1)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("a range needs a vector as its centre")));
	type = getBaseType(type);
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		check_distance(distance, type);
		fcinfo->flinfo->fn_extra = fcinfo->flinfo;
	}
	query = PG_GETARG_VARLENA_P(0);
	range = palloc0(offsetof(RvRange, query) + VARSIZE(query));
	SET_VARSIZE(range, offsetof(RvRange, query) + VARSIZE(query));
	range->query_type = type;
	range->distance = distance;
	range->inclusive = PG_GETARG_BOOL(2);
	range->radius = PG_GETARG_FLOAT8(1);
	memcpy(range->query, query, VARSIZE(query));
	PG_RETURN_POINTER(range);
}

Datum
ruvector_range_in(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot accept a value of type %s", "ruvector_range")));
	PG_RETURN_VOID();
}

/* For EXPLAIN: the query itself may be thousands of numbers. */
Datum
ruvector_range_out(PG_FUNCTION_ARGS)
{
	RvRange    *range = (RvRange *) PG_GETARG_VARLENA_P(0);
	char	   *radius = DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(range->radius)));

	PG_RETURN_CSTRING(psprintf("%s %s %s", get_func_name(range->distance), range->inclusive ? "<=" : "<", radius));
}

Datum
ruvector_within(PG_FUNCTION_ARGS)
{
	RvRange    *range = (RvRange *) PG_GETARG_VARLENA_P(1);
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	double		distance;

	if (!OidIsValid(type) || getBaseType(type) != range->query_type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("the range is one of type %s", format_type_be(range->query_type))));
	distance = DatumGetFloat8(OidFunctionCall2Coll(range->distance, PG_GET_COLLATION(), PG_GETARG_DATUM(0),
												   PointerGetDatum(range->query)));
	PG_RETURN_BOOL(rv_range_contains(range, distance));
}
