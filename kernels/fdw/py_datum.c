/* SPDX-License-Identifier: PostgreSQL
 *
 * py_datum.c: what a SQL type is to Python, and SQL values as Python objects. The table of types is in
 * ruvector_fdw/request.py. Where our protocol gives more than Multicorn's (Decimal for numeric), RvType.extended
 * decides.
 *
 * Everything runs inside rv_py_run: references are owned by the run, catalog reads and output functions may raise.
 */
#include "postgres.h"

#include "py.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "catalog/dependency.h"
#include "mb/pg_wchar.h"
#include "types/ruvector.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#undef DATETIME_H				/* both headers named datetime.h have this guard */
#include <datetime.h>

static RvAs
vector_kind(Oid type)
{
	Oid			extension;
	char	   *extension_name;
	char	   *name;

	if (type < FirstNormalObjectId)
		return RV_AS_TEXT;
	extension = getExtensionOfObject(TypeRelationId, type);
	if (!OidIsValid(extension) || !(extension_name = get_extension_name(extension)))
		return RV_AS_TEXT;
	if (strcmp(extension_name, "ruvector") != 0 && strcmp(extension_name, "vector") != 0)
		return RV_AS_TEXT;
	name = format_type_extended(type, -1, 0);
	if (strrchr(name, '.'))
		name = strrchr(name, '.') + 1;
	if (strcmp(name, "ruvector") == 0 || strcmp(name, "vector") == 0)
		return RV_AS_VECTOR;
	if (strcmp(name, "halfvec") == 0)
		return RV_AS_HALFVEC;
	if (strcmp(name, "sparsevec") == 0)
		return RV_AS_SPARSEVEC;
	return RV_AS_TEXT;
}

static RvAs
kind_of(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return RV_AS_BOOL;
		case INT2OID:
			return RV_AS_INT2;
		case INT4OID:
			return RV_AS_INT4;
		case INT8OID:
			return RV_AS_INT8;
		case FLOAT4OID:
			return RV_AS_FLOAT4;
		case FLOAT8OID:
			return RV_AS_FLOAT8;
		case NUMERICOID:
			return RV_AS_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
			return RV_AS_STRING;
		case BPCHAROID:
			return RV_AS_BPCHAR;
		case BYTEAOID:
			return RV_AS_BYTEA;
		case DATEOID:
			return RV_AS_DATE;
		case TIMEOID:
			return RV_AS_TIME;
		case TIMESTAMPOID:
			return RV_AS_TIMESTAMP;
		case TIMESTAMPTZOID:
			return RV_AS_TIMESTAMPTZ;
		case INTERVALOID:
			return RV_AS_INTERVAL;
		case UUIDOID:
			return RV_AS_UUID;
		case JSONOID:
		case JSONBOID:
			return RV_AS_JSON;
		default:
			return OidIsValid(get_element_type(type)) ? RV_AS_ARRAY : vector_kind(type);
	}
}

RvType *
rv_type(Oid type, int32 typmod, bool extended)
{
	RvType	   *result = palloc0(sizeof(RvType));

	result->type = type;
	result->typmod = typmod;
	result->base_typmod = typmod;
	result->base = getBaseTypeAndTypmod(type, &result->base_typmod);
	result->kind = kind_of(result->base);
	result->extended = extended;
	result->context = CurrentMemoryContext;
	get_typlenbyvalalign(type, &result->typlen, &result->typbyval, &result->typalign);
	if (result->kind == RV_AS_ARRAY)
		result->element = rv_type(get_element_type(result->base), result->base_typmod, extended);
	return result;
}

RvType **
rv_types(TupleDesc desc, bool extended)
{
	RvType	  **types = palloc0(sizeof(RvType *) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			types[i] = rv_type(att->atttypid, att->atttypmod, extended);
	}
	return types;
}

/* ---- strings ---------------------------------------------------------------------------------------------- */

PyObject *
rv_py_string_len(const char *string, Py_ssize_t length)
{
	char	   *utf8 = pg_server_to_any(string, (int) length, PG_UTF8);
	PyObject   *object;

	object = PyUnicode_DecodeUTF8(utf8, utf8 == string ? length : (Py_ssize_t) strlen(utf8), "surrogateescape");
	if (utf8 != string)
		pfree(utf8);
	return rv_own(object);
}

PyObject *
rv_py_string(const char *string)
{
	return rv_py_string_len(string, strlen(string));
}

