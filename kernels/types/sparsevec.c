/* SPDX-License-Identifier: PostgreSQL
 *
 * sparsevec.c: the type sparsevec: text and binary form, typmod, and the functions of one value. Casts are in
 * sparsevec_cast.c, distances in sparsevec_distance.c, order and aggregates in sparsevec_ops.c.
 *
 * Text is "{index:value,...}/dimensions" with indices from 1 in any order; zeros may be written and are dropped.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "compat.h"
#include "types/check.h"
#include "types/dense.h"
#include "types/number.h"
#include "types/sparsevec.h"

#define TYPE "sparsevec"

RV_FUNCTION(rv_sparsevec_in);
RV_FUNCTION(rv_sparsevec_out);
RV_FUNCTION(rv_sparsevec_typmod_in);
RV_FUNCTION(rv_sparsevec_recv);
RV_FUNCTION(rv_sparsevec_send);
RV_FUNCTION(rv_sparsevec_apply_typmod);
RV_FUNCTION(rv_sparsevec_dims);
RV_FUNCTION(rv_sparsevec_norm);
RV_FUNCTION(rv_sparsevec_normalize);

#define SYNTAX_ERROR(text) \
	(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("invalid input syntax for type " TYPE ": \"%s\"", text))

typedef struct Element
{
	int32		index;
	float		value;
} Element;

SparseVec *
sparsevec_new(int dim, int nnz)
{
	Size		size = SPARSEVEC_SIZE(nnz);
	SparseVec  *result = palloc(size);

	SET_VARSIZE(result, size);
	result->dim = dim;
	result->nnz = nnz;
	result->unused = 0;
	return result;
}

/* Indices from 0 ascend strictly and are within the dimensions. Checked one after the other, as they are read. */
static bool
check_index(const int32 *indices, int i, int dim, Node *escontext)
{
	if (indices[i] < 0 || indices[i] >= dim)
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("sparsevec index out of bounds")));
	if (i > 0 && indices[i] < indices[i - 1])
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("sparsevec indices must be in ascending order")));
	if (i > 0 && indices[i] == indices[i - 1])
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("sparsevec indices must not contain duplicates")));
	return true;
}

static int
compare_indices(const void *a, const void *b)
{
	int32		x = ((const Element *) a)->index;
	int32		y = ((const Element *) b)->index;

	return (x > y) - (x < y);
}

static const char *
skip_space(const char *p)
{
	while (rv_isspace(*p))
		p++;
	return p;
}

/* An integer as strtol reads it, held within int so that a later check can name it. NULL when none begins here. */
static const char *
read_int(const char *p, int *value)
{
	char	   *end;
	long		wide = strtol(p, &end, 10);

	if (end == p)
		return NULL;
	*value = (int) Max(Min(wide, INT_MAX), INT_MIN + 1);
	return end;
}

/* One "index:value" at *p, which is set past it. */
static bool
read_element(const char **p, const char *limit, const char *text, Element *element, Node *escontext)
{
	const char *at = skip_space(*p);
	const char *end;
	int			index;

	if (*at == '\0' || (at = read_int(at, &index)) == NULL)
		rv_soft_return(escontext, false, SYNTAX_ERROR(text));
	at = skip_space(at);
	if (*at != ':')
		rv_soft_return(escontext, false, SYNTAX_ERROR(text));
	at = skip_space(at + 1);
	switch (rv_read_float(at, limit, &end, &element->value))
	{
		case RV_NUMBER_NONE:
			rv_soft_return(escontext, false, SYNTAX_ERROR(text));
		case RV_NUMBER_LARGE:
		case RV_NUMBER_SMALL:
			rv_soft_return(escontext, false,
						   (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("\"%s\" is out of range for type " TYPE, pnstrdup(at, end - at))));
		case RV_NUMBER_OK:
			break;
	}
	if (!rv_check_element(TYPE, element->value, escontext))
		return false;
	element->index = index - 1;
	*p = skip_space(end);
	return true;
}

/* The part in braces; *p is set past it. Returns how many elements are not zero, -1 after a soft error. */
static int
read_elements(const char **p, const char *limit, const char *text, Element *elements, Node *escontext)
{
	const char *at = skip_space(*p);
	int			nnz = 0;

	if (*at != '{')
		rv_soft_return(escontext, -1,
					   (SYNTAX_ERROR(text),
						errdetail("Vector contents must start with \"{\".")));
	at = skip_space(at + 1);
	if (*at == '}')
	{
		*p = at + 1;
		return 0;
	}
	for (;;)
	{
		if (!read_element(&at, limit, text, &elements[nnz], escontext))
			return -1;
		nnz += elements[nnz].value != 0;
		if (*at == '}')
			break;
		if (*at != ',')
			rv_soft_return(escontext, -1, SYNTAX_ERROR(text));
		at++;
	}
	*p = at + 1;
	return nnz;
}

