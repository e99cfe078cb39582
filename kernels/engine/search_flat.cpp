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
constexpr uint32_t APART = 32;	/* nodes that are asked for together, where they are not neighbours in memory */

}								/* namespace */

/* The next nodes with an admitted slot, at most `room`; 0: there are no more. */
uint32_t
rv_search::admitted_nodes(uint32_t *nodes, uint32_t room)
{
	const uint32_t slots = segment->header.slots;
	uint32_t	n = 0;

	while (next_slot < slots && n < room)
	{
		const uint64_t admitted = ~options.tombstones[next_slot / 64] >> (next_slot % 64);

		if (admitted == 0)
		{
			next_slot = (next_slot / 64 + 1) * 64;
			continue;
		}
		next_slot += static_cast<uint32_t>(__builtin_ctzll(admitted));
		if (next_slot >= slots)
			break;

		const uint32_t node = segment->node_of(next_slot);
		uint32_t	first;
		uint32_t	end;

		segment->slots_of(node, &first, &end);
		if (end <= next_slot)
			fail(RV_CORRUPT, "section \"key_offsets\" is not monotone at node %u", node);
		next_slot = end;
		if (!walked || scratch->seen[node] != scratch->stamp)
			nodes[n++] = node;
	}
	return n;
}

void
rv_search::read_nodes(const uint32_t *nodes, uint32_t n)
{
	float		keys[STEP];
	const uint32_t step = options.admitted > 0 ? APART : STEP;

	for (uint32_t i = 0; i < n; i += step)
	{
		const uint32_t some = std::min(step, n - i);

		if (options.admitted > 0)
			for (uint32_t j = 0; j < some; j++)
				stored->prefetch(nodes[i + j]);
		stored->keys(nodes + i, some, keys);
		for (uint32_t j = 0; j < some; j++)
			scratch->pool.push_back({keys[j], nodes[i + j]});
	}
	stats.visited += n;
	stats.refined += n;
}

/* A batch of the `want` nearest by their keys, and of all others that may be as near as the nearer half of them. So that half
 * surely is the nearest of all. */
void
rv_search::emit_surely(size_t want)
{
	std::vector<Entry> &pool = scratch->pool;
	std::vector<Found> &found = scratch->found;
	uint32_t	ids[APART];
	float		keys[APART];
	bool		reached[APART];

	emit_best(want);
	if (found.empty() || emitted == pool.size())
		return;
	floor = found[found.size() / 2].hit.estimate;
	for (size_t i = emitted; i < pool.size(); i += APART)
	{
		const size_t n = std::min<size_t>(APART, pool.size() - i);

		for (size_t j = 0; j < n; j++)
		{
			ids[j] = pool[i + j].node;
			keys[j] = pool[i + j].key;
		}
		stored->reaching(ids, keys, n, floor, reached);
		for (size_t j = 0; j < n; j++)
			if (reached[j])
			{
				emit_node(ids[j]);
				std::swap(pool[emitted++], pool[i + j]);
			}
	}
	sort_found();
}

bool
rv_search::flat_batch(bool *more)
{
	std::vector<Entry> &pool = scratch->pool;
	const uint32_t nodes = segment->nodes();
	uint32_t	ids[STEP];

	if (!in_batch)
	{
		goal = goal == 0 ? options.ef : 2 * goal;
		in_batch = true;
	}
	while (options.admitted > 0 ? next_slot < segment->header.slots : next_node < nodes)
	{
		uint32_t	n = 0;

		if (interrupted())
			return false;
		if (options.admitted > 0)
			n = admitted_nodes(ids, STEP);
		else
			for (const uint32_t end = next_node + std::min(STEP, nodes - next_node); next_node < end; next_node++)
				if (!walked || scratch->seen[next_node] != scratch->stamp)
					ids[n++] = next_node;
		read_nodes(ids, n);
	}
	if (pool.size() - emitted <= options.whole && options.admitted == 0)
		emit_best(pool.size() - emitted);
	else if (options.admitted > 0)
		emit_surely(goal > emitted ? goal - emitted : goal);
	else
		emit_best(goal - emitted);
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
