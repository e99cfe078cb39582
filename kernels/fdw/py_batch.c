/* SPDX-License-Identifier: PostgreSQL
 *
 * py_batch.c: rows in columns. A Batch from a wrapper becomes rows of a slot one by one; slots that are inserted
 * together become a Batch.
 *
 * A column that is an array of a plain element type is read through the buffer protocol, without a Python object a
 * value; a batch in which every needed column is such an array is read without the GIL. The buffers are held, so the
 * arrays cannot be resized or freed meanwhile. Nothing in a batch is trusted: counts, shapes and formats are checked
 * when it is loaded.
 */
#include "postgres.h"

#include "py.h"

#include "access/tupdesc.h"
#include "types/halfvec.h"
#include "types/ruvector.h"

typedef enum Form
{
	FORM_ABSENT,				/* NULL in every row */
	FORM_OBJECTS,				/* a list or tuple */
	FORM_ITEMS,					/* anything else with elements */
	FORM_PLAIN,					/* 1-d buffer of numbers */
	FORM_VECTORS				/* 2-d buffer */
} Form;

typedef struct Column
{
	Form		form;
	char		format;			/* PLAIN: as in Python's struct module, sizes by itemsize */
	PyObject   *object;
	Py_buffer	view;
	Py_buffer	nulls;			/* buf NULL: none */
} Column;

struct RvBatch
{
	TupleDesc	desc;
	RvType	  **types;
	Bitmapset  *attrs;
	Column	   *columns;
	Column		rowids;
	int64		count;
	bool		loaded;
	bool		plain;
};

RvBatch *
rv_batch_new(TupleDesc desc, RvType **types, Bitmapset *attrs)
{
	RvBatch    *batch = palloc0(sizeof(RvBatch));

	batch->desc = desc;
	batch->types = types;
	batch->attrs = attrs;
	batch->columns = palloc0(sizeof(Column) * Max(desc->natts, 1));
	return batch;
}

static void
drop_column(Column *column)
{
	if (column->view.obj)
		PyBuffer_Release(&column->view);
	if (column->nulls.obj)
		PyBuffer_Release(&column->nulls);
	Py_CLEAR(column->object);
	memset(column, 0, sizeof(Column));
}

void
rv_batch_unload(RvBatch *batch)
{
	if (!batch->loaded)
		return;
	for (int i = 0; i < batch->desc->natts; i++)
		drop_column(&batch->columns[i]);
	drop_column(&batch->rowids);
	batch->loaded = false;
	batch->count = 0;
}

/* The letter of a native number format, or 0. */
static char
number_format(const Py_buffer *view)
{
	const char *format = view->format;

	if (!format)
		return 0;
	if (*format == '@' || *format == '=' || *format == '<')
		format++;
	if (format[0] == '\0' || format[1] != '\0' || !strchr("?bhilqfde", format[0]))
		return 0;
	return format[0];
}

static void __attribute__((noreturn))
refuse(const char *name, const char *what, int64 count, int64 expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_ERROR),
			 errmsg("column \"%s\" of a batch has %lld %s, not %lld", name, (long long) count, what,
					(long long) expected)));
}

static bool
format_fits(RvAs kind, char format)
{
	switch (kind)
	{
		case RV_AS_BOOL:
			return format == '?';
		case RV_AS_INT2:
		case RV_AS_INT4:
		case RV_AS_INT8:
			return strchr("bhilq", format) != NULL;
		case RV_AS_FLOAT4:
		case RV_AS_FLOAT8:
			return strchr("bhilqfd", format) != NULL;
		default:
			return false;
	}
}

