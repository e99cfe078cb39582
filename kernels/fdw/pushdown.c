/* SPDX-License-Identifier: PostgreSQL
 *
 * pushdown.c: SQL conditions and sort expressions as conditions a wrapper can read.
 *
 * To a Multicorn wrapper every `column operator value` is shown, whatever the operator: the condition is checked again
 * locally, the wrapper may use it or not. Our protocol lets a store take a condition over entirely, so there only
 * operators are shown whose meaning in Python is the same: built-in comparisons of built-in types that are compared
 * alike, text in the order of bytes, and distances. What cannot be shown is not an error, it stays a local filter.
 *
 * A value may be anything that is fixed for one scan: it has no column of this table, no volatile function, no subplan.
 */
#include "postgres.h"

#include "fdw.h"

#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"

static Expr *
strip_relabel(Expr *expr)
{
	while (expr && IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	return expr;
}

/* The plain column of rel that expr is, else NULL. */
static Var *
own_column(RelOptInfo *rel, Expr *expr)
{
	Var		   *var = (Var *) strip_relabel(expr);

	if (var && IsA(var, Var) && var->varlevelsup == 0 && bms_is_member(var->varno, rel->relids) && var->varattno > 0)
		return var;
	return NULL;
}

static bool
is_fixed(RelOptInfo *rel, Expr *expr)
{
	return !bms_overlap(pull_varnos(NULL, (Node *) expr), rel->relids) && !contain_volatile_functions((Node *) expr) &&
		!contain_subplans((Node *) expr);
}

static RvOperand
make_operand(Expr *expr)
{
	RvOperand	operand = {.expr = expr,.type = exprType((Node *) expr)};

	if (IsA(expr, Const))
	{
		operand.bound = true;
		operand.isnull = ((Const *) expr)->constisnull;
		operand.datum = ((Const *) expr)->constvalue;
	}
	return operand;
}

const char *
rv_distance_operator(Oid opno)
{
	static const char *const names[] = {"<->", "<#>", "<=>", "<+>", "<~>", "<%>"};
	char	   *name;
	Oid			extension;
	char	   *extension_name;

	if (opno < FirstNormalObjectId || !(name = get_opname(opno)))
		return NULL;
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) != 0)
			continue;
		extension = getExtensionOfObject(OperatorRelationId, opno);
		extension_name = OidIsValid(extension) ? get_extension_name(extension) : NULL;
		if (extension_name && (strcmp(extension_name, "ruvector") == 0 || strcmp(extension_name, "vector") == 0))
			return names[i];
	}
	return NULL;
}

/* Whether expr is `column distance value` of rel, in either order; all distances are symmetric. */
static bool
match_distance(RelOptInfo *rel, Expr *expr, Var **column, Expr **query, const char **operator)
{
	OpExpr	   *op = (OpExpr *) strip_relabel(expr);

	if (!op || !IsA(op, OpExpr) || list_length(op->args) != 2 || !(*operator = rv_distance_operator(op->opno)))
		return false;
	*column = own_column(rel, linitial(op->args));
	*query = lsecond(op->args);
	if (!*column)
	{
		*column = own_column(rel, lsecond(op->args));
		*query = linitial(op->args);
	}
	return *column && is_fixed(rel, *query);
}

/* ---- what our protocol shows -------------------------------------------------------------------------------- */

/* Types whose values compare in Python as in SQL, by family; 0 for others. */
static int
family_of(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return 1;
		case FLOAT4OID:
		case FLOAT8OID:
			return 2;
		case NUMERICOID:
			return 3;
		case TEXTOID:
		case VARCHAROID:
			return 4;
		case BOOLOID:
			return 5;
		case DATEOID:
			return 6;
		case TIMESTAMPOID:
			return 7;
		case TIMESTAMPTZOID:
			return 8;
		case UUIDOID:
			return 9;
		case BYTEAOID:
			return 10;
		default:
			return 0;
	}
}

static bool
text_order_is_bytes(Oid collation)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
#if PG_VERSION_NUM >= 180000
	return OidIsValid(collation) && pg_newlocale_from_collation(collation)->collate_is_c;
#else
	return OidIsValid(collation) && lc_collate_is_c(collation);
#endif
}

static bool
same_in_python(Oid opno, const char *name, Oid column_type, Oid value_type, Oid collation)
{
	int			family = family_of(column_type);
	bool		like = strcmp(name, "~~") == 0 || strcmp(name, "!~~") == 0;
	bool		equality = strcmp(name, "=") == 0 || strcmp(name, "<>") == 0;
	bool		order = strcmp(name, "<") == 0 || strcmp(name, "<=") == 0 || strcmp(name, ">") == 0 ||
		strcmp(name, ">=") == 0;

	if (opno >= FirstNormalObjectId || family == 0 || family != family_of(value_type))
		return false;
	if (family == 4)
		return ((equality || like) && OidIsValid(collation) && get_collation_isdeterministic(collation)) ||
			(order && text_order_is_bytes(collation));
	return equality || order;
}

