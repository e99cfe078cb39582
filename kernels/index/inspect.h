/* SPDX-License-Identifier: PostgreSQL
 *
 * inspect.h: opening an index for a function that is called with its name.
 */
#ifndef RV_INDEX_INSPECT_H
#define RV_INDEX_INSPECT_H

#include "internal.h"

#include "storage/lockdefs.h"

typedef struct RvOpened
{
	Relation	heap;			/* NULL: closed already */
	Relation	index;
	LOCKMODE	table_mode;
	LOCKMODE	index_mode;
	Oid			user;			/* of before */
	int			security;
	int			settings;		/* level to return to */
} RvOpened;

/* Raises unless it is an index of ours and the user may: acting needs what VACUUM needs, else SELECT on the table is
 * enough. Until rv_inspect_close everything runs as the table's owner, restricted: the functions of an index expression
 * or predicate are the owner's, and must not run with the rights of whoever asks. */
extern RvOpened rv_inspect_open(Oid index_oid, LOCKMODE table_mode, LOCKMODE index_mode, bool acting);
extern void rv_inspect_close(RvOpened *opened);

#endif							/* RV_INDEX_INSPECT_H */
