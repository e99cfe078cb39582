/* SPDX-License-Identifier: PostgreSQL
 *
 * graph.h: the HNSW graph as it lies in a segment.
 *
 * Level 0: nodes * stride ids. Levels 1 .. max_level apart, with positions of their own, so that no level needs a
 * look-up table: the section begins with uint32 count[max_level], then for each level 1 .. max_level, in order:
 *   uint32 node[count], uint32 down[count] (position on the level below; level 0: the node),
 *   uint32 links[count * m] (positions on the same level). Unused links are NO_ID and come last.
 * Source: Malkov & Yashunin, arXiv 1603.09320.
 */
#ifndef RV_GRAPH_H
#define RV_GRAPH_H

#include "engine/format.h"

namespace rv
{

constexpr uint32_t GRAPH_MAX_LEVEL = 32;
constexpr uint32_t GRAPH_MIN_M = 2;
constexpr uint32_t GRAPH_MAX_M = 100;

/* Nodes that a walk keeps on the upper levels, measured in docs/design/engine.md. */
constexpr uint32_t GRAPH_UPPER_BEAM = 8;

/* Nodes that the walk keeps which looks for a node once all are linked: measured there, too. */
constexpr uint32_t GRAPH_LOST_BEAM = 20;

struct GraphLevel
{
	uint32_t	count = 0;
	const uint32_t *node = nullptr;
	const uint32_t *down = nullptr;
	const uint32_t *links = nullptr;
};

struct GraphView
{
	uint32_t	nodes = 0;
	uint32_t	m = 0;
	uint32_t	stride = 0;		/* 2 m */
	const uint32_t *level0 = nullptr;
	std::vector<GraphLevel> levels;	/* [0] is level 1 */
	uint32_t	entry = 0;		/* position on the highest level */

	static size_t upper_size(uint32_t m, const std::vector<uint32_t> &counts);

	/* Checks sizes and the entry; links are checked where they are followed. */
	static GraphView parse(const SegmentHeader &header, Section level0, Section upper);
};

}								/* namespace rv */

#endif							/* RV_GRAPH_H */
