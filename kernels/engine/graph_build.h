/* SPDX-License-Identifier: PostgreSQL
 *
 * graph_build.h: building an HNSW graph over numbered vectors with several threads.
 *
 * Every node's level follows from the seed and its number, and the node of the highest level goes in first, so that
 * neither entry point nor height ever changes while threads work. A node's links are guarded by a spin lock of its
 * own, held for one list only. With one thread the result depends on nothing but input and seed.
 */
#ifndef RV_GRAPH_BUILD_H
#define RV_GRAPH_BUILD_H

#include <atomic>

#include "engine/graph.h"
#include "engine/link_space.h"
#include "engine/parallel.h"

namespace rv
{

class GraphBuilder
{
public:
	GraphBuilder(const LinkSpace &space, uint32_t nodes, const rv_spec &spec);
	~GraphBuilder();

	/* Inserts every node; then sees to it that walks find it and that links reach it. Stops early when jobs is cancelled. */
	void		run(Jobs *jobs);

	uint32_t	max_level() const { return max_level_; }
	uint32_t	entry_position() const;
	size_t		upper_size() const;
	void		write(uint32_t *level0, uint8_t *upper) const;

	/* Working memory of a build of this size. */
	static size_t peak_bytes(uint32_t nodes, const rv_spec &spec);

private:
	struct Candidate;
	struct Worker;
	struct List;

	List		list(uint32_t node, uint32_t level);
	void		insert(Worker *worker, uint32_t node);
	void		approach(Worker *worker, uint32_t level);
	void		search(Worker *worker, uint32_t level, uint32_t ef);
	void		select(Worker *worker, std::vector<Candidate> *candidates, uint32_t want);
	void		link_back(Worker *worker, uint32_t node, uint32_t level, Candidate to);
	void		fill_lists(Jobs *jobs, std::vector<Worker> *workers);
	void		link_lost(Jobs *jobs, std::vector<Worker> *workers);
	bool		add_link(uint32_t node, const Candidate &to);
	void		connect_unreachable(Worker *worker, const Jobs *jobs);
	bool		link_into_tree(const Candidate &c, uint32_t node, std::vector<uint32_t> *parent);
	uint32_t	read_links(uint32_t node, uint32_t level, uint32_t *out);

	const LinkSpace &space_;
	const uint32_t nodes_,
				m_,
				m0_,
				ef_;
	float		thinning_ = 1.0f;
	std::vector<uint8_t> levels_;
	std::vector<uint32_t> upper_at_;	/* first upper list of a node, in lists; NO_ID */
	std::unique_ptr<uint32_t[]> ids0_,
				ids_upper_;
	std::unique_ptr<float[]> distances0_,
				distances_upper_;
	std::vector<uint16_t> count0_,
				count_upper_,
				chosen0_;		/* from fill_lists to link_lost: so many of count0_ are not there to fill the list */
	std::unique_ptr<std::atomic<uint8_t>[]> locks_;
	uint32_t	max_level_ = 0,
				entry_ = 0;
};

}								/* namespace rv */

#endif							/* RV_GRAPH_BUILD_H */
