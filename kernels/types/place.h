/* SPDX-License-Identifier: PostgreSQL
 *
 * place.h: in which schema the extension's objects live. place.c says how and why.
 */
#ifndef RV_PLACE_H
#define RV_PLACE_H

#include "postgres.h"

/* The schema that shared names go to when pgvector holds them. */
#define RV_FALLBACK_SCHEMA "ruvector"

/* Moves the objects whose names pgvector uses too. out: out of the extension's schema, to RV_FALLBACK_SCHEMA, made when
 * missing; else back home. Returns whether anything moved. Caller is the owner of the extension or a superuser. */
extern bool rv_move_shared(Oid extension, bool out);

/* Does the schema hold a name that one of our shared objects would take, other than ours? */
extern bool rv_shared_names_taken(Oid schema);

/* Are our shared objects in RV_FALLBACK_SCHEMA? */
extern bool rv_shared_are_out(Oid extension);

/* The schema of an extension, InvalidOid when there is no such extension. */
extern Oid	rv_extension_schema(Oid extension);

#endif							/* RV_PLACE_H */
