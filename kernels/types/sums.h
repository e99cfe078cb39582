/* SPDX-License-Identifier: PostgreSQL
 *
 * sums.h: the state of avg over dense vectors: a float8[] of the count and then one sum a dimension; {0} before the
 * first value.
 */
#ifndef RV_SUMS_H
#define RV_SUMS_H

#include "fmgr.h"
#include "utils/array.h"

/* The state that argument 0 holds after one more value of dim dimensions was counted: in place inside an aggregate, a
 * copy elsewhere. caller names the function for errors. The caller adds the value to the sums and calls rv_sums_check. */
extern ArrayType *rv_sums_next(FunctionCallInfo fcinfo, int dim, const char *caller);

/* The state in argument n, checked to be one. */
extern ArrayType *rv_sums_arg(FunctionCallInfo fcinfo, int n, const char *caller);

#define RV_SUMS_DIM(state)		(ARR_DIMS(state)[0] - 1)
#define RV_SUMS_COUNT(state)	(((float8 *) ARR_DATA_PTR(state))[0])
#define RV_SUMS(state)			((float8 *) ARR_DATA_PTR(state) + 1)

/* Raises when a sum is infinite. */
extern void rv_sums_check(ArrayType *state);

#endif							/* RV_SUMS_H */
