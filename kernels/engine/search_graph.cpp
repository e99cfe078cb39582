/* SPDX-License-Identifier: PostgreSQL
 *
 * search_graph.cpp: best-first search over the flat graph.
 *
 * The nearest node that was seen and not expanded is expanded, by the traversal codes, until the `width` nearest of all that
 * was seen are. A later batch has a larger width and goes on from exactly there. Expanded nodes are then ordered by their
 * stored codes, all at once: the traversal does not depend on them, and a batch hides the latency of memory.
 * Source: Malkov & Yashunin, arXiv 1603.09320, alg. 2; the fixed width as in Subramanya et al., "DiskANN", 2019.
 */
#include "engine/search.h"

#include <algorithm>

using namespace rv;

namespace
{

/* Width for `nodes` wanted. 1-bit estimates err, so more must be expanded than are returned: measured in
 * docs/design/engine.md. */
uint32_t
walk_width(size_t nodes, bool estimated)
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
prefetch_links(const GraphView &graph, uint32_t node)
{
	const uint32_t *links = graph.level0 + static_cast<size_t>(node) * graph.stride;

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
		bool		expanded;
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
		places[i] = {entry, position, false};
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
		if (beam->places[i].expanded)
		{
			i++;
			continue;
		}
		beam->places[i].expanded = true;

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

/* From the entry through the upper levels: from what is nearest there the walk goes on. */
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

			place->expanded = false;
			place->position = graph.levels[l].down[place->position];
			if (place->position >= (l > 0 ? graph.levels[l - 1].count : graph.nodes))
				fail(RV_CORRUPT, "section \"upper\" has an invalid node");
			scratch->seen[place->entry.node] = scratch->stamp;
		}
	}
	for (uint32_t i = 0; i < upper.count; i++)
		scratch->frontier.push(rank_of(upper.places[i].entry.key, upper.places[i].entry.node), width);
	entered = true;
}

/* Whether the `width` nearest of what was seen are expanded: then as many that are expanded are nearer than the nearest that is
 * not. */
bool
rv_search::expanded_enough()
{
	std::vector<Rank> &reached = scratch->reached;
	const auto	first = reached.begin();

	if (reached.size() < width)
		return scratch->frontier.empty();
	if (nearest_reached != width)
	{
		std::make_heap(first, reached.end());
		for (nearest_reached = reached.size(); nearest_reached > width; nearest_reached--)
			std::pop_heap(first, first + static_cast<ptrdiff_t>(nearest_reached));
	}
	return scratch->frontier.floor() > reached[0];
}

void
rv_search::note_reached(Rank rank)
{
	std::vector<Rank> &reached = scratch->reached;

	reached.push_back(rank);
	if (nearest_reached == width)
	{
		const auto	end = reached.begin() + static_cast<ptrdiff_t>(nearest_reached) + 1;

		std::swap(reached[nearest_reached], reached.back());
		std::push_heap(reached.begin(), end);
		std::pop_heap(reached.begin(), end);
	}
}

namespace
{

/* The neighbours that were not seen yet; now they are. ids: room for all. */
uint32_t
unseen_neighbours(const GraphView &graph, uint32_t node, rv_scratch *scratch, uint32_t *ids)
{
	const uint32_t *links = graph.level0 + static_cast<size_t>(node) * graph.stride;
	uint8_t    *seen = scratch->seen.data();
	const uint8_t stamp = scratch->stamp;
	uint32_t	n = 0;

	for (uint32_t i = 0; i < graph.stride; i++)
	{
		const uint32_t id = links[i];

		if (id >= graph.nodes)
		{
			if (id != NO_ID)
				fail(RV_CORRUPT, "section \"graph\" has an invalid link at node %u", node);
			break;
		}
		/* no branch: nobody can foresee it */
		ids[n] = id;
		n += seen[id] != stamp;
		seen[id] = stamp;
	}
	return n;
}

}								/* namespace */

bool
rv_search::expand()
{
	const GraphView &graph = segment->graph;
	const Scorer &scorer = traversal != nullptr ? *traversal : *stored;
	Frontier   &frontier = scratch->frontier;
	uint32_t	ids[2 * GRAPH_MAX_M];
	float		keys[2 * GRAPH_MAX_M];

	while (!expanded_enough())
	{
		if (interrupted())
			return false;

		const size_t wanted = width > scratch->reached.size() ? width - scratch->reached.size() : 1;
		const Rank	from = frontier.pop(wanted);
		const uint32_t n = unseen_neighbours(graph, rank_node(from), scratch, ids);

		for (uint32_t i = 0; i < n; i++)
			scorer.prefetch(ids[i]);
		note_reached(from);
		scratch->pool.push_back({rank_key(from), rank_node(from)});
		stats.hops++;
		stats.visited += n;
		scorer.keys(ids, n, keys);
		for (uint32_t i = 0; i < n; i++)
			frontier.push(rank_of(keys[i], ids[i]), wanted);
		for (size_t i = 0; i < frontier.soon(); i++)
			prefetch_links(graph, frontier.soon(i));
	}
	return true;
}

/* What was not returned yet will be ranked by reading all of it. */
void
rv_search::leave_graph()
{
	std::vector<Entry> &pool = scratch->pool;

	pool.resize(emitted);
	scratch->frontier.clear();
	scratch->reached.clear();
	scratch->next_stamp();
	for (const Entry &entry : pool)
		scratch->seen[entry.node] = scratch->stamp;
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
		width = std::max(width, walk_width(goal, traversal != nullptr));
		nearest_reached = 0;
		in_batch = true;
	}
	if (!entered)
		enter();

	if (!expand())
		return false;

	if (traversal != nullptr)
		read_stored(pool.data() + refined, pool.size() - refined);
	stats.refined += pool.size() - refined;
	refined = pool.size();
	emit_best(goal > emitted ? goal - emitted : 0);
	*more = emitted < pool.size() || !scratch->frontier.empty();
	in_batch = false;
	return true;
}
