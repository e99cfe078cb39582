/* SPDX-License-Identifier: PostgreSQL
 *
 * py_convert.c: Python objects as SQL values of a given type.
 *
 * The common types are made from the object itself. Everything else, and an object that is not of the expected class,
 * goes through a text form and the type's input function, so that whatever Multicorn accepts is accepted: numbers by
 * str(), bytes as they are, a mapping as hstore, dates by isoformat(), lists as arrays. Modifiers (varchar(3)) and
 * domains are checked, because the type's or the domain's own functions have the last word.
 */
#include "postgres.h"

#include <math.h>

#include "py.h"

#include <datetime.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "types/halfvec.h"
#include "types/ruvector.h"
#include "types/sparsevec.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

/* ---- vectors ---------------------------------------------------------------------------------------------- */

static void
check_dims(const char *name, int32 typmod, Py_ssize_t dims, int max)
{
	if (dims < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s must have at least 1 dimension", name)));
	if (dims > max)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("%s cannot have more than %d dimensions", name, max)));
	if (typmod != -1 && typmod != dims)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION), errmsg("expected %d dimensions, not %d", typmod, (int) dims),
				 errhint("The foreign table's column is declared as %s(%d), and its source has vectors of %d dimensions.", name,
						 typmod, (int) dims)));
}

static void
refuse_element(const char *name, bool nan)
{
	if (nan)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("NaN not allowed in %s", name)));
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("infinite value not allowed in %s", name)));
}

Datum
rv_vector_datum(RvType *type, const float *values, Py_ssize_t dims)
{
	RuVector   *vector;

	check_dims("ruvector", type->base_typmod, dims, RUVECTOR_MAX_DIM);
	vector = palloc(RUVECTOR_SIZE(dims));
	SET_VARSIZE(vector, RUVECTOR_SIZE(dims));
	vector->dim = (int16) dims;
	vector->unused = 0;
	memcpy(vector->x, values, sizeof(float) * dims);
	for (Py_ssize_t i = 0; i < dims; i++)
		if (unlikely(!isfinite(vector->x[i])))
			refuse_element("ruvector", isnan(vector->x[i]));
	return PointerGetDatum(vector);
}

Datum
rv_halfvec_datum(RvType *type, const uint16 *values, Py_ssize_t dims)
{
	HalfVec    *vector;

	check_dims("halfvec", type->base_typmod, dims, HALFVEC_MAX_DIM);
	vector = palloc(HALFVEC_SIZE(dims));
	SET_VARSIZE(vector, HALFVEC_SIZE(dims));
	vector->dim = (int16) dims;
	vector->unused = 0;
	memcpy(vector->x, values, sizeof(uint16) * dims);
	for (Py_ssize_t i = 0; i < dims; i++)
		if (unlikely((values[i] & 0x7c00) == 0x7c00))	/* all exponent bits: infinite, or NaN with a fraction */
			refuse_element("halfvec", (values[i] & 0x03ff) != 0);
	return PointerGetDatum(vector);
}

/* Calls use with the elements of object as a packed 1-d array of dtype, whatever sequence or array it is. */
static void
packed_view(PyObject *object, const char *dtype, Py_buffer *view)
{
	PyObject   *convert = rv_py_attribute("numpy", "ascontiguousarray");
	PyObject   *array = rv_own(PyObject_CallFunction(convert, "Os", object, dtype));

	if (PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS) < 0)
		rv_py_raise();
	PyBuffer_Release(view);		/* the array is owned by the run and keeps its bytes in place */
	if (view->ndim != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a vector must be one-dimensional, not %d-dimensional", view->ndim)));
}

