/* SPDX-License-Identifier: PostgreSQL
 *
 * search_lists.cpp: searching inverted lists, a group of lists at a time.
 *
 * The nodes of the probed lists are ranked by their scan codes; the best of them get a key from their stored code, and
 * the best of those are the batch. Of the ranking only a prefix is kept, of bounded size: for every list a fence tells
 * how far it was ranked, and a batch that needs more scans it again from there, which costs less than keeping everything
 * for the usual search that ends with its first batch.
 *
 * Each later batch looks into twice as many lists. Who goes on wants rows that the first ones did not have (a filter left
 * them out): these are as likely in the next lists as at the far end of the first.
 */
#include "engine/search.h"

#include <algorithm>

#include "engine/ivf.h"

using namespace rv;

namespace
{

/* Nodes given a stored key for `wanted` to return: what 1-bit estimates misplace is among them. Measured in
 * docs/design/engine.md. */
size_t
refine_width(size_t wanted)
{
	return wanted + wanted + 64;
}

constexpr size_t FEW_NODES = 1024;	/* their stored codes are read while a query is planned */
constexpr Entry NEAREST = {-INF, 0};
constexpr Entry FARTHEST = {INF, NO_ID};

}								/* namespace */

/* Keeps the nearest `room` of the ranking, and notes that there is more. */
void
rv_search::trim_ranking(size_t room)
{
	std::vector<Entry> &ranking = scratch->ranking;

	std::nth_element(ranking.begin(), ranking.begin() + static_cast<ptrdiff_t>(room - 1), ranking.end(), nearer);
	ranking.resize(room);
	ranked_end = ranking.back();
	ranking_cut = true;
}

/* Ranks the nodes of one list that lie beyond its fence; without scan codes they go straight to the pool. */
void
rv_search::scan_list(uint32_t list, const Entry &fence, size_t room)
{
	const ListScanner::Range range = lists->nodes(list);
	const uint32_t n = range.end - range.begin;
	std::vector<Entry> &ranking = scratch->ranking;

	stats.visited += n;
	if (lists->has_codes())
	{
		std::vector<float> &keys = scratch->keys;

		lists->keys(list, &keys);
		for (uint32_t i = 0; i < n; i++)
		{
			const Entry entry = {keys[i], range.begin + i};

			if (entry.key > ranked_end.key || !nearer(entry, ranked_end) || !nearer(fence, entry))
				continue;
			ranking.push_back(entry);
			if (ranking.size() == 2 * room)
				trim_ranking(room);
		}
		return;
	}
	for (uint32_t first = range.begin; first < range.end;)
	{
		uint32_t	ids[64];
		float		values[64];
		const uint32_t step = std::min<uint32_t>(64, range.end - first);

		for (uint32_t i = 0; i < step; i++)
			ids[i] = first + i;
		stored->keys(ids, step, values);
		for (uint32_t i = 0; i < step; i++)
			scratch->pool.push_back({values[i], ids[i]});
		first += step;
		stats.refined += step;
	}
}

/* Everything ranked gets its stored key and joins the pool. */
void
rv_search::refine_ranking()
{
	std::vector<Entry> &ranking = scratch->ranking;

	read_stored(ranking.data(), ranking.size());
	scratch->pool.insert(scratch->pool.end(), ranking.begin(), ranking.end());
	stats.refined += ranking.size();
	ranking.clear();
}

/* How many nodes the group has when they are so few that the stored codes of all are soon read; else 0. */
size_t
rv_search::few_nodes() const
{
	size_t		n = 0;

	for (uint32_t rank = 0; rank < group_end && n <= FEW_NODES; rank++)
	{
		const ListScanner::Range range = lists->nodes(lists->nearest(rank));

		n += range.end - range.begin;
	}
	return n <= FEW_NODES ? n : 0;
}

bool
rv_search::lists_batch(bool *more)
{
	const uint32_t limit = options.max_probes > 0 ? std::min(options.max_probes, lists->lists()) : lists->lists();
	std::vector<Entry> &ranking = scratch->ranking;

	if (!in_batch)
	{
		const uint32_t wanted = goal == 0 ? std::max(1u, options.probes) : 2 * group_end;
		const uint32_t end = std::max(group_end, std::min(limit, wanted));

		goal = goal == 0 ? options.ef : 2 * goal;
		stats.hops += end - group_end;
		group_end = end;
		scratch->fences.resize(group_end, NEAREST);
		ranked_end = FARTHEST;
		ranking_cut = false;
		probed = 0;
		in_batch = true;
	}

	const size_t want = goal > emitted ? goal - emitted : 1;
	const size_t waiting = scratch->pool.size() - emitted;
	const size_t room = std::max<size_t>(std::max<size_t>(refine_width(want), waiting + 64) - waiting, few_nodes());

	for (; probed < group_end; probed++)
	{
		if (interrupted())
			return false;
		if (nearer(scratch->fences[probed], FARTHEST))
			scan_list(lists->nearest(probed), scratch->fences[probed], room);
	}
	if (ranking.size() > room)
		trim_ranking(room);
	for (Entry &fence : scratch->fences)
		if (nearer(fence, ranked_end))
			fence = ranked_end;
	refine_ranking();
	emit_best(want);
	*more = emitted < scratch->pool.size() || ranking_cut || group_end < limit;
	in_batch = false;
	return true;
}
