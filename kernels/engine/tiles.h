/* SPDX-License-Identifier: PostgreSQL
 *
 * tiles.h: vectors as 8-bit codes for clustering: many products of points and centroids at once, a quarter of the bytes.
 *
 * A code is rounded to 1/127 of the largest coordinate. What is decided by it is decided again by float32 where it is close:
 * kmeans_space.cpp.
 */
#ifndef RV_TILES_H
#define RV_TILES_H

#include "engine/internal.h"

namespace rv
{

constexpr uint32_t TILES_MIN_DIMS = 64;	/* below, rounding does not average out */

/* Points: int8[stride] each. x ~ scale * code. */
struct CodedPoints
{
	uint32_t	dims,
				stride;
	std::vector<int8_t> values;
	std::vector<float> scales;	/* 0: cannot be coded (not finite, or nothing but zeros) */
	std::vector<int32_t> sums;	/* of the code's values */
	std::vector<float> norms;

	CodedPoints(uint32_t dims_, uint32_t n);
	uint32_t	count() const { return static_cast<uint32_t>(scales.size()); }
	const int8_t *at(uint32_t i) const { return values.data() + static_cast<size_t>(i) * stride; }
	void		set(uint32_t i, const float *x);

	/* From a code that is there already; norm: that of the vector. */
	void		set(uint32_t i, const int8_t *code, float scale, float norm);

	static size_t bytes(uint32_t dims, uint64_t n) { return n * (round_up(dims, 4) + 12); }
};

/* Centroids, or what else many points are multiplied with, as rv_kernel_table's dots_u8_i8 takes them. */
class CentroidTiles
{
public:
	void		set(const float *centroids, uint32_t n, uint32_t dims);	/* float32[n][dims] */
	void		set(const CodedPoints &points, const std::vector<uint32_t> &which);
	void		clear();
	bool		usable() const { return !blocks_.empty(); }
	uint32_t	padded() const { return static_cast<uint32_t>(scales_.size()); }	/* count, and lanes without a centroid */

	/* out[i * padded() + j]: about <x, c>, of points first .. first + n - 1 with centroid j; work: int32 of that many. */
	void		dots(const CodedPoints &points, uint32_t first, uint32_t n, int32_t *work, float *out) const;

	/* Five standard deviations of the difference of two of a point's products: an error of rounding is uniform,
	 * so of variance scale^2 / 12 a coordinate. */
	float		margin(const CodedPoints &points, uint32_t i) const
	{
		return points.scales[i] > 0 ? 2 * (points.norms[i] * max_scale_ + max_norm_ * points.scales[i]) : INF;
	}

private:
	uint32_t	stride_ = 0;
	std::vector<uint8_t> blocks_;
	std::vector<float> scales_;
	float		max_scale_ = 0,
				max_norm_ = 0;
};

}								/* namespace rv */

#endif							/* RV_TILES_H */
