/* SPDX-License-Identifier: PostgreSQL
 *
 * score_pq.cpp: distances from product-quantized records: one look-up a group in tables made for the query.
 */
#include "engine/pq.h"
#include "engine/scorers.h"

namespace rv
{

namespace
{

class PqScorer final : public Scorer
{
public:
	PqScorer(const rv_segment *segment, const DenseQuery &query)
		: query_(query), model_(segment->model), subs_(model_.pq_subs()), ip_(model_.metric == RV_METRIC_IP),
		  tables_(static_cast<size_t>(subs_) * PQ_CENTROIDS), kernels_(rv_kernels())
	{
		set_records(segment->codes.data, segment->header.code_stride);
		for (uint32_t sub = 0; sub < subs_; sub++)
			fill(sub, tables_.data() + static_cast<size_t>(sub) * PQ_CENTROIDS);
	}

	void
	keys(const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i++)
		{
			const float error = load<CodeHead>(record(nodes[i])).error;
			const float sum = kernels_->pq_sum(tables_.data(), record(nodes[i]) + sizeof(CodeHead), subs_);

			out[i] = ip_ ? sum - static_cast<float>(query_.centre_dot) : sum + error * error;
		}
	}

	void
	bounds(uint32_t node, rv_hit *hit) const override
	{
		const CodeHead head = load<CodeHead>(record(node));
		std::vector<float> x(model_.dims);
		Pair		pair = {};

		decode_pq(record(node), model_, x.data());
		for (uint32_t i = 0; i < model_.dims; i++)
		{
			pair.code2 += static_cast<double>(x[i]) * x[i];
			pair.dot += static_cast<double>(query_.code[i]) * x[i];
		}
		pair.query2 = query_.code_norm * query_.code_norm;
		pair.error = head.error;
		pair.query_error = query_.code_slack;
		pair.delta = -1;
		emit_pair(query_, pair, head.norm, hit);
	}

private:
	/* L2: (q - c)^2 of a group; IP: -<q, c> */
	void
	fill(uint32_t sub, float *table)
	{
		const float *book = model_.codebooks.data() + static_cast<size_t>(sub) * PQ_CENTROIDS * PQ_SUB_DIMS;

		for (uint32_t d = 0; d < PQ_SUB_DIMS && sub * PQ_SUB_DIMS + d < model_.dims; d++)
		{
			const float q = query_.code[sub * PQ_SUB_DIMS + d];
			const float *row = book + d * PQ_CENTROIDS;

			for (uint32_t c = 0; c < PQ_CENTROIDS; c++)
				table[c] += ip_ ? -q * row[c] : (q - row[c]) * (q - row[c]);
		}
	}

	const DenseQuery &query_;
	const Model &model_;
	const uint32_t subs_;
	const bool	ip_;
	std::vector<float> tables_;
	const rv_kernel_table *kernels_;
};

}								/* namespace */

std::unique_ptr<Scorer>
make_pq_scorer(const rv_segment *segment, const DenseQuery &query)
{
	return std::make_unique<PqScorer>(segment, query);
}

}								/* namespace rv */
