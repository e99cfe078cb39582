/* SPDX-License-Identifier: PostgreSQL
 *
 * sparse.cpp: reading, storing and comparing sparse vectors.
 */
#include "engine/sparse.h"

namespace rv
{

SparseSums
sparse_sums(const SparseView &a, const SparseView &b)
{
	SparseSums	sums;
	uint32_t	i = 0,
				j = 0;

	auto single = [&](double x) {
		sums.l1 += std::fabs(x);
		sums.l2 += x * x;
	};

	while (i < a.count && j < b.count)
	{
		if (a.indices[i] == b.indices[j])
		{
			const double x = a.values[i++],
						y = b.values[j++];

			sums.dot += x * y;
			single(x - y);
		}
		else if (a.indices[i] < b.indices[j])
			single(a.values[i++]);
		else
			single(b.values[j++]);
	}
	while (i < a.count)
		single(a.values[i++]);
	while (j < b.count)
		single(b.values[j++]);
	return sums;
}

std::vector<uint8_t>
sparse_record(const rv_vector *vector, uint32_t dims)
{
	const uint32_t n = vector->count;
	double		sum = 0;

	if (n > SPARSE_MAX_NON_ZEROS)
		fail(RV_INVALID, "a sparse vector cannot have more than %u non-zero elements", SPARSE_MAX_NON_ZEROS);

	std::vector<uint8_t> record(sparse_size(n));
	uint8_t    *indices = record.data() + SPARSE_HEAD;
	uint8_t    *values = indices + static_cast<size_t>(n) * 4;
	int64_t		last = -1;

	if (n > 0)
	{
		memcpy(indices, vector->indices, static_cast<size_t>(n) * 4);
		memcpy(values, vector->values, static_cast<size_t>(n) * 4);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		const int32_t index = load<int32_t>(indices + static_cast<size_t>(i) * 4);
		const float value = load<float>(values + static_cast<size_t>(i) * 4);

		if (index <= last || static_cast<uint32_t>(index) >= dims)
			fail(RV_INVALID, "sparse vector indices must ascend and be less than %u", dims);
		if (!std::isfinite(value))
			fail(RV_INVALID, "NaN and infinity are not allowed in a vector");
		last = index;
		sum += static_cast<double>(value) * value;
	}

	const float norm = float_up(std::sqrt(sum));

	memcpy(record.data(), &n, 4);
	memcpy(record.data() + 4, &norm, 4);
	return record;
}

void
SparseRecords::append(const uint8_t *record, size_t size)
{
	if (used_ + size > BLOCK)
	{
		blocks_.emplace_back(new uint8_t[BLOCK]);
		used_ = 0;
	}
	memcpy(blocks_.back().get() + used_, record, size);
	at_.push_back(blocks_.back().get() + used_);
	used_ += size;
	bytes_ += size;
}

/* Only just after append. */
void
SparseRecords::drop_last()
{
	const size_t last = size(count() - 1);

	used_ -= last;
	bytes_ -= last;
	at_.pop_back();
}

void
SparseRecords::write(uint8_t *offsets, uint8_t *data) const
{
	uint64_t	at = 0;

	for (uint32_t i = 0; i < count(); i++)
	{
		memcpy(offsets + static_cast<size_t>(i) * 8, &at, 8);
		memcpy(data + at, at_[i], size(i));
		at += size(i);
	}
	memcpy(offsets + static_cast<size_t>(count()) * 8, &at, 8);
}

}								/* namespace rv */
