/* SPDX-License-Identifier: PostgreSQL
 *
 * index.h: what the rest of ruvector.so may ask of the index access methods.
 */
#ifndef RV_INDEX_H
#define RV_INDEX_H

/* Called once by _PG_init: settings, hooks, relation options. */
extern void rv_index_init(void);

#endif							/* RV_INDEX_H */