static Datum
sparsevec_from_python(RvType *type, PyObject *object)
{
	PyObject   *dim = rv_own(PyObject_GetAttrString(object, "dim"));
	PyObject   *indices_object = rv_own(PyObject_GetAttrString(object, "indices"));
	PyObject   *values_object = rv_own(PyObject_GetAttrString(object, "values"));
	long		dims = PyLong_AsLong(dim);
	Py_buffer	indices;
	Py_buffer	values;
	Py_ssize_t	nnz;
	SparseVec  *vector;
	float	   *x;

	if (dims == -1 && PyErr_Occurred())
		rv_py_raise();
	packed_view(indices_object, "int32", &indices);
	packed_view(values_object, "float32", &values);
	nnz = values.len / (Py_ssize_t) sizeof(float);
	check_dims("sparsevec", type->base_typmod, dims, SPARSEVEC_MAX_DIM);
	if (nnz != indices.len / (Py_ssize_t) sizeof(int32))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec has %zd values at %zd indices", (ssize_t) nnz,
														  (ssize_t) (indices.len / (Py_ssize_t) sizeof(int32)))));
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ)));
	vector = palloc0(SPARSEVEC_SIZE(nnz));
	SET_VARSIZE(vector, SPARSEVEC_SIZE(nnz));
	vector->dim = (int32) dims;
	vector->nnz = (int32) nnz;
	memcpy(vector->indices, indices.buf, sizeof(int32) * nnz);
	x = SPARSEVEC_VALUES(vector);
	memcpy(x, values.buf, sizeof(float) * nnz);
	for (Py_ssize_t i = 0; i < nnz; i++)
	{
		if (!isfinite(x[i]))
			refuse_element("sparsevec", isnan(x[i]));
		if (x[i] == 0)
			ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("sparsevec cannot store a zero value")));
		if (vector->indices[i] < 0 || vector->indices[i] >= dims ||
			(i > 0 && vector->indices[i] <= vector->indices[i - 1]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec indices must be in ascending order and within its dimensions")));
	}
	return PointerGetDatum(vector);
}

/* ---- text forms ------------------------------------------------------------------------------------------- */

static void append_text(StringInfo buffer, PyObject *object, bool quote);

static void
append_quoted(StringInfo buffer, const char *text, Py_ssize_t length, bool quote)
{
	if (!quote)
	{
		appendBinaryStringInfo(buffer, text, (int) length);
		return;
	}
	appendStringInfoChar(buffer, '"');
	for (Py_ssize_t i = 0; i < length; i++)
	{
		if (text[i] == '"' || text[i] == '\\')
			appendStringInfoChar(buffer, '\\');
		appendStringInfoChar(buffer, text[i]);
	}
	appendStringInfoChar(buffer, '"');
}

/* hstore's text form; as in Multicorn, None is an empty value. */
static void
append_mapping(StringInfo buffer, PyObject *object)
{
	PyObject   *items = rv_own(PyMapping_Items(object));

	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++)
	{
		PyObject   *item = PyList_GET_ITEM(items, i);

		if (i > 0)
			appendStringInfoString(buffer, ", ");
		append_text(buffer, rv_own(PySequence_GetItem(item, 0)), true);
		appendStringInfoString(buffer, "=>");
		append_text(buffer, rv_own(PySequence_GetItem(item, 1)), true);
	}
}

static void
append_text(StringInfo buffer, PyObject *object, bool quote)
{
	Py_ssize_t	length;
	char	   *text;

	if (object == Py_None)
		return;
	if (PyBytes_Check(object))
		append_quoted(buffer, PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object), quote);
	else if (PyDict_Check(object) || (PyMapping_Check(object) && !PySequence_Check(object) && !PyNumber_Check(object)))
		append_mapping(buffer, object);
	else
	{
		if (PyDate_Check(object) || PyTime_Check(object))
			object = rv_py_call(object, "isoformat", "()");
		text = rv_c_string_len(object, &length);
		append_quoted(buffer, text, length, quote && !PyNumber_Check(object));
	}
}

static Datum
through_text(RvType *type, PyObject *object)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	if (PyDelta_Check(object))
		appendStringInfo(&buffer, "%d days %d seconds %d microseconds", PyDateTime_DELTA_GET_DAYS(object),
						 PyDateTime_DELTA_GET_SECONDS(object), PyDateTime_DELTA_GET_MICROSECONDS(object));
	else
		append_text(&buffer, object, false);
	if (!OidIsValid(type->input.fn_oid))
	{
		Oid			function;

		getTypeInputInfo(type->type, &function, &type->ioparam);
		fmgr_info_cxt(function, &type->input, type->context);
	}
	return InputFunctionCall(&type->input, buffer.data, type->ioparam, type->typmod);
}

/* ---- arrays ----------------------------------------------------------------------------------------------- */

