/* SPDX-License-Identifier: PostgreSQL
 *
 * condition.h: a node's condition as something that a later scan's can be compared with.
 */
#ifndef RV_INDEX_CONDITION_H
#define RV_INDEX_CONDITION_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "node.h"

/* The condition as it is for this (re)scan: with values in place of parameters and of all else that is not of the row, so
 * that two that are equal() let the same rows pass. In the current memory context; NIL: it has none, or what it says of a row
 * may depend on more than the row. */
extern List *rv_condition_of(const RvNode *node);
/* The same for conditions that are equal(); mostly another for those that differ in a value. */
extern uint32 rv_condition_hash(List *condition);

#endif							/* RV_INDEX_CONDITION_H */
