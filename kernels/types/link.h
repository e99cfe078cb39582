/* SPDX-License-Identifier: PostgreSQL
 *
 * link.h: what event triggers do with the objects that name pgvector's types and ours. link.c says what these are.
 */
#ifndef RV_LINK_H
#define RV_LINK_H

/* Drops them; returns how many. None without pgvector. */
extern int	rv_unlink_pgvector(void);

/* Drops a cast or an operator family (pg_cast or pg_opfamily and its OID), when it is a link and nothing uses it. */
extern void rv_drop_unused_link(Oid class, Oid object);

/* Drops the operator families that are left empty when pgvector went with CASCADE: a family depends on nothing of it. */
extern void rv_drop_empty_families(void);

#endif							/* RV_LINK_H */
