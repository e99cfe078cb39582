/* SPDX-License-Identifier: PostgreSQL
 *
 * search.cpp: starting a search and handing out its batches.
 */
#include "engine/search.h"

#include <algorithm>

#include "engine/coder.h"

using namespace rv;

void
rv_scratch::begin(uint32_t nodes)
{
	frontier.clear();
	reached.clear();
	ranking.clear();
	pool.clear();
	found.clear();
	fences.clear();
	if (seen.size() < nodes)
	{
		seen.assign(nodes, 0);
		stamp = 0;
	}
	next_stamp();
}

/* Nothing is seen any more. */
void
rv_scratch::next_stamp()
{
	if (++stamp == 0)
	{
		std::fill(seen.begin(), seen.end(), 0);
		stamp = 1;
	}
}

size_t
rv_scratch::bytes() const
{
	return sizeof(*this) + seen.capacity() + (frontier.capacity() + reached.capacity()) * sizeof(Rank) +
		(ranking.capacity() + pool.capacity() + fences.capacity()) * sizeof(Entry) +
		keys.capacity() * sizeof(float) + found.capacity() * sizeof(Found);
}

/* The first slot of [slot, end) that is not deleted, or end. */
uint32_t
rv_search::next_live(uint32_t slot, uint32_t end) const
{
	if (options.tombstones != nullptr)
		while (slot < end && ((options.tombstones[slot / 64] >> (slot % 64)) & 1) != 0)
			slot++;
	return slot;
}

/* Puts a node that has a live key into the batch being made. */
void
rv_search::emit_node(uint32_t node)
{
	uint32_t	first;
	Found		found = {};

	segment->slots_of(node, &first, &found.end);
	found.hit.slot = next_live(first, found.end);
	if (found.hit.slot == found.end)
		return;
	stored->bounds(node, &found.hit);
	if (mode != Mode::range || found.hit.lower <= radius)
		scratch->found.push_back(found);
}

/* The `want` nearest of the pool that were not returned yet become the batch. */
void
rv_search::emit_best(size_t want)
{
	std::vector<Entry> &pool = scratch->pool;
	const auto	first = pool.begin() + static_cast<ptrdiff_t>(emitted);
	const size_t n = std::min(want, pool.size() - emitted);

	if (n < pool.size() - emitted)
		std::nth_element(first, first + static_cast<ptrdiff_t>(n), pool.end(), nearer);
	for (size_t i = 0; i < n; i++)
		emit_node(pool[emitted + i].node);
	emitted += n;
	sort_found();
}

/* Their keys become those of the stored codes. Where these lie is not known before: they are asked for together. */
void
rv_search::read_stored(Entry *entries, size_t n)
{
	uint32_t	ids[32];
	float		keys[32];

	for (size_t i = 0; i < n; i += 32)
	{
		const size_t some = std::min<size_t>(32, n - i);

		for (size_t j = 0; j < some; j++)
		{
			ids[j] = entries[i + j].node;
			stored->prefetch(ids[j]);
		}
		stored->keys(ids, some, keys);
		for (size_t j = 0; j < some; j++)
			entries[i + j].key = keys[j];
	}
}

void
rv_search::sort_found()
{
	std::sort(scratch->found.begin(), scratch->found.end(), [](const Found &a, const Found &b) {
		return a.hit.estimate != b.hit.estimate ? a.hit.estimate < b.hit.estimate : a.hit.slot < b.hit.slot;
	});
}

/* Keys are handed out node by node, only as many as asked for: a node may have a million of them. Or the nodes, where all
 * their keys have one vector. */
uint32_t
rv_search::hand_out(rv_hit *out, uint32_t capacity)
{
	std::vector<Found> &found = scratch->found;
	const bool	by_vector = options.by_vector != 0 && segment->nodes_are_equal_vectors();
	uint32_t	count = 0;

	while (count < capacity && found_at < found.size())
	{
		Found	   &next_found = found[found_at];

		next_found.hit.key = segment->key(next_found.hit.slot);
		next_found.hit.end = by_vector ? next_found.end : next_found.hit.slot + 1;
		out[count++] = next_found.hit;
		if (by_vector)
		{
			found_at++;
			continue;
		}
		next_found.hit.slot = next_live(next_found.hit.slot + 1, next_found.end);
		if (next_found.hit.slot == next_found.end)
			found_at++;
	}
	return count;
}

