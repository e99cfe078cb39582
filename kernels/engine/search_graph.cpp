/* SPDX-License-Identifier: PostgreSQL
 *
 * search_graph.cpp: best-first search over the flat graph.
 *
 * The beam is a sorted array of the nearest nodes seen, by the traversal codes. Its nearest unexpanded node is
 * expanded until none is left; what falls out of the beam is kept outside, so that a later batch goes on with a wider
 * beam from exactly there. Expanded nodes are then ordered by their stored codes, all at once: the traversal does not
 * depend on them, and a batch hides the latency of memory.
 * Source: Malkov & Yashunin, arXiv 1603.09320, alg. 2; the fixed beam as in Subramanya et al., "DiskANN", 2019.
 */
#include "engine/search.h"

#include <algorithm>

using namespace rv;

namespace
{

/* Beam for `nodes` wanted. 1-bit estimates err, so more must be expanded than are returned: measured in
 * docs/design/engine.md. */
uint32_t
beam_width(size_t nodes, bool estimated)
{
	return static_cast<uint32_t>(std::min<size_t>(estimated ? nodes + nodes / 4 + 8 : nodes, INT32_MAX));
}

inline uint32_t
level_node(const GraphLevel &level, uint32_t position, uint32_t nodes)
{
	if (position >= level.count || level.node[position] >= nodes)
		fail(RV_CORRUPT, "section \"upper\" has an invalid link");
	return level.node[position];
}

inline void
prefetch_links(const GraphView &graph, Entry entry)
{
	const uint32_t *links = graph.level0 + static_cast<size_t>(entry.node & ~EXPANDED) * graph.stride;

	for (uint32_t i = 0; i < graph.stride; i += 16)
		__builtin_prefetch(links + i);
}

}								/* namespace */

/* The beam of a walk on an upper level, sorted. */
struct rv_search::UpperBeam
{
	struct Place
	{
		Entry		entry;
		uint32_t	position;	/* on the level */
	};
	Place		places[GRAPH_UPPER_BEAM + 1];
	uint32_t	count = 0;

	/* False: it is full of nearer ones. */
	bool
	insert(Entry entry, uint32_t position)
	{
		uint32_t	i = count;

		if (count == GRAPH_UPPER_BEAM && !nearer(entry, places[count - 1].entry))
			return false;
		for (; i > 0 && nearer(entry, places[i - 1].entry); i--)
			places[i] = places[i - 1];
		places[i] = {entry, position};
		count = std::min(count + 1, GRAPH_UPPER_BEAM);
		return true;
	}
};

/* Brings the beam to the nearest of its level. */
void
rv_search::walk_level(const GraphLevel &level, UpperBeam *beam)
{
	const GraphView &graph = segment->graph;
	const Scorer &scorer = traversal != nullptr ? *traversal : *stored;
	uint32_t	ids[GRAPH_MAX_M];
	uint32_t	positions[GRAPH_MAX_M];
	float		keys[GRAPH_MAX_M];

	for (uint32_t i = 0; i < beam->count;)
	{
		if ((beam->places[i].entry.node & EXPANDED) != 0)
		{
			i++;
			continue;
		}
		beam->places[i].entry.node |= EXPANDED;

		const uint32_t *links = level.links + static_cast<size_t>(beam->places[i].position) * graph.m;
		uint32_t	n = 0;

		for (uint32_t j = 0; j < graph.m && links[j] != NO_ID; j++)
		{
			const uint32_t id = level_node(level, links[j], graph.nodes);

			if (scratch->seen[id] == scratch->stamp)
				continue;
			scratch->seen[id] = scratch->stamp;
			scorer.prefetch(id);
			ids[n] = id;
			positions[n++] = links[j];
		}
		scorer.keys(ids, n, keys);
		stats.visited += n;
		for (uint32_t j = 0; j < n; j++)
			if (beam->insert({keys[j], ids[j]}, positions[j]))
				i = 0;
	}
}

/* From the entry through the upper levels: what is nearest there becomes the beam. */
void
rv_search::enter()
{
	const GraphView &graph = segment->graph;
	const Scorer &scorer = traversal != nullptr ? *traversal : *stored;
	UpperBeam	upper;
	Entry		entry = {};

	entry.node = graph.levels.empty() ? graph.entry : level_node(graph.levels.back(), graph.entry, graph.nodes);
	scorer.keys(&entry.node, 1, &entry.key);
	stats.visited++;
	scratch->seen[entry.node] = scratch->stamp;
	upper.insert(entry, graph.entry);
	for (size_t l = graph.levels.size(); l-- > 0;)
	{
		walk_level(graph.levels[l], &upper);
		scratch->next_stamp();
		for (uint32_t i = 0; i < upper.count; i++)
		{
			UpperBeam::Place *place = &upper.places[i];

			place->entry.node &= ~EXPANDED;
			place->position = graph.levels[l].down[place->position];
			if (place->position >= (l > 0 ? graph.levels[l - 1].count : graph.nodes))
				fail(RV_CORRUPT, "section \"upper\" has an invalid node");
			scratch->seen[place->entry.node] = scratch->stamp;
		}
	}
	for (uint32_t i = 0; i < upper.count; i++)
		scratch->beam.push_back(upper.places[i].entry);
	entered = true;
}

