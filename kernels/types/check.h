/* SPDX-License-Identifier: PostgreSQL
 *
 * check.h: the rules that every value of a type obeys, and their errors. The texts are pgvector's with the type's name
 * in place. Functions with an escontext return false after a soft error (PostgreSQL 16 on); with NULL they raise.
 */
#ifndef RV_CHECK_H
#define RV_CHECK_H

#include <float.h>
#include <math.h>

#include "fmgr.h"
#include "nodes/nodes.h"
#include "utils/array.h"

/* 1 <= dim <= max_dim */
extern bool rv_check_dim(const char *type, int dim, int max_dim, Node *escontext);

/* The typmod, when there is one, names the number of dimensions. */
extern bool rv_check_expected(int32 typmod, int dim, Node *escontext);

/* Both operands have as many dimensions. */
extern void rv_different_dims(const char *type, int a, int b) __attribute__((noreturn));

static inline void
rv_check_same(const char *type, int a, int b)
{
	if (unlikely(a != b))
		rv_different_dims(type, a, b);
}

/* No NaN, no infinity. */
extern bool rv_check_element_slow(const char *type, float x, Node *escontext);

static inline bool
rv_check_element(const char *type, float x, Node *escontext)
{
	return likely(isfinite(x)) || rv_check_element_slow(type, x, escontext);
}

extern bool rv_check_elements(const char *type, const float *x, int n, Node *escontext);

/* Is every element finite? Without a branch, so that the loop is vectorized. */
static inline bool
rv_all_finite(const float *x, int n)
{
	int			strange = 0;

	for (int i = 0; i < n; i++)
		strange |= !(fabsf(x[i]) <= FLT_MAX);
	return likely(strange == 0);
}

/* What subvector takes of dim elements: count of them from start, which counts from 1, less what lies outside, as
 * substring does. Returns how many, at least one and at most max_dim, and sets where they begin in C; raises otherwise. */
extern int	rv_subvector_range(const char *type, int dim, int max_dim, int32 start, int32 count, int *first);

/* The two bytes (four of a sparsevec) that the binary form keeps for later. */
extern void rv_check_unused(int unused);

/* The typmod of type(n): cstring[] with one integer in [1, max_dim]. */
extern int32 rv_typmod_in(ArrayType *modifiers, const char *type, int max_dim);

/* isspace of the C locale, whatever the locale. */
static inline bool
rv_isspace(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif							/* RV_CHECK_H */
