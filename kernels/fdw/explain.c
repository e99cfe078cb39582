/* SPDX-License-Identifier: PostgreSQL
 *
 * explain.c: what EXPLAIN says of a scan: what was pushed down, in SQL, then what the wrapper itself has to say. What
 * is not pushed shows as PostgreSQL's own Filter, Sort and Limit.
 */
#include "postgres.h"

#include "fdw.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

#define VALUE_MAX_BYTES 64		/* a vector of 1536 numbers says nothing to a reader */

/* Parameters of the executor, as $n: their source is not known here, and ruleutils would look for it. */
static Node *
show_parameters(Node *node, void *context)
{
	if (node && IsA(node, Param))
	{
		Param	   *param = (Param *) copyObjectImpl(node);

		param->paramkind = PARAM_EXTERN;
		return (Node *) param;
	}
	return expression_tree_mutator(node, show_parameters, context);
}

static void
append_operand(StringInfo buffer, RvOperand *operand)
{
	Node	   *shown = show_parameters((Node *) operand->expr, NULL);
	char	   *text = deparse_expression(shown, NIL, false, false);
	int			length = strlen(text);
	const char *cast;
	int			head;

	if (length <= VALUE_MAX_BYTES)
	{
		appendStringInfoString(buffer, text);
		return;
	}
	head = pg_mbcliplen(text, length, VALUE_MAX_BYTES / 2);
	cast = strstr(text + head, "'::");
	appendStringInfo(buffer, "%.*s...%s", head, text, cast ? cast : "");
}

static void
append_column(StringInfo buffer, TupleDesc desc, AttrNumber attnum)
{
	appendStringInfoString(buffer, quote_identifier(NameStr(TupleDescAttr(desc, attnum - 1)->attname)));
}

static void
append_qual(StringInfo buffer, TupleDesc desc, RvQual *qual)
{
	ListCell   *cell;

	appendStringInfoChar(buffer, '(');
	switch (qual->kind)
	{
		case RV_QUAL_OP:
			append_column(buffer, desc, qual->attnum);
			appendStringInfo(buffer, " %s ", qual->operator);
			if (qual->list != RV_LIST_NONE)
				appendStringInfoString(buffer, qual->list == RV_LIST_ANY ? "ANY (" : "ALL (");
			append_operand(buffer, &qual->value);
			if (qual->list != RV_LIST_NONE)
				appendStringInfoChar(buffer, ')');
			break;
		case RV_QUAL_NULL:
			append_column(buffer, desc, qual->attnum);
			appendStringInfoString(buffer, qual->is_null ? " IS NULL" : " IS NOT NULL");
			break;
		case RV_QUAL_DISTANCE:
			appendStringInfoChar(buffer, '(');
			append_column(buffer, desc, qual->attnum);
			appendStringInfo(buffer, " %s ", qual->operator);
			append_operand(buffer, &qual->value);
			appendStringInfo(buffer, ") %s ", qual->comparison);
			append_operand(buffer, &qual->threshold);
			break;
		case RV_QUAL_AND:
		case RV_QUAL_OR:
			foreach(cell, qual->args)
			{
				if (cell != list_head(qual->args))
					appendStringInfoString(buffer, qual->kind == RV_QUAL_AND ? " AND " : " OR ");
				append_qual(buffer, desc, lfirst(cell));
			}
			break;
	}
	appendStringInfoChar(buffer, ')');
}

static void
explain_quals(TupleDesc desc, List *quals, ExplainState *es)
{
	StringInfoData buffer;
	ListCell   *cell;

	if (quals == NIL)
		return;
	initStringInfo(&buffer);
	foreach(cell, quals)
	{
		if (buffer.len > 0)
			appendStringInfoString(&buffer, " AND ");
		append_qual(&buffer, desc, lfirst(cell));
	}
	ExplainPropertyText("Filter pushed", buffer.data, es);
}

static void
explain_order(TupleDesc desc, List *keys, ExplainState *es)
{
	StringInfoData buffer;
	ListCell   *cell;

	if (keys == NIL)
		return;
	initStringInfo(&buffer);
	foreach(cell, keys)
	{
		RvKey	   *key = lfirst(cell);

		if (buffer.len > 0)
			appendStringInfoString(&buffer, ", ");
		if (key->operator)
			appendStringInfoChar(&buffer, '(');
		append_column(&buffer, desc, key->attnum);
		if (key->operator)
		{
			appendStringInfo(&buffer, " %s ", key->operator);
			append_operand(&buffer, &key->query);
			appendStringInfoChar(&buffer, ')');
		}
		if (key->reversed)
			appendStringInfoString(&buffer, " DESC");
		if (key->nulls_first != key->reversed)
			appendStringInfoString(&buffer, key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	ExplainPropertyText("Order By pushed", buffer.data, es);
}

static void
explain_limit(const char *label, RvOperand *operand, ExplainState *es)
{
	StringInfoData buffer;

	if (!operand->expr)
		return;
	initStringInfo(&buffer);
	if (operand->bound && !operand->isnull)
		appendStringInfo(&buffer, INT64_FORMAT, DatumGetInt64(operand->datum));
	else
		append_operand(&buffer, operand);
	ExplainPropertyText(label, buffer.data, es);
}

void
rv_explain_scan(ForeignScanState *node, ExplainState *es)
{
	RvScan	   *scan = node->fdw_state;
	TupleDesc	desc = RelationGetDescr(node->ss.ss_currentRelation);
	List	   *lines = rv_py_explain(scan->instance, desc, scan->request, es->verbose);
	ListCell   *cell;

	if (rv_instance_extended(scan->instance))
	{
		explain_order(desc, scan->request->keys, es);
		explain_limit("Limit pushed", &scan->request->limit, es);
		explain_limit("Offset pushed", &scan->request->offset, es);
		explain_quals(desc, scan->request->quals, es);
	}
	for (cell = list_head(lines); cell; cell = lnext(lines, lnext(lines, cell)))
		ExplainPropertyText(lfirst(cell), lfirst(lnext(lines, cell)), es);
}
