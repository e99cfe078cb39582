/* SPDX-License-Identifier: PostgreSQL
 *
 * builder.h: the state of a builder: what was added, and the thread that finishes it.
 *
 * Vectors are coded when they are added, so that a builder holds codes and not float32; only the first SAMPLE_BYTES
 * wait as they came until the centre is known, and batches of BATCH_BYTES when several threads code them. A vector equal to an earlier one (the same record, and the same hash of
 * what was coded) becomes one more key of its node.
 * The builder owns everything; the worker thread only runs between start and the poll that reports an end, and
 * nothing else touches the builder then.
 */
#ifndef RV_BUILDER_H
#define RV_BUILDER_H

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/format.h"
#include "engine/ivf.h"
#include "engine/link_space.h"
#include "engine/parallel.h"
#include "engine/records.h"
#include "engine/scorer.h"

namespace rv
{
class GraphBuilder;

/* Of a builder with so much in it, nothing of it waiting. */
size_t		builder_peak_bytes(const rv_spec &spec, size_t nodes, size_t keys, size_t sparse_bytes);
}

struct rv_builder
{
	explicit rv_builder(const rv_spec &spec_, const rv_segment *like);
	~rv_builder();

	void		add(const rv_vector *vector, uint64_t key);
	void		add_segment(const rv_segment *segment, const uint64_t *tombstones);
	size_t		peak_bytes() const;
	bool		fits(size_t bytes);
	void		use_threads(int threads);
	void		start(int threads);
	rv_status	poll(int timeout_ms, rv_progress *progress, rv_error *error);

	rv_spec		spec;
	rv::Model	model;
	const volatile sig_atomic_t *interrupt = nullptr;
	bool		trained = false;
	bool		started = false,
				ended = false;
	rv::BlobWriter blob;
	std::vector<uint32_t> key_nodes;	/* node of every key, as added */
	std::vector<uint32_t> hashes;	/* of every node's vector, dense only: codes do not tell all vectors apart */
	std::vector<uint64_t> keys;

	rv_list_change list_change() const { return lists_ != nullptr ? lists_->change() : rv_list_change(); }
	uint64_t	count() const { return keys.size() + waiting_keys_.size(); }

private:
	uint32_t	nodes() const;
	void		train();
	void		flush();
	uint32_t	encode(float *x, uint8_t *record) const;
	void		add_node(const rv_segment *segment, uint32_t node, uint64_t key, bool verbatim);
	void		append_key(uint32_t hash, uint64_t key);
	float	   *waiting(uint32_t i) { return reinterpret_cast<float *>(waiting_.at(i)); }
	size_t		record_of(uint32_t node, const uint8_t **bytes) const;
	uint32_t	find_or_append(uint32_t hash);
	void		grow_table();

	bool		stored_apart() const;
	bool		linked_apart() const;
	void		for_each_code(const std::function<void(const float *u, double error, uint32_t node)> &body);
	void		train_codebooks();
	void		encode_stored();
	std::unique_ptr<rv::LinkSpace> make_space();
	void		finish();
	void		write(rv::SegmentHeader *header, const rv::GraphBuilder *graph);
	void		write_keys(uint32_t nodes);
	void		write_hashes();

	const rv_spec primary_;		/* of records_ */
	const rv::RecordKind kind_;
	std::unique_ptr<rv::Jobs> adding_;	/* threads that code what was added */
	rv::Records waiting_;		/* float32: before the centre is known, and until there is a batch for several threads */
	std::vector<uint64_t> waiting_keys_;
	std::vector<float> buffer_;
	rv::Records records_;		/* one a node, as added */
	rv::SparseRecords sparse_;	/* instead, for sparse vectors */
	rv::Records stored_;		/* as written, when that is something else: PQ16, BINARY */
	std::vector<uint32_t> moved_;	/* until then: where in stored_ the record of a node is that came as it is */
	uint32_t	moved_records_ = 0;
	uint32_t	next_node_ = 0;		/* of a segment that is being added */
	rv::Records traversal_;
	rv::Records linked_;		/* SQ8, when records_ are something else */
	std::unique_ptr<rv::ListBuilder> lists_;	/* IVF */
	std::vector<uint64_t> table_;	/* open addressing: high half of the hash, which is the place, too, in the high half; node + 1 in the low; 0: free */

	std::unique_ptr<rv::Jobs> jobs_;
	std::thread thread_;
	std::mutex	mutex_;
	std::condition_variable done_;
	bool		finished_ = false;
	rv_status	status_ = RV_OK;
	rv_error	error_ = {};
};

#endif							/* RV_BUILDER_H */