/* ---- conditions ------------------------------------------------------------------------------------------- */

static RvQual *
new_qual(RvQualKind kind, Var *column)
{
	RvQual	   *qual = palloc0(sizeof(RvQual));

	qual->kind = kind;
	qual->attnum = column ? column->varattno : 0;
	qual->strict = true;
	return qual;
}

static RvQual *
boolean_qual(Var *column, bool value)
{
	RvQual	   *qual = new_qual(RV_QUAL_OP, column);

	qual->operator = pstrdup("=");
	qual->value = make_operand((Expr *) makeBoolConst(value, false));
	return qual;
}

static RvQual *
null_qual(Var *column, bool is_null)
{
	RvQual	   *qual = new_qual(RV_QUAL_NULL, column);

	qual->is_null = is_null;
	return qual;
}

/* distance < threshold, or threshold > distance */
static RvQual *
distance_qual(RelOptInfo *rel, OpExpr *op)
{
	char	   *name = get_opname(op->opno);
	Expr	   *distance = linitial(op->args);
	Expr	   *threshold = lsecond(op->args);
	const char *operator;
	Var		   *column;
	Expr	   *query;
	RvQual	   *qual;

	if (op->opno >= FirstNormalObjectId || !name || exprType((Node *) distance) != FLOAT8OID ||
		exprType((Node *) threshold) != FLOAT8OID)
		return NULL;
	if (strcmp(name, ">") == 0 || strcmp(name, ">=") == 0)
	{
		distance = lsecond(op->args);
		threshold = linitial(op->args);
		name = name[1] ? "<=" : "<";
	}
	else if (strcmp(name, "<") != 0 && strcmp(name, "<=") != 0)
		return NULL;
	if (!match_distance(rel, distance, &column, &query, &operator) || !is_fixed(rel, threshold))
		return NULL;
	qual = new_qual(RV_QUAL_DISTANCE, column);
	qual->operator = pstrdup(operator);
	qual->comparison = pstrdup(name);
	qual->value = make_operand(query);
	qual->threshold = make_operand(threshold);
	return qual;
}

static RvQual *
op_qual(RelOptInfo *rel, OpExpr *op, bool extended)
{
	Oid			opno = op->opno;
	Var		   *column;
	Expr	   *value;
	RvQual	   *qual;

	if (list_length(op->args) != 2)
		return NULL;
	if (extended && (qual = distance_qual(rel, op)) != NULL)
		return qual;
	column = own_column(rel, linitial(op->args));
	value = lsecond(op->args);
	if (!column)
	{
		column = own_column(rel, lsecond(op->args));
		value = linitial(op->args);
		opno = get_commutator(opno);
	}
	if (!column || !OidIsValid(opno) || !is_fixed(rel, value))
		return NULL;
	qual = new_qual(RV_QUAL_OP, column);
	qual->operator = get_opname(opno);
	qual->strict = op_strict(opno);
	qual->value = make_operand(value);
	if (extended && !same_in_python(opno, qual->operator, column->vartype, qual->value.type, op->inputcollid))
		return NULL;
	return qual;
}

static RvQual *
list_qual(RelOptInfo *rel, ScalarArrayOpExpr *op, bool extended)
{
	Var		   *column = own_column(rel, linitial(op->args));
	Expr	   *value = lsecond(op->args);
	RvQual	   *qual;

	if (!column || !is_fixed(rel, value))
		return NULL;
	qual = new_qual(RV_QUAL_OP, column);
	qual->operator = get_opname(op->opno);
	qual->strict = op_strict(op->opno);
	qual->list = op->useOr ? RV_LIST_ANY : RV_LIST_ALL;
	qual->value = make_operand(value);
	if (extended && !same_in_python(op->opno, qual->operator, column->vartype, get_element_type(qual->value.type),
									op->inputcollid))
		return NULL;
	return qual;
}

static RvQual *
bool_qual(RelOptInfo *rel, BoolExpr *expr, bool extended)
{
	RvQual	   *qual;
	Var		   *column;
	ListCell   *cell;

	if (expr->boolop == NOT_EXPR)
	{
		column = own_column(rel, linitial(expr->args));
		return column ? boolean_qual(column, false) : NULL;
	}
	if (!extended)
		return NULL;
	qual = new_qual(expr->boolop == AND_EXPR ? RV_QUAL_AND : RV_QUAL_OR, NULL);
	foreach(cell, expr->args)
	{
		RvQual	   *arg = rv_qual_from_clause(rel, lfirst(cell), extended);

		if (!arg)
			return NULL;
		qual->args = lappend(qual->args, arg);
	}
	return qual;
}

