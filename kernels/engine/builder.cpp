/* SPDX-License-Identifier: PostgreSQL
 *
 * builder.cpp: adding vectors: coding them and finding equal ones. builder_finish.cpp makes the segment.
 */
#include "engine/builder.h"

#include <algorithm>

using namespace rv;

namespace
{

constexpr size_t SAMPLE_BYTES = 16u << 20;	/* 10,900 vectors of 384 dims: the mean is then known to 1 % of the spread */
constexpr size_t BATCH_BYTES = 4u << 20;	/* afterwards, with several threads: a few milliseconds of work */
constexpr uint32_t ADDED_AT_ONCE = 1024;	/* nodes of a segment between two looks at the interrupt flag: milliseconds where they are coded again */
constexpr uint32_t CODED_CHUNK = 64;	/* vectors a job */
constexpr uint32_t MAX_NODES = INT32_MAX;	/* a search marks expanded nodes in the highest bit */

uint64_t
hash_record(const uint8_t *record, size_t size)
{
	uint64_t	h = size;
	size_t		i = 0;

	for (; i + 8 <= size; i += 8)
		h = (h ^ load<uint64_t>(record + i)) * 0x9fb21c651e98df25u + (h >> 29);
	for (; i < size; i++)
		h = (h ^ record[i]) * 0x9fb21c651e98df25u;
	return mix64(h);
}

/* Zeros of both signs are one. Four parts, so that a multiplication need not wait for the one before. */
uint32_t
hash_vector(const float *x, uint32_t dims)
{
	uint64_t	h[4] = {dims, 1, 2, 3};
	uint32_t	i = 0;

	for (; i + 8 <= dims; i += 8)
		for (uint32_t lane = 0; lane < 4; lane++)
		{
			const float pair[2] = {x[i + 2 * lane] + 0.0f, x[i + 2 * lane + 1] + 0.0f};

			h[lane] = (h[lane] ^ load<uint64_t>(pair)) * 0x9fb21c651e98df25u;
			h[lane] ^= h[lane] >> 29;
		}
	for (; i < dims; i++)
	{
		const float value = x[i] + 0.0f;

		h[0] = (h[0] ^ load<uint32_t>(&value)) * 0x9fb21c651e98df25u;
		h[0] ^= h[0] >> 29;
	}
	return static_cast<uint32_t>(mix64(mix64(h[0] ^ mix64(h[1])) ^ mix64(h[2] ^ mix64(h[3]))));
}

}								/* namespace */

rv_builder::rv_builder(const rv_spec &spec_, const rv_segment *like)
	: spec(spec_), primary_(rv::primary_spec(spec_)), kind_(record_kind(primary_)),
	  waiting_(size_t{spec_.dims} * sizeof(float)), records_(stored_stride(primary_)), stored_(stored_stride(spec_)), traversal_(traversal_stride(spec_)), linked_(sq8_stride(spec_.dims))
{
	adding_ = std::make_unique<Jobs>(1);
	model.dims = spec.dims;
	model.metric = spec.metric;
	if (kind_ != RecordKind::bits && kind_ != RecordKind::sparse)
		buffer_.resize(spec.dims);
	if (like != nullptr)
	{
		if (like->spec.metric != spec.metric || like->spec.element != spec.element ||
			like->spec.quantization != spec.quantization || like->spec.dims != spec.dims)
			fail(RV_INVALID, "model is of another metric, element, quantization or number of dimensions");
		model = like->model;
		trained = true;
	}
	else if (!Model::metric_is_rotated(spec.metric, spec.element))
		trained = true;
	else
		model.set_rotation(mix64(spec.seed));
	if (spec.kind == RV_KIND_IVF)
		lists_ = std::make_unique<ListBuilder>(spec, model, like);
}

rv_builder::~rv_builder()
{
	if (jobs_ != nullptr)
		jobs_->cancel();
	if (thread_.joinable())
		thread_.join();
}

uint32_t
rv_builder::nodes() const
{
	return kind_ == RecordKind::sparse ? sparse_.count() : records_.count();
}

/* The centre is the mean of what waits. */
void
rv_builder::train()
{
	CentreSum	sum(spec);

	for (size_t i = 0; i < waiting_keys_.size(); i++)
		sum.add(waiting(i));
	model.set_centre(sum.mean());
	trained = true;
}

