/* SPDX-License-Identifier: PostgreSQL
 *
 * score_sets.cpp: distances from bit strings (exact) and from sparse vectors (exact up to rounding).
 */
#include "engine/scorers.h"

namespace rv
{

namespace
{

/* Key: the distance itself. */
class BitScorer final : public Scorer
{
public:
	BitScorer(const rv_segment *segment, const rv_vector *query)
		: jaccard_(segment->spec.metric == RV_METRIC_JACCARD), bits_(read_bits(query, segment->spec.dims)), kernels_(rv_kernels())
	{
		set_records(segment->codes.data, segment->header.code_stride);
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i++)
			out[i] = static_cast<float>(distance(nodes[i]));
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const double d = distance(node);

		hit->estimate = static_cast<float>(d);
		hit->lower = float_down(d);
		hit->upper = float_up(d);
	}

private:
	double
	distance(uint32_t node) const
	{
		uint64_t	both,
					either;

		if (!jaccard_)
			return static_cast<double>(kernels_->hamming(bits_.data(), record(node), bits_.size()));
		kernels_->jaccard(bits_.data(), record(node), bits_.size(), &both, &either);
		return both == 0 ? 1 : 1 - static_cast<double>(both) / static_cast<double>(either);
	}

	const bool	jaccard_;
	const std::vector<uint8_t> bits_;
	const rv_kernel_table *kernels_;
};

/* Key: L2 squared, minus the inner product, the cosine or the L1 distance. */
class SparseScorer final : public Scorer
{
public:
	SparseScorer(const rv_segment *segment, const rv_vector *query)
		: metric_(segment->spec.metric), query_(sparse_record(query, segment->spec.dims)), view_(sparse_view(query_.data())),
		  offsets_(segment->code_offsets.data), data_(segment->codes)
	{
		if (metric_ == RV_METRIC_COSINE && !(view_.norm > 0))
			fail(RV_INVALID, "a zero vector has no cosine distance");
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i++)
		{
			const SparseView x = stored_sparse(offsets_, data_, nodes[i]);
			const double value = sum(x);

			out[i] = static_cast<float>(metric_ == RV_METRIC_IP ? -value : metric_ == RV_METRIC_COSINE ?
										1 - value / (static_cast<double>(view_.norm) * x.norm) : value);
		}
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const SparseView x = stored_sparse(offsets_, data_, node);
		const double value = sum(x);
		const uint32_t terms = 8 * (x.count + view_.count);	/* the SQL function may add them one after the other */
		const double sizes = static_cast<double>(view_.norm) * x.norm;

		switch (metric_)
		{
			case RV_METRIC_IP:
				emit_ip({value, value, value}, terms, sizes, hit);
				break;
			case RV_METRIC_L1:
				emit_l1({value, value, value}, terms, hit);
				break;
			case RV_METRIC_COSINE:
				{
					const double d = 1 - value / sizes;
					Interval	i = {d, d - 4 * sql_rounding(terms), d + 4 * sql_rounding(terms)};

					if (!(view_.norm > 1e-15f && x.norm > 1e-15f && view_.norm < 1e18f && x.norm < 1e18f))
						i.lower = i.upper = std::numeric_limits<double>::quiet_NaN();
					emit(i, 0, 2, hit);
					break;
				}
			default:
				{
					const double d = std::sqrt(value);

					emit_l2({d, d, d}, terms, hit);
					break;
				}
		}
	}

private:
	double
	sum(const SparseView &x) const
	{
		const SparseSums sums = sparse_sums(view_, x);

		return metric_ == RV_METRIC_L1 ? sums.l1 : metric_ == RV_METRIC_L2 ? sums.l2 : sums.dot;
	}

	const rv_metric metric_;
	const std::vector<uint8_t> query_;
	const SparseView view_;
	const uint8_t *offsets_;
	const Section data_;
};

}								/* namespace */

std::vector<uint8_t>
read_bits(const rv_vector *vector, uint32_t dims)
{
	if (vector->count != dims)
		fail(RV_INVALID, "expected %u bits, not %u", dims, vector->count);

	const uint8_t *from = static_cast<const uint8_t *>(vector->values);
	std::vector<uint8_t> bits(from, from + (dims + 7) / 8);

	if (dims % 8 != 0)
		bits.back() &= static_cast<uint8_t>(0xff00 >> (dims % 8));
	return bits;
}

SparseView
stored_sparse(const uint8_t *offsets, const Section &data, uint32_t node)
{
	const uint64_t begin = load<uint64_t>(offsets + static_cast<size_t>(node) * 8);
	const uint64_t end = load<uint64_t>(offsets + static_cast<size_t>(node) * 8 + 8);

	if (begin > end || end > data.size || begin % 8 != 0 || end - begin < SPARSE_HEAD ||
		sparse_size(load<uint32_t>(data.data + begin)) != end - begin)
		fail(RV_CORRUPT, "section \"codes\" has an invalid record at node %u", node);
	return sparse_view(data.data + begin);
}

std::unique_ptr<Scorer>
make_bit_scorer(const rv_segment *segment, const rv_vector *query)
{
	return std::make_unique<BitScorer>(segment, query);
}

std::unique_ptr<Scorer>
make_sparse_scorer(const rv_segment *segment, const rv_vector *query)
{
	return std::make_unique<SparseScorer>(segment, query);
}

}								/* namespace rv */
