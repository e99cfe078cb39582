/* SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_types.c: text input, binary receive and typmods of the three types, with any bytes.
 *
 * The first byte of the data chooses the type and the form, the second the typmod and whether errors are soft; the rest
 * is what a client sent. Whatever it is, there is either an error with an SQLSTATE of a user's mistake, or a value that
 * keeps the type's rules and comes back bit by bit from its own text and from its own binary form.
 *
 * Built by clang with -fsanitize=fuzzer it explores; with fuzz_main.c it replays a corpus and mutations of it.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/miscnodes.h"

#include "compat.h"
#include "server_stub.h"
#include "types/halfvec.h"
#include "types/half.h"
#include "types/ruvector.h"
#include "types/sparsevec.h"

/* The C library's own: the server's replacement is not here */
#undef fprintf

#define DECLARE(prefix) \
	extern Datum prefix##_in(PG_FUNCTION_ARGS); \
	extern Datum prefix##_out(PG_FUNCTION_ARGS); \
	extern Datum prefix##_recv(PG_FUNCTION_ARGS); \
	extern Datum prefix##_send(PG_FUNCTION_ARGS); \
	extern Datum prefix##_typmod_in(PG_FUNCTION_ARGS)

DECLARE(ruvector);
DECLARE(rv_halfvec);
DECLARE(rv_sparsevec);

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Functions
{
	PGFunction	in,
				out,
				recv,
				send,
				typmod_in;
} Functions;

#define FUNCTIONS(prefix) {prefix##_in, prefix##_out, prefix##_recv, prefix##_send, prefix##_typmod_in}

static const Functions functions[] = {FUNCTIONS(ruvector), FUNCTIONS(rv_halfvec), FUNCTIONS(rv_sparsevec)};

#define REQUIRE(condition) \
	do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); abort(); } } while (0)

static ErrorSaveContext soft;

static Datum
call(PGFunction function, Datum argument, int32 typmod, bool softly, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 3);

	memset(&soft, 0, sizeof(soft));
	soft.type = T_ErrorSaveContext;
	InitFunctionCallInfoData(*fcinfo, NULL, 3, InvalidOid, softly ? (Node *) &soft : NULL, NULL);
	fcinfo->args[0].value = argument;
	fcinfo->args[1].value = 0;
	fcinfo->args[2].value = Int32GetDatum(typmod);
	fcinfo->args[0].isnull = fcinfo->args[1].isnull = fcinfo->args[2].isnull = false;
	argument = function(fcinfo);
	*isnull = fcinfo->isnull;
	return argument;
}

/* A value's own rules. */
static void
check_value(int type, const void *value)
{
	if (type == 0)
	{
		const RuVector *v = value;

		REQUIRE(v->dim >= 1 && v->dim <= RUVECTOR_MAX_DIM && v->unused == 0 && VARSIZE(v) == RUVECTOR_SIZE(v->dim));
		for (int i = 0; i < v->dim; i++)
			REQUIRE(isfinite(v->x[i]));
	}
	else if (type == 1)
	{
		const HalfVec *v = value;

		REQUIRE(v->dim >= 1 && v->dim <= HALFVEC_MAX_DIM && v->unused == 0 && VARSIZE(v) == HALFVEC_SIZE(v->dim));
		for (int i = 0; i < v->dim; i++)
			REQUIRE(!rv_half_is_inf(v->x[i]) && !rv_half_is_nan(v->x[i]));
	}
	else
	{
		const SparseVec *v = value;

		REQUIRE(v->dim >= 1 && v->dim <= SPARSEVEC_MAX_DIM && v->unused == 0);
		REQUIRE(v->nnz >= 0 && v->nnz <= SPARSEVEC_MAX_NNZ && VARSIZE(v) == SPARSEVEC_SIZE(v->nnz));
		for (int i = 0; i < v->nnz; i++)
		{
			REQUIRE(v->indices[i] >= 0 && v->indices[i] < v->dim && (i == 0 || v->indices[i] > v->indices[i - 1]));
			REQUIRE(isfinite(SPARSEVEC_VALUES(v)[i]) && SPARSEVEC_VALUES(v)[i] != 0);
		}
	}
}

static bool
same(const void *a, const void *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* A message of exactly these bytes, none readable past them. */
static StringInfo
message(const void *bytes, size_t size)
{
	StringInfo	result = palloc0(sizeof(StringInfoData));

	result->data = palloc(size);
	memcpy(result->data, bytes, size);
	result->len = result->maxlen = (int) size;
	return result;
}

static void
check_round_trips(int type, const void *value, int32 typmod)
{
	const Functions *f = &functions[type];
	bool		isnull;
	Datum		text = call(f->out, PointerGetDatum(value), -1, false, &isnull);
	bytea	   *sent = (bytea *) DatumGetPointer(call(f->send, PointerGetDatum(value), -1, false, &isnull));
	void	   *back = DatumGetPointer(call(f->in, text, typmod, false, &isnull));

	REQUIRE(!isnull && same(value, back));
	back = DatumGetPointer(call(f->recv, PointerGetDatum(message(VARDATA(sent), VARSIZE(sent) - VARHDRSZ)), typmod, false,
								&isnull));
	REQUIRE(!isnull && same(value, back));
}

static void
run(int type, int form, int32 typmod, bool softly, const uint8_t *data, size_t size)
{
	const Functions *f = &functions[type];
	bool		isnull;
	Datum		result;

	if (form == 0)
		result = call(f->in, CStringGetDatum(pnstrdup((const char *) data, strnlen((const char *) data, size))), typmod,
					  softly, &isnull);
	else if (form == 1)
		result = call(f->recv, PointerGetDatum(message(data, size)), typmod, false, &isnull);
	else
	{
		int32	   *modifiers = palloc0(sizeof(int32) * (size / sizeof(int32) + 2));

		modifiers[0] = (int32) (size / sizeof(int32));
		memcpy(modifiers + 1, data, size / sizeof(int32) * sizeof(int32));
		result = call(f->typmod_in, PointerGetDatum(modifiers), -1, false, &isnull);
		REQUIRE(DatumGetInt32(result) >= 1 && DatumGetInt32(result) <= SPARSEVEC_MAX_DIM);
		return;
	}
	if (soft.error_occurred)
		return;
	REQUIRE(!isnull);
	check_value(type, DatumGetPointer(result));
	check_round_trips(type, DatumGetPointer(result), typmod);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (setjmp(stub_error) == 0)
		run(data[0] % 3, data[0] / 3 % 3, (data[1] & 1) ? -1 : (data[1] >> 2) % 8 + 1, (data[1] & 2) != 0, data + 2, size - 2);
	else
		REQUIRE(stub_sqlstate != ERRCODE_INTERNAL_ERROR && stub_sqlstate != 0);
	stub_free_all();
	return 0;
}