/* Codes what waits, on as many threads as there are for it. Nodes are numbered as they were added whatever the number. */
void
rv_builder::flush()
{
	const uint32_t n = static_cast<uint32_t>(waiting_keys_.size());
	const uint32_t first = records_.count();
	std::vector<uint32_t> made(n);
	const bool	sampled = !trained;
	Jobs	   *jobs = jobs_ != nullptr ? jobs_.get() : adding_.get();

	if (!trained)
		train();
	records_.resize(first + n);
	{
		const SignalsBlocked blocked;

		jobs->for_each((n + CODED_CHUNK - 1) / CODED_CHUNK, [&](int, uint32_t chunk) {
			for (uint32_t i = chunk * CODED_CHUNK; i < std::min(n, (chunk + 1) * CODED_CHUNK); i++)
				made[i] = encode(waiting(i), records_.at(first + i));
		});
	}
	records_.truncate(first);
	for (uint32_t i = 0; i < n; i++)
	{
		const uint8_t *record = records_.at(first + i);
		uint8_t    *to = records_.append();

		if (to != record)
			memcpy(to, record, records_.stride());
		append_key(made[i], waiting_keys_[i]);
	}
	waiting_keys_.clear();
	if (sampled)
		waiting_.clear();		/* more than will wait from now on */
	else
		waiting_.truncate(0);
}

void
rv_builder::use_threads(int threads)
{
	adding_ = std::make_unique<Jobs>(threads);
}

void
rv_builder::add(const rv_vector *vector, uint64_t key)
{
	if (count() >= MAX_NODES)
		fail(RV_INVALID, "a segment cannot hold more than %u vectors", MAX_NODES);
	if (kind_ == RecordKind::sparse)
	{
		const std::vector<uint8_t> record = sparse_record(vector, spec.dims);

		if (spec.metric == RV_METRIC_COSINE && !(sparse_view(record.data()).norm > 0))
			fail(RV_INVALID, "a zero vector has no cosine distance");
		sparse_.append(record.data(), record.size());
		append_key(0, key);
		return;
	}
	if (kind_ == RecordKind::bits)
	{
		const std::vector<uint8_t> bits = read_bits(vector, spec.dims);
		uint8_t    *record = records_.append();

		memset(record, 0, records_.stride());
		memcpy(record, bits.data(), bits.size());
		append_key(0, key);
		return;
	}
	read_dense(vector, spec.element, spec.dims, buffer_.data());
	if (spec.metric == RV_METRIC_COSINE && !(norm_f64(buffer_.data(), spec.dims) > 0))
		fail(RV_INVALID, "a zero vector has no cosine distance");
	if (trained && adding_->threads() == 1)
	{
		const uint32_t hash = encode(buffer_.data(), records_.append());

		append_key(hash, key);
		return;
	}
	memcpy(waiting_.append(), buffer_.data(), spec.dims * sizeof(float));
	waiting_keys_.push_back(key);
	if (waiting_keys_.size() * spec.dims * sizeof(float) >= (trained ? BATCH_BYTES : SAMPLE_BYTES))
		flush();
}

/* x: as the caller gave it; overwritten. Returns its hash. */
uint32_t
rv_builder::encode(float *x, uint8_t *record) const
{
	const uint32_t hash = hash_vector(x, spec.dims);

	encode_vector(x, primary_, model, record);
	return hash;
}

void
rv_builder::append_key(uint32_t hash, uint64_t key)
{
	key_nodes.push_back(find_or_append(hash));
	keys.push_back(key);
}

void
rv_builder::add_segment(const rv_segment *segment, const uint64_t *tombstones)
{
	if (segment->spec.metric != spec.metric || segment->spec.element != spec.element || segment->spec.dims != spec.dims)
		fail(RV_INVALID, "segment is of another metric, element or number of dimensions");
	if (!waiting_keys_.empty())
		flush();
	if (!trained)
	{
		/* Nothing is known yet: its centre and rotation are as good as any. */
		model = segment->model;
		if (spec.quantization != segment->spec.quantization)
			model.codebooks.clear();
		trained = true;
	}

	const bool	verbatim = segment->spec.quantization == spec.quantization && segment->model.equals(model);

	for (; next_node_ < segment->nodes(); next_node_++)
	{
		const uint32_t node = next_node_;
		uint32_t	first,
					end;

		if (node % ADDED_AT_ONCE == ADDED_AT_ONCE - 1)
			Interrupts(interrupt).look();
		segment->slots_of(node, &first, &end);
		for (uint32_t slot = first; slot < end; slot++)
		{
			if (tombstones != nullptr && ((tombstones[slot / 64] >> (slot % 64)) & 1) != 0)
				continue;
			if (count() >= MAX_NODES)
				fail(RV_INVALID, "a segment cannot hold more than %u vectors", MAX_NODES);
			add_node(segment, node, segment->key(slot), verbatim);
		}
	}
	next_node_ = 0;
}

