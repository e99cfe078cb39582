/* SPDX-License-Identifier: PostgreSQL
 *
 * ivf_scan.cpp: opening the lists of a segment, ranking them for a query, and scanning one by its 1-bit codes.
 *
 * The query's side of the scan is one table for all lists, since <q - a, s> = <q, s> - <a, s> and the second part is
 * stored: for every four dims, sixteen sums over their signs, brought to 8 bits with one step for the whole table. The
 * step costs an error of at most step / 2 a row, which only the order of candidates depends on, never a bound.
 */
#include "engine/ivf.h"

#include <algorithm>
#include <numeric>

#include "engine/bounds.h"

namespace rv
{

ListsView
ListsView::parse(const SegmentHeader &header, const rv_spec &spec, Section centroids, Section offsets, Section scan)
{
	ListsView	view;
	const bool	anchored = spec.metric == RV_METRIC_IP;

	if (header.lists > RV_MAX_LISTS || (header.lists == 0) != (header.nodes == 0) ||
		offsets.size != (static_cast<size_t>(header.lists) + 1) * sizeof(uint32_t))
		fail(RV_CORRUPT, "section \"list_offsets\" has an invalid size");
	view.count = header.lists;
	view.offsets = reinterpret_cast<const uint32_t *>(offsets.data);

	const bool	bits = spec.element == RV_ELEMENT_BIT;
	const size_t centroid_size = bits ? header.code_stride : static_cast<size_t>(spec.dims) * (anchored ? 2 : 1) * sizeof(float);

	if (centroids.size != header.lists * (centroid_size + sizeof(float)) + sizeof(ListFit))
		fail(RV_CORRUPT, "section \"centroids\" has an invalid size");
	if (bits)
		view.bit_centroids = centroids.data;
	else
	{
		view.centroids = reinterpret_cast<const float *>(centroids.data);
		view.anchors = view.centroids + (anchored ? static_cast<size_t>(header.lists) * spec.dims : 0);
	}
	view.radius = reinterpret_cast<const float *>(centroids.data + header.lists * centroid_size);
	view.fit = load<ListFit>(view.radius + header.lists);

	view.blocks.resize(static_cast<size_t>(header.lists) + 1);
	for (uint32_t list = 0; list < header.lists; list++)
	{
		if (view.offsets[list] > view.offsets[list + 1])
			fail(RV_CORRUPT, "section \"list_offsets\" is not monotone at list %u", list);
		view.blocks[list + 1] = view.blocks[list] + scan_blocks(view.offsets[list + 1] - view.offsets[list]);
	}
	if (view.offsets[0] != 0 || view.offsets[header.lists] != header.nodes)
		fail(RV_CORRUPT, "section \"list_offsets\" does not cover every node");
	if (scan.size != (has_scan_codes(spec) ? view.blocks[header.lists] * scan_block_size(spec.dims) : 0))
		fail(RV_CORRUPT, "section \"lists\" has an invalid size");
	view.scan = scan.data;
	return view;
}

ListScanner::ListScanner(const rv_segment *segment, const DenseQuery &query)
	: segment_(segment), query_(&query), view_(segment->lists), probe_(view_.count), order_(view_.count)
{
	const uint32_t dims = segment->spec.dims;
	const bool	ip = segment->spec.metric == RV_METRIC_IP;
	const rv_kernel_table *kernels = rv_kernels();
	std::vector<float> key(view_.count);

	for (uint32_t list = 0; list < view_.count; list++)
	{
		const float *centroid = view_.centroids + static_cast<size_t>(list) * dims;

		probe_[list] = kernels->dot_f32(query.code.data(), centroid, dims);
		key[list] = ip ? -probe_[list] : kernels->dot_f32(centroid, centroid, dims) - 2 * probe_[list];
	}
	order_by(key);
	if (has_scan_codes(segment->spec) && query.code_norm < FLOAT_SAFE)
		make_tables();
}

ListScanner::ListScanner(const rv_segment *segment, const std::vector<uint8_t> &bits)
	: segment_(segment), query_(nullptr), view_(segment->lists), probe_(view_.count), order_(view_.count)
{
	for (uint32_t list = 0; list < view_.count; list++)
		probe_[list] = static_cast<float>(
			rv_kernels()->hamming(bits.data(), view_.bit_centroids + static_cast<size_t>(list) * segment->header.code_stride, bits.size()));
	order_by(probe_);
}

void
ListScanner::order_by(const std::vector<float> &key)
{
	std::iota(order_.begin(), order_.end(), 0u);
	std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return key[a] != key[b] ? key[a] < key[b] : a < b; });
}

