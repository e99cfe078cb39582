/* SPDX-License-Identifier: PostgreSQL
 *
 * validate.c: amvalidate: whether the catalogs describe an operator class that the access methods can use.
 *
 * A class has one support function (RV_SUPPORT_DESCRIPTION) and orders by one operator, whose result is a float8
 * (RV_STRATEGY_ORDER); it may have the operator of ranges (RV_STRATEGY_RANGE). What is wrong is reported as INFO, all of
 * it, as PostgreSQL's own access methods do.
 */
#include "internal.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

typedef struct Subject
{
	const char *name;
	Oid			family;
	Oid			type;			/* of the column */
	bool		valid;
} Subject;

#define COMPLAIN(subject, ...) \
	do { \
		ereport(INFO, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION), errmsg(__VA_ARGS__))); \
		(subject)->valid = false; \
	} while (0)

static void
validate_function(Subject *subject, Form_pg_amproc member, bool *found)
{
	if (member->amprocnum != RV_SUPPORT_DESCRIPTION)
		COMPLAIN(subject, "operator class \"%s\" contains function %s with invalid support number %d", subject->name,
				 format_procedure(member->amproc), member->amprocnum);
	else if (!check_amproc_signature(member->amproc, INTERNALOID, true, 1, 1, INTERNALOID))
		COMPLAIN(subject, "operator class \"%s\" contains function %s with wrong signature for support number %d",
				 subject->name, format_procedure(member->amproc), member->amprocnum);
	if (member->amproclefttype == subject->type && member->amprocrighttype == subject->type)
		*found = true;
}

static void
validate_operator(Subject *subject, Form_pg_amop member, bool *found)
{
	const char *operator = format_operator(member->amopopr);
	bool		sound;

	if (member->amopstrategy == RV_STRATEGY_ORDER)
	{
		if (member->amoppurpose != AMOP_ORDER || !opfamily_can_sort_type(member->amopsortfamily, FLOAT8OID))
			COMPLAIN(subject, "operator class \"%s\" contains invalid ORDER BY specification for operator %s",
					 subject->name, operator);
		sound = check_amop_signature(member->amopopr, FLOAT8OID, member->amoplefttype, member->amoprighttype);
		if (member->amoplefttype == subject->type && member->amoprighttype == subject->type)
			*found = true;
	}
	else if (member->amopstrategy == RV_STRATEGY_RANGE)
		sound = member->amoppurpose == AMOP_SEARCH && strcmp(rv_type_name(member->amoprighttype), "ruvector_range") == 0 &&
			check_amop_signature(member->amopopr, BOOLOID, member->amoplefttype, member->amoprighttype);
	else
	{
		COMPLAIN(subject, "operator class \"%s\" contains operator %s with invalid strategy number %d", subject->name,
				 operator, member->amopstrategy);
		return;
	}
	if (!sound)
		COMPLAIN(subject, "operator class \"%s\" contains operator %s with wrong signature", subject->name, operator);
}

static void
validate_members(Subject *subject)
{
	CatCList   *functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(subject->family));
	CatCList   *operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(subject->family));
	bool		has_function = false;
	bool		has_operator = false;

	for (int i = 0; i < functions->n_members; i++)
		validate_function(subject, (Form_pg_amproc) GETSTRUCT(&functions->members[i]->tuple), &has_function);
	for (int i = 0; i < operators->n_members; i++)
		validate_operator(subject, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple), &has_operator);
	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	if (!has_function)
		COMPLAIN(subject, "operator class \"%s\" is missing support function %d", subject->name, RV_SUPPORT_DESCRIPTION);
	if (!has_operator)
		COMPLAIN(subject, "operator class \"%s\" is missing the operator that it orders by", subject->name);
}

bool
rv_validate(Oid opclass_oid)
{
	HeapTuple	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass_oid));
	Form_pg_opclass opclass;
	Subject		subject = {.valid = true};

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass_oid);
	opclass = (Form_pg_opclass) GETSTRUCT(tuple);
	subject.name = NameStr(opclass->opcname);
	subject.family = opclass->opcfamily;
	subject.type = opclass->opcintype;
	if (OidIsValid(opclass->opckeytype) && opclass->opckeytype != opclass->opcintype)
		COMPLAIN(&subject, "operator class \"%s\" stores another type than it indexes", subject.name);
	validate_members(&subject);
	ReleaseSysCache(tuple);
	return subject.valid;
}
