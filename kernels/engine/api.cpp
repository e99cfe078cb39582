/* SPDX-License-Identifier: PostgreSQL
 *
 * api.cpp: the C entry points of builders and segments, and what a spec may say.
 */
#include "engine/builder.h"

using namespace rv;

namespace
{

void
check_spec(const rv_spec &spec)
{
	const bool	dense = spec.element == RV_ELEMENT_F32 || spec.element == RV_ELEMENT_F16;
	const bool	bits = spec.element == RV_ELEMENT_BIT;
	const bool	set_metric = spec.metric == RV_METRIC_HAMMING || spec.metric == RV_METRIC_JACCARD;

	if (!dense && !bits && spec.element != RV_ELEMENT_SPARSE)
		fail(RV_INVALID, "unknown element %d", spec.element);
	if (spec.kind != RV_KIND_FLAT && spec.kind != RV_KIND_HNSW && spec.kind != RV_KIND_IVF)
		fail(RV_INVALID, "unknown kind %d", spec.kind);
	if (spec.metric < RV_METRIC_L2 || spec.metric > RV_METRIC_JACCARD)
		fail(RV_INVALID, "unknown metric %d", spec.metric);
	if (spec.quantization < RV_QUANTIZATION_NONE || spec.quantization > RV_QUANTIZATION_BINARY)
		fail(RV_INVALID, "unknown quantization %d", spec.quantization);
	if (bits != set_metric)
		fail(RV_UNSUPPORTED, "metric %d is not supported for element %d", spec.metric, spec.element);
	if (!dense && spec.quantization != RV_QUANTIZATION_NONE)
		fail(RV_UNSUPPORTED, "bit and sparse vectors are not quantized");
	if (spec.metric == RV_METRIC_L1 && (spec.quantization == RV_QUANTIZATION_PQ16 || spec.quantization == RV_QUANTIZATION_BINARY))
		fail(RV_UNSUPPORTED, "quantization \"%s\" is not supported for the L1 distance",
			 spec.quantization == RV_QUANTIZATION_PQ16 ? "pq16" : "binary");
	if (spec.kind == RV_KIND_IVF && spec.metric != RV_METRIC_HAMMING && (!dense || spec.metric == RV_METRIC_L1))
		fail(RV_UNSUPPORTED, "inverted lists are not supported for this element and metric");
	if (spec.dims < 1 || (dense && spec.dims > 16000))
		fail(RV_INVALID, "dims must be between 1 and 16000, not %u", spec.dims);
	if (bits && spec.dims > 64000)
		fail(RV_INVALID, "bit strings must have between 1 and 64000 bits, not %u", spec.dims);
	if (spec.kind == RV_KIND_HNSW && (spec.m < GRAPH_MIN_M || spec.m > GRAPH_MAX_M))
		fail(RV_INVALID, "m must be between 2 and 100, not %u", spec.m);
	if (spec.kind == RV_KIND_HNSW && (spec.ef_construction < 4 || spec.ef_construction > 1000))
		fail(RV_INVALID, "ef_construction must be between 4 and 1000, not %u", spec.ef_construction);
	if (spec.kind == RV_KIND_IVF && (spec.lists < 1 || spec.lists > RV_MAX_LISTS))
		fail(RV_INVALID, "lists must be between 1 and %d, not %u", RV_MAX_LISTS, spec.lists);
}

}								/* namespace */

extern "C"
{

rv_status
rv_builder_new(const rv_spec *spec, const rv_segment *model, rv_builder **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] {
		check_spec(*spec);
		*out = new rv_builder(*spec, model);
		return RV_OK;
	});
}

rv_status
rv_builder_add_threads(rv_builder *builder, int threads, rv_error *error)
{
	return guarded(error, [&] {
		builder->use_threads(threads);
		return RV_OK;
	});
}

rv_status
rv_builder_add(rv_builder *builder, const rv_vector *vector, uint64_t key, rv_error *error)
{
	return guarded(error, [&] {
		if (builder->started)
			fail(RV_INVALID, "the builder was started already");
		builder->add(vector, key);
		return RV_OK;
	});
}