static void
load_column(Column *column, PyObject *object, const char *name, RvAs kind, bool domain, int64 count)
{
	Py_ssize_t	length;
	char		format;

	Py_INCREF(object);
	column->object = object;
	column->form = PyList_Check(object) || PyTuple_Check(object) ? FORM_OBJECTS : FORM_ITEMS;
	if (column->form == FORM_ITEMS && PyObject_CheckBuffer(object))
	{
		if (PyObject_GetBuffer(object, &column->view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
			PyErr_Clear();		/* not contiguous: element by element */
		else
		{
			format = number_format(&column->view);
			if (column->view.ndim == 1 && format && format_fits(kind, format) && !domain)
				column->form = FORM_PLAIN;
			else if (column->view.ndim == 2 && !domain &&
					 ((kind == RV_AS_VECTOR && format == 'f') || (kind == RV_AS_HALFVEC && format == 'e')))
				column->form = FORM_VECTORS;
			column->format = format;
			if (column->form != FORM_ITEMS && column->view.shape[0] != count)
				refuse(name, "values", column->view.shape[0], count);
		}
	}
	if (column->form == FORM_ITEMS || column->form == FORM_OBJECTS)
	{
		length = PySequence_Size(object);
		if (length < 0)
			rv_py_raise();
		if (length != count)
			refuse(name, "values", length, count);
	}
}

static PyObject *
lookup(PyObject *mapping, PyObject *name)
{
	PyObject   *value;

	if (PyDict_Check(mapping))
	{
		value = PyDict_GetItemWithError(mapping, name);
		if (!value && PyErr_Occurred())
			rv_py_raise();
		return value;
	}
	value = PyObject_GetItem(mapping, name);
	if (!value)
	{
		if (!PyErr_ExceptionMatches(PyExc_KeyError))
			rv_py_raise();
		PyErr_Clear();
		return NULL;
	}
	return rv_own(value);
}

static void
load_nulls(Column *column, PyObject *nulls, const char *name, int64 count)
{
	if (PyObject_GetBuffer(nulls, &column->nulls, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0)
		rv_py_raise();
	if (column->nulls.itemsize != 1 || column->nulls.len != count)
		refuse(name, "bytes of null flags", column->nulls.len, count);
}

void
rv_batch_load(RvBatch *batch, PyObject *object)
{
	PyObject   *columns = rv_own(PyObject_GetAttrString(object, "columns"));
	PyObject   *nulls = rv_own(PyObject_GetAttrString(object, "nulls"));
	PyObject   *rowids = rv_own(PyObject_GetAttrString(object, "rowids"));
	PyObject   *count = rv_own(PyObject_GetAttrString(object, "count"));

	rv_batch_unload(batch);
	batch->loaded = true;
	batch->plain = true;
	batch->count = PyLong_AsLongLong(rv_own(PyNumber_Index(count)));
	if (batch->count < 0)
		batch->count = 0;
	for (int i = 0; i < batch->desc->natts; i++)
	{
		Column	   *column = &batch->columns[i];
		char	   *attname = NameStr(TupleDescAttr(batch->desc, i)->attname);
		PyObject   *name;
		PyObject   *data;

		if (!batch->types[i] || (batch->attrs && !bms_is_member(i + 1, batch->attrs)))
			continue;
		name = rv_py_string(attname);
		data = lookup(columns, name);
		if (!data || data == Py_None)
			continue;
		load_column(column, data, attname, batch->types[i]->kind, batch->types[i]->type != batch->types[i]->base,
					batch->count);
		data = lookup(nulls, name);
		if (data && data != Py_None)
			load_nulls(column, data, attname, batch->count);
		if (column->form == FORM_OBJECTS || column->form == FORM_ITEMS)
			batch->plain = false;
	}
	if (rowids != Py_None)
	{
		load_column(&batch->rowids, rowids, "rowids", RV_AS_INT8, false, batch->count);
		if (batch->rowids.form != FORM_PLAIN)
			batch->plain = false;
	}
}

int64
rv_batch_count(RvBatch *batch)
{
	return batch->count;
}

bool
rv_batch_is_plain(RvBatch *batch)
{
	return batch->plain;
}

/* ---- one row ---------------------------------------------------------------------------------------------- */

static bool
plain_is_float(char format)
{
	return format == 'f' || format == 'd';
}

static int64
plain_integer(const Column *column, int64 row)
{
	const char *at = (const char *) column->view.buf + row * column->view.itemsize;

	switch (column->view.itemsize)
	{
		case 1:
			return *(const int8 *) at;
		case 2:
			return *(const int16 *) at;
		case 4:
			return *(const int32 *) at;
		default:
			return *(const int64 *) at;
	}
}

static double
plain_float(const Column *column, int64 row)
{
	const char *at = (const char *) column->view.buf + row * column->view.itemsize;

	if (!plain_is_float(column->format))
		return (double) plain_integer(column, row);
	return column->view.itemsize == 4 ? (double) *(const float *) at : *(const double *) at;
}

static Datum
plain_datum(RvType *type, const Column *column, int64 row)
{
	int64		integer;

	if (type->kind == RV_AS_FLOAT8)
		return Float8GetDatum(plain_float(column, row));
	if (type->kind == RV_AS_FLOAT4)
		return Float4GetDatum((float) plain_float(column, row));
	integer = plain_integer(column, row);
	if (type->kind == RV_AS_BOOL)
		return BoolGetDatum(integer != 0);
	if (type->kind == RV_AS_INT8)
		return Int64GetDatum(integer);
	if (type->kind == RV_AS_INT4 && integer >= PG_INT32_MIN && integer <= PG_INT32_MAX)
		return Int32GetDatum((int32) integer);
	if (type->kind == RV_AS_INT2 && integer >= PG_INT16_MIN && integer <= PG_INT16_MAX)
		return Int16GetDatum((int16) integer);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("value \"%lld\" is out of range for its column", (long long) integer)));
}

static Datum
column_datum(RvType *type, const Column *column, int64 row, bool *isnull)
{
	int			mark;
	PyObject   *item;
	Datum		datum;

	*isnull = column->form == FORM_ABSENT || (column->nulls.buf && ((const char *) column->nulls.buf)[row]);
	if (*isnull)
		return (Datum) 0;
	switch (column->form)
	{
		case FORM_PLAIN:
			return plain_datum(type, column, row);
		case FORM_VECTORS:
			{
				Py_ssize_t	dims = column->view.shape[1];
				const char *at = (const char *) column->view.buf + row * dims * column->view.itemsize;

				if (type->kind == RV_AS_VECTOR)
					return rv_vector_datum(type, (const float *) at, dims);
				return rv_halfvec_datum(type, (const uint16 *) at, dims);
			}
		default:
			break;
	}
	mark = rv_own_mark();
	item = rv_own(PySequence_GetItem(column->object, row));
	datum = rv_from_python(type, item, isnull);
	rv_own_release(mark);
	return datum;
}

ItemPointerData
rv_rowid_to_tid(int64 rowid)
{
	ItemPointerData tid;

	if (rowid < 0 || rowid > (int64) RV_ROWID_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("row id %lld is not in [0, 2^47)", (long long) rowid)));
	/* offset 0 means an invalid pointer to PostgreSQL */
	ItemPointerSet(&tid, (BlockNumber) (rowid >> 15), (OffsetNumber) ((rowid & 0x7fff) + 1));
	return tid;
}

