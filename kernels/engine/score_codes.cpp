/* SPDX-License-Identifier: PostgreSQL
 *
 * score_codes.cpp: distances from 8-bit and from 1-bit codes under the rotated metrics.
 *
 * Key of L2 and cosine: |q^ - x^|^2 + e^2, the expected |q - u|^2. Key of IP: -<q, x>.
 */
#include "engine/scorers.h"

#include <algorithm>

namespace rv
{

namespace
{

double
centre_norm(const Model &model)
{
	return norm_f64(model.centre.data(), model.centre.size());
}

class Sq8Scorer final : public Scorer
{
public:
	Sq8Scorer(const rv_segment *segment, const DenseQuery &query)
		: query_(query), dims_(segment->spec.dims), ip_(segment->spec.metric == RV_METRIC_IP), kernels_(rv_kernels())
	{
		set_records(segment->codes.data, segment->header.code_stride);
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		size_t		i = 0;

		for (; i + 4 <= n; i += 4)
		{
			const int8_t *rows[4];
			int32_t		dots[4];

			for (size_t j = 0; j < 4; j++)
				rows[j] = codes(nodes[i + j]);
			kernels_->dot4_i16_i8(query_.steps.data(), rows, dims_, dots);
			for (size_t j = 0; j < 4; j++)
				out[i + j] = key(nodes[i + j], dots[j]);
		}
		for (; i < n; i++)
			out[i] = key(nodes[i], kernels_->dot_i16_i8(query_.steps.data(), codes(nodes[i]), dims_));
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const CodeHead head = load<CodeHead>(record(node));
		const int32_t dot = kernels_->dot_i16_i8(query_.steps.data(), codes(node), dims_);
		const double scale = head.scale;
		Pair		pair = {};

		pair.query2 = query_.square;
		pair.code2 = scale * scale * head.square;
		pair.dot = query_.step * scale * dot;
		pair.error = std::fabs(head.error);
		pair.query_error = query_.error;

		/* The scale was rounded to float32 (2^-24 |x^|^2), and u itself is known up to orthogonal_slack. */
		const double code = std::sqrt(pair.code2);

		pair.delta = head.error < 0 ? -1 :
			2 * FLOAT_EPSILON * pair.code2 + code * orthogonal_slack(dims_, (code + pair.error) * 1.000001);
		emit_pair(query_, pair, head.norm, hit);
	}

	/* By the query in 8 bits: a row is then as soon compared as it is read, and the reading ahead that the processor does by
	 * itself is not enough (docs/design/engine.md). */
	size_t
	within(uint32_t first, uint32_t n, double radius, uint32_t *out) const override
	{
		const bool	coarse = !query_.byte_steps.empty();
		const Side	query = coarse ? Side{query_.byte_step, query_.byte_square, query_.byte_error} :
			Side{query_.step, query_.square, query_.error};
		const double reach = reach_of(radius, query);
		const double query_norm = std::sqrt(query.square);
		size_t		found = 0;

		for (uint32_t node = first; node < first + n; node++)
		{
			for (size_t at = 0; at < stride_; at += 64)
				__builtin_prefetch(record(node) + READ_AHEAD + at);

			const int32_t dot = coarse ? kernels_->dot_i8(query_.byte_steps.data(), codes(node), dims_) :
				kernels_->dot_i16_i8(query_.steps.data(), codes(node), dims_);

			const CodeHead head = load<CodeHead>(record(node));

			out[found] = node;
			found += may_reach(head, query.step * head.scale * dot, query, query_norm, reach);
		}
		return found;
	}

	void
	reaching(const uint32_t *nodes, const float *keys, size_t n, double radius, bool *out) const override
	{
		const Side	query = {query_.step, query_.square, query_.error};
		const double reach = reach_of(radius, query);
		const double query_norm = std::sqrt(query.square);

		for (size_t i = 0; i < n; i++)
		{
			const CodeHead head = load<CodeHead>(record(nodes[i]));
			/* the least that it can have been before it was rounded to float32 */
			const double key_value = keys[i] - std::fabs(keys[i]) * 2 * FLOAT_EPSILON;
			const double product = ip_ ? -key_value - query_.centre_dot :
				(query.square + code_square(head) + static_cast<double>(head.error) * head.error - key_value) / 2;

			out[i] = may_reach(head, product, query, query_norm, reach);
		}
	}

