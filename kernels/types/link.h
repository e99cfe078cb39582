/* SPDX-License-Identifier: PostgreSQL
 *
 * link.h: what event triggers do with the objects that name pgvector's types and ours. link.c says what these are.
 */
#ifndef RV_LINK_H
#define RV_LINK_H

/* Drops them; returns how many. None without pgvector. */
extern int	rv_unlink_pgvector(void);

/* Drops the operator families that are left empty when pgvector went with CASCADE: a family depends on nothing of it. */
extern void rv_drop_empty_families(void);

#endif							/* RV_LINK_H */