static bool
is_list(PyObject *object)
{
	return PySequence_Check(object) && !PyUnicode_Check(object) && !PyBytes_Check(object) && !PyByteArray_Check(object);
}

typedef struct ArrayWork
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			size;
	int			ndim;
	int			dims[MAXDIM];
} ArrayWork;

static void
array_collect(RvType *type, PyObject *object, ArrayWork *work, int level)
{
	Py_ssize_t	length = PySequence_Size(object);

	if (length < 0)
		rv_py_raise();
	if (length != work->dims[level])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("multidimensional arrays must have sub-arrays with matching dimensions")));
	for (Py_ssize_t i = 0; i < length; i++)
	{
		int			mark = rv_own_mark();
		PyObject   *item = rv_own(PySequence_GetItem(object, i));

		if (level + 1 < work->ndim)
		{
			if (!is_list(item))
				ereport(ERROR,
						(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						 errmsg("multidimensional arrays must have sub-arrays with matching dimensions")));
			array_collect(type, item, work, level + 1);
		}
		else
		{
			if (work->count == work->size)
			{
				work->size *= 2;
				work->values = repalloc(work->values, sizeof(Datum) * work->size);
				work->nulls = repalloc(work->nulls, sizeof(bool) * work->size);
			}
			work->values[work->count] = rv_from_python(type->element, item, &work->nulls[work->count]);
			work->count++;
		}
		rv_own_release(mark);
	}
}

static Datum
array_from_python(RvType *type, PyObject *object)
{
	ArrayWork	work = {.size = 64};
	int			lower[MAXDIM];
	PyObject   *level = object;
	bool		atomic_lists = type->element->kind == RV_AS_VECTOR || type->element->kind == RV_AS_HALFVEC;

	if (PyObject_HasAttrString(object, "tolist") && !atomic_lists)
		level = object = rv_py_call(object, "tolist", "()");
	for (;;)
	{
		Py_ssize_t	length = PySequence_Size(level);

		if (length < 0)
			rv_py_raise();
		if (work.ndim == MAXDIM)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("number of array dimensions exceeds the maximum allowed (%d)", MAXDIM)));
		lower[work.ndim] = 1;
		work.dims[work.ndim++] = (int) length;
		if (length == 0)
			return PointerGetDatum(construct_empty_array(type->element->type));
		level = rv_own(PySequence_GetItem(level, 0));
		if (!is_list(level) || atomic_lists || type->element->kind == RV_AS_JSON)
			break;
	}
	work.values = palloc(sizeof(Datum) * work.size);
	work.nulls = palloc(sizeof(bool) * work.size);
	array_collect(type, object, &work, 0);
	return PointerGetDatum(construct_md_array(work.values, work.nulls, work.ndim, work.dims, lower, type->element->type,
											  type->element->typlen, type->element->typbyval, type->element->typalign));
}

/* ---- all -------------------------------------------------------------------------------------------------- */

static Datum
integer_datum(RvType *type, PyObject *object)
{
	PyObject   *number = PyLong_Check(object) ? object : rv_own(PyNumber_Index(object));
	int			overflow;
	long long	value = PyLong_AsLongLongAndOverflow(number, &overflow);

	if (type->kind == RV_AS_INT8 && !overflow)
		return Int64GetDatum(value);
	if (type->kind == RV_AS_INT4 && !overflow && value >= PG_INT32_MIN && value <= PG_INT32_MAX)
		return Int32GetDatum((int32) value);
	if (type->kind == RV_AS_INT2 && !overflow && value >= PG_INT16_MIN && value <= PG_INT16_MAX)
		return Int16GetDatum((int16) value);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value \"%s\" is out of range for type %s", rv_c_string(number), format_type_be(type->base))));
}

/* Whether numpy made this truth value (its class does not derive from bool). */
static bool
is_bool(PyObject *object)
{
	return PyBool_Check(object) || strncmp(Py_TYPE(object)->tp_name, "numpy.bool", 10) == 0;
}

