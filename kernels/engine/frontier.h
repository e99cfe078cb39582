/* SPDX-License-Identifier: PostgreSQL
 *
 * frontier.h: what a walk has seen and not expanded, nearest first.
 *
 * A walk of width w expands the w nearest of what it sees, so most of what it sees is never asked for again: only what lies
 * below a fence is kept in a heap, the rest in no order. The fence comes down as nearer ones arrive, and when all below it
 * is used up (a batch later, as a rule) the nearest of the rest are fetched. So a walk goes on with a larger width by just
 * going on, and neither a wide nor a narrow one moves what it holds.
 */
#ifndef RV_FRONTIER_H
#define RV_FRONTIER_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace rv
{

/* A key and a node in one number that is ordered as key, then node: the bits of a float32 are in order but for negative ones,
 * whose order is reversed. NaN has a place, too. */
using Rank = uint64_t;

inline Rank
rank_of(float key, uint32_t node)
{
	uint32_t	bits;

	memcpy(&bits, &key, sizeof(bits));
	bits ^= (bits >> 31) != 0 ? 0xffffffffu : 0x80000000u;
	return static_cast<Rank>(bits) << 32 | node;
}

inline uint32_t
rank_node(Rank rank)
{
	return static_cast<uint32_t>(rank);
}

inline float
rank_key(Rank rank)
{
	uint32_t	bits = static_cast<uint32_t>(rank >> 32);
	float		key;

	bits ^= (bits >> 31) != 0 ? 0x80000000u : 0xffffffffu;
	memcpy(&key, &bits, sizeof(key));
	return key;
}

class Frontier
{
public:
	void
	clear()
	{
		near_.clear();
		far_.clear();
		fence_ = NONE;
	}

	bool		empty() const { return near_.empty() && far_.empty(); }
	size_t		size() const { return near_.size() + far_.size(); }
	size_t		capacity() const { return near_.capacity() + far_.capacity(); }

	/* None is nearer. */
	Rank		floor() const { return near_.empty() ? fence_ : near_[0]; }

	/* The nearest, and one of the next: only to say what may be asked for soon. Valid until the next push or pop. */
	size_t		soon() const { return near_.size() < 3 ? near_.size() : 3; }
	uint32_t	soon(size_t i) const { return rank_node(near_[i]); }

	/* wanted: how many will be asked for, as far as is known. */
	void
	push(Rank rank, size_t wanted)
	{
		if (rank >= fence_)
		{
			far_.push_back(rank);
			return;
		}
		near_.push_back(rank);
		std::push_heap(near_.begin(), near_.end(), std::greater<>());
		if (near_.size() >= 2 * wanted + SOME)
			lower_fence(wanted);
	}

	/* Removes the nearest. Not when empty. */
	Rank
	pop(size_t wanted)
	{
		if (near_.empty())
			fetch(wanted);
		std::pop_heap(near_.begin(), near_.end(), std::greater<>());

		const Rank	rank = near_.back();

		near_.pop_back();
		return rank;
	}

private:
	static constexpr Rank NONE = UINT64_MAX;
	static constexpr size_t SOME = 64;	/* not worth a fence */

	void		lower_fence(size_t wanted);
	void		fetch(size_t wanted);

	std::vector<Rank> near_,	/* a heap; all below the fence */
				far_;			/* from the fence on */
	Rank		fence_ = NONE;
};

}								/* namespace rv */

#endif							/* RV_FRONTIER_H */