char *
rv_c_string_len(PyObject *object, Py_ssize_t *length)
{
	PyObject   *text = PyUnicode_Check(object) ? object : rv_own(PyObject_Str(object));
	PyObject   *bytes = rv_own(PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape"));
	char	   *utf8 = PyBytes_AS_STRING(bytes);
	Py_ssize_t	size = PyBytes_GET_SIZE(bytes);
	char	   *server;

	if (memchr(utf8, '\0', size))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a text value from Python contains a zero byte")));
	/* verifies, converts; returns its argument when there is nothing to convert */
	server = pg_any_to_server(utf8, (int) size, PG_UTF8);
	if (server == utf8)
		server = pnstrdup(utf8, size);
	*length = strlen(server);
	return server;
}

char *
rv_c_string(PyObject *object)
{
	Py_ssize_t	length;

	return rv_c_string_len(object, &length);
}

/* ---- arrays and vectors ------------------------------------------------------------------------------------- */

PyObject *
rv_numpy(const char *dtype, Py_ssize_t rows, Py_ssize_t columns, void **data)
{
	PyObject   *empty = rv_py_attribute("numpy", "empty");
	PyObject   *type = rv_py_attribute("numpy", dtype);
	PyObject   *array;
	Py_buffer	view;

	if (rows < 0)
		array = rv_own(PyObject_CallFunction(empty, "nO", columns, type));
	else
		array = rv_own(PyObject_CallFunction(empty, "(nn)O", rows, columns, type));
	if (PyObject_GetBuffer(array, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0)
		rv_py_raise();
	*data = view.buf;			/* stays where it is as long as the array lives */
	PyBuffer_Release(&view);
	return array;
}

static PyObject *
sparsevec_to_python(Datum datum)
{
	SparseVec  *vector = DatumGetSparseVec(datum);
	void	   *data;
	PyObject   *indices = rv_numpy("int32", -1, vector->nnz, &data);
	PyObject   *values;

	memcpy(data, vector->indices, sizeof(int32) * vector->nnz);
	values = rv_numpy("float32", -1, vector->nnz, &data);
	memcpy(data, SPARSEVEC_VALUES(vector), sizeof(float) * vector->nnz);
	return rv_own(PyObject_CallFunction(rv_py_attribute("ruvector_fdw.request", "SparseVector"), "iOO", vector->dim,
										indices, values));
}

static PyObject *
vector_to_python(RvType *type, Datum datum)
{
	void	   *data;
	PyObject   *array;

	if (type->kind == RV_AS_VECTOR)
	{
		RuVector   *vector = DatumGetRuVector(datum);

		array = rv_numpy("float32", -1, vector->dim, &data);
		memcpy(data, vector->x, sizeof(float) * vector->dim);
	}
	else
	{
		HalfVec    *vector = DatumGetHalfVec(datum);

		array = rv_numpy("float16", -1, vector->dim, &data);
		memcpy(data, vector->x, sizeof(rv_half) * vector->dim);
	}
	return array;
}

static PyObject *
array_level(RvType *element, Datum *values, bool *nulls, int ndim, const int *dims, int *at)
{
	PyObject   *list = rv_own(PyList_New(ndim == 0 ? 0 : dims[0]));

	for (int i = 0; ndim > 0 && i < dims[0]; i++)
	{
		int			mark = rv_own_mark();
		PyObject   *item;

		if (ndim > 1)
			item = array_level(element, values, nulls, ndim - 1, dims + 1, at);
		else
		{
			item = rv_to_python(element, values[*at], nulls[*at]);
			(*at)++;
		}
		Py_INCREF(item);
		PyList_SET_ITEM(list, i, item);
		rv_own_release(mark);
	}
	return list;
}

static PyObject *
array_to_python(RvType *type, Datum datum)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);
	RvType	   *element = type->element;
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			at = 0;

	deconstruct_array(array, ARR_ELEMTYPE(array), element->typlen, element->typbyval, element->typalign,
					  &values, &nulls, &count);
	return array_level(element, values, nulls, ARR_NDIM(array), ARR_DIMS(array), &at);
}

/* ---- dates ------------------------------------------------------------------------------------------------ */

static PyObject *
as_text(RvType *type, Datum datum)
{
	if (!OidIsValid(type->output.fn_oid))
	{
		Oid			function;
		bool		varlena;

		getTypeOutputInfo(type->type, &function, &varlena);
		fmgr_info_cxt(function, &type->output, type->context);
	}
	return rv_py_string(OutputFunctionCall(&type->output, datum));
}

static PyObject *
date_to_python(RvType *type, Datum datum)
{
	DateADT		date = DatumGetDateADT(datum);
	int			year,
				month,
				day;

	if (DATE_NOT_FINITE(date))
		return as_text(type, datum);
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (year < 1 || year > 9999)
		return as_text(type, datum);
	return rv_own(PyDate_FromDate(year, month, day));
}

