/* SPDX-License-Identifier: PostgreSQL
 *
 * compat.h: where PostgreSQL 14 to 18 differ, for every part of the extension. Include after postgres.h and fmgr.h.
 *
 * The libraries are built with hidden symbols. From 16 on PG_FUNCTION_INFO_V1 and PG_MODULE_MAGIC export what they
 * declare; before that PGDLLEXPORT is empty outside Windows, so it is redefined here, and RV_FUNCTION declares a
 * SQL-callable function that is exported on every version.
 *
 * Names: pgvector's library may be loaded in the same process with global symbols, so no exported name may be one of
 * its names (halfvec_in, hamming_distance, ...): ours begin with ruvector_ or rv_.
 */
#ifndef RV_COMPAT_H
#define RV_COMPAT_H

#include "fmgr.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

/* Declares (before 16 PG_FUNCTION_INFO_V1 does not export the function itself) and registers a function. */
#define RV_FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* Input functions report bad input softly where the server can (16 on): the caller's escontext then takes the error,
 * and the function returns NULL. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define RV_ESCONTEXT(fcinfo)	((fcinfo)->context)
#define rv_soft_return(escontext, dummy, ...) ereturn(escontext, dummy, __VA_ARGS__)
#else
#define RV_ESCONTEXT(fcinfo)	NULL
#define rv_soft_return(escontext, dummy, ...) do { ereport(ERROR, __VA_ARGS__); return dummy; } while (0)
#endif

#endif							/* RV_COMPAT_H */
