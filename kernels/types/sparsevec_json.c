/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec_json.c: sparsevec from a JSON object {"dim": n, "indices": [...], "values": [...]}, and to one. pgvector has no
 * such casts.
 *
 * Indices count from 1, as in the text form, and may come in any order; what is read is written as that text and parsed by
 * the type's input function, so the rules and the errors are the same.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "types/number.h"
#include "types/sparsevec.h"

RV_FUNCTION(rv_sparsevec_from_jsonb);
RV_FUNCTION(rv_sparsevec_to_jsonb);

extern Datum rv_sparsevec_in(PG_FUNCTION_ARGS);

/* The value of a key that the object must have. */
static JsonbValue *
need(Jsonb *json, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&json->root, key, (int) strlen(key), NULL);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb object without key \"%s\" to type sparsevec", key)));
	return value;
}

/* The digits of a number as it is. */
static char *
number_text(const JsonbValue *value, const char *key)
{
	if (value == NULL || value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb value that is not a number in key \"%s\" to type sparsevec", key)));
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

static char *
integer_text(const JsonbValue *value, const char *key)
{
	char	   *text = number_text(value, key);

	if (text[strspn(text, "-0123456789")] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast \"%s\" in key \"%s\" of a jsonb object to type sparsevec: it is not an integer", text, key)));
	return text;
}

static JsonbContainer *
need_array(Jsonb *json, const char *key)
{
	JsonbValue *value = need(json, key);

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb object whose key \"%s\" is not an array to type sparsevec", key)));
	return value->val.binary.data;
}

Datum
rv_sparsevec_from_jsonb(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_GETARG_JSONB_P(0);
	JsonbContainer *indices;
	JsonbContainer *values;
	StringInfoData text;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb value that is not an object to type sparsevec")));
	indices = need_array(json, "indices");
	values = need_array(json, "values");
	if (JsonContainerSize(indices) != JsonContainerSize(values))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot cast a jsonb object of %u indices and %u values to type sparsevec",
						JsonContainerSize(indices), JsonContainerSize(values))));

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (uint32 i = 0; i < JsonContainerSize(indices); i++)
		appendStringInfo(&text, "%s%s:%s", i > 0 ? "," : "",
						 integer_text(getIthJsonbValueFromContainer(indices, i), "indices"),
						 number_text(getIthJsonbValueFromContainer(values, i), "values"));
	appendStringInfo(&text, "}/%s", integer_text(need(json, "dim"), "dim"));
	return DirectFunctionCall3(rv_sparsevec_in, CStringGetDatum(text.data), ObjectIdGetDatum(InvalidOid),
							   PG_GETARG_DATUM(1));
}

Datum
rv_sparsevec_to_jsonb(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	char	   *values = palloc((Size) a->nnz * RV_FLOAT_ROOM + 1);
	char	   *end = rv_write_floats(SPARSEVEC_VALUES(a), a->nnz, values);
	StringInfoData text;

	/* Without the last comma */
	end[a->nnz > 0 ? -1 : 0] = '\0';
	initStringInfo(&text);
	appendStringInfo(&text, "{\"dim\": %d, \"indices\": [", a->dim);
	for (int i = 0; i < a->nnz; i++)
		appendStringInfo(&text, "%s%d", i > 0 ? "," : "", a->indices[i] + 1);
	appendStringInfo(&text, "], \"values\": [%s]}", values);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}
