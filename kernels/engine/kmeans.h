/* SPDX-License-Identifier: PostgreSQL
 *
 * kmeans.h: the centroids of an IVF model, and the nearest centroid of a vector.
 */
#ifndef RV_KMEANS_H
#define RV_KMEANS_H

#include "engine/parallel.h"

namespace rv
{

struct KMeansOptions
{
	uint32_t	lists = 1;
	uint32_t	dims = 0;
	bool		spherical = false;	/* means are brought to unit length: for inner product */
	uint64_t	seed = 0;
	int			iterations = 10;	/* at the most: it stops when fewer than 0.1 % of the points change their list */
};

/* float32[lists][dims] and |c|^2 / 2 of each, which makes "nearest by L2" one dot product a centroid. */
struct Centroids
{
	uint32_t	dims = 0;
	std::vector<float> values;
	std::vector<float> half_squares;

	uint32_t	count() const { return static_cast<uint32_t>(half_squares.size()); }
	const float *at(uint32_t list) const { return values.data() + static_cast<size_t>(list) * dims; }
	void		measure();		/* fills half_squares from values */
	uint32_t	nearest(const float *point) const;
};

/* Of points float32[n][dims], n >= 1; fewer lists than asked for when there are fewer distinct points. Advances the
 * jobs' progress by n an iteration. Throws a Failure when cancelled. */
Centroids	kmeans(const float *points, uint32_t n, const KMeansOptions &options, Jobs *jobs);

}								/* namespace rv */

#endif							/* RV_KMEANS_H */