rv_status
rv_search::next(rv_hit *out, uint32_t capacity, uint32_t *count, bool *batch_end)
{
	std::vector<Found> &found = scratch->found;

	while (found_at == found.size() && !done_)
	{
		bool		more = false;
		bool		complete;

		found.clear();
		found_at = 0;
		complete = mode == Mode::graph ? graph_batch(&more) : mode == Mode::lists ? lists_batch(&more) :
			mode == Mode::flat ? flat_batch(&more) : mode == Mode::lowest ? lowest_batch(&more) : range_batch(&more);
		if (!complete)
		{
			/* What a range search found until then may be handed out; others have nothing yet. */
			if (found.empty())
				return RV_INTERRUPTED;
			break;
		}
		done_ = !more;
	}
	*count = hand_out(out, capacity);
	*batch_end = found_at == found.size();
	return RV_OK;
}

/* Brings a dense query into every form that this search needs. */
void
rv_search::prepare_dense(rv_element element, const rv_vector *vector, const Model *model)
{
	std::vector<float> values(segment->spec.dims);

	read_dense(vector, element, segment->spec.dims, values.data());
	query = std::make_unique<DenseQuery>(model, values.data());
	if (record_kind(segment->spec) == RecordKind::sq8)
	{
		query->prepare_steps();
		if (mode == Mode::range)
			query->prepare_byte_steps();
	}
	if (record_kind(segment->spec) == RecordKind::signs || (mode == Mode::graph && segment->header.traversal_stride != 0))
		query->prepare_planes();
	stored = make_stored_scorer(segment, *query);
	if (mode == Mode::graph)
		traversal = make_traversal_scorer(segment, *query);
	if (segment->spec.kind == RV_KIND_IVF && mode != Mode::flat)
		lists = std::make_unique<ListScanner>(segment, *query);
}

namespace
{

void
check_element(const rv_segment *segment, rv_element element)
{
	const bool	dense = segment->spec.element == RV_ELEMENT_F32 || segment->spec.element == RV_ELEMENT_F16;

	if (dense ? element != RV_ELEMENT_F32 && element != RV_ELEMENT_F16 : element != segment->spec.element)
		fail(RV_INVALID, "the query is of another element than the segment");
}

}								/* namespace */

void
rv_search::begin(rv_element element, const rv_vector *vector, const Model *model)
{
	scratch->begin(mode == Mode::graph ? segment->nodes() : 0);
	check_element(segment, element);
	if (segment->spec.element == RV_ELEMENT_BIT)
	{
		stored = make_bit_scorer(segment, vector);
		if (segment->spec.kind == RV_KIND_IVF && mode != Mode::flat)
			lists = std::make_unique<ListScanner>(segment, read_bits(vector, segment->spec.dims));
	}
	else if (segment->spec.element == RV_ELEMENT_SPARSE)
		stored = make_sparse_scorer(segment, vector);
	else
		prepare_dense(element, vector, model);
}