/* Sets *done to false when the object is none that the kind has a short way for. */
static Datum
direct(RvType *type, PyObject *object, bool *done)
{
	double		number;
	Py_buffer	view;

	*done = true;
	switch (type->kind)
	{
		case RV_AS_BOOL:
			if (is_bool(object))
				return BoolGetDatum(PyObject_IsTrue(object) == 1);
			break;
		case RV_AS_INT2:
		case RV_AS_INT4:
		case RV_AS_INT8:
			if (PyIndex_Check(object))
				return integer_datum(type, object);
			break;
		case RV_AS_FLOAT4:
		case RV_AS_FLOAT8:
			if (PyUnicode_Check(object) || PyBytes_Check(object) || !PyNumber_Check(object))
				break;
			number = PyFloat_AsDouble(object);
			if (number == -1.0 && PyErr_Occurred())
				rv_py_raise();
			if (type->kind == RV_AS_FLOAT8)
				return Float8GetDatum(number);
			if (isfinite(number) && isinf((float) number))
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("value out of range: overflow")));
			return Float4GetDatum((float) number);
		case RV_AS_STRING:
			if (type->base_typmod < 0 && PyUnicode_Check(object))
			{
				Py_ssize_t	length;
				char	   *text = rv_c_string_len(object, &length);

				return PointerGetDatum(cstring_to_text_with_len(text, (int) length));
			}
			break;
		case RV_AS_BYTEA:
			if (PyUnicode_Check(object) && !type->extended)
			{
				/* Multicorn takes the text itself for the bytes */
				Py_ssize_t	length;
				char	   *text = rv_c_string_len(object, &length);

				return PointerGetDatum(cstring_to_text_with_len(text, (int) length));
			}
			if (!PyObject_CheckBuffer(object))
				break;
			if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0)
				rv_py_raise();
			if (view.len > (Py_ssize_t) (MaxAllocSize - VARHDRSZ))
			{
				PyBuffer_Release(&view);
				ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("bytea value is too long")));
			}
			{
				Datum		datum = PointerGetDatum(cstring_to_text_with_len(view.buf, (int) view.len));

				PyBuffer_Release(&view);
				return datum;
			}
		case RV_AS_UUID:
			if (PyObject_HasAttrString(object, "bytes"))
			{
				PyObject   *bytes = rv_own(PyObject_GetAttrString(object, "bytes"));
				pg_uuid_t  *uuid;

				if (!PyBytes_Check(bytes) || PyBytes_GET_SIZE(bytes) != UUID_LEN)
					break;
				uuid = palloc(sizeof(pg_uuid_t));
				memcpy(uuid->data, PyBytes_AS_STRING(bytes), UUID_LEN);
				return UUIDPGetDatum(uuid);
			}
			break;
		case RV_AS_JSON:
			if (!type->extended && (PyUnicode_Check(object) || PyBytes_Check(object)))
				break;			/* Multicorn: the text of the document */
			object = rv_own(PyObject_CallFunctionObjArgs(rv_py_attribute("ruvector_fdw.jsontext", "dumps"), object, NULL));
			return through_text(type, object);
		case RV_AS_ARRAY:
			if (is_list(object))
				return array_from_python(type, object);
			break;
		case RV_AS_VECTOR:
			if (PyUnicode_Check(object) || PyBytes_Check(object))
				break;
			packed_view(object, "float32", &view);
			return rv_vector_datum(type, view.buf, view.len / (Py_ssize_t) sizeof(float));
		case RV_AS_HALFVEC:
			if (PyUnicode_Check(object) || PyBytes_Check(object))
				break;
			packed_view(object, "float16", &view);
			return rv_halfvec_datum(type, view.buf, view.len / (Py_ssize_t) sizeof(uint16));
		case RV_AS_SPARSEVEC:
			if (PyObject_HasAttrString(object, "indices"))
				return sparsevec_from_python(type, object);
			break;
		default:
			break;
	}
	*done = false;
	return (Datum) 0;
}

Datum
rv_from_python(RvType *type, PyObject *object, bool *isnull)
{
	Datum		datum;
	bool		done;

	if (!PyDateTimeAPI)
	{
		PyDateTime_IMPORT;
		if (!PyDateTimeAPI)
			rv_py_raise();
	}
	*isnull = object == Py_None;
	if (*isnull)
		datum = (Datum) 0;
	else
	{
		datum = direct(type, object, &done);
		if (!done)
			return through_text(type, object);	/* checks a domain by itself */
	}
	if (type->type != type->base)
		domain_check(datum, *isnull, type->type, &type->domain_cache, type->context);
	return datum;
}