	/* L2 and cosine: |q^ - x^| - e - f, IP: -<q, x> less its margin; of bounds.h, without what orthogonality wins. */
	void
	lowest(uint32_t first, uint32_t n, float *out) const override
	{
		const Side	query = {query_.step, query_.square, query_.error};
		const double query_norm = std::sqrt(query.square);
		const bool	sound = query_.model->metric == RV_METRIC_L2;
		uint32_t	i = 0;

		for (; i + 4 <= n; i += 4)
		{
			const int8_t *rows[4];
			int32_t		dots[4];

			for (uint32_t j = 0; j < 4; j++)
				rows[j] = codes(first + i + j);
			for (size_t at = 0; at < 4 * stride_; at += 64)
				__builtin_prefetch(record(first + i) + READ_AHEAD + at);
			kernels_->dot4_i16_i8(query_.steps.data(), rows, dims_, dots);
			for (uint32_t j = 0; j < 4; j++)
				out[i + j] = low(first + i + j, dots[j], query, query_norm, sound);
		}
		for (; i < n; i++)
			out[i] = low(first + i, kernels_->dot_i16_i8(query_.steps.data(), codes(first + i), dims_), query, query_norm,
						 sound);
	}

	double
	distance_above(float number) const override
	{
		const double low = number;
		rv_hit		hit;

		if (low == -INF)
			return low;
		if (ip_)
			return low - 1e-40;
		if (query_.model->metric == RV_METRIC_COSINE)
			emit_cosine({low, low, low}, dims_, query_.norm, 1, &hit);
		else
			emit_l2({low, low, low}, dims_, &hit);
		return hit.lower;
	}

private:
	static constexpr size_t READ_AHEAD = 8192;	/* bytes */

	/* q^ of model.h as it was multiplied with the codes. */
	struct Side
	{
		double		step,
					square,
					error;
	};

	/* A radius with every rounding on its side, so that one comparison a row is safe; bounds() decides. L2 and cosine: in
	 * the code space, the query's error added. */
	double
	reach_of(double radius, const Side &query) const
	{
		const double rounding = sql_rounding(dims_);

		if (ip_)
			return radius + 1e-40;
		if (query_.model->metric == RV_METRIC_COSINE)
			radius = std::sqrt(2 * std::fmax(0, radius + 4 * rounding));
		return std::fmax(0, radius) * (1 + 2 * rounding) * (1 + 1e-6) + 1e-19 + query.error * (1 + 1e-12);
	}

	static double
	code_square(const CodeHead &head)
	{
		return static_cast<double>(head.scale) * head.scale * head.square;
	}

	/* product: <q^, x^> */
	bool
	may_reach(const CodeHead &head, double product, const Side &query, double query_norm, double reach) const
	{
		const double error = std::fabs(head.error);
		const double code2 = code_square(head);

		/* Where the SQL function may overflow or vanish, anything may come out. */
		if (query_.model->metric != RV_METRIC_L2 && !sql_is_sound(query_.model->metric, query_.norm, head.norm))
			return true;
		if (ip_)
			/* Written so that NaN, which an infinite error makes, counts as reached. */
			return !(-(query_.centre_dot + product) - ip_margin(head, std::sqrt(code2), query, query_norm) > reach);

		const double most = reach + error;

		return !(query.square + code2 - 2 * product > most * most + 1e-12 * (query.square + code2));
	}

	double
	ip_margin(const CodeHead &head, double code, const Side &query, double query_norm) const
	{
		const double error = std::fabs(head.error);

		return (query_norm * error + query.error * (code + error) + 1e-12 * query_norm * code +
				sql_rounding(dims_) * query_.norm * head.norm) * (1 + 1e-9);
	}

	float
	low(uint32_t node, int32_t dot, const Side &query, double query_norm, bool sound) const
	{
		const CodeHead head = load<CodeHead>(record(node));
		const double code2 = code_square(head);
		const double product = query.step * head.scale * dot;
		double		value;

		if (!sound && !sql_is_sound(query_.model->metric, query_.norm, head.norm))
			return -INF;
		if (ip_)
			value = -(query_.centre_dot + product) - ip_margin(head, std::sqrt(code2), query, query_norm);
		else
		{
			const double base = query.square + code2 - 2 * product - 1e-12 * (query.square + code2);

			value = std::sqrt(base > 0 ? base : 0) - std::fabs(head.error) - query.error;
		}
		/* Towards -inf by more than becoming float32 may round it up; NaN, which infinite errors may make, is nothing known. */
		value -= std::fabs(value) * 2 * FLOAT_EPSILON + 1e-44;
		return value > -FLOAT_SAFE ? static_cast<float>(std::fmin(value, FLOAT_SAFE)) : -INF;
	}

	const int8_t *codes(uint32_t node) const { return reinterpret_cast<const int8_t *>(record(node) + sizeof(CodeHead)); }

