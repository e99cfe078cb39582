/* SPDX-License-Identifier: PostgreSQL
 *
 * graph.cpp: finding the levels of a stored graph.
 */
#include "engine/graph.h"

namespace rv
{

size_t
GraphView::upper_size(uint32_t m, const std::vector<uint32_t> &counts)
{
	size_t		words = counts.size();

	for (uint32_t count : counts)
		words += static_cast<size_t>(count) * (2 + m);
	return words * sizeof(uint32_t);
}

GraphView
GraphView::parse(const SegmentHeader &header, Section level0, Section upper)
{
	GraphView	graph;

	graph.nodes = header.nodes;
	graph.m = header.m;
	graph.stride = 2 * header.m;
	graph.entry = header.entry;
	if (level0.size != static_cast<size_t>(header.nodes) * graph.stride * sizeof(uint32_t))
		fail(RV_CORRUPT, "section \"graph\" has an invalid size");
	graph.level0 = reinterpret_cast<const uint32_t *>(level0.data);
	if (header.max_level > GRAPH_MAX_LEVEL || upper.size < header.max_level * sizeof(uint32_t))
		fail(RV_CORRUPT, "section \"upper\" is too short");

	const uint32_t *at = reinterpret_cast<const uint32_t *>(upper.data);
	size_t		left = upper.size / sizeof(uint32_t) - header.max_level;
	const uint32_t *counts = at;

	at += header.max_level;
	for (uint32_t i = 0; i < header.max_level; i++)
	{
		GraphLevel	level;
		const size_t words = static_cast<size_t>(counts[i]) * (2 + header.m);

		level.count = counts[i];
		if (level.count == 0 || level.count > header.nodes || words > left)
			fail(RV_CORRUPT, "section \"upper\" has an invalid level size");
		level.node = at;
		level.down = at + level.count;
		level.links = at + 2 * static_cast<size_t>(level.count);
		at += words;
		left -= words;
		graph.levels.push_back(level);
	}

	const uint32_t top = header.max_level > 0 ? graph.levels.back().count : header.nodes;

	if (header.nodes > 0 && header.entry >= top)
		fail(RV_CORRUPT, "section \"header\" has an entry that is no node");
	return graph;
}

}								/* namespace rv */
