/* SPDX-License-Identifier: PostgreSQL
 *
 * builder_finish.cpp: the phases that turn what was added into a segment, and the thread they run in.
 *
 * From the records that were kept come, in this order: codebooks, stored records, traversal codes, lists, SQ8 records to
 * link by, the graph, the blob. Each is given up as soon as the next does not need it.
 */
#include "engine/builder.h"

#include "engine/graph_build.h"
#include "engine/pq.h"

using namespace rv;

/* What has records of its own beside those kept: made at the end. */
bool
rv_builder::stored_apart() const
{
	return record_kind(spec) != kind_;
}

static bool
links_apart(const rv_spec &spec, RecordKind kind, bool rotated)
{
	return spec.kind == RV_KIND_HNSW && (kind == RecordKind::f32 || kind == RecordKind::f16) && rotated;
}

bool
rv_builder::linked_apart() const
{
	return links_apart(spec, kind_, model.rotated);
}

size_t
rv_builder::peak_bytes() const
{
	return waiting_keys_.size() * waiting_.stride() +
		builder_peak_bytes(spec, nodes() + waiting_keys_.size(), count(), sparse_.bytes());
}

bool
rv_builder::fits(size_t bytes)
{
	if (peak_bytes() > bytes && !waiting_keys_.empty())
		flush();
	return peak_bytes() <= bytes;
}

size_t
rv::builder_peak_bytes(const rv_spec &spec, size_t nodes, size_t keys, size_t sparse_bytes)
{
	const rv_spec primary = primary_spec(spec);
	const RecordKind kind = record_kind(primary);
	const bool	linked = links_apart(spec, kind, Model::metric_is_rotated(spec.metric, spec.element));
	const size_t record = stored_stride(primary) + (record_kind(spec) != kind ? stored_stride(spec) : 0) +
		traversal_stride(spec) + (linked ? sq8_stride(spec.dims) : 0);
	size_t		bytes = nodes * (record + 3 * 4) + keys * 2 * 20 + sparse_bytes * 2 + (1u << 20);

	/* The table is given up before linking; the graph's arrays exist twice while they are written. */
	if (spec.kind == RV_KIND_HNSW)
		bytes += GraphBuilder::peak_bytes(static_cast<uint32_t>(nodes), spec) +
			nodes * (2 * spec.m + spec.m / (spec.m - 1) + 2) * 4;
	if (spec.kind == RV_KIND_IVF)
		bytes += ListBuilder::peak_bytes(nodes, spec);
	return bytes;
}

/* Calls body(u, error, i) for every node, u its vector in the code space. */
void
rv_builder::for_each_code(const std::function<void(const float *u, double error, uint32_t node)> &body)
{
	std::vector<std::vector<float>> decoded(jobs_->threads(), std::vector<float>(spec.dims));

	jobs_->begin_phase(RV_PHASE_ENCODING, nodes());
	jobs_->for_each(nodes(), [&](int worker, uint32_t i) {
		float	   *u = decoded[worker].data();

		body(u, decode_record(records_.at(i), primary_, model, u), i);
		jobs_->advance(1);
	});
}

void
rv_builder::train_codebooks()
{
	const uint32_t n = nodes() < PQ_SAMPLE ? nodes() : PQ_SAMPLE;
	std::vector<float> sample(static_cast<size_t>(n) * spec.dims);

	for (uint32_t i = 0; i < n; i++)
		decode_record(records_.at(static_cast<uint32_t>(static_cast<uint64_t>(i) * nodes() / n)), primary_, model,
					  sample.data() + static_cast<size_t>(i) * spec.dims);
	train_pq(&model, sample, jobs_.get());
}

