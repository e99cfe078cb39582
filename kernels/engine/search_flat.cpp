/* SPDX-License-Identifier: PostgreSQL
 *
 * search_flat.cpp: what reads every code of a segment in order: the nearest without a graph, and range search.
 *
 * Range search is a sequential pass for every kind of segment, because only that is exact: a graph cannot prove that
 * nothing nearer was left out, and the pass runs at the speed of memory.
 */
#include "engine/search.h"

#include <algorithm>

using namespace rv;

namespace
{

constexpr uint32_t STEP = 1024;	/* nodes between two looks at the interrupt flag: well below a millisecond */
constexpr size_t RANGE_BATCH = 4096;

}								/* namespace */

bool
rv_search::flat_batch(bool *more)
{
	std::vector<Entry> &pool = scratch->pool;
	const uint32_t nodes = segment->nodes();
	uint32_t	ids[STEP];
	float		keys[STEP];

	if (!in_batch)
	{
		goal = goal == 0 ? options.ef : 2 * goal;
		in_batch = true;
	}
	while (next_node < nodes)
	{
		const uint32_t end = next_node + std::min(STEP, nodes - next_node);
		uint32_t	n = 0;

		if (interrupted())
			return false;
		for (; next_node < end; next_node++)
			if (!walked || scratch->seen[next_node] != scratch->stamp)
				ids[n++] = next_node;
		stored->keys(ids, n, keys);
		for (uint32_t i = 0; i < n; i++)
			pool.push_back({keys[i], ids[i]});
		stats.visited += n;
		stats.refined += n;
	}
	emit_best(pool.size() - emitted <= options.whole ? pool.size() - emitted : goal - emitted);
	*more = emitted < pool.size();
	in_batch = false;
	return true;
}

bool
rv_search::range_batch(bool *more)
{
	const uint32_t nodes = segment->nodes();

	while (next_node < nodes && scratch->found.size() < RANGE_BATCH)
	{
		uint32_t	end = nodes;
		uint32_t	ids[STEP];

		if (interrupted())
			return false;
		if (lists != nullptr)
		{
			while (lists->nodes(probed).end <= next_node)
				probed++;
			end = lists->nodes(probed).end;
			if (next_node == lists->nodes(probed).begin && lists->beyond(probed, radius))
			{
				next_node = end;
				continue;
			}
		}

		const uint32_t n = std::min(STEP, end - next_node);

		const size_t found = stored->within(next_node, n, radius, ids);

		for (size_t i = 0; i < found; i++)
			emit_node(ids[i]);
		next_node += n;
		stats.visited += n;
		stats.refined += n;
	}
	*more = next_node < nodes;
	return true;
}
