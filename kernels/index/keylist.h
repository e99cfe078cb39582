/* SPDX-License-Identifier: PostgreSQL
 *
 * keylist.h: keys of rows, one after the other, as many as come.
 */
#ifndef RV_INDEX_KEYLIST_H
#define RV_INDEX_KEYLIST_H

#include "postgres.h"

#include "utils/memutils.h"

/* Begins with nothing but a context. */
typedef struct RvKeyList
{
	MemoryContext context;
	uint64	   *keys;			/* NULL: none yet */
	Size		count;
	Size		capacity;
} RvKeyList;

static inline void
rv_keylist_add(RvKeyList *list, uint64 key)
{
	if (list->count == list->capacity)
	{
		list->capacity = Max(list->capacity * 2, 128);
		list->keys = list->keys == NULL ? MemoryContextAllocHuge(list->context, sizeof(uint64) * list->capacity) :
			repalloc_huge(list->keys, sizeof(uint64) * list->capacity);
	}
	list->keys[list->count++] = key;
}

#endif							/* RV_INDEX_KEYLIST_H */
