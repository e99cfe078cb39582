/* SPDX-License-Identifier: PostgreSQL
 *
 * condition.c: see condition.h.
 */
#include "condition.h"

#include "common/hashfn.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

typedef struct Folding
{
	const RvNode *node;
	bool		failed;
} Folding;

/* Kinds of nodes that say nothing but of their arguments, and in which no other node stands for something around it. */
static bool
is_plain(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayExpr:
		case T_RowExpr:
		case T_RowCompareExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_SQLValueFunction:
		case T_NullTest:
		case T_BooleanTest:
		case T_List:
			return true;
		default:
			return false;
	}
}

/* A value that compares by its bytes and lives as long as the context. A subquery that is a part of it runs now, if it has not
 * yet: the first row that is asked about would make it run. */
static Const *
value_of(const RvNode *node, Expr *expression)
{
	/* without the plan's state: no such expression is worth compiling */
	ExprState  *state = ExecInitExprWithParams(expression, node->context->ecxt_param_list_info);
	Oid			type = exprType((Node *) expression);
	int16		length;
	bool		by_value;
	bool		is_null;
	Datum		value = ExecEvalExprSwitchContext(state, node->context, &is_null);

	get_typlenbyval(type, &length, &by_value);
	if (is_null)
		value = (Datum) 0;
	else if (length == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	else
		value = datumCopy(value, by_value, length);
	ResetExprContext(node->context);
	return makeConst(type, exprTypmod((Node *) expression), exprCollation((Node *) expression), length, value, is_null, by_value);
}

static Node *
fold(Node *node, Folding *folding)
{
	if (node == NULL || folding->failed)
		return node;
	if (IsA(node, Var))
	{
		const Var  *var = (Var *) node;

		/* one table has many numbers, in the statements that name it */
		if (var->varattno > 0 && var->varlevelsup == 0 && !IS_SPECIAL_VARNO(var->varno))
			return (Node *) makeVar(1, var->varattno, var->vartype, var->vartypmod, var->varcollid, 0);
	}
	else if (is_plain(node))
	{
		if (IsA(node, Const))
			return node;
		if (IsA(node, List) || contain_var_clause(node))
			return expression_tree_mutator(node, fold, folding);
		return (Node *) value_of(folding->node, (Expr *) node);
	}
	folding->failed = true;
	return node;
}

List *
rv_condition_of(const RvNode *node)
{
	Folding		folding = {.node = node};
	List	   *clauses = node->state->ps.plan->qual;
	List	   *folded;

	if (clauses == NIL || node->context == NULL)
		return NIL;
	folded = (List *) fold((Node *) clauses, &folding);
	return folding.failed || contain_mutable_functions((Node *) folded) ? NIL : folded;
}

static bool
hash_values(Node *node, void *context)
{
	uint32	   *hash = context;

	if (node == NULL)
		return false;
	if (IsA(node, Const))
	{
		const Const *value = (Const *) node;
		uint32		own = value->consttype;

		if (!value->constisnull)
			own = value->constbyval ? hash_bytes((const unsigned char *) &value->constvalue, sizeof(Datum)) :
				hash_bytes((const unsigned char *) DatumGetPointer(value->constvalue),
						   (int) datumGetSize(value->constvalue, false, value->constlen));
		*hash = hash_combine(*hash, own);
	}
	return expression_tree_walker(node, hash_values, context);
}

uint32
rv_condition_hash(List *condition)
{
	uint32		hash = 0;

	hash_values((Node *) condition, &hash);
	return hash;
}
