/* SPDX-License-Identifier: PostgreSQL
 *
 * segment.cpp: opening a segment, decoding, and the complete check.
 *
 * Opening checks everything whose violation could lead a later read outside the bytes, except links and key offsets:
 * those are checked where they are used, so that opening costs no pass over the data.
 */
#include "engine/scorer.h"

rv::Section
rv_segment::section(rv::SectionId id) const
{
	rv::Section found;

	for (const rv::SectionEntry &entry : table)
		if (entry.id == static_cast<uint32_t>(id))
		{
			found.data = bytes + entry.offset;
			found.size = entry.size;
		}
	return found;
}

uint32_t
rv_segment::node_of(uint32_t slot) const
{
	if (key_offsets == nullptr)
		return slot;

	/* The last node whose first slot is <= slot. */
	uint32_t	low = 0,
				high = nodes();

	while (high - low > 1)
	{
		const uint32_t middle = low + (high - low) / 2;

		if (key_offsets[middle] <= slot)
			low = middle;
		else
			high = middle;
	}
	return low;
}

namespace rv
{

namespace
{

void
check_spec(const SegmentHeader &h)
{
	if (h.kind > RV_KIND_IVF || h.metric < RV_METRIC_L2 || h.metric > RV_METRIC_JACCARD || h.element < RV_ELEMENT_F32 ||
		h.element > RV_ELEMENT_SPARSE || h.quantization < RV_QUANTIZATION_NONE || h.quantization > RV_QUANTIZATION_BINARY)
		fail(RV_UNSUPPORTED, "segment names an unknown kind, metric, element or quantization");
	if (h.slots < h.nodes || h.dims == 0 || (h.element == RV_ELEMENT_BIT || h.element == RV_ELEMENT_SPARSE ? false : h.dims > 16000))
		fail(RV_CORRUPT, "section \"header\" has impossible counts");
	if (h.kind == RV_KIND_IVF && (h.element == RV_ELEMENT_SPARSE || h.metric == RV_METRIC_L1 || h.metric == RV_METRIC_JACCARD))
		fail(RV_UNSUPPORTED, "segment has lists of an element or metric that has none");
	if (h.kind == RV_KIND_HNSW && (h.m < GRAPH_MIN_M || h.m > GRAPH_MAX_M))
		fail(RV_CORRUPT, "section \"header\" has an impossible m");
}

void
expect_size(const Section &section, uint64_t size, SectionId id)
{
	if (section.size != size)
		fail(RV_CORRUPT, "section \"%s\" has an invalid size", section_name(static_cast<uint32_t>(id)));
}

}								/* namespace */

void
segment_open(rv_segment *segment, const void *bytes, size_t size, int flags)
{
	const uint8_t *base = static_cast<const uint8_t *>(bytes);

	if (bytes == nullptr || reinterpret_cast<uintptr_t>(bytes) % SECTION_ALIGN != 0)
		fail(RV_INVALID, "segment bytes must be aligned to %zu", SECTION_ALIGN);
	read_header(base, size, flags, &segment->header, &segment->table);

	const SegmentHeader &h = segment->header;
	rv_spec    &spec = segment->spec;

	check_spec(h);
	segment->bytes = base;
	spec.kind = static_cast<rv_kind>(h.kind);
	spec.metric = static_cast<rv_metric>(h.metric);
	spec.element = static_cast<rv_element>(h.element);
	spec.quantization = static_cast<rv_quantization>(h.quantization);
	spec.dims = h.dims;
	spec.m = h.m;
	spec.ef_construction = h.ef_construction;
	spec.lists = h.lists;
	spec.seed = h.seed;
	if (h.code_stride != stored_stride(spec) || h.traversal_stride != traversal_stride(spec))
		fail(RV_CORRUPT, "section \"header\" has an invalid stride");

	const Section model = segment->section(SectionId::model);

	segment->model = Model::parse(model.data, model.size, spec);
	segment->traversal = segment->section(SectionId::traversal);
	expect_size(segment->traversal, static_cast<uint64_t>(h.nodes) * h.traversal_stride, SectionId::traversal);
	segment->codes = segment->section(SectionId::codes);
	segment->code_offsets = segment->section(SectionId::code_offsets);
	if (spec.element == RV_ELEMENT_SPARSE)
		expect_size(segment->code_offsets, (static_cast<uint64_t>(h.nodes) + 1) * 8, SectionId::code_offsets);
	else
		expect_size(segment->codes, static_cast<uint64_t>(h.nodes) * h.code_stride, SectionId::codes);
	if (spec.kind == RV_KIND_HNSW)
		segment->graph = GraphView::parse(h, segment->section(SectionId::graph), segment->section(SectionId::upper));

	if (spec.kind == RV_KIND_IVF)
		segment->lists = ListsView::parse(h, spec, segment->section(SectionId::centroids),
										  segment->section(SectionId::list_offsets), segment->section(SectionId::lists));

	const Section keys = segment->section(SectionId::keys);
	const Section offsets = segment->section(SectionId::key_offsets);

	const Section hashes = segment->section(SectionId::hashes);

	if (hashes.size > 0)
		expect_size(hashes, static_cast<uint64_t>(h.nodes) * 4, SectionId::hashes);
	segment->hashes = reinterpret_cast<const uint32_t *>(hashes.data);
	expect_size(keys, static_cast<uint64_t>(h.slots) * 8, SectionId::keys);
	segment->keys = keys.data;
	if (offsets.size > 0 || h.slots != h.nodes)
	{
		expect_size(offsets, (static_cast<uint64_t>(h.nodes) + 1) * 4, SectionId::key_offsets);
		segment->key_offsets = reinterpret_cast<const uint32_t *>(offsets.data);
	}
}

void
segment_decode(const rv_segment *segment, uint32_t node, float *out)
{
	const rv_spec &spec = segment->spec;

	if (spec.element == RV_ELEMENT_BIT)
		fail(RV_UNSUPPORTED, "bit strings are not decoded");
	if (spec.element == RV_ELEMENT_SPARSE)
	{
		const SparseView view = stored_sparse(segment->code_offsets.data, segment->codes, node);

		memset(out, 0, spec.dims * sizeof(float));
		for (uint32_t i = 0; i < view.count; i++)
			if (static_cast<uint32_t>(view.indices[i]) < spec.dims)
				out[view.indices[i]] = view.values[i];
		return;
	}

	const uint8_t *record = segment->codes.data + static_cast<size_t>(node) * segment->header.code_stride;
	const double norm = record_norm(record, spec);

	decode_prime(record, spec, segment->model, out);
	if (spec.metric == RV_METRIC_COSINE)
		for (uint32_t i = 0; i < spec.dims; i++)
			out[i] = static_cast<float>(out[i] * norm);
}

namespace
{

void
check_keys(const rv_segment *segment, const Interrupts &interrupts)
{
	uint32_t	expected = 0;

	for (uint32_t node = 0; node < segment->nodes(); node++)
	{
		uint32_t	first,
					end;

		interrupts.look_at(node);
		segment->slots_of(node, &first, &end);
		if (first != expected || first == end)
			fail(RV_CORRUPT, "section \"key_offsets\" leaves a gap at node %u", node);
		expected = end;
	}
	if (expected != segment->header.slots)
		fail(RV_CORRUPT, "section \"key_offsets\" does not cover every slot");
}

void
check_links(const uint32_t *links, uint32_t stride, uint32_t owner, uint32_t count, const char *section)
{
	bool		ended = false;

	for (uint32_t i = 0; i < stride; i++)
	{
		if (links[i] == NO_ID)
			ended = true;
		else if (ended || links[i] >= count || links[i] == owner)
			fail(RV_CORRUPT, "section \"%s\" has an invalid link at node %u", section, owner);
	}
}

void
check_upper(const GraphView &graph, const Interrupts &interrupts)
{
	for (size_t i = 0; i < graph.levels.size(); i++)
	{
		const GraphLevel &level = graph.levels[i];
		const uint32_t below = i == 0 ? graph.nodes : graph.levels[i - 1].count;

		for (uint32_t p = 0; p < level.count; p++)
		{
			interrupts.look_at(p);
			if (level.node[p] >= graph.nodes || level.down[p] >= below ||
				(i == 0 ? level.down[p] : graph.levels[i - 1].node[level.down[p]]) != level.node[p])
				fail(RV_CORRUPT, "section \"upper\" has an invalid node at position %u", p);
			check_links(level.links + static_cast<size_t>(p) * graph.m, graph.m, p, level.count, "upper");
		}
	}
}

void
check_reachable(const GraphView &graph, const Interrupts &interrupts)
{
	std::vector<bool> seen(graph.nodes);
	std::vector<uint32_t> open;
	uint32_t	reached = 0;
	const uint32_t first = graph.levels.empty() ? graph.entry : graph.levels.back().node[graph.entry];

	open.push_back(first);
	seen[first] = true;
	while (!open.empty())
	{
		const uint32_t *links = graph.level0 + static_cast<size_t>(open.back()) * graph.stride;

		open.pop_back();
		interrupts.look_at(reached++);
		for (uint32_t i = 0; i < graph.stride && links[i] != NO_ID; i++)
			if (!seen[links[i]])
			{
				seen[links[i]] = true;
				open.push_back(links[i]);
			}
	}
	if (reached != graph.nodes)
		fail(RV_CORRUPT, "section \"graph\" does not reach %u of its nodes", graph.nodes - reached);
}

}								/* namespace */

void
segment_check(const rv_segment *segment, const volatile sig_atomic_t *interrupt)
{
	const Interrupts interrupts(interrupt);

	for (const SectionEntry &entry : segment->table)
		verify_section(segment->bytes, entry, interrupts);
	check_keys(segment, interrupts);
	if (segment->spec.kind != RV_KIND_HNSW || segment->nodes() == 0)
		return;
	for (uint32_t node = 0; node < segment->nodes(); node++)
	{
		interrupts.look_at(node);
		check_links(segment->graph.level0 + static_cast<size_t>(node) * segment->graph.stride, segment->graph.stride, node,
					segment->nodes(), "graph");
	}
	check_upper(segment->graph, interrupts);
	check_reachable(segment->graph, interrupts);
}

}								/* namespace rv */