int64
rv_tid_to_rowid(ItemPointer tid)
{
	return ((int64) ItemPointerGetBlockNumberNoCheck(tid) << 15) | (ItemPointerGetOffsetNumberNoCheck(tid) - 1);
}

void
rv_batch_row(RvBatch *batch, int64 row, TupleTableSlot *slot)
{
	for (int i = 0; i < batch->desc->natts; i++)
		slot->tts_values[i] = column_datum(batch->types[i], &batch->columns[i], row, &slot->tts_isnull[i]);
	if (batch->rowids.form != FORM_ABSENT)
	{
		int64		rowid;

		if (batch->rowids.form == FORM_PLAIN)
			rowid = plain_integer(&batch->rowids, row);
		else
		{
			rowid = PyLong_AsLongLong(rv_own(PyNumber_Index(rv_own(PySequence_GetItem(batch->rowids.object, row)))));
			if (rowid == -1 && PyErr_Occurred())
				rv_py_raise();
		}
		slot->tts_tid = rv_rowid_to_tid(rowid);
	}
}

/* A mapping by class is read by name, whatever it has beside: a class with __getitem__ looks like a sequence to C. */
static bool
is_sequence(PyObject *row)
{
	int			mapping;

	if (PyList_Check(row) || PyTuple_Check(row))
		return true;
	if (PyDict_Check(row) || !PySequence_Check(row))
		return false;
	mapping = PyObject_IsInstance(row, rv_py_attribute("collections.abc", "Mapping"));
	if (mapping < 0)
		rv_py_raise();
	return mapping == 0;
}

