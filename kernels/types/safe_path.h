/* SPDX-License-Identifier: PostgreSQL
 *
 * safe_path.h: SQL of ours runs with a search path that no user can put objects into, because some of it runs with the
 * rights of the extension's owner.
 */
#ifndef RV_SAFE_PATH_H
#define RV_SAFE_PATH_H

#include "utils/guc.h"

/* Returns what rv_safe_path_end wants; an error undoes it too. */
static inline int
rv_safe_path_begin(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	return level;
}

static inline void
rv_safe_path_end(int level)
{
	AtEOXact_GUC(true, level);
}

#endif							/* RV_SAFE_PATH_H */
