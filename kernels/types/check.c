/* SPDX-License-Identifier: PostgreSQL
 *
 * check.c: the errors of check.h. SQLSTATEs are pgvector's.
 */
#include "postgres.h"

#include "compat.h"
#include "types/check.h"

bool
rv_check_dim(const char *type, int dim, int max_dim, Node *escontext)
{
	if (dim < 1)
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("%s must have at least 1 dimension", type)));
	if (dim > max_dim)
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("%s cannot have more than %d dimensions", type, max_dim)));
	return true;
}

bool
rv_check_expected(int32 typmod, int dim, Node *escontext)
{
	if (typmod != -1 && typmod != dim)
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("expected %d dimensions, not %d", typmod, dim)));
	return true;
}

void
rv_different_dims(const char *type, int a, int b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different %s dimensions %d and %d", type, a, b)));
}

bool
rv_check_element_slow(const char *type, float x, Node *escontext)
{
	if (isnan(x))
		rv_soft_return(escontext, false,
					   (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg("NaN not allowed in %s", type)));
	rv_soft_return(escontext, false,
				   (errcode(ERRCODE_DATA_EXCEPTION),
					errmsg("infinite value not allowed in %s", type)));
}

bool
rv_check_elements(const char *type, const float *x, int n, Node *escontext)
{
	if (rv_all_finite(x, n))
		return true;
	for (int i = 0; i < n; i++)
	{
		if (!rv_check_element(type, x[i], escontext))
			return false;
	}
	return true;
}

int
rv_subvector_range(const char *type, int dim, int max_dim, int32 start, int32 count, int *first)
{
	int64		from = Max(start, 1);
	int64		end = Min((int64) start + count, (int64) dim + 1);
	int			taken = count < 1 ? 0 : (int) Max(end - from, 0);

	rv_check_dim(type, taken, max_dim, NULL);
	*first = (int) from - 1;
	return taken;
}

void
rv_check_unused(int unused)
{
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));
}

int32
rv_typmod_in(ArrayType *modifiers, const char *type, int max_dim)
{
	int			n;
	int32	   *values = ArrayGetIntegerTypmods(modifiers, &n);

	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));
	if (values[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s must be at least 1", type)));
	if (values[0] > max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s cannot exceed %d", type, max_dim)));
	return values[0];
}