void
ListScanner::make_tables()
{
	const DenseQuery &query = *query_;
	const uint32_t dims = segment_->spec.dims;
	const uint32_t rows = scan_rows(dims);
	std::vector<float> sums(static_cast<size_t>(rows) * 16);
	std::vector<float> least(rows);
	float		widest = 0;

	for (uint32_t row = 0; row < rows; row++)
	{
		float	   *out = &sums[row * 16];
		float		span = 0;

		for (uint32_t d = row * 4; d < std::min(dims, row * 4 + 4); d++)
			span += std::fabs(query.code[d]);
		least[row] = -span;
		widest = std::max(widest, 2 * span);
		for (uint32_t signs = 0; signs < 16; signs++)
			for (uint32_t j = 0; j < 4 && row * 4 + j < dims; j++)
				out[signs] += ((signs >> j) & 1) != 0 ? query.code[row * 4 + j] : -query.code[row * 4 + j];
	}
	lut_step_ = widest / 255.0f;
	luts_.resize(sums.size());
	for (uint32_t row = 0; row < rows; row++)
	{
		lut_base_ += least[row];
		for (uint32_t i = 0; widest > 0 && i < 16; i++)
			luts_[row * 16 + i] = static_cast<uint8_t>((sums[row * 16 + i] - least[row]) / lut_step_ + 0.5f);
	}
}

void
ListScanner::keys(uint32_t list, std::vector<float> *out) const
{
	const uint32_t dims = segment_->spec.dims;
	const uint32_t n = view_.offsets[list + 1] - view_.offsets[list];
	const size_t size = scan_block_size(dims);
	const uint8_t *block = view_.scan + view_.blocks[list] * size;
	const rv_kernel_table *kernels = rv_kernels();
	float		constant;

	if (segment_->spec.metric == RV_METRIC_IP)
		constant = static_cast<float>(-query_->centre_dot) -
			kernels->dot_f32(query_->code.data(), view_.anchors + static_cast<size_t>(list) * dims, dims);
	else
	{
		const float *anchor = view_.anchors + static_cast<size_t>(list) * dims;

		constant = static_cast<float>(query_->code_norm * query_->code_norm) - 2 * probe_[list] +
			kernels->dot_f32(anchor, anchor, dims);
	}
	out->resize(n);
	for (uint32_t first = 0; first < n; first += RV_FASTSCAN_BLOCK, block += size)
	{
		const uint32_t in_block = std::min<uint32_t>(RV_FASTSCAN_BLOCK, n - first);
		float		base[RV_FASTSCAN_BLOCK],
					slope[RV_FASTSCAN_BLOCK];
		uint32_t	sums[RV_FASTSCAN_BLOCK];

		memcpy(base, block, sizeof(base));
		memcpy(slope, block + sizeof(base), sizeof(slope));
		kernels->fastscan(luts_.data(), block + sizeof(base) + sizeof(slope), scan_rows(dims), sums);
		for (uint32_t j = 0; j < in_block; j++)
		{
			const float key = constant + base[j] - slope[j] * (lut_base_ + lut_step_ * static_cast<float>(sums[j]));

			(*out)[first + j] = std::isfinite(key) ? key : INF;
		}
	}
}

/* The triangle inequality around the anchor; the last addend is the rounding of the two float32 dot products. */
bool
ListScanner::beyond(uint32_t list, double radius) const
{
	const uint32_t dims = segment_->spec.dims;
	const double reach = view_.radius[list];

	if (query_ == nullptr)
		return static_cast<double>(probe_[list]) - reach > radius;
	if (!std::isfinite(reach))
		return false;

	const float *anchor = view_.anchors + static_cast<size_t>(list) * dims;
	const double anchor_norm = norm_f64(anchor, dims);
	double		dot = 0;
	rv_hit		hit = {};
	Interval	i;

	for (uint32_t d = 0; d < dims; d++)
		dot += static_cast<double>(query_->code[d]) * anchor[d];
	if (segment_->spec.metric == RV_METRIC_IP)
	{
		const double sizes = query_->norm * (anchor_norm + reach + norm_f64(segment_->model.centre.data(), dims));
		const double most = query_->centre_dot + dot + query_->norm * reach + query_->code_slack * (anchor_norm + reach) +
			1e-12 * sizes;

		i = {most, most, most};
		emit_ip(i, dims, sizes, &hit);
		return hit.lower > radius;
	}

	const double apart2 = query_->code_norm * query_->code_norm + anchor_norm * anchor_norm - 2 * dot;
	const double apart = std::sqrt(std::max(0.0, apart2 - 1e-12 * (query_->code_norm + anchor_norm) * (query_->code_norm + anchor_norm)));
	const double least = std::max(0.0, apart - reach - query_->code_slack);

	i = {least, least, least};
	if (segment_->spec.metric == RV_METRIC_COSINE)
		emit_cosine(i, dims, 1, 1, &hit);
	else
		emit_l2(i, dims, &hit);
	return hit.lower > radius;
}

}								/* namespace rv */