static RvQual *
test_qual(RelOptInfo *rel, BooleanTest *test)
{
	Var		   *column = own_column(rel, test->arg);

	if (!column)
		return NULL;
	/* in a filter, and below AND and OR, unknown counts as false: IS TRUE is `= true` */
	switch (test->booltesttype)
	{
		case IS_TRUE:
			return boolean_qual(column, true);
		case IS_FALSE:
			return boolean_qual(column, false);
		case IS_UNKNOWN:
			return null_qual(column, true);
		case IS_NOT_UNKNOWN:
			return null_qual(column, false);
		default:
			return NULL;
	}
}

RvQual *
rv_qual_from_clause(RelOptInfo *rel, Expr *clause, bool extended)
{
	Var		   *column;

	switch (nodeTag(clause))
	{
		case T_OpExpr:
			return op_qual(rel, (OpExpr *) clause, extended);
		case T_ScalarArrayOpExpr:
			return list_qual(rel, (ScalarArrayOpExpr *) clause, extended);
		case T_BoolExpr:
			return bool_qual(rel, (BoolExpr *) clause, extended);
		case T_BooleanTest:
			return test_qual(rel, (BooleanTest *) clause);
		case T_NullTest:
			column = own_column(rel, ((NullTest *) clause)->arg);
			if (!column || ((NullTest *) clause)->argisrow)
				return NULL;
			return null_qual(column, ((NullTest *) clause)->nulltesttype == IS_NULL);
		case T_Var:
			column = own_column(rel, clause);
			return column ? boolean_qual(column, true) : NULL;
		default:
			return NULL;
	}
}

/* ---- sort keys -------------------------------------------------------------------------------------------- */

static char *
collation_name(Oid collation, bool extended)
{
	if (!OidIsValid(collation))
		return NULL;
	if (!extended)
		return collation == DEFAULT_COLLATION_OID ? NULL : get_collation_name(collation);
	if (text_order_is_bytes(collation))
		return pstrdup("C");
	return get_collation_name(collation);
}

RvKey *
rv_key_from_expr(RelOptInfo *rel, Expr *expr, bool reversed, bool nulls_first, bool extended)
{
	Var		   *column = own_column(rel, expr);
	const char *operator = NULL;
	Expr	   *query = NULL;
	RvKey	   *key;

	if (!column && !(extended && !reversed && !nulls_first && match_distance(rel, expr, &column, &query, &operator)))
		return NULL;
	key = palloc0(sizeof(RvKey));
	key->attnum = column->varattno;
	key->reversed = reversed;
	key->nulls_first = nulls_first;
	if (operator)
	{
		key->operator = pstrdup(operator);
		key->query = make_operand(query);
	}
	else
		key->collation = collation_name(exprCollation((Node *) expr), extended);
	return key;
}

/* ---- requests --------------------------------------------------------------------------------------------- */

static List *
qual_operands(List *quals, List *operands)
{
	ListCell   *cell;

	foreach(cell, quals)
	{
		RvQual	   *qual = lfirst(cell);

		if (qual->value.expr)
			operands = lappend(operands, &qual->value);
		if (qual->threshold.expr)
			operands = lappend(operands, &qual->threshold);
		operands = qual_operands(qual->args, operands);
	}
	return operands;
}

List *
rv_request_operands(RvRequest *request)
{
	List	   *operands = qual_operands(request->quals, NIL);
	ListCell   *cell;

	foreach(cell, request->keys)
	{
		RvKey	   *key = lfirst(cell);

		if (key->query.expr)
			operands = lappend(operands, &key->query);
	}
	if (request->limit.expr)
		operands = lappend(operands, &request->limit);
	if (request->offset.expr)
		operands = lappend(operands, &request->offset);
	return operands;
}

/* Whether one of the conditions is unknown for every row, because it compares with NULL. */
bool
rv_quals_have_unknown(List *quals)
{
	ListCell   *cell;

	foreach(cell, quals)
	{
		RvQual	   *qual = lfirst(cell);

		if (qual->kind == RV_QUAL_OP && qual->strict && qual->value.bound && qual->value.isnull)
			return true;
		if (qual->kind == RV_QUAL_DISTANCE && ((qual->value.bound && qual->value.isnull) ||
											   (qual->threshold.bound && qual->threshold.isnull)))
			return true;
		if (qual->kind == RV_QUAL_AND && rv_quals_have_unknown(qual->args))
			return true;
	}
	return false;
}
