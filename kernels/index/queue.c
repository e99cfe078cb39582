/* SPDX-License-Identifier: PostgreSQL
 *
 * queue.c: see queue.h.
 */
#include "queue.h"

#include <math.h>

#include "utils/memutils.h"

int
rv_distance_compare(double a, double b)
{
	if (isnan(a))
		return isnan(b) ? 0 : 1;
	if (isnan(b))
		return -1;
	return a < b ? -1 : a > b;
}

static bool
before(const RvCandidate *a, const RvCandidate *b)
{
	int			order = rv_distance_compare(a->distance, b->distance);

	return order != 0 ? order < 0 : a->key < b->key;
}

void
rv_queue_init(RvQueue *queue, MemoryContext context)
{
	queue->context = context;
	queue->items = NULL;
	queue->count = 0;
	queue->capacity = 0;
}

void
rv_queue_push(RvQueue *queue, const RvCandidate *item)
{
	Size		at = queue->count;

	if (queue->count == queue->capacity)
	{
		queue->capacity = Max(queue->capacity * 2, 128);
		if (queue->items == NULL)
			queue->items = MemoryContextAllocHuge(queue->context, sizeof(RvCandidate) * queue->capacity);
		else
			queue->items = repalloc_huge(queue->items, sizeof(RvCandidate) * queue->capacity);
	}
	queue->count++;
	while (at > 0)
	{
		Size		parent = (at - 1) / 2;

		if (!before(item, &queue->items[parent]))
			break;
		queue->items[at] = queue->items[parent];
		at = parent;
	}
	queue->items[at] = *item;
}

RvCandidate
rv_queue_pop(RvQueue *queue)
{
	RvCandidate first = queue->items[0];
	RvCandidate last = queue->items[--queue->count];
	Size		at = 0;

	for (;;)
	{
		Size		child = at * 2 + 1;

		if (child >= queue->count)
			break;
		if (child + 1 < queue->count && before(&queue->items[child + 1], &queue->items[child]))
			child++;
		if (!before(&queue->items[child], &last))
			break;
		queue->items[at] = queue->items[child];
		at = child;
	}
	if (queue->count > 0)
		queue->items[at] = last;
	return first;
}