static PyObject *
timestamp_to_python(RvType *type, Datum datum)
{
	Timestamp	timestamp = DatumGetTimestamp(datum);
	struct pg_tm tm;
	fsec_t		fsec;
	bool		utc = type->kind == RV_AS_TIMESTAMPTZ;

	if (TIMESTAMP_NOT_FINITE(timestamp) || timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0 ||
		tm.tm_year < 1 || tm.tm_year > 9999)
		return as_text(type, datum);
	return rv_own(PyDateTimeAPI->DateTime_FromDateAndTime(tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
														  tm.tm_sec, fsec, utc ? PyDateTime_TimeZone_UTC : Py_None,
														  PyDateTimeAPI->DateTimeType));
}

static PyObject *
time_to_python(RvType *type, Datum datum)
{
	TimeADT		time = DatumGetTimeADT(datum);

	if (time >= USECS_PER_DAY)
		return as_text(type, datum);	/* 24:00:00 */
	return rv_own(PyTime_FromTime((int) (time / USECS_PER_HOUR), (int) (time / USECS_PER_MINUTE % 60),
								  (int) (time / USECS_PER_SEC % 60), (int) (time % USECS_PER_SEC)));
}

static PyObject *
interval_to_python(RvType *type, Datum datum)
{
	Interval   *interval = DatumGetIntervalP(datum);
	int64		days = interval->day + interval->time / USECS_PER_DAY;
	int64		rest = interval->time % USECS_PER_DAY;

	if (interval->month != 0 || days < -999999998 || days > 999999998)
		return as_text(type, datum);
	/* days and hours are two fields: a timedelta, which has less than a day beside its days, may not bring them back */
	if (type->extended && (interval->time < 0 || interval->time >= USECS_PER_DAY))
		return as_text(type, datum);
	return rv_own(PyDelta_FromDSU((int) days, (int) (rest / USECS_PER_SEC), (int) (rest % USECS_PER_SEC)));
}

/* ---- all -------------------------------------------------------------------------------------------------- */

PyObject *
rv_to_python(RvType *type, Datum datum, bool isnull)
{
	if (isnull)
	{
		Py_INCREF(Py_None);
		return rv_own(Py_None);
	}
	if (!PyDateTimeAPI)
	{
		PyDateTime_IMPORT;
		if (!PyDateTimeAPI)
			rv_py_raise();
	}
	switch (type->kind)
	{
		case RV_AS_BOOL:
			return rv_own(PyBool_FromLong(DatumGetBool(datum)));
		case RV_AS_INT2:
			return rv_own(PyLong_FromLong(DatumGetInt16(datum)));
		case RV_AS_INT4:
			return rv_own(PyLong_FromLong(DatumGetInt32(datum)));
		case RV_AS_INT8:
			return rv_own(PyLong_FromLongLong(DatumGetInt64(datum)));
		case RV_AS_FLOAT4:
			return rv_own(PyFloat_FromDouble(DatumGetFloat4(datum)));
		case RV_AS_FLOAT8:
			return rv_own(PyFloat_FromDouble(DatumGetFloat8(datum)));
		case RV_AS_NUMERIC:
			{
				PyObject   *text = as_text(type, datum);

				if (type->extended)
					return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute("decimal", "Decimal"), text, NULL));
				return rv_own(PyFloat_FromString(text));
			}
		case RV_AS_STRING:
			{
				text	   *value = DatumGetTextPP(datum);

				return rv_py_string_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
			}
		case RV_AS_BPCHAR:
			{
				text	   *value = DatumGetTextPP(datum);

				return rv_py_string_len(VARDATA_ANY(value),
										bpchartruelen(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
			}
		case RV_AS_BYTEA:
			{
				bytea	   *value = DatumGetByteaPP(datum);

				return rv_own(PyBytes_FromStringAndSize(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
			}
		case RV_AS_DATE:
			return date_to_python(type, datum);
		case RV_AS_TIME:
			return time_to_python(type, datum);
		case RV_AS_TIMESTAMP:
		case RV_AS_TIMESTAMPTZ:
			return timestamp_to_python(type, datum);
		case RV_AS_INTERVAL:
			return interval_to_python(type, datum);
		case RV_AS_UUID:
			return rv_own(PyObject_CallFunction(rv_py_attribute("uuid", "UUID"), "Oy#", Py_None,
												(char *) DatumGetUUIDP(datum)->data, (Py_ssize_t) UUID_LEN));
		case RV_AS_JSON:
			return rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute(type->extended ? "ruvector_fdw.jsontext" : "json",
																	   "loads"), as_text(type, datum), NULL));
		case RV_AS_ARRAY:
			return array_to_python(type, datum);
		case RV_AS_VECTOR:
		case RV_AS_HALFVEC:
			return vector_to_python(type, datum);
		case RV_AS_SPARSEVEC:
			return sparsevec_to_python(datum);
		case RV_AS_TEXT:
			break;
	}
	return as_text(type, datum);
}