/* PQ16 and BINARY records, but for those that were moved here as they are. */
void
rv_builder::encode_stored()
{
	const bool	pq = spec.quantization == RV_QUANTIZATION_PQ16;
	Records		made(stored_.stride());

	if (pq && model.codebooks.empty())
		train_codebooks();

	const std::vector<float> halves = pq ? pq_halves(model) : std::vector<float>();

	made.resize(nodes());
	moved_.resize(nodes(), NO_ID);
	for_each_code([&](const float *u, double error, uint32_t i) {
		if (moved_[i] != NO_ID)
			memcpy(made.at(i), stored_.at(moved_[i]), stored_.stride());
		else if (pq)
			encode_pq(u, model, halves, error, load<CodeHead>(records_.at(i)).norm, made.at(i));
		else
			encode_bits(u, spec.dims, error, made.at(i));
	});
	stored_ = std::move(made);
}

void
rv_builder::write_keys(uint32_t nodes)
{
	std::vector<uint32_t> next(static_cast<size_t>(nodes) + 1);
	uint8_t    *out = blob.section(SectionId::keys);

	for (uint32_t node : key_nodes)
		next[node + 1]++;
	for (uint32_t i = 0; i < nodes; i++)
		next[i + 1] += next[i];
	if (keys.size() != nodes)
		memcpy(blob.section(SectionId::key_offsets), next.data(), next.size() * sizeof(uint32_t));
	for (size_t i = 0; i < keys.size(); i++)
		memcpy(out + static_cast<size_t>(next[key_nodes[i]]++) * 8, &keys[i], 8);
}

void
rv_builder::write_hashes()
{
	uint8_t    *out = hashes.empty() ? nullptr : blob.section(SectionId::hashes);

	for (size_t i = 0; i < hashes.size(); i++)
		memcpy(out + i * 4, &hashes[lists_ != nullptr ? lists_->order()[i] : i], 4);
}

void
rv_builder::write(SegmentHeader *header, const GraphBuilder *graph)
{
	const uint32_t n = nodes();
	const bool	sparse = kind_ == RecordKind::sparse;
	Records    &records = stored_apart() ? stored_ : records_;

	jobs_->begin_phase(RV_PHASE_WRITING, n);
	header->kind = spec.kind;
	header->metric = spec.metric;
	header->element = spec.element;
	header->quantization = spec.quantization;
	header->dims = spec.dims;
	header->m = spec.m;
	header->ef_construction = spec.ef_construction;
	header->lists = lists_ != nullptr ? lists_->lists() : spec.lists;
	header->seed = spec.seed;
	header->nodes = n;
	header->slots = static_cast<uint32_t>(keys.size());
	header->code_stride = stored_stride(spec);
	header->traversal_stride = traversal_stride(spec);
	if (graph != nullptr)
	{
		header->max_level = graph->max_level();
		header->entry = graph->entry_position();
	}

	blob.reserve(SectionId::model, model.stored_size());
	if (header->traversal_stride != 0)
		blob.reserve(SectionId::traversal, static_cast<size_t>(n) * header->traversal_stride);
	blob.reserve(SectionId::codes, sparse ? sparse_.bytes() : static_cast<size_t>(n) * header->code_stride);
	if (sparse)
		blob.reserve(SectionId::code_offsets, (static_cast<size_t>(n) + 1) * 8);
	if (graph != nullptr)
	{
		blob.reserve(SectionId::graph, static_cast<size_t>(n) * 2 * spec.m * sizeof(uint32_t));
		blob.reserve(SectionId::upper, graph->upper_size());
	}
	if (lists_ != nullptr)
	{
		blob.reserve(SectionId::centroids, lists_->centroids_size());
		blob.reserve(SectionId::list_offsets, lists_->offsets_size());
		blob.reserve(SectionId::lists, lists_->scan_size());
	}
	if (keys.size() != n)
		blob.reserve(SectionId::key_offsets, (static_cast<size_t>(n) + 1) * sizeof(uint32_t));
	blob.reserve(SectionId::keys, keys.size() * 8);
	if (!hashes.empty())
		blob.reserve(SectionId::hashes, hashes.size() * 4);
	blob.allocate();

	model.store(blob.section(SectionId::model));
	if (header->traversal_stride != 0)
		traversal_.move_to(blob.section(SectionId::traversal));
	if (graph != nullptr)
		graph->write(reinterpret_cast<uint32_t *>(blob.section(SectionId::graph)), blob.section(SectionId::upper));
	if (lists_ != nullptr)
	{
		lists_->write(records_, records, jobs_.get(),
					  {blob.section(SectionId::centroids), blob.section(SectionId::list_offsets), blob.section(SectionId::lists),
					   blob.section(SectionId::codes)});
		for (uint32_t &node : key_nodes)
			node = lists_->positions()[node];
	}
	else if (sparse)
		sparse_.write(blob.section(SectionId::code_offsets), blob.section(SectionId::codes));
	else
		records.move_to(blob.section(SectionId::codes));
	write_keys(n);
	write_hashes();
	blob.seal(*header);
	jobs_->advance(n);
}

