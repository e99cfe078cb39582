/* SPDX-License-Identifier: PostgreSQL
 *
 * ivf_write.cpp: the sections of lists: stored records list by list, scan codes of residuals, radii.
 *
 * One pass over the vectors: each is decoded once, and its record moved while it is in the cache. An estimate by scan codes
 * needs no more than float32; the radius, which is a bound, adds what its sum may have lost.
 */
#include "engine/ivf.h"

#include <algorithm>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace rv
{

namespace
{

/* What is left of a vector u when the anchor is taken away, and how it lies to the anchor. */
struct Residual
{
	float		square,			/* |r|^2, with a relative error below (dims / 8 + 16) 2^-24 */
				sum,			/* sum|r| */
				along;			/* <a, s>, s the signs of r */
};

/* u becomes r. In eight parts, for the reason given in record.cpp. */
Residual
take_away(float *u, const float *anchor, uint32_t dims)
{
	float		square[8] = {},
				sum[8] = {},
				along[8] = {};
	auto		step = [&](uint32_t i, uint32_t lane) {
		const float r = u[i] - anchor[i];

		square[lane] += r * r;
		sum[lane] += std::fabs(r);
		along[lane] += std::copysign(1.0f, r) * anchor[i];
		u[i] = r;
	};
	uint32_t	i = 0;

	for (; i + 8 <= dims; i += 8)
#pragma GCC unroll 8
		for (uint32_t lane = 0; lane < 8; lane++)
			step(i + lane, lane);
	for (; i < dims; i++)
		step(i, 0);
	for (uint32_t width = 4; width > 0; width /= 2)
		for (uint32_t lane = 0; lane < width; lane++)
		{
			square[lane] += square[lane + width];
			sum[lane] += sum[lane + width];
			along[lane] += along[lane + width];
		}
	return {square[0], sum[0], along[0]};
}

/* Bit i is set when r[i] is not negative, i < 4. */
uint32_t
positive_of_four(const float *r)
{
#ifdef __SSE2__
	return ~static_cast<uint32_t>(_mm_movemask_ps(_mm_loadu_ps(r))) & 15;
#else
	uint32_t	signs = 0;

	for (uint32_t i = 0; i < 4; i++)
		signs |= static_cast<uint32_t>(!std::signbit(r[i])) << i;
	return signs;
#endif
}

}								/* namespace */

size_t
ListBuilder::centroids_size() const
{
	return bit_centroids_.values.size() + (centroids_.values.size() + anchors_.size() + lists()) * sizeof(float) +
		sizeof(ListFit);
}

size_t
ListBuilder::scan_size() const
{
	size_t		blocks = 0;

	if (!has_scan_codes(spec_))
		return 0;
	for (uint32_t list = 0; list < lists(); list++)
		blocks += scan_blocks(offsets_[list + 1] - offsets_[list]);
	return blocks * scan_block_size(spec_.dims);
}

/* One list: stored records to out, scan codes of its blocks, radius. */
void
ListBuilder::write_list(const Records &codes, const Records &stored, uint32_t list, uint8_t *out, uint8_t *block)
{
	const uint32_t dims = spec_.dims;
	const float *anchor = anchors_.empty() ? centroids_.at(list) : anchors_.data() + static_cast<size_t>(list) * dims;
	const bool	scanned = has_scan_codes(spec_);
	std::vector<float> u(round_up(dims, 4));
	double		radius = 0;

	for (uint32_t i = offsets_[list]; i < offsets_[list + 1]; i++, out += stored.stride())
	{
		const uint8_t *record = codes.at(order_[i]);
		const uint32_t j = (i - offsets_[list]) % RV_FASTSCAN_BLOCK;
		const double error = decode_record(record, primary_, model_, u.data());
		const Residual r = take_away(u.data(), anchor, dims);

		/* 1e-18 is more than what underflows: squares below 2^-149 */
		radius = std::max(radius, std::sqrt(static_cast<double>(r.square)) * (1 + (dims / 8 + 16) * FLOAT_EPSILON) + 1e-18 + error);
		memcpy(out, stored.at(order_[i]), stored.stride());
		if (!scanned)
			continue;
		if (j == 0)
			memset(block, 0, scan_block_size(dims));
		encode_scan(u.data(), r.square, r.sum, r.along, j, block);
		if (j == RV_FASTSCAN_BLOCK - 1)
			block += scan_block_size(dims);
	}
	radius_[list] = float_up(radius);
}

/* The code of residual r as number j of a block. */
void
ListBuilder::encode_scan(const float *r, float square, float sum, float along, uint32_t j, uint8_t *block) const
{
	const uint32_t dims = spec_.dims;
	uint8_t    *rows = block + 2 * RV_FASTSCAN_BLOCK * sizeof(float) + j % 16;
	const uint32_t shift = j < 16 ? 0 : 4;
	const float f = sum > 0 ? square / sum : 0;
	const bool	ip = spec_.metric == RV_METRIC_IP;
	const float base = ip ? 0 : square + 2 * f * along;
	const float slope = ip ? f : 2 * f;

	for (uint32_t d = 0; d < dims; d += 4)
	{
		const uint32_t used = dims - d < 4 ? (1u << (dims - d)) - 1 : 15;

		rows[d / 4 * 16] |= static_cast<uint8_t>((positive_of_four(r + d) & used) << shift);
	}
	memcpy(block + j * sizeof(float), &base, sizeof(float));
	memcpy(block + (RV_FASTSCAN_BLOCK + j) * sizeof(float), &slope, sizeof(float));
}

void
ListBuilder::write(const Records &codes, const Records &stored, Jobs *jobs, const ListSections &to)
{
	const size_t block = has_scan_codes(spec_) ? scan_block_size(spec_.dims) : 0;
	std::vector<size_t> at(lists());
	uint8_t    *centroids = to.centroids;
	auto		append = [&](const auto &values) {
		if (!values.empty())
			memcpy(centroids, values.data(), values.size() * sizeof(values[0]));
		centroids += values.size() * sizeof(values[0]);
	};

	for (uint32_t list = 0; list + 1 < lists(); list++)
		at[list + 1] = at[list] + scan_blocks(offsets_[list + 1] - offsets_[list]) * block;
	jobs->begin_phase(RV_PHASE_ENCODING, codes.count());
	if (!is_bits_)
		radius_.assign(lists(), 0);
	jobs->for_each(lists(), [&](int, uint32_t list) {
		uint8_t    *out = to.codes + offsets_[list] * stored.stride();

		if (is_bits_)
			for (uint32_t i = offsets_[list]; i < offsets_[list + 1]; i++, out += stored.stride())
				memcpy(out, stored.at(order_[i]), stored.stride());
		else
			write_list(codes, stored, list, out, to.scan + at[list]);
		jobs->advance(offsets_[list + 1] - offsets_[list]);
	});

	append(bit_centroids_.values);
	append(centroids_.values);
	append(anchors_);
	append(radius_);
	memcpy(centroids, &fit_, sizeof(fit_));
	memcpy(to.offsets, offsets_.data(), offsets_size());
}

}								/* namespace rv */
