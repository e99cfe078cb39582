/* SPDX-License-Identifier: PostgreSQL
 *
 * compare.h: the seven comparison functions of a type from its three-way comparison.
 *
 * They free the copies that detoasting made: a sort calls them in memory that lives as long as the sort does.
 */
#ifndef RV_COMPARE_H
#define RV_COMPARE_H

#include "compat.h"

#define RV_COMPARISON_1(name, Type, GETARG, compare, op) \
	RV_FUNCTION(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		Type	   *a = GETARG(0); \
		Type	   *b = GETARG(1); \
		bool		result = compare(a, b) op 0; \
		\
		PG_FREE_IF_COPY(a, 0); \
		PG_FREE_IF_COPY(b, 1); \
		PG_RETURN_BOOL(result); \
	} \
	extern int	rv_no_such_declaration

/* Defines prefix_lt, _le, _eq, _ne, _ge, _gt and _cmp. compare(a, b) is negative, zero or positive. */
#define RV_COMPARISONS(prefix, Type, GETARG, compare) \
	RV_COMPARISON_1(prefix##_lt, Type, GETARG, compare, <); \
	RV_COMPARISON_1(prefix##_le, Type, GETARG, compare, <=); \
	RV_COMPARISON_1(prefix##_eq, Type, GETARG, compare, ==); \
	RV_COMPARISON_1(prefix##_ne, Type, GETARG, compare, !=); \
	RV_COMPARISON_1(prefix##_ge, Type, GETARG, compare, >=); \
	RV_COMPARISON_1(prefix##_gt, Type, GETARG, compare, >); \
	RV_FUNCTION(prefix##_cmp); \
	Datum \
	prefix##_cmp(PG_FUNCTION_ARGS) \
	{ \
		Type	   *a = GETARG(0); \
		Type	   *b = GETARG(1); \
		int			result = compare(a, b); \
		\
		PG_FREE_IF_COPY(a, 0); \
		PG_FREE_IF_COPY(b, 1); \
		PG_RETURN_INT32(result); \
	} \
	extern int	rv_no_such_declaration

#endif							/* RV_COMPARE_H */
