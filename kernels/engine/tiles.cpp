/* SPDX-License-Identifier: PostgreSQL
 *
 * tiles.cpp: 8-bit codes of points, and of centroids sixteen to a block.
 *
 * The kernel multiplies signed bytes with unsigned ones, so 128 is added to a centroid's code, and 128 times the sum of
 * a point's code taken away.
 */
#include "engine/tiles.h"

#include <algorithm>

#include "engine/record.h"

namespace rv
{

namespace
{

constexpr float CODED_MIN = 1e-30f;	/* largest magnitudes that are coded: products must stay finite */
constexpr float CODED_MAX = 1e15f;

int32_t
sum_of(const int8_t *code, uint32_t n)
{
	int32_t		sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += code[i];
	return sum;
}

}								/* namespace */

CodedPoints::CodedPoints(uint32_t dims_, uint32_t n)
	: dims(dims_), stride(static_cast<uint32_t>(round_up(dims_, 4))), values(static_cast<size_t>(n) * stride), scales(n), sums(n), norms(n)
{
}

void
CodedPoints::set(uint32_t i, const float *x)
{
	int8_t	   *code = values.data() + static_cast<size_t>(i) * stride;
	const float largest = largest_magnitude(x, dims);

	scales[i] = largest > CODED_MIN && largest < CODED_MAX ? largest / 127 : 0;
	if (scales[i] > 0)
		round_codes(x, dims, 0, 127 / largest, code);
	else
		std::fill(code, code + dims, static_cast<int8_t>(0));
	sums[i] = sum_of(code, dims);
	norms[i] = std::sqrt(rv_kernels()->dot_f32(x, x, dims));
}

void
CodedPoints::set(uint32_t i, const int8_t *code, float scale, float norm)
{
	memcpy(values.data() + static_cast<size_t>(i) * stride, code, dims);
	scales[i] = norm < CODED_MAX ? scale : 0;
	sums[i] = sum_of(code, dims);
	norms[i] = norm;
}

void
CentroidTiles::clear()
{
	blocks_ = std::vector<uint8_t>();
	scales_ = std::vector<float>();
}

void
CentroidTiles::set(const float *centroids, uint32_t n, uint32_t dims)
{
	CodedPoints coded(dims, n);
	std::vector<uint32_t> all(n);

	for (uint32_t j = 0; j < n; j++)
	{
		coded.set(j, centroids + static_cast<size_t>(j) * dims);
		all[j] = j;
	}
	set(coded, all);
}

void
CentroidTiles::set(const CodedPoints &points, const std::vector<uint32_t> &which)
{
	blocks_.clear();
	scales_.assign(round_up(which.size(), RV_TILE_BLOCK), 0);
	stride_ = points.stride;
	max_scale_ = max_norm_ = 0;
	for (size_t j = 0; j < which.size(); j++)
	{
		if (!(points.norms[which[j]] < CODED_MAX))
			return;
		scales_[j] = points.scales[which[j]];
		max_scale_ = std::max(max_scale_, scales_[j]);
		max_norm_ = std::max(max_norm_, points.norms[which[j]]);
	}
	blocks_.assign(scales_.size() * stride_, 128);
	for (size_t j = 0; j < which.size(); j++)
	{
		uint8_t    *block = blocks_.data() + j / RV_TILE_BLOCK * RV_TILE_BLOCK * stride_ + j % RV_TILE_BLOCK * 4;
		const int8_t *code = points.at(which[j]);

		for (uint32_t d = 0; d < stride_; d++)
			block[d / 4 * 4 * RV_TILE_BLOCK + d % 4] = static_cast<uint8_t>(code[d] + 128);
	}
}

void
CentroidTiles::dots(const CodedPoints &points, uint32_t first, uint32_t n, int32_t *work, float *out) const
{
	const size_t count = scales_.size();

	rv_kernels()->dots_u8_i8(points.at(first), stride_, n, blocks_.data(), count / RV_TILE_BLOCK, stride_, work);
	for (uint32_t i = 0; i < n; i++)
	{
		const int32_t offset = 128 * points.sums[first + i];
		const float scale = points.scales[first + i];
		const int32_t *dots = work + i * count;
		float	   *to = out + i * count;

		for (size_t j = 0; j < count; j++)
			to[j] = static_cast<float>(dots[j] - offset) * (scale * scales_[j]);
	}
}

}								/* namespace rv */