	float
	key(uint32_t node, int32_t dot) const
	{
		const CodeHead head = load<CodeHead>(record(node));
		const double product = query_.step * head.scale * dot;

		if (ip_)
			return static_cast<float>(-(query_.centre_dot + product));
		return static_cast<float>(query_.square + static_cast<double>(head.scale) * head.scale * head.square - 2 * product +
								  static_cast<double>(head.error) * head.error);
	}

	const DenseQuery &query_;
	const uint32_t dims_;
	const bool	ip_;
	const rv_kernel_table *kernels_;
};

class BitsScorer final : public Scorer
{
public:
	BitsScorer(const rv_segment *segment, const DenseQuery &query, Section records)
		: query_(query), dims_(segment->spec.dims), words_(bit_words(dims_)), ip_(segment->spec.metric == RV_METRIC_IP),
		  code2_(static_cast<float>(query.code_norm * query.code_norm)), centre_dot_(static_cast<float>(query.centre_dot)),
		  centre_norm_(centre_norm(segment->model)), kernels_(rv_kernels())
	{
		set_records(records.data, bits_stride(dims_));
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i += 4)
		{
			const size_t last = std::min<size_t>(n - i, 4) - 1;	/* four of one cost no more than one */
			const uint64_t *rows[4];
			uint32_t	dots[4];

			for (size_t j = 0; j < 4; j++)
				rows[j] = bits(nodes[i + std::min(j, last)]);
			kernels_->dot_bits4(query_.planes.data(), rows, words_, dots);
			for (size_t j = 0; j <= last; j++)
				out[i + j] = key(nodes[i + j], dots[j]);
		}
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const BitsHead head = load<BitsHead>(record(node));
		const uint64_t *words = bits(node);
		double		sum = 0;

		/* <code, s> exactly, not from the 4-bit planes. */
		for (uint32_t i = 0; i < dims_; i++)
			sum += ((words[i / 64] >> (i % 64)) & 1) != 0 ? query_.code[i] : -static_cast<double>(query_.code[i]);

		/* alpha from the stored floats: within 4 roundings of the exact one, paid for in delta and error. */
		const double alpha = head.factor > 0 ? static_cast<double>(head.square) / (static_cast<double>(head.factor) * dims_) : 0;
		const double code = alpha * std::sqrt(static_cast<double>(dims_));
		Pair		pair = {};

		pair.query2 = query_.code_norm * query_.code_norm;
		pair.code2 = code * code;
		pair.dot = alpha * sum;
		pair.error = head.error + 4 * FLOAT_EPSILON * code;
		pair.query_error = query_.code_slack;
		pair.slack = head.slack();
		pair.delta = 8 * FLOAT_EPSILON * pair.code2;
		emit_pair(query_, pair, norm_bound(code + pair.error + pair.slack), hit);

		const float estimate = ip_ ? key(node, level_dot(words)) :
			std::sqrt(std::fmax(0.0f, key(node, level_dot(words))));
		const float distance = query_.model->metric == RV_METRIC_COSINE ? estimate * estimate / 2 : estimate;

		if (distance >= hit->lower && distance <= hit->upper)
			hit->estimate = distance;
	}

private:
	const uint64_t *bits(uint32_t node) const { return reinterpret_cast<const uint64_t *>(record(node) + sizeof(BitsHead)); }
	uint32_t level_dot(const uint64_t *words) const { return kernels_->dot_bits(query_.planes.data(), words, words_); }

	/* |x| from |u|, at most; only rounding slack and overflow depend on it. */
	double
	norm_bound(double u) const
	{
		return query_.model->metric == RV_METRIC_COSINE ? 1.0 : (u + centre_norm_) * 1.000001;
	}

	float
	key(uint32_t node, uint32_t level_dot) const
	{
		const BitsHead head = load<BitsHead>(record(node));
		const float product = head.factor * query_.sign_dot(level_dot, head.ones);

		return ip_ ? -(centre_dot_ + product) : code2_ + head.square - 2 * product;
	}

	const DenseQuery &query_;
	const uint32_t dims_,
				words_;
	const bool	ip_;
	const float code2_,
				centre_dot_;
	const double centre_norm_;
	const rv_kernel_table *kernels_;
};

}								/* namespace */

std::unique_ptr<Scorer>
make_sq8_scorer(const rv_segment *segment, const DenseQuery &query)
{
	return std::make_unique<Sq8Scorer>(segment, query);
}

std::unique_ptr<Scorer>
make_signs_scorer(const rv_segment *segment, const DenseQuery &query, Section records)
{
	return std::make_unique<BitsScorer>(segment, query, records);
}

}								/* namespace rv */
