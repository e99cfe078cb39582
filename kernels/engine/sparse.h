/* SPDX-License-Identifier: PostgreSQL
 *
 * sparse.h: sparse vectors as they are stored, and sums over two of them.
 *
 * A record is uint32 count, float norm (rounded up), int32 index[count] ascending, float value[count]. Records follow
 * one another at multiples of 8; code_offsets says where.
 */
#ifndef RV_SPARSE_H
#define RV_SPARSE_H

#include <memory>

#include "engine/internal.h"

namespace rv
{

constexpr uint32_t SPARSE_MAX_NON_ZEROS = 16000;

struct SparseView
{
	uint32_t	count = 0;
	float		norm = 0;
	const int32_t *indices = nullptr;
	const float *values = nullptr;
};

constexpr size_t SPARSE_HEAD = 8;

inline size_t
sparse_size(uint32_t count)
{
	return SPARSE_HEAD + static_cast<size_t>(count) * 8;
}

inline SparseView
sparse_view(const uint8_t *record)
{
	SparseView	view;

	view.count = load<uint32_t>(record);
	view.norm = load<float>(record + 4);
	view.indices = reinterpret_cast<const int32_t *>(record + SPARSE_HEAD);
	view.values = reinterpret_cast<const float *>(record + SPARSE_HEAD + static_cast<size_t>(view.count) * 4);
	return view;
}

/* What the metrics are made of, in double. */
struct SparseSums
{
	double		dot = 0,
				l1 = 0,
				l2 = 0;
};

SparseSums	sparse_sums(const SparseView &a, const SparseView &b);

/* A caller's vector as a record; fails on what a sparsevec cannot be. */
std::vector<uint8_t> sparse_record(const rv_vector *vector, uint32_t dims);

/* Records of any size that never move. */
class SparseRecords
{
public:
	uint32_t	count() const { return static_cast<uint32_t>(at_.size()); }
	const uint8_t *at(uint32_t i) const { return at_[i]; }
	size_t		size(uint32_t i) const { return sparse_size(load<uint32_t>(at_[i])); }
	size_t		bytes() const { return bytes_; }	/* of the records alone */
	void		append(const uint8_t *record, size_t size);
	void		drop_last();
	void		write(uint8_t *offsets, uint8_t *data) const;

private:
	static constexpr size_t BLOCK = 1u << 20;	/* a record of 16000 non-zeros takes an eighth */

	std::vector<std::unique_ptr<uint8_t[]>> blocks_;
	size_t		used_ = BLOCK;	/* of the last block */
	size_t		bytes_ = 0;
	std::vector<const uint8_t *> at_;
};

}								/* namespace rv */

#endif							/* RV_SPARSE_H */
