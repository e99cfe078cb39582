/* SPDX-License-Identifier: PostgreSQL
 *
 * score_raw.cpp: distances from float32 and float16 records, and from 8-bit records under L1.
 *
 * The kernels' float32 sums err by sql_rounding relative to the sum of the absolute terms; where they overflow or
 * vanish, or a float16 record is scaled, the distance is computed in double instead.
 */
#include "engine/scorers.h"

namespace rv
{

namespace
{

class RawScorer final : public Scorer
{
public:
	RawScorer(const rv_segment *segment, const DenseQuery &query)
		: query_(query), dims_(segment->spec.dims), metric_(segment->spec.metric),
		  half_(record_kind(segment->spec) == RecordKind::f16), kernels_(rv_kernels())
	{
		set_records(segment->codes.data, segment->header.code_stride);
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		size_t		i = 0;

		if (!half_ && (metric_ == RV_METRIC_IP || metric_ == RV_METRIC_COSINE))
			for (; i + 4 <= n; i += 4)
			{
				const float *rows[4];

				for (size_t j = 0; j < 4; j++)
					rows[j] = floats(nodes[i + j]);
				kernels_->dot4_f32(query_.prime.data(), rows, dims_, out + i);
				for (size_t j = 0; j < 4; j++)
					out[i + j] = metric_ == RV_METRIC_IP ? -out[i + j] : 1 - out[i + j] / head(nodes[i + j]).norm;
			}
		for (; i < n; i++)
			out[i] = key(nodes[i]);
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const CodeHead h = head(node);
		const double rounding = sql_rounding(dims_);
		const double value = sum(node, h);
		double		margin;

		switch (metric_)
		{
			case RV_METRIC_IP:
				margin = query_.norm * (h.error + rounding * h.norm);
				emit_ip({value, value - margin, value + margin}, dims_, query_.norm * (static_cast<double>(h.norm) + h.error), hit);
				break;
			case RV_METRIC_COSINE:
				cosine_bounds(value / (query_.norm * h.norm), h, hit);
				break;
			case RV_METRIC_L1:
				emit_l1({value, value * (1 - rounding) - h.error, value * (1 + rounding) + h.error}, dims_, hit);
				break;
			default:
				{
					const double d = std::sqrt(value);

					emit_l2({d, d * (1 - rounding) - h.error, d * (1 + rounding) + h.error}, dims_, hit);
					break;
				}
		}
	}

private:
	const float *floats(uint32_t node) const { return reinterpret_cast<const float *>(record(node) + sizeof(CodeHead)); }
	const rv_half *halves(uint32_t node) const { return reinterpret_cast<const rv_half *>(record(node) + sizeof(CodeHead)); }
	CodeHead	head(uint32_t node) const { return load<CodeHead>(record(node)); }

	/* L1: sum |q - x|; L2: sum (q - x)^2; else <q, x>, of the vectors as given */
	double
	sum(uint32_t node, const CodeHead &h) const
	{
		const float *q = query_.raw.data();
		double		value;

		if (h.scale == 1)
		{
			if (metric_ == RV_METRIC_L1)
				value = half_ ? kernels_->l1_f32_f16(q, halves(node), dims_) : kernels_->l1_f32(q, floats(node), dims_);
			else if (metric_ == RV_METRIC_L2)
				value = half_ ? kernels_->l2_squared_f32_f16(q, halves(node), dims_) : kernels_->l2_squared_f32(q, floats(node), dims_);
			else
				value = half_ ? kernels_->dot_f32_f16(q, halves(node), dims_) : kernels_->dot_f32(q, floats(node), dims_);
			if (std::isfinite(value) && (std::fabs(value) > 1e-25 ||
				((metric_ == RV_METRIC_IP || metric_ == RV_METRIC_COSINE) && query_.norm * h.norm > 1e-25)))
				return value;
		}
		return exact_sum(node);
	}

	double
	exact_sum(uint32_t node) const
	{
		std::vector<float> x(dims_);
		double		value = 0;

		if (half_)
			decode_f16(record(node), dims_, x.data());
		else
			decode_f32(record(node), dims_, x.data());
		for (uint32_t i = 0; i < dims_; i++)
		{
			const double a = query_.raw[i],
						b = x[i];

			value += metric_ == RV_METRIC_L1 ? std::fabs(a - b) : metric_ == RV_METRIC_L2 ? (a - b) * (a - b) : a * b;
		}
		return value;
	}

	float
	key(uint32_t node) const
	{
		const CodeHead h = head(node);
		const double value = sum(node, h);

		if (metric_ == RV_METRIC_COSINE)
			return static_cast<float>(1 - value / (query_.norm * h.norm));
		return static_cast<float>(metric_ == RV_METRIC_IP ? -value : value);
	}

	void
	cosine_bounds(double similarity, const CodeHead &h, rv_hit *hit) const
	{
		/* Kernel and SQL function both, and the error of the record relative to its length. */
		const double margin = 5 * sql_rounding(dims_) + 2 * static_cast<double>(h.error) / h.norm;
		Interval	i = {1 - similarity, 1 - similarity - margin, 1 - similarity + margin};

		if (!(query_.norm > 1e-15 && h.norm > 1e-15 && query_.norm < 1e18 && h.norm < 1e18))
			i.lower = i.upper = std::numeric_limits<double>::quiet_NaN();
		emit(i, 0, 2, hit);
	}

	const DenseQuery &query_;
	const uint32_t dims_;
	const rv_metric metric_;
	const bool	half_;
	const rv_kernel_table *kernels_;
};

/* Key: the L1 distance to the decoded vector. */
class L1Scorer final : public Scorer
{
public:
	L1Scorer(const rv_segment *segment, const DenseQuery &query)
		: query_(query), dims_(segment->spec.dims), kernels_(rv_kernels())
	{
		for (float x : query.raw)
			size_ += std::fabs(x);
		set_records(segment->codes.data, segment->header.code_stride);
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i++)
			out[i] = static_cast<float>(sum(nodes[i]));
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const CodeHead head = load<CodeHead>(record(node));
		const double d = sum(node);

		/* Decoding rounds scale * code + offset: two roundings of at most |x^| each; |x^| <= |q| + d in the L1 norm. */
		const double rounding = sql_rounding(dims_) * d + 4 * FLOAT_EPSILON * (size_ + d + 254.0 * head.scale * dims_);

		emit_l1({d, d - rounding - head.error, d + rounding + head.error}, dims_, hit);
	}

private:
	double
	sum(uint32_t node) const
	{
		const CodeHead head = load<CodeHead>(record(node));
		const int8_t *codes = reinterpret_cast<const int8_t *>(record(node) + sizeof(head));

		return kernels_->l1_f32_i8(query_.raw.data(), codes, head.scale, head.offset, dims_);
	}

	const DenseQuery &query_;
	const uint32_t dims_;
	const rv_kernel_table *kernels_;
	double		size_ = 0;		/* |q|, L1 norm */
};

}								/* namespace */

std::unique_ptr<Scorer>
make_raw_scorer(const rv_segment *segment, const DenseQuery &query)
{
	return std::make_unique<RawScorer>(segment, query);
}

std::unique_ptr<Scorer>
make_l1_scorer(const rv_segment *segment, const DenseQuery &query)
{
	return std::make_unique<L1Scorer>(segment, query);
}

}								/* namespace rv */
