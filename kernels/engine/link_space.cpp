/* SPDX-License-Identifier: PostgreSQL
 *
 * link_space.cpp: distances between coded vectors of the rotated metrics.
 *
 * L2 and cosine: |x^ - y^|^2 = |x^|^2 + |y^|^2 - 2 <x^, y^>. IP: -<x, y> with x ~ R'x^ + c, that is
 * -(<x^, y^> + <Rc, x^> + <Rc, y^> + |c|^2). Both are aux[x] + aux[y] - weight * <x^, y^>.
 */
#include "engine/link_space.h"

namespace rv
{

namespace
{

class Sq8Space final : public LinkSpace
{
public:
	Sq8Space(const Records &records, const Model &model)
		: records_(records), dims_(model.dims), ip_(model.metric == RV_METRIC_IP), weight_(ip_ ? 1.0f : 2.0f),
		  kernels_(rv_kernels()), aux_(records.count())
	{
		std::vector<float> decoded(dims_);
		const double c = norm_f64(model.centre.data(), model.centre.size());

		for (uint32_t i = 0; i < records.count(); i++)
		{
			const CodeHead head = load<CodeHead>(records.at(i));

			if (!ip_)
				aux_[i] = static_cast<float>(static_cast<double>(head.scale) * head.scale * head.square);
			else
			{
				decode_sq8(records.at(i), dims_, decoded.data());
				aux_[i] = static_cast<float>(-c * c / 2) -
					kernels_->dot_f32(model.rotated_centre.data(), decoded.data(), dims_);
			}
		}
	}

	void
	begin(LinkLeft *left, uint32_t node) const override
	{
		left->node = node;
		left->scale = scale(node) * weight_;
	}

	void
	widen(LinkLeft *left) const override
	{
		const int8_t *row = codes(left->node);

		left->wide.resize(round_up(dims_, 16));
		for (uint32_t i = 0; i < dims_; i++)
			left->wide[i] = row[i];
	}

	float
	one(const LinkLeft &left, uint32_t node) const override
	{
		return score(left, node, kernels_->dot_i8(codes(left.node), codes(node), dims_));
	}

	void
	many(const LinkLeft &left, const uint32_t *nodes, size_t n, float *out) const override
	{
		size_t		i = 0;

		for (; i + 4 <= n; i += 4)
		{
			const int8_t *rows[4];
			int32_t		dots[4];

			for (size_t j = 0; j < 4; j++)
				rows[j] = codes(nodes[i + j]);
			kernels_->dot4_i16_i8(left.wide.data(), rows, dims_, dots);
			for (size_t j = 0; j < 4; j++)
				out[i + j] = score(left, nodes[i + j], dots[j]);
		}
		for (; i < n; i++)
			out[i] = one(left, nodes[i]);
	}

	void
	prefetch(uint32_t node) const override
	{
		const uint8_t *at = records_.at(node);

		for (uint32_t i = 0; i < dims_ + sizeof(CodeHead) && i < 512; i += 64)
			__builtin_prefetch(at + i);
	}

	bool		scalable() const override { return !ip_; }

private:
	const int8_t *codes(uint32_t node) const { return reinterpret_cast<const int8_t *>(records_.at(node) + sizeof(CodeHead)); }
	float		scale(uint32_t node) const { return load<float>(records_.at(node)); }

	float
	score(const LinkLeft &left, uint32_t node, int32_t dot) const
	{
		return aux_[left.node] + aux_[node] - left.scale * scale(node) * static_cast<float>(dot);
	}

	const Records &records_;
	const uint32_t dims_;
	const bool	ip_;
	const float weight_;
	const rv_kernel_table *kernels_;
	std::vector<float> aux_;
};

}								/* namespace */

std::unique_ptr<LinkSpace>
make_sq8_space(const Records &records, const Model &model)
{
	return std::make_unique<Sq8Space>(records, model);
}

}								/* namespace rv */
