/* SPDX-License-Identifier: PostgreSQL
 *
 * segment.h: an opened segment: checked pointers into the caller's bytes.
 */
#ifndef RV_SEGMENT_H
#define RV_SEGMENT_H

#include "engine/format.h"
#include "engine/graph.h"
#include "engine/record.h"

namespace rv
{

/* How well lists fit the vectors in them. It is kept, as it was when the lists were made, for those that take them over. */
struct ListFit
{
	float		spread = 0;		/* mean squared distance of what is clustered from its centroid */
	float		share = 0;		/* that two vectors drawn at random are in the same list: what a probe reads of the whole */
	float		vectors = 0;
};

static_assert(sizeof(ListFit) == 12, "stored layout");

/* The lists of an IVF segment: see ivf.h. */
struct ListsView
{
	uint32_t	count = 0;
	const uint32_t *offsets = nullptr;	/* [count + 1], of nodes; checked to be monotone */
	const float *centroids = nullptr;	/* [count][dims]; NULL: bit strings */
	const uint8_t *bit_centroids = nullptr;	/* [count][code stride] */
	const float *anchors = nullptr;	/* [count][dims]; the centroids but under IP */
	const float *radius = nullptr;	/* [count] */
	ListFit		fit;
	std::vector<size_t> blocks; /* [count + 1], of scan blocks */
	const uint8_t *scan = nullptr;

	static ListsView parse(const SegmentHeader &header, const rv_spec &spec, Section centroids, Section offsets, Section scan);
};

}								/* namespace rv */

struct rv_segment
{
	const uint8_t *bytes = nullptr;
	rv_spec		spec = {};
	rv::SegmentHeader header = {};
	std::vector<rv::SectionEntry> table;
	rv::Model	model;
	rv::Section traversal,
				codes,
				code_offsets;
	rv::GraphView graph;
	rv::ListsView lists;
	const uint32_t *key_offsets = nullptr;	/* NULL: slot = node */
	const uint8_t *keys = nullptr;	/* NULL: a slot is its own key */
	const uint32_t *hashes = nullptr;	/* dense only */

	uint32_t	nodes() const { return header.nodes; }
	rv::Section section(rv::SectionId id) const;

	/* The slots of a node, checked: [first, end). */
	void
	slots_of(uint32_t node, uint32_t *first, uint32_t *end) const
	{
		*first = key_offsets != nullptr ? key_offsets[node] : node;
		*end = key_offsets != nullptr ? key_offsets[node + 1] : node + 1;
		if (*first > *end || *end > header.slots)
			rv::fail(RV_CORRUPT, "section \"key_offsets\" is not monotone at node %u", node);
	}

	uint64_t
	key(uint32_t slot) const
	{
		return keys == nullptr ? slot : rv::load<uint64_t>(keys + static_cast<size_t>(slot) * 8);
	}

	/* Whether all keys of a node have one and the same vector. */
	bool		nodes_are_equal_vectors() const
	{
		return hashes != nullptr || spec.element == RV_ELEMENT_BIT || spec.element == RV_ELEMENT_SPARSE;
	}

	/* The node that owns a slot. */
	uint32_t	node_of(uint32_t slot) const;
};

namespace rv
{

void		segment_open(rv_segment *segment, const void *bytes, size_t size, int flags);

/* The stored approximation in the caller's space. out: float[dims]. */
void		segment_decode(const rv_segment *segment, uint32_t node, float *out);

/* Everything that open does not: checksums, links, reachability, keys. */
void		segment_check(const rv_segment *segment, const volatile sig_atomic_t *interrupt);

}								/* namespace rv */

#endif							/* RV_SEGMENT_H */