void
rv_builder::add_node(const rv_segment *segment, uint32_t node, uint64_t key, bool verbatim)
{
	if (kind_ == RecordKind::sparse)
	{
		const SparseView view = stored_sparse(segment->code_offsets.data, segment->codes, node);

		sparse_.append(reinterpret_cast<const uint8_t *>(view.indices) - SPARSE_HEAD, sparse_size(view.count));
		append_key(0, key);
		return;
	}

	const uint8_t *record = segment->codes.data + static_cast<size_t>(node) * segment->header.code_stride;
	const uint32_t hash = kind_ == RecordKind::bits ? 0 :
		segment->hashes != nullptr ? segment->hashes[node] : static_cast<uint32_t>(mix64(key));	/* unknown: equal to none */

	if (kind_ == RecordKind::bits || (verbatim && stored_.stride() == records_.stride() && record_kind(spec) == kind_))
	{
		memcpy(records_.append(), record, records_.stride());
		append_key(hash, key);
		return;
	}

	const double norm = record_norm(record, segment->spec);
	double		error = decode_prime(record, segment->spec, segment->model, buffer_.data());

	if (spec.metric == RV_METRIC_COSINE && kind_ != RecordKind::sq8)
	{
		/* Stored as it came: back to its length, its error with it. */
		for (float &v : buffer_)
			v = static_cast<float>(v * norm);
		error = (error + FLOAT_EPSILON) * norm;
	}
	encode_record(buffer_.data(), primary_, model, error, norm, records_.append());
	append_key(hash, key);
	if (verbatim && key_nodes.back() == nodes() - 1)
	{
		/* The record itself will be taken over; what was made of it only serves to link it. */
		moved_.resize(nodes(), NO_ID);
		if (moved_.back() == NO_ID)
		{
			moved_.back() = moved_records_;
			memcpy(stored_.append(), record, stored_.stride());
			moved_records_++;
		}
	}
}

/* Of the record of a node, for finding equal ones. */
size_t
rv_builder::record_of(uint32_t node, const uint8_t **bytes) const
{
	if (kind_ == RecordKind::sparse)
	{
		*bytes = sparse_.at(node);
		return sparse_.size(node);
	}
	*bytes = records_.at(node);
	return records_.stride();
}

void
rv_builder::grow_table()
{
	std::vector<uint64_t> old(table_.empty() ? 1024 : table_.size() * 2);

	old.swap(table_);
	for (uint64_t entry : old)
		if (entry != 0)
		{
			size_t		at = (entry >> 32) & (table_.size() - 1);

			while (table_[at] != 0)
				at = (at + 1) & (table_.size() - 1);
			table_[at] = entry;
		}
}

/* The node of the record just appended: itself, or an earlier one with the same record and hash. */
uint32_t
rv_builder::find_or_append(uint32_t hash)
{
	const uint32_t node = nodes() - 1;
	const uint8_t *record,
			   *other;
	const size_t size = record_of(node, &record);

	if (static_cast<size_t>(node) * 2 + 2 > table_.size())
		grow_table();

	const bool	hashed = kind_ != RecordKind::bits && kind_ != RecordKind::sparse;
	const uint64_t h = mix64(hash_record(record, size) + hash);
	const uint64_t tag = h & 0xffffffff00000000u;
	size_t		at = (h >> 32) & (table_.size() - 1);

	for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1))
	{
		const uint32_t known = static_cast<uint32_t>(table_[at]) - 1;

		if ((table_[at] & 0xffffffff00000000u) == tag && (!hashed || hashes[known] == hash) &&
			record_of(known, &other) == size && memcmp(other, record, size) == 0)
		{
			if (kind_ == RecordKind::sparse)
				sparse_.drop_last();
			else
				records_.drop_last();
			return known;
		}
	}
	table_[at] = tag | (node + 1);
	if (hashed)
		hashes.push_back(hash);
	return node;
}
