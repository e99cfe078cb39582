/* SPDX-License-Identifier: PostgreSQL
 *
 * module.c: the entry of ruvector.so. Each area sets itself up; nothing is decided here.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "index/index.h"
#include "types/types.h"

#pragma weak rv_index_init

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "ruvector", .version = RV_VERSION);
#else
PG_MODULE_MAGIC;
#endif

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	rv_types_init();
	if (rv_index_init)
		rv_index_init();
}
