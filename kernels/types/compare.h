/* SPDX-License-Identifier: PostgreSQL
 *
 * compare.h: the seven comparison functions of a type from its three-way comparison.
 *
 * They free the copies that detoasting made: a sort calls them in memory that lives as long as the sort does.
 */
#ifndef RV_COMPARE_H
#define RV_COMPARE_H

#include "compat.h"
#include "types/detoast.h"

#define RV_COMPARISON_1(name, Type, compare, op) \
	RV_FUNCTION(name); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		RvRoom		rooms[2]; \
		Type	   *a = (Type *) rv_open(PG_GETARG_DATUM(0), &rooms[0]); \
		Type	   *b = (Type *) rv_open(PG_GETARG_DATUM(1), &rooms[1]); \
		bool		result = compare(a, b) op 0; \
		\
		rv_close((struct varlena *) a, PG_GETARG_DATUM(0), &rooms[0]); \
		rv_close((struct varlena *) b, PG_GETARG_DATUM(1), &rooms[1]); \
		PG_RETURN_BOOL(result); \
	} \
	extern int	rv_no_such_declaration

/* Defines prefix_lt, _le, _eq, _ne, _ge, _gt and _cmp. compare(a, b) is negative, zero or positive. */
#define RV_COMPARISONS(prefix, Type, compare) \
	RV_COMPARISON_1(prefix##_lt, Type, compare, <); \
	RV_COMPARISON_1(prefix##_le, Type, compare, <=); \
	RV_COMPARISON_1(prefix##_eq, Type, compare, ==); \
	RV_COMPARISON_1(prefix##_ne, Type, compare, !=); \
	RV_COMPARISON_1(prefix##_ge, Type, compare, >=); \
	RV_COMPARISON_1(prefix##_gt, Type, compare, >); \
	RV_FUNCTION(prefix##_cmp); \
	Datum \
	prefix##_cmp(PG_FUNCTION_ARGS) \
	{ \
		RvRoom		rooms[2]; \
		Type	   *a = (Type *) rv_open(PG_GETARG_DATUM(0), &rooms[0]); \
		Type	   *b = (Type *) rv_open(PG_GETARG_DATUM(1), &rooms[1]); \
		int			result = compare(a, b); \
		\
		rv_close((struct varlena *) a, PG_GETARG_DATUM(0), &rooms[0]); \
		rv_close((struct varlena *) b, PG_GETARG_DATUM(1), &rooms[1]); \
		PG_RETURN_INT32(result); \
	} \
	extern int	rv_no_such_declaration

#endif							/* RV_COMPARE_H */
