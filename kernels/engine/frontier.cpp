/* SPDX-License-Identifier: PostgreSQL
 *
 * frontier.cpp: what a walk has seen and not expanded: moving the fence between the heap and the rest.
 */
#include "engine/frontier.h"

namespace rv
{

/* Leaves `wanted` of those below the fence. */
void
Frontier::lower_fence(size_t wanted)
{
	const auto	cut = near_.begin() + static_cast<std::ptrdiff_t>(wanted);

	std::nth_element(near_.begin(), cut, near_.end());
	fence_ = *cut;
	far_.insert(far_.end(), cut, near_.end());
	near_.erase(cut, near_.end());
	std::make_heap(near_.begin(), near_.end(), std::greater<>());
}

/* The nearest `wanted` of the rest come below the fence. */
void
Frontier::fetch(size_t wanted)
{
	const size_t n = std::min(far_.size(), wanted + SOME);
	const auto	cut = far_.end() - static_cast<std::ptrdiff_t>(n);

	fence_ = NONE;
	if (cut != far_.begin())
	{
		std::nth_element(far_.begin(), cut - 1, far_.end(), std::greater<>());
		fence_ = *(cut - 1);
	}
	near_.assign(cut, far_.end());
	far_.erase(cut, far_.end());
	std::make_heap(near_.begin(), near_.end(), std::greater<>());
}

}								/* namespace rv */