void
rv_row_from_python(TupleDesc desc, RvType **types, Bitmapset *attrs, PyObject *row, TupleTableSlot *slot)
{
	bool		sequence = is_sequence(row);
	Py_ssize_t	at = 0;

	if (!sequence && !PyMapping_Check(row))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("Cannot transform anything else than mappings and sequences to rows")));
	for (int i = 0; i < desc->natts; i++)
	{
		PyObject   *item = NULL;

		slot->tts_values[i] = (Datum) 0;
		slot->tts_isnull[i] = true;
		if (!types[i])
			continue;
		if (sequence)
			item = rv_own(PySequence_GetItem(row, at++));
		else if (!attrs || bms_is_member(i + 1, attrs))
			item = lookup(row, rv_py_string(NameStr(TupleDescAttr(desc, i)->attname)));
		if (item && (!attrs || bms_is_member(i + 1, attrs)))
			slot->tts_values[i] = rv_from_python(types[i], item, &slot->tts_isnull[i]);
	}
}

/* ---- from slots ------------------------------------------------------------------------------------------- */

/* Vectors of one length without NULLs as one 2-d array, else NULL. */
static PyObject *
vectors_from_slots(RvType *type, int attribute, TupleTableSlot **slots, int count)
{
	RuVector  **vectors = palloc(sizeof(RuVector *) * count);
	void	   *data = NULL;
	PyObject   *array;

	for (int row = 0; row < count; row++)
	{
		bool		isnull;
		Datum		datum = slot_getattr(slots[row], attribute + 1, &isnull);

		if (isnull)
			return NULL;
		vectors[row] = DatumGetRuVector(datum);
		if (vectors[row]->dim != vectors[0]->dim)
			return NULL;
	}
	array = rv_numpy("float32", count, vectors[0]->dim, &data);
	for (int row = 0; row < count; row++)
		memcpy((float *) data + (size_t) row * vectors[0]->dim, vectors[row]->x, sizeof(float) * vectors[0]->dim);
	return array;
}

PyObject *
rv_batch_from_slots(TupleDesc desc, RvType **types, Bitmapset *attrs, TupleTableSlot **slots,
					int count)
{
	PyObject   *columns = rv_own(PyDict_New());

	for (int i = 0; i < desc->natts; i++)
	{
		PyObject   *column = NULL;

		if (!types[i] || (attrs && !bms_is_member(i + 1, attrs)) || TupleDescAttr(desc, i)->attgenerated == 'v')
			continue;
		if (types[i]->kind == RV_AS_VECTOR)
			column = vectors_from_slots(types[i], i, slots, count);
		if (!column)
		{
			column = rv_own(PyList_New(count));
			for (int row = 0; row < count; row++)
			{
				int			mark = rv_own_mark();
				bool		isnull;
				Datum		datum = slot_getattr(slots[row], i + 1, &isnull);
				PyObject   *item = rv_to_python(types[i], datum, isnull);

				Py_INCREF(item);
				PyList_SET_ITEM(column, row, item);
				rv_own_release(mark);
			}
		}
		if (PyDict_SetItem(columns, rv_py_string(NameStr(TupleDescAttr(desc, i)->attname)), column) < 0)
			rv_py_raise();
	}
	return rv_own(PyObject_CallFunction(rv_py_attribute("ruvector_fdw.request", "Batch"), "iO", count, columns));
}