/* Makes room for a wider beam and fills it from outside. */
void
rv_search::widen()
{
	std::vector<Entry> &beam = scratch->beam;
	std::vector<Entry> &outside = scratch->outside;
	const size_t room = width > beam.size() ? width - beam.size() : 0;

	if (outside.size() > room)
		std::nth_element(outside.begin(), outside.begin() + static_cast<ptrdiff_t>(room), outside.end(), nearer);
	const size_t taken = std::min(room, outside.size());

	beam.insert(beam.end(), outside.begin(), outside.begin() + static_cast<ptrdiff_t>(taken));
	outside.erase(outside.begin(), outside.begin() + static_cast<ptrdiff_t>(taken));
	std::sort(beam.begin(), beam.end(), nearer);
	at = 0;
}

bool
rv_search::expand()
{
	const GraphView &graph = segment->graph;
	const Scorer &scorer = traversal != nullptr ? *traversal : *stored;
	std::vector<Entry> &beam = scratch->beam;
	uint8_t    *seen = scratch->seen.data();
	const uint8_t stamp = scratch->stamp;
	uint32_t	ids[2 * GRAPH_MAX_M];
	float		keys[2 * GRAPH_MAX_M];

	beam.reserve(static_cast<size_t>(width) + 1);
	for (;;)
	{
		while (at < beam.size() && (beam[at].node & EXPANDED) != 0)
			at++;
		if (at >= beam.size())
			return true;
		if (interrupted())
			return false;

		const Entry from = beam[at];
		const uint32_t *links = graph.level0 + static_cast<size_t>(from.node) * graph.stride;
		uint32_t	n = 0;

		for (uint32_t i = 0; i < graph.stride && links[i] != NO_ID; i++)
		{
			const uint32_t id = links[i];

			if (id >= graph.nodes)
				fail(RV_CORRUPT, "section \"graph\" has an invalid link at node %u", from.node);
			if (seen[id] != stamp)
			{
				seen[id] = stamp;
				scorer.prefetch(id);
				ids[n++] = id;
			}
		}
		beam[at].node |= EXPANDED;
		scratch->pool.push_back(from);
		stats.hops++;
		stats.visited += n;
		if (at + 1 < beam.size())
			prefetch_links(graph, beam[at + 1]);
		scorer.keys(ids, n, keys);
		for (uint32_t i = 0; i < n; i++)
		{
			const Entry entry = {keys[i], ids[i]};

			if (beam.size() >= width)
			{
				if (!nearer(entry, beam.back()))
				{
					scratch->outside.push_back(entry);
					continue;
				}
				if ((beam.back().node & EXPANDED) == 0)
					scratch->outside.push_back(beam.back());
				beam.pop_back();
			}
			const auto place = std::upper_bound(beam.begin(), beam.end(), entry, nearer);

			at = std::min(at, static_cast<size_t>(place - beam.begin()));
			if (place == beam.begin() + static_cast<ptrdiff_t>(at))
				prefetch_links(graph, entry);	/* the next to be expanded, so far */
			beam.insert(place, entry);
		}
	}
}

/* What was not returned yet will be ranked by reading all of it. */
void
rv_search::leave_graph()
{
	std::vector<Entry> &pool = scratch->pool;

	pool.resize(emitted);
	scratch->beam.clear();
	scratch->outside.clear();
	scratch->next_stamp();
	for (const Entry &entry : pool)
		scratch->seen[entry.node & ~EXPANDED] = scratch->stamp;
	walked = true;
	mode = Mode::flat;
}

bool
rv_search::graph_batch(bool *more)
{
	std::vector<Entry> &pool = scratch->pool;

	*more = false;
	if (segment->nodes() == 0)
		return true;
	if (!in_batch)
	{
		goal = goal == 0 ? options.ef : 2 * goal;
		if (entered && options.whole > 0 &&
			goal >= (options.admitted > 0 ? options.admitted : segment->nodes()) / MET_PER_EF)
		{
			leave_graph();
			in_batch = true;
			return flat_batch(more);
		}
		width = std::max(width, beam_width(goal, traversal != nullptr));
		if (entered)
			widen();
		in_batch = true;
	}
	if (!entered)
		enter();

	if (!expand())
		return false;

	/* The keys of what was expanded since the last batch become those of the stored codes. */
	if (traversal != nullptr)
		for (size_t i = refined; i < pool.size();)
		{
			uint32_t	ids[32];
			float		keys[32];
			const size_t n = std::min<size_t>(32, pool.size() - i);

			for (size_t j = 0; j < n; j++)
			{
				ids[j] = pool[i + j].node;
				stored->prefetch(ids[j]);
			}
			stored->keys(ids, n, keys);
			for (size_t j = 0; j < n; j++)
				pool[i + j].key = keys[j];
			i += n;
		}
	stats.refined += pool.size() - refined;
	refined = pool.size();
	emit_best(goal > emitted ? goal - emitted : 0);
	*more = emitted < pool.size() || !scratch->outside.empty();
	in_batch = false;
	return true;
}
