/* SPDX-License-Identifier: PostgreSQL
 *
 * server_stub.c: enough of a PostgreSQL backend to call a type's functions in a plain process, so that a fuzzer with
 * sanitizers can.
 *
 * Memory comes from malloc one piece a call, so that the sanitizer sees every overrun; errors leave by longjmp. Only what
 * the types use is here. Kernels are the scalar ones.
 */
#include "postgres.h"

#include <stdio.h>

#include "distance/levels.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "nodes/miscnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "server_stub.h"

/* The C library's own: the server's replacements are not here */
#undef vsnprintf
#undef snprintf
#undef sprintf

jmp_buf		stub_error;
int			stub_sqlstate;

#define MAX_PIECES 200000

static void *pieces[MAX_PIECES];
static int	n_pieces = 0;

void
stub_free_all(void)
{
	while (n_pieces > 0)
		free(pieces[--n_pieces]);
}

void *
palloc(Size size)
{
	void	   *piece = malloc(size);

	if (piece == NULL || n_pieces == MAX_PIECES)
		abort();
	pieces[n_pieces++] = piece;
	return piece;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

/* Freed with the rest. */
void
pfree(void *pointer)
{
}

char *
pnstrdup(const char *in, Size length)
{
	char	   *out = palloc(length + 1);

	memcpy(out, in, length);
	out[length] = '\0';
	return out;
}

/* ---- errors ---- */

bool
errstart(int elevel, const char *domain)
{
	stub_sqlstate = ERRCODE_INTERNAL_ERROR;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	longjmp(stub_error, 1);
}

bool
errsave_start(Node *context, const char *domain)
{
	if (context == NULL)
		return errstart(ERROR, domain);
	((ErrorSaveContext *) context)->error_occurred = true;
	return false;
}

void
errsave_finish(Node *context, const char *filename, int lineno, const char *funcname)
{
	longjmp(stub_error, 1);
}

int
errcode(int sqlerrcode)
{
	stub_sqlstate = sqlerrcode;
	return 0;
}

/* Messages are formatted, so that the sanitizer reads their arguments. */
static int
format(const char *fmt, va_list args)
{
	char		text[256];

	vsnprintf(text, sizeof(text), fmt, args);
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format(fmt, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	format(fmt, args);
	va_end(args);
	return 0;
}

/* ---- messages ---- */

const char *
pq_getmsgbytes(StringInfo msg, int datalen)
{
	const char *result = msg->data + msg->cursor;

	if (datalen < 0 || datalen > msg->len - msg->cursor)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION), errmsg("insufficient data left in message")));
	msg->cursor += datalen;
	return result;
}

unsigned int
pq_getmsgint(StringInfo msg, int b)
{
	const unsigned char *bytes = (const unsigned char *) pq_getmsgbytes(msg, b);
	unsigned int value = 0;

	for (int i = 0; i < b; i++)
		value = value << 8 | bytes[i];
	return value;
}

float4
pq_getmsgfloat4(StringInfo msg)
{
	uint32		bits = pq_getmsgint(msg, 4);
	float4		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	char	   *larger;

	if (str->len + needed < str->maxlen)
		return;
	str->maxlen = (str->len + needed + 1) * 2;
	larger = palloc(str->maxlen);
	memcpy(larger, str->data, str->len);
	str->data = larger;
}

void
pq_begintypsend(StringInfo buf)
{
	buf->maxlen = 64;
	buf->data = palloc(buf->maxlen);
	buf->cursor = 0;
	buf->len = VARHDRSZ;
}

bytea *
pq_endtypsend(StringInfo buf)
{
	SET_VARSIZE(buf->data, buf->len);
	return (bytea *) buf->data;
}

void
pq_sendfloat4(StringInfo buf, float4 f)
{
	uint32		bits;

	memcpy(&bits, &f, sizeof(bits));
	pq_sendint32(buf, bits);
}

/* ---- the rest ---- */

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

int
pg_ltoa(int32 value, char *a)
{
	return sprintf(a, "%d", value);
}

void
pg_qsort(void *base, size_t nel, size_t elsize, int (*cmp) (const void *, const void *))
{
#undef qsort
	if (nel > 1)
		qsort(base, nel, elsize, cmp);
}

/* The "array" is a count and the integers themselves. */
int32 *
ArrayGetIntegerTypmods(ArrayType *arr, int *n)
{
	*n = ((int32 *) arr)[0];
	return (int32 *) arr + 1;
}

const rv_kernel_table *
rv_kernels(void)
{
	static rv_kernel_table table;

	if (table.f16_to_f32 == NULL)
	{
		rv_scalar_float(&table);
		rv_scalar_decimal(&table);
	}
	return &table;
}

const rv_kernel_table *
rv_kernels_at(rv_simd_level level)
{
	return rv_kernels();
}