namespace
{

constexpr uint32_t DEFAULT_EF = 40;

std::unique_ptr<rv_search>
search_new(const rv_search_options *options, rv_search::Mode mode, double radius)
{
	auto		search = std::make_unique<rv_search>();

	if (options != nullptr)
		search->options = *options;
	if (search->options.tombstones == nullptr)
		search->options.admitted = 0;
	if (search->options.ef == 0)
		search->options.ef = DEFAULT_EF;
	search->mode = mode;
	search->radius = std::isnan(radius) ? std::numeric_limits<double>::infinity() : radius;	/* as float8 orders it */
	if (search->options.scratch != nullptr)
		search->scratch = search->options.scratch;
	else
	{
		search->own_scratch = std::make_unique<rv_scratch>();
		search->scratch = search->own_scratch.get();
	}
	return search;
}

rv_status
segment_search(const rv_segment *segment, rv_element element, const rv_vector *vector, const rv_search_options *options,
			   rv_search **out, rv_search::Mode mode, double radius)
{
	auto		search = search_new(options, mode, radius);

	search->segment = segment;
	search->begin(element, vector, &segment->model);
	*out = search.release();
	return RV_OK;
}

rv_status
coded_search(const rv_coded *rows, rv_element element, const rv_vector *vector, const rv_search_options *options,
			 rv_search **out, rv_search::Mode mode, double radius)
{
	auto		search = search_new(options, mode, radius);

	search->rows = rows->coder->segment_of(rows->records, rows->count);
	search->segment = &search->rows;
	search->options.tombstones = nullptr;
	search->options.admitted = 0;
	search->options.by_vector = 0;
	search->begin(element, vector, &rows->coder->model);
	*out = search.release();
	return RV_OK;
}

rv_search::Mode
mode_of(const rv_segment *segment, const rv_search_options *options)
{
	const uint32_t ef = options != nullptr && options->ef > 0 ? options->ef : DEFAULT_EF;
	const uint64_t admitted = options != nullptr ? options->admitted : 0;

	switch (segment->spec.kind)
	{
		case RV_KIND_HNSW:
			/* For ef admitted ones, ef * nodes / admitted are to be expanded: as many codes are met when admitted is the
			 * root of this over 4. Reading takes them in order and misses none. */
			if (admitted > 0 && admitted * admitted <= static_cast<uint64_t>(4) * MET_PER_EF * ef * segment->nodes())
				return rv_search::Mode::flat;
			return segment->nodes() / MET_PER_EF < ef ? rv_search::Mode::flat : rv_search::Mode::graph;
		case RV_KIND_IVF:
			return admitted > 0 && admitted <= FEW_ADMITTED ? rv_search::Mode::flat : rv_search::Mode::lists;
		default:
			return rv_search::Mode::flat;
	}
}

}								/* namespace */

extern "C"
{

rv_scratch *
rv_scratch_new(void)
{
	return new (std::nothrow) rv_scratch;
}

void
rv_scratch_free(rv_scratch *scratch)
{
	delete scratch;
}

size_t
rv_scratch_bytes(const rv_scratch *scratch)
{
	return scratch->bytes();
}

rv_status
rv_search_new(const rv_segment *segment, rv_element element, const rv_vector *query, const rv_search_options *options,
			  rv_search **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] {
		return segment_search(segment, element, query, options, out, mode_of(segment, options), 0);
	});
}

rv_status
rv_range_new(const rv_segment *segment, rv_element element, const rv_vector *query, double radius,
			 const rv_search_options *options, rv_search **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] {
		return segment_search(segment, element, query, options, out, rv_search::Mode::range, radius);
	});
}

rv_status
rv_coded_search_new(const rv_coded *rows, rv_element element, const rv_vector *query, const rv_search_options *options,
					rv_search **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] { return coded_search(rows, element, query, options, out, rv_search::Mode::lowest, 0); });
}

rv_status
rv_coded_range_new(const rv_coded *rows, rv_element element, const rv_vector *query, double radius,
				   const rv_search_options *options, rv_search **out, rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] { return coded_search(rows, element, query, options, out, rv_search::Mode::range, radius); });
}

rv_status
rv_search_next(rv_search *search, rv_hit *hits, uint32_t capacity, uint32_t *count, bool *batch_end, rv_error *error)
{
	*count = 0;
	*batch_end = false;
	return guarded(error, [&] { return search->next(hits, capacity, count, batch_end); });
}

size_t
rv_search_bytes(const rv_search *search)
{
	const rv_scratch &s = *search->scratch;

	return (s.frontier.size() + s.reached.size()) * sizeof(Rank) +
		(s.ranking.size() + s.pool.size() + s.fences.size()) * sizeof(Entry) + s.keys.size() * sizeof(float) +
		s.found.size() * sizeof(Found);
}

double
rv_search_floor(const rv_search *search)
{
	return search->floor;
}

void
rv_search_stats_get(const rv_search *search, rv_search_stats *stats)
{
	*stats = search->stats;
}

void
rv_search_free(rv_search *search)
{
	delete search;
}

}								/* extern "C" */
