/* SPDX-License-Identifier: PostgreSQL
 *
 * records.h: a growing array of equal-sized records that never moves what it holds.
 *
 * Blocks instead of one vector: growing would copy, and for a moment hold everything twice; and a block can be given
 * back as soon as it has been copied into the blob.
 */
#ifndef RV_RECORDS_H
#define RV_RECORDS_H

#include <memory>

#include "engine/record.h"

namespace rv
{

class Records
{
public:
	Records() = default;
	explicit Records(size_t stride) : stride_(stride) {}

	size_t		stride() const { return stride_; }
	uint32_t	count() const { return count_; }
	size_t		bytes() const { return blocks_.size() * BLOCK * stride_; }
	uint8_t    *at(uint32_t i) { return blocks_[i / BLOCK].get() + (i % BLOCK) * stride_; }
	const uint8_t *at(uint32_t i) const { return blocks_[i / BLOCK].get() + (i % BLOCK) * stride_; }

	/* A new record at the end, to be written by the caller. */
	uint8_t *
	append()
	{
		if (count_ % BLOCK == 0 && count_ / BLOCK == blocks_.size())
			blocks_.emplace_back(new uint8_t[BLOCK * stride_]);
		return at(count_++);
	}

	void		drop_last() { count_--; }
	void		truncate(uint32_t count) { count_ = count; }	/* the memory stays, and what is in it */

	void
	resize(uint32_t count)
	{
		while (blocks_.size() * BLOCK < count)
			blocks_.emplace_back(new uint8_t[BLOCK * stride_]);
		count_ = count;
	}

	/* Copies everything to out and gives the memory back. */
	void
	move_to(uint8_t *out)
	{
		for (size_t b = 0; b < blocks_.size(); b++)
		{
			const size_t first = b * BLOCK;
			const size_t n = first >= count_ ? 0 : count_ - first < BLOCK ? count_ - first : BLOCK;

			if (n > 0)
				memcpy(out + first * stride_, blocks_[b].get(), n * stride_);
			blocks_[b].reset();
		}
		clear();
	}

	void
	clear()
	{
		blocks_.clear();
		count_ = 0;
	}

private:
	static constexpr size_t BLOCK = 1024;

	size_t		stride_ = 0;
	uint32_t	count_ = 0;
	std::vector<std::unique_ptr<uint8_t[]>> blocks_;
};

}								/* namespace rv */

#endif							/* RV_RECORDS_H */
