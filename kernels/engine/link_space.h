/* SPDX-License-Identifier: PostgreSQL
 *
 * link_space.h: distances between the vectors of a builder, by their codes, while a graph is built.
 *
 * One vector is made the left side (`begin`; `widen` when many distances from it follow), the others are numbers.
 * Distances order as the metric does; they are not in its unit.
 */
#ifndef RV_LINK_SPACE_H
#define RV_LINK_SPACE_H

#include <memory>

#include "engine/records.h"

namespace rv
{

struct LinkLeft
{
	uint32_t	node = 0;
	float		scale = 0;
	float		offset = 0;
	std::vector<int16_t> wide;
	std::vector<float> values;
};

class LinkSpace
{
public:
	virtual ~LinkSpace() = default;
	virtual void begin(LinkLeft *left, uint32_t node) const = 0;
	virtual void widen(LinkLeft *left) const = 0;
	virtual float one(const LinkLeft &left, uint32_t node) const = 0;
	virtual void many(const LinkLeft &left, const uint32_t *nodes, size_t n, float *out) const = 0;
	virtual void prefetch(uint32_t node) const = 0;

	/* Distances are non-negative, so that they may be scaled when neighbours are thinned out. */
	virtual bool scalable() const = 0;
};

/* Dense vectors under the rotated metrics, from SQ8 records. */
std::unique_ptr<LinkSpace> make_sq8_space(const Records &records, const Model &model);

/* Dense vectors under L1, bit strings, sparse vectors. */
class SparseRecords;
std::unique_ptr<LinkSpace> make_l1_space(const Records &records, const rv_spec &spec, const Model &model);
std::unique_ptr<LinkSpace> make_bit_space(const Records &records, const rv_spec &spec);
std::unique_ptr<LinkSpace> make_sparse_space(const SparseRecords &records, const rv_spec &spec);

}								/* namespace rv */

#endif							/* RV_LINK_SPACE_H */
