/* SPDX-License-Identifier: PostgreSQL
 *
 * search_flat.cpp: what reads every code in order: the nearest without a graph, also of records that are in no segment, and range
 * search.
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

/* Reads all records. The numbers stay, and the `goal` lowest of them in a heap, the ranking. False: interrupted. */
bool
rv_search::read_lowest()
{
	std::vector<Entry> &lowest = scratch->ranking;
	std::vector<float> &keys = scratch->keys;
	const uint32_t nodes = segment->nodes();

	keys.resize(nodes);
	while (next_node < nodes)
	{
		const uint32_t end = next_node + std::min(STEP, nodes - next_node);

		if (interrupted())
			return false;
		stored->lowest(next_node, end - next_node, keys.data() + next_node);
		for (; next_node < end && lowest.size() < goal; next_node++)
		{
			lowest.push_back({keys[next_node], next_node});
			std::push_heap(lowest.begin(), lowest.end(), nearer);
		}
		for (; next_node < end; next_node++)
			if (keys[next_node] < lowest.front().key)
			{
				std::pop_heap(lowest.begin(), lowest.end(), nearer);
				lowest.back() = {keys[next_node], next_node};
				std::push_heap(lowest.begin(), lowest.end(), nearer);
			}
	}
	stats.visited += nodes;
	stats.refined += nodes;
	return true;
}

/* What the first batch has left, to the pool. */
void
rv_search::pool_the_rest()
{
	const Entry last = *std::max_element(scratch->ranking.begin(), scratch->ranking.end(), nearer);

	for (uint32_t node = 0; node < segment->nodes(); node++)
	{
		const Entry entry = {scratch->keys[node], node};

		if (nearer(last, entry))
			scratch->pool.push_back(entry);
	}
	scratch->ranking.clear();
}

/* By lower bounds instead of estimates: none that a later batch brings is below the last of this one. */
bool
rv_search::lowest_batch(bool *more)
{
	std::vector<Entry> &pool = scratch->pool;
	const uint32_t nodes = segment->nodes();
	const Entry *begin = nullptr;
	const Entry *end = nullptr;

	if (next_node < nodes)
	{
		goal = std::min(options.ef, nodes);
		if (!read_lowest())
			return false;
		begin = scratch->ranking.data();
		end = begin + goal;
		*more = goal < nodes;
	}
	else
	{
		if (!scratch->ranking.empty())
			pool_the_rest();
		goal *= 2;

		const size_t n = std::min(goal, pool.size() - emitted);
		const auto	first = pool.begin() + static_cast<ptrdiff_t>(emitted);

		if (n < pool.size() - emitted)
			std::nth_element(first, first + static_cast<ptrdiff_t>(n), pool.end(), nearer);
		begin = pool.data() + emitted;
		end = begin + n;
		emitted += n;
		*more = emitted < pool.size();
	}
	if (begin < end)
		floor = stored->distance_above(std::max_element(begin, end, nearer)->key);
	for (; begin < end; begin++)
		emit_node(begin->node);
	sort_found();
	return true;
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
