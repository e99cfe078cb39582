/* SPDX-License-Identifier: PostgreSQL
 *
 * scorer.h: distances of one query to the records of one segment.
 *
 * A key orders nodes as the metric does (L2: the square), cheap; bounds are in the unit of the SQL operator and
 * rigorous. Calls are made for batches of nodes, so that one virtual call pays for many distances. Node numbers must
 * have been checked by the caller.
 */
#ifndef RV_SCORER_H
#define RV_SCORER_H

#include <memory>

#include "engine/query.h"
#include "engine/segment.h"
#include "engine/sparse.h"

namespace rv
{

class Scorer
{
public:
	virtual ~Scorer() = default;
	virtual void keys(const uint32_t *nodes, size_t n, float *out) const = 0;
	virtual void bounds(uint32_t node, rv_hit *hit) const = 0;

	/* Of the nodes first .. first + n - 1, those whose lower bound may be <= radius (some more are harmless). out: n. */
	virtual size_t
	within(uint32_t first, uint32_t n, double radius, uint32_t *out) const
	{
		for (uint32_t i = 0; i < n; i++)
			out[i] = first + i;
		return n;
	}

	/* The same of scattered nodes whose keys are known: out[i] is false where the lower bound is surely above the radius. */
	virtual void
	reaching(const uint32_t *nodes, const float *keys, size_t n, double radius, bool *out) const
	{
		for (size_t i = 0; i < n; i++)
			out[i] = true;
	}

	/* Of the nodes first .. first + n - 1, numbers that grow with a lower bound of the distance: -inf where nothing is known.
	 * distance_above(number) is the bound itself, in the unit of the SQL operator. */
	virtual void
	lowest(uint32_t first, uint32_t n, float *out) const
	{
		for (uint32_t i = 0; i < n; i++)
			out[i] = -INF;
	}

	virtual double distance_above(float number) const { return -INF; }

	const uint8_t *record(uint32_t node) const { return base_ + static_cast<size_t>(node) * stride_; }

	void
	prefetch(uint32_t node) const
	{
		const uint8_t *at = record(node);

		for (uint32_t i = 0; i < prefetch_; i += 64)
			__builtin_prefetch(at + i);
	}

protected:
	const uint8_t *base_ = nullptr;
	size_t		stride_ = 0;
	uint32_t	prefetch_ = 0;	/* bytes worth asking for */

	void
	set_records(const uint8_t *base, size_t stride)
	{
		base_ = base;
		stride_ = stride;
		prefetch_ = stride < 512 ? static_cast<uint32_t>(stride) : 512;
	}
};

/* The scorer of the stored codes, and of the traversal codes (NULL when the segment has none). The query must
 * outlive them. */
std::unique_ptr<Scorer> make_stored_scorer(const rv_segment *segment, const DenseQuery &query);
std::unique_ptr<Scorer> make_traversal_scorer(const rv_segment *segment, const DenseQuery &query);

/* Bit strings and sparse vectors: the query is copied. */
std::unique_ptr<Scorer> make_bit_scorer(const rv_segment *segment, const rv_vector *query);
std::unique_ptr<Scorer> make_sparse_scorer(const rv_segment *segment, const rv_vector *query);

/* A caller's bit string of dims bits, unused ones cleared. */
std::vector<uint8_t> read_bits(const rv_vector *vector, uint32_t dims);

/* A stored sparse vector; fails with RV_CORRUPT where offsets or count do not fit. */
SparseView	stored_sparse(const uint8_t *offsets, const Section &data, uint32_t node);

}								/* namespace rv */

#endif							/* RV_SCORER_H */