Datum
rv_sparsevec_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	Node	   *escontext = RV_ESCONTEXT(fcinfo);
	const char *limit = text + strlen(text);
	const char *p = text;
	int			written = 1;
	int			nnz;
	int			dim;
	Element    *elements;
	SparseVec  *result;

	for (const char *c = text; (c = strchr(c, ',')) != NULL; c++)
		written++;
	if (written > SPARSEVEC_MAX_NNZ)
		rv_soft_return(escontext, (Datum) 0,
					   (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ)));
	elements = palloc(sizeof(Element) * written);
	nnz = read_elements(&p, limit, text, elements, escontext);
	if (nnz < 0)
		PG_RETURN_NULL();

	p = skip_space(p);
	if (*p != '/')
		rv_soft_return(escontext, (Datum) 0,
					   (SYNTAX_ERROR(text),
						errdetail("Unexpected end of input.")));
	p = read_int(skip_space(p + 1), &dim);
	if (p == NULL)
		rv_soft_return(escontext, (Datum) 0, SYNTAX_ERROR(text));
	if (*skip_space(p) != '\0')
		rv_soft_return(escontext, (Datum) 0,
					   (SYNTAX_ERROR(text),
						errdetail("Junk after closing.")));
	if (!rv_check_dim(TYPE, dim, SPARSEVEC_MAX_DIM, escontext) ||
		!rv_check_expected(PG_GETARG_INT32(2), dim, escontext))
		PG_RETURN_NULL();

	qsort(elements, nnz, sizeof(Element), compare_indices);
	result = sparsevec_new(dim, nnz);
	for (int i = 0; i < nnz; i++)
	{
		result->indices[i] = elements[i].index;
		SPARSEVEC_VALUES(result)[i] = elements[i].value;
		if (!check_index(result->indices, i, dim, escontext))
			PG_RETURN_NULL();
	}
	PG_RETURN_SPARSEVEC_P(result);
}

Datum
rv_sparsevec_out(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	/* Braces, slash, the digits of the dimensions and the end */
	char	   *text = palloc((Size) a->nnz * RV_PAIR_ROOM + 3 + 10 + 1);
	char	   *p = text;

	*p++ = '{';
	p = rv_write_pairs(a->indices, SPARSEVEC_VALUES(a), a->nnz, p);
	p -= a->nnz > 0;			/* the last comma */
	*p++ = '}';
	*p++ = '/';
	pg_ltoa(a->dim, p);
	PG_RETURN_CSTRING(text);
}

Datum
rv_sparsevec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(rv_typmod_in(PG_GETARG_ARRAYTYPE_P(0), TYPE, SPARSEVEC_MAX_DIM));
}

static void
check_nnz(int nnz, int dim)
{
	if (nnz < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec cannot have negative number of elements")));
	if (nnz > SPARSEVEC_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements", SPARSEVEC_MAX_NNZ)));
	if (nnz > dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more elements than dimensions")));
}

/* int32 dim, nnz, unused (0), int32 index[nnz] from 0, float32 value[nnz], in network byte order. */
Datum
rv_sparsevec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			dim = (int32) pq_getmsgint(buf, sizeof(int32));
	int			nnz = (int32) pq_getmsgint(buf, sizeof(int32));
	int			unused = (int32) pq_getmsgint(buf, sizeof(int32));
	SparseVec  *result;
	float	   *values;

	rv_check_dim(TYPE, dim, SPARSEVEC_MAX_DIM, NULL);
	check_nnz(nnz, dim);
	rv_check_expected(PG_GETARG_INT32(2), dim, NULL);
	rv_check_unused(unused);

	result = sparsevec_new(dim, nnz);
	values = SPARSEVEC_VALUES(result);
	for (int i = 0; i < nnz; i++)
	{
		result->indices[i] = (int32) pq_getmsgint(buf, sizeof(int32));
		check_index(result->indices, i, dim, NULL);
	}
	for (int i = 0; i < nnz; i++)
	{
		values[i] = pq_getmsgfloat4(buf);
		rv_check_element(TYPE, values[i], NULL);
		if (values[i] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("binary representation of sparsevec cannot contain zero values")));
	}
	PG_RETURN_SPARSEVEC_P(result);
}

Datum
rv_sparsevec_send(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	Size		size = VARHDRSZ + sizeof(uint32) * (3 + 2 * (Size) a->nnz);
	bytea	   *sent = palloc(size);
	const char *data = (const char *) &a->dim;

	/* Everything after the length is words of four bytes in the order of the message */
	SET_VARSIZE(sent, size);
	for (Size i = 0; i < size - VARHDRSZ; i += sizeof(uint32))
	{
		uint32		word;

		memcpy(&word, data + i, sizeof(word));
		word = pg_hton32(word);
		memcpy(VARDATA(sent) + i, &word, sizeof(word));
	}
	PG_RETURN_BYTEA_P(sent);
}

/* The length coercion: (value, typmod, is_explicit). */
Datum
rv_sparsevec_apply_typmod(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);

	rv_check_expected(PG_GETARG_INT32(1), a->dim, NULL);
	PG_RETURN_SPARSEVEC_P(a);
}

Datum
rv_sparsevec_dims(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);

	PG_RETURN_INT32(a->dim);
}

static double
norm(const SparseVec *a)
{
	return rv_norm(SPARSEVEC_VALUES(a), a->nnz);
}

Datum
rv_sparsevec_norm(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(norm(PG_GETARG_SPARSEVEC_P(0)));
}

/* Zero stays zero; elements that become zero are dropped. */
Datum
rv_sparsevec_normalize(PG_FUNCTION_ARGS)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SPARSEVEC_VALUES(a);
	double		length = norm(a);
	float	   *scaled = palloc(sizeof(float) * Max(a->nnz, 1));
	int			nnz = 0;
	int			at = 0;
	SparseVec  *result;

	for (int i = 0; i < a->nnz; i++)
	{
		scaled[i] = length > 0 ? (float) (values[i] / length) : 0;
		if (unlikely(isinf(scaled[i])))
			float_overflow_error();
		nnz += scaled[i] != 0;
	}
	result = sparsevec_new(a->dim, nnz);
	for (int i = 0; i < a->nnz; i++)
	{
		if (scaled[i] == 0)
			continue;
		result->indices[at] = a->indices[i];
		SPARSEVEC_VALUES(result)[at++] = scaled[i];
	}
	PG_RETURN_SPARSEVEC_P(result);
}
