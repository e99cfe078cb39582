/* SPDX-License-Identifier: PostgreSQL
 *
 * link_others.cpp: distances for linking under the metrics that are not rotated: dense L1, bit strings, sparse vectors.
 */
#include "engine/link_space.h"
#include "engine/sparse.h"

namespace rv
{

namespace
{

/* What many() and prefetch() are when there is nothing to gain from a batch. */
class OneByOne : public LinkSpace
{
public:
	void		widen(LinkLeft *) const override {}

	void
	many(const LinkLeft &left, const uint32_t *nodes, size_t n, float *out) const override
	{
		for (size_t i = 0; i < n; i++)
			out[i] = one(left, nodes[i]);
	}

	void
	prefetch(uint32_t node) const override
	{
		__builtin_prefetch(at(node));
		__builtin_prefetch(at(node) + 64);
	}

	bool		scalable() const override { return true; }

protected:
	virtual const uint8_t *at(uint32_t node) const = 0;
};

class L1Space final : public OneByOne
{
public:
	L1Space(const Records &records, const rv_spec &spec, const Model &model)
		: records_(records), spec_(spec), kind_(record_kind(spec)), model_(model), kernels_(rv_kernels())
	{
	}

	void
	begin(LinkLeft *left, uint32_t node) const override
	{
		left->node = node;
		left->values.resize(spec_.dims);
		decode_record(at(node), spec_, model_, left->values.data());
	}

	float
	one(const LinkLeft &left, uint32_t node) const override
	{
		const CodeHead head = load<CodeHead>(at(node));
		const uint8_t *code = at(node) + sizeof(head);
		const float *x = left.values.data();

		if (kind_ == RecordKind::sq8_l1)
			return kernels_->l1_f32_i8(x, reinterpret_cast<const int8_t *>(code), head.scale, head.offset, spec_.dims);
		if (kind_ == RecordKind::f32)
			return kernels_->l1_f32(x, reinterpret_cast<const float *>(code), spec_.dims);
		if (head.scale == 1)
			return kernels_->l1_f32_f16(x, reinterpret_cast<const rv_half *>(code), spec_.dims);

		std::vector<float> y(spec_.dims);

		decode_f16(at(node), spec_.dims, y.data());
		return kernels_->l1_f32(x, y.data(), spec_.dims);
	}

protected:
	const uint8_t *at(uint32_t node) const override { return records_.at(node); }

private:
	const Records &records_;
	const rv_spec spec_;
	const RecordKind kind_;
	const Model &model_;
	const rv_kernel_table *kernels_;
};

class BitSpace final : public OneByOne
{
public:
	BitSpace(const Records &records, const rv_spec &spec)
		: records_(records), bytes_((spec.dims + 7) / 8), jaccard_(spec.metric == RV_METRIC_JACCARD), kernels_(rv_kernels())
	{
	}

	void begin(LinkLeft *left, uint32_t node) const override { left->node = node; }

	float
	one(const LinkLeft &left, uint32_t node) const override
	{
		uint64_t	both,
					either;

		if (!jaccard_)
			return static_cast<float>(kernels_->hamming(at(left.node), at(node), bytes_));
		kernels_->jaccard(at(left.node), at(node), bytes_, &both, &either);
		return both == 0 ? 1 : 1 - static_cast<float>(both) / static_cast<float>(either);
	}

protected:
	const uint8_t *at(uint32_t node) const override { return records_.at(node); }

private:
	const Records &records_;
	const size_t bytes_;
	const bool	jaccard_;
	const rv_kernel_table *kernels_;
};

class SparseSpace final : public OneByOne
{
public:
	SparseSpace(const SparseRecords &records, const rv_spec &spec) : records_(records), metric_(spec.metric) {}

	void begin(LinkLeft *left, uint32_t node) const override { left->node = node; }

	float
	one(const LinkLeft &left, uint32_t node) const override
	{
		const SparseView a = sparse_view(at(left.node)),
					b = sparse_view(at(node));
		const SparseSums sums = sparse_sums(a, b);

		switch (metric_)
		{
			case RV_METRIC_IP: return static_cast<float>(-sums.dot);
			case RV_METRIC_COSINE: return static_cast<float>(1 - sums.dot / (static_cast<double>(a.norm) * b.norm));
			case RV_METRIC_L1: return static_cast<float>(sums.l1);
			default: return static_cast<float>(sums.l2);
		}
	}

	bool		scalable() const override { return metric_ != RV_METRIC_IP; }

protected:
	const uint8_t *at(uint32_t node) const override { return records_.at(node); }

private:
	const SparseRecords &records_;
	const rv_metric metric_;
};

}								/* namespace */

std::unique_ptr<LinkSpace>
make_l1_space(const Records &records, const rv_spec &spec, const Model &model)
{
	return std::make_unique<L1Space>(records, spec, model);
}

std::unique_ptr<LinkSpace>
make_bit_space(const Records &records, const rv_spec &spec)
{
	return std::make_unique<BitSpace>(records, spec);
}

std::unique_ptr<LinkSpace>
make_sparse_space(const SparseRecords &records, const rv_spec &spec)
{
	return std::make_unique<SparseSpace>(records, spec);
}

}								/* namespace rv */
