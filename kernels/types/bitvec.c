/* SPDX-License-Identifier: PostgreSQL
 *
 * bitvec.c: distances between two values of core's bit type. Its bits past the length are zero, so whole bytes may be
 * counted.
 */
#include "postgres.h"

#include "utils/varbit.h"

#include "compat.h"
#include "distance/distance.h"

RV_FUNCTION(rv_hamming_distance);
RV_FUNCTION(rv_jaccard_distance);
RV_FUNCTION(rv_bit_dims);

static void
check_lengths(VarBit *a, VarBit *b)
{
	if (VARBITLEN(a) != VARBITLEN(b))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %u and %u", (unsigned) VARBITLEN(a), (unsigned) VARBITLEN(b))));
}

Datum
rv_hamming_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);

	check_lengths(a, b);
	PG_RETURN_FLOAT8((double) rv_kernels()->hamming(VARBITS(a), VARBITS(b), VARBITBYTES(a)));
}

/* 1 - common / set in either; 1 when nothing is common, be it that nothing is set. */
Datum
rv_jaccard_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);
	uint64_t	both;
	uint64_t	either;

	check_lengths(a, b);
	rv_kernels()->jaccard(VARBITS(a), VARBITS(b), VARBITBYTES(a), &both, &either);
	PG_RETURN_FLOAT8(both == 0 ? 1 : 1 - (double) both / (double) either);
}

Datum
rv_bit_dims(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);

	PG_RETURN_INT32(VARBITLEN(a));
}
