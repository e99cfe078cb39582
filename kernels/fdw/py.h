/* SPDX-License-Identifier: PostgreSQL
 *
 * py.h: what the py_*.c files share, the only ones that include Python.h.
 *
 * Every entry from PostgreSQL runs inside rv_py_run. Inside:
 *  - the GIL is held; a new reference goes to rv_own at once, and the run drops it at its end, however it ends;
 *  - a Python exception becomes an ERROR with rv_py_raise (rv_own does so for NULL), allowed because rv_py_run is the
 *    outermost C frame: no Python frame is above it that a longjmp could cut off. For the same reason functions that
 *    Python calls (py_host.c) never let an ERROR out, they raise a Python exception.
 */
#ifndef RV_PY_H
#define RV_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fdw.h"

/* ---- py_host.c -------------------------------------------------------------------------------------------- */

/* Starts the interpreter if need be, takes the GIL and calls body(arg). */
extern void rv_py_run(void (*body) (void *arg), void *arg);
/* The same for the end of a transaction: an ERROR from body becomes a WARNING. */
extern void rv_py_run_quiet(void (*body) (void *arg), void *arg);
/* Takes the GIL to drop one reference outside of a run; for memory-context callbacks. */
extern void rv_py_drop(PyObject *object);

/* Takes over a new reference until the run ends; NULL raises the pending exception. */
extern PyObject *rv_own(PyObject *object);
/* Lets go of what was owned since mark, in loops. */
extern int	rv_own_mark(void);
extern void rv_own_release(int mark);

/* A borrowed reference to module.name, imported once. */
extern PyObject *rv_py_attribute(const char *module, const char *name);
extern PyObject *rv_py_call(PyObject *object, const char *method, const char *format,...);	/* owned */

/* ---- py_builtin.c: module _ruvector_host ------------------------------------------------------------------------- */

extern PyObject *rv_py_host_module(void);
extern ErrorData *rv_py_interrupt;	/* the error that check_interrupts met, to be thrown when Python has unwound */
extern PyObject *rv_py_interrupt_class;
extern Oid	rv_py_user;			/* whom the instance that is being made is for; invalid: the current role */

/* ---- py_error.c ------------------------------------------------------------------------------------------- */

extern void rv_py_raise(void) __attribute__((noreturn));

/* ---- py_convert.c, py_datum.c -------------------------------------------------------------------------------- */

typedef enum RvAs
{
	RV_AS_TEXT,				/* through the type's text form */
	RV_AS_BOOL, RV_AS_INT2, RV_AS_INT4, RV_AS_INT8, RV_AS_FLOAT4, RV_AS_FLOAT8, RV_AS_NUMERIC,
	RV_AS_STRING, RV_AS_BPCHAR, RV_AS_BYTEA, RV_AS_DATE, RV_AS_TIME, RV_AS_TIMESTAMP, RV_AS_TIMESTAMPTZ,
	RV_AS_INTERVAL, RV_AS_UUID, RV_AS_JSON, RV_AS_ARRAY, RV_AS_VECTOR, RV_AS_HALFVEC, RV_AS_SPARSEVEC
} RvAs;

typedef struct RvType
{
	Oid			type;
	int32		typmod;
	Oid			base;			/* under domains */
	int32		base_typmod;
	RvAs		kind;
	bool		extended;		/* our protocol's values where it differs from Multicorn's */
	FmgrInfo	input;			/* looked up when first used, with ioparam */
	FmgrInfo	output;			/* likewise */
	Oid			ioparam;
	struct RvType *element;		/* of ARRAY */
	int16		typlen;
	bool		typbyval;
	char		typalign;
	void	   *domain_cache;
	MemoryContext context;
} RvType;

/* In the current memory context. Reads the catalogs. */
extern RvType *rv_type(Oid type, int32 typmod, bool extended);
/* rv_type for each column; NULL for dropped ones. */
extern RvType **rv_types(TupleDesc desc, bool extended);

