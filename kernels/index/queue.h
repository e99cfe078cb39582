/* SPDX-License-Identifier: PostgreSQL
 *
 * queue.h: a binary heap of candidates, smallest first. Ties are broken by key, so that an order is the same every time.
 */
#ifndef RV_INDEX_QUEUE_H
#define RV_INDEX_QUEUE_H

#include "postgres.h"

typedef struct RvCandidate
{
	double		distance;		/* NaN is larger than everything, as in SQL */
	uint64		key;			/* of the row */
	uint32		stream;
	uint32		slot;			/* of the row, and after it up to end the rows with the same vector; both 0: none */
	uint32		end;
} RvCandidate;

typedef struct RvQueue
{
	MemoryContext context;
	RvCandidate *items;
	Size		count;
	Size		capacity;
} RvQueue;

extern void rv_queue_init(RvQueue *queue, MemoryContext context);
extern void rv_queue_push(RvQueue *queue, const RvCandidate *item);
/* Undefined when empty. */
extern RvCandidate rv_queue_pop(RvQueue *queue);
extern int	rv_distance_compare(double a, double b);

#endif							/* RV_INDEX_QUEUE_H */
