/* SPDX-License-Identifier: PostgreSQL
 *
 * plan_private.c: a request inside a plan tree. The tree is copied and cached, so it holds only nodes: lists, integers
 * and strings, and beside them the value expressions in fdw_exprs, which the planner adapts to where they are used.
 * Expressions are numbered in rv_request_operands' order on both sides.
 */
#include "postgres.h"

#include "fdw.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/value.h"

static List *
text_item(List *list, const char *text)
{
	return lappend(list, makeString(pstrdup(text ? text : "")));
}

static List *
number_item(List *list, int number)
{
	return lappend(list, makeInteger(number));
}

static List *
quals_to_list(List *quals)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, quals)
	{
		RvQual	   *qual = lfirst(cell);
		List	   *item = NIL;

		item = number_item(item, qual->kind);
		item = number_item(item, qual->attnum);
		item = text_item(item, qual->operator);
		item = text_item(item, qual->comparison);
		item = number_item(item, qual->list);
		item = number_item(item, qual->is_null);
		item = number_item(item, qual->strict);
		item = number_item(item, qual->value.expr != NULL);
		item = number_item(item, qual->threshold.expr != NULL);
		item = lappend(item, quals_to_list(qual->args));
		result = lappend(result, item);
	}
	return result;
}

List *
rv_request_to_private(RvRequest *request, List **exprs)
{
	List	   *keys = NIL;
	List	   *attrs = NIL;
	List	   *flags = NIL;
	ListCell   *cell;
	int			attr = -1;

	foreach(cell, request->keys)
	{
		RvKey	   *key = lfirst(cell);
		List	   *item = NIL;

		item = number_item(item, key->attnum);
		item = number_item(item, key->reversed);
		item = number_item(item, key->nulls_first);
		item = number_item(item, key->collation != NULL);
		item = text_item(item, key->collation);
		item = text_item(item, key->operator);
		keys = lappend(keys, item);
	}
	while ((attr = bms_next_member(request->attrs, attr)) >= 0)
		attrs = number_item(attrs, attr);
	flags = number_item(flags, request->need_rowids);
	flags = number_item(flags, request->has_limit);
	flags = number_item(flags, request->limit.expr != NULL);
	flags = number_item(flags, request->offset.expr != NULL);

	*exprs = NIL;
	foreach(cell, rv_request_operands(request))
		*exprs = lappend(*exprs, ((RvOperand *) lfirst(cell))->expr);
	return list_make4(quals_to_list(request->quals), keys, attrs, flags);
}

/* ---- back ------------------------------------------------------------------------------------------------- */

static int
number_at(List *list, int index)
{
	return intVal(list_nth(list, index));
}

static char *
text_at(List *list, int index)
{
	return strVal(list_nth(list, index));
}

/* A place that rv_request_operands will find; the expression itself comes afterwards. */
static Expr *
placeholder(bool present)
{
	static Const marker;

	return present ? (Expr *) &marker : NULL;
}

static List *
quals_from_list(List *list)
{
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, list)
	{
		List	   *item = lfirst(cell);
		RvQual	   *qual = palloc0(sizeof(RvQual));

		qual->kind = (RvQualKind) number_at(item, 0);
		qual->attnum = (AttrNumber) number_at(item, 1);
		qual->operator = text_at(item, 2);
		qual->comparison = text_at(item, 3);
		qual->list = (RvListUse) number_at(item, 4);
		qual->is_null = number_at(item, 5);
		qual->strict = number_at(item, 6);
		qual->value.expr = placeholder(number_at(item, 7));
		qual->threshold.expr = placeholder(number_at(item, 8));
		qual->args = quals_from_list(list_nth(item, 9));
		result = lappend(result, qual);
	}
	return result;
}

RvRequest *
rv_request_from_private(List *fdw_private, List *exprs)
{
	RvRequest  *request = palloc0(sizeof(RvRequest));
	List	   *flags = lfourth(fdw_private);
	ListCell   *cell;
	ListCell   *expr_cell;

	request->quals = quals_from_list(linitial(fdw_private));
	foreach(cell, (List *) lsecond(fdw_private))
	{
		List	   *item = lfirst(cell);
		RvKey	   *key = palloc0(sizeof(RvKey));

		key->attnum = (AttrNumber) number_at(item, 0);
		key->reversed = number_at(item, 1);
		key->nulls_first = number_at(item, 2);
		key->collation = number_at(item, 3) ? text_at(item, 4) : NULL;
		key->operator = *text_at(item, 5) ? text_at(item, 5) : NULL;
		key->query.expr = placeholder(key->operator != NULL);
		request->keys = lappend(request->keys, key);
	}
	foreach(cell, (List *) lthird(fdw_private))
		request->attrs = bms_add_member(request->attrs, intVal(lfirst(cell)));
	request->need_rowids = number_at(flags, 0);
	request->has_limit = number_at(flags, 1);
	request->limit.expr = placeholder(number_at(flags, 2));
	request->offset.expr = placeholder(number_at(flags, 3));
	request->limit.bound = request->limit.isnull = request->limit.expr == NULL;
	request->offset.bound = request->offset.isnull = request->offset.expr == NULL;

	forboth(cell, rv_request_operands(request), expr_cell, exprs)
	{
		RvOperand  *operand = lfirst(cell);
		Expr	   *expr = lfirst(expr_cell);

		operand->expr = expr;
		operand->type = exprType((Node *) expr);
		operand->bound = IsA(expr, Const);
		if (operand->bound)
		{
			operand->isnull = ((Const *) expr)->constisnull;
			operand->datum = ((Const *) expr)->constvalue;
		}
	}
	return request;
}