extern PyObject *rv_to_python(RvType *type, Datum datum, bool isnull);	/* owned */
/* Sets *isnull for None. column names the value in errors, may be NULL. */
extern Datum rv_from_python(RvType *type, PyObject *object, bool *isnull);
/* A vector from `dims` packed floats, checked for the typmod and finite values. */
extern Datum rv_vector_datum(RvType *type, const float *values, Py_ssize_t dims);
extern Datum rv_halfvec_datum(RvType *type, const uint16 *values, Py_ssize_t dims);
/* A new numpy array of rows x columns, or of one dimension when rows is negative; *data is where to write. Owned. */
extern PyObject *rv_numpy(const char *dtype, Py_ssize_t rows, Py_ssize_t columns, void **data);

extern PyObject *rv_py_string(const char *string);	/* server encoding; owned */
extern PyObject *rv_py_string_len(const char *string, Py_ssize_t length);
extern char *rv_c_string(PyObject *object);	/* str or any object by str(); palloc'd, server encoding */
extern char *rv_c_string_len(PyObject *object, Py_ssize_t *length);

/* ---- py_instance.c, py_request.c ------------------------------------------------------------------------------- */

struct RvInstance
{
	Oid			relid;
	Oid			userid;
	PyObject   *object;
	bool		extended;
	bool		valid;			/* the catalogs have not changed since fingerprint was taken */
	bool		current;		/* what rv_instance_get hands out */
	int			xact_depth;		/* nesting level that Python knows of; 0: not in this transaction */
	int			holds;			/* memory contexts that keep it */
	char	   *fingerprint;	/* options and columns */
	struct RvInstance *next;
};

extern PyObject *rv_py_options(List *options, const char *without);	/* dict; owned */
extern PyObject *rv_py_columns(RvRequest *request, TupleDesc desc, bool ordered);	/* tuple or set of names; owned */
extern PyObject *rv_py_quals(List *quals, TupleDesc desc, bool extended);	/* list; owned */
extern PyObject *rv_py_qual(RvQual *qual, TupleDesc desc, bool extended);	/* owned */
extern PyObject *rv_py_keys(List *keys, TupleDesc desc);	/* list; owned */
extern PyObject *rv_py_request(RvRequest *request, TupleDesc desc);	/* SearchRequest; owned */
extern PyObject *rv_py_limit(RvOperand *operand);	/* int, None or UNBOUND; owned */
extern PyObject *rv_py_column_definitions(Oid relid, TupleDesc desc);	/* dict; owned */

/* ---- py_batch.c: rows in columns, both ways -------------------------------------------------------------------- */

typedef struct RvBatch RvBatch;

/* In the current memory context; attrs: the columns to read. */
extern RvBatch *rv_batch_new(TupleDesc desc, RvType **types, Bitmapset *attrs);
/* Takes a Batch object in place of the one before; inside a run. */
extern void rv_batch_load(RvBatch *batch, PyObject *object);
/* Drops what is loaded; inside a run, or with nothing loaded. */
extern void rv_batch_unload(RvBatch *batch);
extern int64 rv_batch_count(RvBatch *batch);
/* Whether rv_batch_row needs no Python: every needed column is a plain array. */
extern bool rv_batch_is_plain(RvBatch *batch);
/* Fills a cleared virtual slot. */
extern void rv_batch_row(RvBatch *batch, int64 row, TupleTableSlot *slot);
/* A Batch object of these rows; attrs NULL: every column. Owned; inside a run. */
extern PyObject *rv_batch_from_slots(TupleDesc desc, RvType **types, Bitmapset *attrs, TupleTableSlot **slots,
									 int count);

/* A dict or sequence as a row, Multicorn's forms; inside a run. attrs NULL: every column. */
extern void rv_row_from_python(TupleDesc desc, RvType **types, Bitmapset *attrs, PyObject *row, TupleTableSlot *slot);

#define RV_ROWID_MAX		((UINT64CONST(1) << 47) - 1)
extern ItemPointerData rv_rowid_to_tid(int64 rowid);
extern int64 rv_tid_to_rowid(ItemPointer tid);

#endif							/* RV_PY_H */
