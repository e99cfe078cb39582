/* SPDX-License-Identifier: PostgreSQL
 *
 * rangeestimate.c: how many rows are within a radius, for the planner.
 *
 * The nearest are asked for first: while not all of those are within, their number is the answer. Else the radius is a
 * wide one, and a sample of the segment's codes tells the share that is within.
 */
#include "internal.h"

#include <math.h>

#include "utils/memutils.h"

#include "distance/distance.h"
#include "fetch.h"
#include "range.h"
#include "types/halfvec.h"
#include "types/ruvector.h"

#define NEAREST 64
#define PROBES 8				/* what is within a radius is rarely in one list */
/* Decoding a sample of n vectors costs n * dims; about a millisecond at the most. */
#define SAMPLE_FLOATS 65536
#define SAMPLE_MIN 32
#define SAMPLE_MAX 256

typedef struct Asking
{
	rv_search  *search;
	MemoryContextCallback callback;
} Asking;

static void
end_search(void *arg)
{
	rv_search_free(((Asking *) arg)->search);
}

static bool
is_within(const rv_hit *hit, double radius)
{
	return hit->estimate <= radius;
}

/* How many of the nearest are within; *asked: of how many. */
static uint32
count_nearest(MemoryContext context, const RvOpclass *opclass, const RvViewSegment *segment, const rv_vector *query,
			  double radius, uint32 *asked)
{
	Asking	   *asking = MemoryContextAllocZero(context, sizeof(Asking));
	rv_search_options options;
	rv_error	error;
	uint32		within = 0;
	bool		batch_end = false;

	*asked = 0;
	memset(&options, 0, sizeof(options));
	options.ef = NEAREST;
	options.probes = PROBES;
	options.tombstones = segment->tombstones;
	if (rv_search_new(segment->image->segment, opclass->element, query, &options, &asking->search, &error) != RV_OK)
		return 0;
	asking->callback.func = end_search;
	asking->callback.arg = asking;
	MemoryContextRegisterResetCallback(context, &asking->callback);
	while (*asked < NEAREST || !batch_end)
	{
		rv_hit		hits[NEAREST];
		uint32		count;

		if (rv_search_next(asking->search, hits, NEAREST, &count, &batch_end, &error) != RV_OK || count == 0)
			break;
		*asked += count;
		for (uint32 i = 0; i < count; i++)
			within += is_within(&hits[i], radius);
	}
	return within;
}

/* The share of a segment's rows that are within, from an even sample of them as they are stored. < 0: cannot tell. */
static double
sample_share(Relation index, const RvViewSegment *segment, Datum query, double radius)
{
	int			dims = (int) segment->image->info.spec.dims;
	RuVector   *stored = ruvector_new(dims);
	bool		halves = rv_opclass(index)->element == RV_ELEMENT_F16;
	HalfVec    *stored_halves = halves ? halfvec_new(dims) : NULL;
	int			n = SAMPLE_FLOATS / dims;
	FmgrInfo	distance;
	uint32		within = 0;

	n = Min(Max(n, SAMPLE_MIN), SAMPLE_MAX);
	n = Min(n, (int) segment->entry.slots);
	rv_index_distance(index, &distance);
	for (int i = 0; i < n; i++)
	{
		rv_error	error;
		uint32		slot = (uint32) ((uint64) segment->entry.slots * i / n);

		if (rv_segment_decode(segment->image->segment, slot, stored->x, &error) != RV_OK)
			return -1;
		if (halves)
			rv_kernels()->f32_to_f16(stored->x, stored_halves->x, dims);
		within += DatumGetFloat8(FunctionCall2Coll(&distance, index->rd_indcollation[0],
												   halves ? PointerGetDatum(stored_halves) : PointerGetDatum(stored),
												   query)) <= radius;
	}
	return (within + 0.5) / (n + 1);
}

static double
rows_of_segment(MemoryContext context, Relation index, const RvViewSegment *segment, const rv_vector *vector, Datum query,
				double radius)
{
	const RvOpclass *opclass = rv_opclass(index);
	double		live = (double) segment->entry.slots - segment->entry.dead;
	double		share = -1;
	uint32		asked;
	uint32		within = count_nearest(context, opclass, segment, vector, radius, &asked);

	if (within < asked || asked < NEAREST)
		return within;
	if (opclass->element == RV_ELEMENT_F32 || opclass->element == RV_ELEMENT_F16)
		share = sample_share(index, segment, query, radius);
	if (share < 0)
		share = RV_RANGE_SELECTIVITY;
	return Max(share * live, within);
}

double
rv_range_estimate(Relation index, Datum query, double radius)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ruvector estimate", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	const RvOpclass *opclass = rv_opclass(index);
	const RvView *view = rv_view_acquire_in(context, index);
	struct varlena *value = PG_DETOAST_DATUM(query);
	rv_vector	vector;
	uint32		dims;
	double		rows = 0;

	opclass->extract(value, &vector, &dims);
	if (dims != view->meta.dims || isnan(radius))
		rows = -1;
	else if (!(opclass->zero_has_no_distance && rv_vector_is_zero(opclass->element, &vector)))
	{
		for (uint32 i = 0; i < view->n_segments; i++)
			rows += rows_of_segment(context, index, &view->segments[i], &vector, PointerGetDatum(value), radius);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return rows;
}
