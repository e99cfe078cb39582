/* SPDX-License-Identifier: PostgreSQL
 *
 * kmeans.h: the centroids of an IVF model, and the nearest centroid of a vector: of float32 vectors and of bit strings.
 */
#ifndef RV_KMEANS_H
#define RV_KMEANS_H

#include "engine/parallel.h"
#include "engine/tiles.h"

namespace rv
{

/* Floats that begin a cache line: a vector instruction that crosses two costs twice as much. */
template <typename T>
struct CacheAligned
{
	using value_type = T;

	CacheAligned() = default;
	template <typename U>
	CacheAligned(const CacheAligned<U> &) {}
	T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
	void deallocate(T *p, size_t) { ::operator delete(p, std::align_val_t(64)); }
	bool operator==(const CacheAligned &) const { return true; }
	bool operator!=(const CacheAligned &) const { return false; }
};

using Floats = std::vector<float, CacheAligned<float>>;

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
	Floats		values;
	std::vector<float> half_squares;
	CentroidTiles tiles;

	uint32_t	count() const { return static_cast<uint32_t>(half_squares.size()); }
	const float *at(uint32_t list) const { return values.data() + static_cast<size_t>(list) * dims; }
	void		measure();		/* fills the others from values */

	/* Of n points float32[n][dims]: list, and squared distance from its centroid. coded: the same points from first on, or
	 * NULL: they will be coded if that pays. */
	void		nearest(const float *points, uint32_t n, uint32_t *list, float *apart, const CodedPoints *coded = nullptr,
						uint32_t first = 0) const;

private:
	void		nearest_by_tiles(const float *points, uint32_t n, uint32_t *list, float *best, const CodedPoints &coded, uint32_t first) const;
	void		nearest_by_floats(const float *points, uint32_t n, uint32_t *list, float *best) const;
};

/* Bit strings of `stride` bytes, as records have them. */
struct BitCentroids
{
	size_t		stride = 0;
	std::vector<uint8_t> values;

	uint32_t	count() const { return stride == 0 ? 0 : static_cast<uint32_t>(values.size() / stride); }
	const uint8_t *at(uint32_t list) const { return values.data() + list * stride; }
	uint32_t	nearest(const uint8_t *point, float *apart) const;
};

/* Of points float32[n][dims], n >= 1; fewer lists than asked for when there are fewer distinct points. Advances the
 * jobs' progress by n an iteration. Throws a Failure when cancelled. */
Centroids	kmeans(const float *points, uint32_t n, const KMeansOptions &options, Jobs *jobs);

/* The same of bit strings under the Hamming distance: a mean has the bits that most of its points have. */
BitCentroids kmeans_bits(const std::vector<const uint8_t *> &points, size_t stride, const KMeansOptions &options, Jobs *jobs);

struct Assignment
{
	std::vector<uint32_t> list;
	std::vector<float> apart;	/* squared distance from the centroid of its list */
	std::vector<uint32_t> count;	/* points a list */
};

/* What Lloyd's algorithm has to know of points and centroids. */
class KMeansSpace
{
public:
	virtual ~KMeansSpace() = default;
	virtual void seed_from(const std::vector<uint32_t> &pool) = 0;	/* before distances is called */
	virtual void distances(uint32_t seed, float *out) const = 0;	/* squared, of the points of the pool from pool[seed] */
	virtual void start(const std::vector<uint32_t> &points) = 0;	/* these are the centroids */
	virtual uint32_t lists() const = 0;
	virtual void nearest(uint32_t first, uint32_t n, uint32_t *list, float *apart) const = 0;
	virtual void set_means(const Assignment &a, Jobs *jobs) = 0;
};

void		run_kmeans(KMeansSpace *space, uint32_t n, const KMeansOptions &options, Jobs *jobs);

}								/* namespace rv */

#endif							/* RV_KMEANS_H */