rv_status
rv_builder_add_segment(rv_builder *builder, const rv_segment *segment, const uint64_t *tombstones, rv_error *error)
{
	return guarded(error, [&] {
		if (builder->started)
			fail(RV_INVALID, "the builder was started already");
		builder->add_segment(segment, tombstones);
		return RV_OK;
	});
}

void
rv_builder_interrupt(rv_builder *builder, const volatile sig_atomic_t *interrupt)
{
	builder->interrupt = interrupt;
}

uint64_t
rv_builder_count(const rv_builder *builder)
{
	return builder->count();
}

size_t
rv_builder_peak_bytes(const rv_builder *builder)
{
	return builder->peak_bytes();
}

rv_status
rv_builder_fits(rv_builder *builder, size_t bytes, bool *fits, rv_error *error)
{
	*fits = false;
	return guarded(error, [&] {
		*fits = builder->fits(bytes);
		return RV_OK;
	});
}

size_t
rv_peak_bytes(const rv_spec *spec, uint64_t vectors, uint64_t keys, uint64_t sparse_bytes)
{
	return builder_peak_bytes(*spec, vectors, keys, spec->element == RV_ELEMENT_SPARSE ? sparse_bytes : 0);
}

rv_status
rv_builder_start(rv_builder *builder, int threads, rv_error *error)
{
	return guarded(error, [&] {
		builder->start(threads);
		return RV_OK;
	});
}

rv_status
rv_builder_poll(rv_builder *builder, int timeout_ms, rv_progress *progress, rv_error *error)
{
	return guarded(error, [&] { return builder->poll(timeout_ms, progress, error); });
}

rv_status
rv_builder_blob(const rv_builder *builder, const void **bytes, size_t *size, rv_error *error)
{
	return guarded(error, [&] {
		if (!builder->ended || builder->blob.data() == nullptr)
			fail(RV_INVALID, "the segment is not finished");
		*bytes = builder->blob.data();
		*size = builder->blob.total();
		return RV_OK;
	});
}

void
rv_builder_list_change(const rv_builder *builder, rv_list_change *change)
{
	*change = builder->list_change();
}

void
rv_builder_free(rv_builder *builder)
{
	delete builder;
}

rv_status
rv_segment_open(const void *bytes, size_t size, int flags, rv_segment **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] {
		auto		segment = std::make_unique<rv_segment>();

		segment_open(segment.get(), bytes, size, flags);
		*out = segment.release();
		return RV_OK;
	});
}

void
rv_segment_close(rv_segment *segment)
{
	delete segment;
}

void
rv_segment_info_get(const rv_segment *segment, rv_segment_info *info)
{
	memset(info, 0, sizeof(*info));
	info->spec = segment->spec;
	info->nodes = segment->header.nodes;
	info->slots = segment->header.slots;
	info->max_level = segment->header.max_level;
	info->bytes_total = segment->header.total_size;
	info->bytes_vectors = segment->codes.size + segment->code_offsets.size;
	info->bytes_traversal = segment->traversal.size;
	info->bytes_graph = segment->section(SectionId::graph).size + segment->section(SectionId::upper).size +
		segment->section(SectionId::centroids).size + segment->section(SectionId::list_offsets).size +
		segment->section(SectionId::lists).size;
	info->bytes_keys = segment->section(SectionId::keys).size + segment->section(SectionId::key_offsets).size +
		segment->section(SectionId::hashes).size;
}

uint64_t
rv_segment_key(const rv_segment *segment, uint32_t slot)
{
	return slot < segment->header.slots ? segment->key(slot) : UINT64_MAX;
}

const uint64_t *
rv_segment_keys(const rv_segment *segment)
{
	return reinterpret_cast<const uint64_t *>(segment->keys);
}

rv_status
rv_segment_check(const rv_segment *segment, const volatile sig_atomic_t *interrupt, rv_error *error)
{
	return guarded(error, [&] {
		segment_check(segment, interrupt);
		return RV_OK;
	});
}

rv_status
rv_segment_decode(const rv_segment *segment, uint32_t slot, float *out, rv_error *error)
{
	return guarded(error, [&] {
		if (slot >= segment->header.slots)
			fail(RV_INVALID, "slot %u is not in the segment", slot);
		segment_decode(segment, segment->node_of(slot), out);
		return RV_OK;
	});
}

}								/* extern "C" */
