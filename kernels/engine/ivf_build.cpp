/* SPDX-License-Identifier: PostgreSQL
 *
 * ivf_build.cpp: training centroids on a sample of the codes, assigning nodes, coding residuals.
 */
#include "engine/ivf.h"

#include <algorithm>
#include <numeric>

namespace rv
{

namespace
{

/* pgvector's sample is 50 a list, at least 10,000; past SAMPLE_MAX_BYTES more points do not make better centroids. */
constexpr uint64_t SAMPLE_PER_LIST = 50;
constexpr uint64_t SAMPLE_MIN = 10000;
constexpr uint64_t SAMPLE_MAX_BYTES = 256u << 20;
constexpr int ITERATIONS = 10;
constexpr uint32_t CHUNK = 128;	/* nodes a job */

/* Lists are stale when vectors are so much farther from their centroids, or so much less even, than when they were made;
 * clustering anew must win some of it back. docs/design/engine.md has the measurements. */
constexpr float STALE_SPREAD = 1.1f;
constexpr float STALE_SHARE = 1.25f;
constexpr float WORTH_SPREAD = 0.95f;
constexpr float WORTH_SHARE = 0.8f;

uint32_t
sample_size(uint64_t nodes, const rv_spec &spec)
{
	const size_t point = spec.element == RV_ELEMENT_BIT ? sizeof(uint8_t *) : spec.dims * sizeof(float);
	const uint64_t fits = std::max<uint64_t>(SAMPLE_MAX_BYTES / point, spec.lists);

	return static_cast<uint32_t>(std::min({nodes, std::max(SAMPLE_PER_LIST * spec.lists, SAMPLE_MIN), fits}));
}

}								/* namespace */

bool
has_scan_codes(const rv_spec &spec)
{
	return Model::metric_is_rotated(spec.metric, spec.element) && spec.dims >= SCAN_MIN_DIMS &&
		spec.quantization != RV_QUANTIZATION_BINARY;
}

ListBuilder::ListBuilder(const rv_spec &spec, const Model &model, const rv_segment *like)
	: spec_(spec), primary_(primary_spec(spec)), model_(model), is_bits_(spec.element == RV_ELEMENT_BIT)
{
	centroids_.dims = spec.dims;
	bit_centroids_.stride = stored_stride(spec);
	if (like == nullptr || like->spec.kind != RV_KIND_IVF || like->lists.count == 0)
		return;
	if (is_bits_)
	{
		const uint8_t *values = like->lists.bit_centroids;

		bit_centroids_.values.assign(values, values + like->lists.count * bit_centroids_.stride);
	}
	else
	{
		const float *values = like->lists.centroids;

		centroids_.values.assign(values, values + static_cast<size_t>(like->lists.count) * spec.dims);
		centroids_.measure();
	}
	fit_ = like->lists.fit;
	trained_ = true;
}

size_t
ListBuilder::peak_bytes(uint64_t nodes, const rv_spec &spec)
{
	const size_t bits = stored_stride(spec);

	if (spec.element == RV_ELEMENT_BIT)
		return sample_size(nodes, spec) * sizeof(uint8_t *) + spec.lists * (3 * bits + 256 * sizeof(uint32_t)) + nodes * 16;

	/* Of a sampled point: float32, a code, and while seeds are chosen another. Of a centroid: the same, sums, and those that
	 * may be taken back; of a thread, products with some points. */
	const size_t sample = sample_size(nodes, spec) * (spec.dims * sizeof(float) + 2 * CodedPoints::bytes(spec.dims, 1));
	const size_t scan = has_scan_codes(spec) ?
		(nodes / RV_FASTSCAN_BLOCK + spec.lists) * scan_block_size(spec.dims) : 0;

	return std::max(sample, scan) + spec.lists * (static_cast<size_t>(spec.dims) * 24 + 1024) + nodes * 16;
}

/* What a vector is clustered by. */
void
ListBuilder::point(const Records &codes, uint32_t node, float *out) const
{
	decode_record(codes.at(node), primary_, model_, out);
	if (spec_.metric != RV_METRIC_IP)
		return;
	for (uint32_t i = 0; i < spec_.dims; i++)
		out[i] += model_.rotated_centre[i];

	const double norm = norm_f64(out, spec_.dims);

	for (uint32_t i = 0; norm > 0 && i < spec_.dims; i++)
		out[i] = static_cast<float>(out[i] / norm);
}

void
ListBuilder::train_bits(const Records &codes, uint32_t n, const KMeansOptions &options, Jobs *jobs)
{
	std::vector<const uint8_t *> sample(n);

	for (uint32_t i = 0; i < n; i++)
		sample[i] = codes.at(static_cast<uint32_t>(static_cast<uint64_t>(i) * codes.count() / n));
	bit_centroids_ = kmeans_bits(sample, codes.stride(), options, jobs);
}

void
ListBuilder::train(const Records &codes, Jobs *jobs)
{
	const uint32_t n = sample_size(codes.count(), spec_);
	const size_t dims = spec_.dims;
	KMeansOptions options;

	options.lists = std::min(spec_.lists, n);
	options.dims = spec_.dims;
	options.spherical = spec_.metric == RV_METRIC_IP;
	options.seed = mix64(spec_.seed + 1);
	options.iterations = ITERATIONS;
	jobs->begin_phase(RV_PHASE_TRAINING, static_cast<uint64_t>(n) * ITERATIONS);
	trained_ = true;
	if (is_bits_)
	{
		train_bits(codes, n, options, jobs);
		return;
	}

	Floats		sample(n * dims);

	jobs->for_each((n + CHUNK - 1) / CHUNK, [&](int, uint32_t chunk) {
		for (uint32_t i = chunk * CHUNK; i < std::min(n, (chunk + 1) * CHUNK); i++)
			point(codes, static_cast<uint32_t>(static_cast<uint64_t>(i) * codes.count() / n), sample.data() + i * dims);
	});
	centroids_ = kmeans(sample.data(), n, options, jobs);
}

/* The lists of the nodes first .. first + n - 1, n <= CHUNK; apart: their squared distances from the centroids. */
void
ListBuilder::nearest(const Records &codes, uint32_t first, uint32_t n, uint32_t *list, float *apart) const
{
	if (is_bits_)
	{
		for (uint32_t i = 0; i < n; i++)
			list[i] = bit_centroids_.nearest(codes.at(first + i), &apart[i]);
		return;
	}

	Floats		points(static_cast<size_t>(n) * spec_.dims);
	const bool	coded = centroids_.tiles.usable() && record_kind(primary_) == RecordKind::sq8 && spec_.metric != RV_METRIC_IP;
	CodedPoints own(spec_.dims, coded ? n : 0);

	for (uint32_t i = 0; i < n; i++)
	{
		const uint8_t *record = codes.at(first + i);

		point(codes, first + i, points.data() + static_cast<size_t>(i) * spec_.dims);
		if (coded)
		{
			const CodeHead head = load<CodeHead>(record);

			own.set(i, reinterpret_cast<const int8_t *>(record + sizeof(head)), head.scale,
					head.scale * std::sqrt(static_cast<float>(head.square)));
		}
	}
	centroids_.nearest(points.data(), n, list, apart, coded ? &own : nullptr);
}

/* The list of every node, and how well they fit. */
std::vector<uint32_t>
ListBuilder::assign(const Records &codes, Jobs *jobs, ListFit *fit) const
{
	const uint32_t nodes = codes.count();
	std::vector<uint32_t> list(nodes);
	std::vector<double> spread((nodes + CHUNK - 1) / CHUNK);
	std::vector<uint32_t> counts(centroid_count());
	double		total = 0,
				pairs = 0;

	jobs->begin_phase(RV_PHASE_ASSIGNING, nodes);
	jobs->for_each((nodes + CHUNK - 1) / CHUNK, [&](int, uint32_t chunk) {
		const uint32_t n = std::min(nodes - chunk * CHUNK, CHUNK);
		float		apart[CHUNK];

		nearest(codes, chunk * CHUNK, n, &list[chunk * CHUNK], apart);
		for (uint32_t i = 0; i < n; i++)
			spread[chunk] += apart[i];
		jobs->advance(n);
	});
	for (double part : spread)
		total += part;
	for (uint32_t l : list)
		pairs += 2.0 * counts[l]++;
	fit->spread = static_cast<float>(total / nodes);
	fit->share = static_cast<float>(nodes > 1 ? pairs / (static_cast<double>(nodes) * (nodes - 1)) : 1);
	fit->vectors = static_cast<float>(nodes);
	return list;
}

/* Few vectors beside those that the lists were made for tell nothing: they soon join the others. */
bool
ListBuilder::is_stale(const ListFit &now) const
{
	if (now.vectors < fit_.vectors)
		return false;
	return now.spread > STALE_SPREAD * fit_.spread || now.share > STALE_SHARE * fit_.share ||
		(centroid_count() < spec_.lists && now.vectors >= 2 * fit_.vectors);
}

/* Lists made anew take the place of those taken over if they fit better. */
void
ListBuilder::reconsider(const Records &codes, Jobs *jobs, std::vector<uint32_t> *list, ListFit *fit)
{
	const Centroids before = centroids_;
	const BitCentroids bits_before = bit_centroids_;
	ListFit		anew;

	train(codes, jobs);

	std::vector<uint32_t> other = assign(codes, jobs, &anew);

	change_.spread_before = fit->spread;
	change_.spread_after = anew.spread;
	change_.share_before = fit->share;
	change_.share_after = anew.share;
	change_.anew = anew.spread < WORTH_SPREAD * fit->spread || anew.share < WORTH_SHARE * fit->share;
	if (change_.anew)
	{
		*list = std::move(other);
		*fit = anew;
		return;
	}
	centroids_ = before;
	bit_centroids_ = bits_before;
}

/* Nodes in the order of their lists, and within a list as they were added. */
void
ListBuilder::arrange(const std::vector<uint32_t> &list)
{
	const uint32_t nodes = static_cast<uint32_t>(list.size());

	offsets_.assign(centroid_count() + 1, 0);
	for (uint32_t l : list)
		offsets_[l + 1]++;
	std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
	std::vector<uint32_t> next(offsets_.begin(), offsets_.end() - 1);

	order_.resize(nodes);
	positions_.resize(nodes);
	for (uint32_t i = 0; i < nodes; i++)
	{
		positions_[i] = next[list[i]]++;
		order_[positions_[i]] = i;
	}
}

void
ListBuilder::set_bit_radius(const Records &codes, Jobs *jobs)
{
	radius_.assign(lists(), 0);
	jobs->for_each(lists(), [&](int, uint32_t list) {
		uint64_t	radius = 0;

		for (uint32_t i = offsets_[list]; i < offsets_[list + 1]; i++)
			radius = std::max(radius, rv_kernels()->hamming(codes.at(order_[i]), bit_centroids_.at(list), codes.stride()));
		radius_[list] = static_cast<float>(radius);
	});
}

/* Under inner product: the means. */
void
ListBuilder::set_anchors(const Records &codes, Jobs *jobs)
{
	const size_t dims = spec_.dims;

	anchors_.assign(centroids_.values.size(), 0);
	jobs->for_each(lists(), [&](int, uint32_t list) {
		std::vector<float> u(dims);
		std::vector<double> sum(dims);
		const uint32_t begin = offsets_[list];
		const uint32_t end = offsets_[list + 1];

		for (uint32_t i = begin; i < end; i++)
		{
			decode_record(codes.at(order_[i]), primary_, model_, u.data());
			for (size_t d = 0; d < dims; d++)
				sum[d] += u[d];
		}
		for (size_t d = 0; begin < end && d < dims; d++)
			anchors_[list * dims + d] = static_cast<float>(sum[d] / (end - begin));
	});
}

void
ListBuilder::run(const Records &codes, Jobs *jobs)
{
	if (codes.count() == 0)
	{
		offsets_.assign(1, 0);
		centroids_.values.clear();
		centroids_.half_squares.clear();
		bit_centroids_.values.clear();
		return;
	}

	const bool	taken_over = trained_;
	ListFit		now;

	if (!taken_over)
		train(codes, jobs);

	std::vector<uint32_t> list = assign(codes, jobs, &now);

	if (taken_over && is_stale(now))
	{
		reconsider(codes, jobs, &list, &now);
		fit_ = now;				/* and if they are kept, there is no better: not tried again for the same vectors */
	}
	else if (!taken_over)
		fit_ = now;
	arrange(list);
	if (is_bits_)
		set_bit_radius(codes, jobs);
	else if (spec_.metric == RV_METRIC_IP)
		set_anchors(codes, jobs);
}

}								/* namespace rv */