std::unique_ptr<LinkSpace>
rv_builder::make_space()
{
	if (kind_ == RecordKind::sparse)
		return make_sparse_space(sparse_, spec);
	if (kind_ == RecordKind::bits)
		return make_bit_space(records_, spec);
	if (!model.rotated)
		return make_l1_space(records_, primary_, model);
	if (!linked_apart())
		return make_sq8_space(records_, model);
	linked_.resize(nodes());
	for_each_code([&](const float *u, double error, uint32_t i) { encode_sq8(u, spec.dims, norm_f64(u, spec.dims), error, 0, linked_.at(i)); });
	return make_sq8_space(linked_, model);
}

/* Runs in the coordinating thread. */
void
rv_builder::finish()
{
	SegmentHeader header = {};

	jobs_->begin_phase(RV_PHASE_TRAINING, waiting_keys_.size());
	if (!trained || !waiting_keys_.empty())
		flush();
	waiting_.clear();
	table_ = std::vector<uint64_t>();
	buffer_ = std::vector<float>();
	if (stored_apart())
		encode_stored();
	if (traversal_.stride() != 0)
	{
		traversal_.resize(nodes());
		for_each_code([&](const float *u, double error, uint32_t i) { encode_bits(u, spec.dims, error, traversal_.at(i)); });
	}
	if (lists_ != nullptr)
		lists_->run(records_, jobs_.get());
	if (spec.kind != RV_KIND_HNSW)
	{
		write(&header, nullptr);
		return;
	}

	const std::unique_ptr<LinkSpace> space = make_space();
	GraphBuilder graph(*space, nodes(), spec);

	jobs_->begin_phase(RV_PHASE_LINKING, nodes());
	graph.run(jobs_.get());
	linked_.clear();
	write(&header, &graph);
}

void
rv_builder::start(int threads)
{
	if (started)
		fail(RV_INVALID, "the builder was started already");
	started = true;
	jobs_ = std::make_unique<Jobs>(threads);

	const SignalsBlocked blocked;

	thread_ = std::thread([this] {
		rv_error	error;
		const rv_status status = guarded(&error, [this] { finish(); return RV_OK; });
		std::lock_guard<std::mutex> guard(mutex_);

		status_ = status;
		error_ = error;
		finished_ = true;
		done_.notify_all();
	});
}

rv_status
rv_builder::poll(int timeout_ms, rv_progress *progress, rv_error *error)
{
	if (!started)
		fail(RV_INVALID, "the builder was not started");
	if (progress != nullptr)
		jobs_->progress(progress);
	{
		std::unique_lock<std::mutex> lock(mutex_);

		if (!done_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return finished_; }))
			return RV_BUSY;
	}
	if (thread_.joinable())
		thread_.join();
	ended = true;
	if (progress != nullptr)
		jobs_->progress(progress);
	if (error != nullptr)
		*error = error_;
	return status_;
}
