/* SPDX-License-Identifier: PostgreSQL
 *
 * graph_build.cpp: inserting nodes into the growing graph.
 *
 * A node searches every level top down, then links itself bottom up: so that whoever finds it on a level finds it
 * connected on every level below. Neighbours are chosen by the relative neighbourhood rule (alg. 4 of the source); a
 * list that overflows is thinned by the same rule, which leaves room for the next ones: filling it up at once would
 * make every later link pay for another thinning.
 * Source: Malkov & Yashunin, arXiv 1603.09320, alg. 1, 2, 4.
 */
#include "engine/graph_work.h"

#include <algorithm>

namespace rv
{

namespace
{

uint32_t
random_level(uint64_t seed, uint32_t node, double scale)
{
	const double uniform = (static_cast<double>(mix64(seed ^ (node + 1ull) * 0x9e3779b97f4a7c15ull) >> 11) + 0.5) * 0x1p-53;
	const double level = -std::log(uniform) * scale;

	return level < 16 ? static_cast<uint32_t>(level) : 16;
}

}								/* namespace */

GraphBuilder::GraphBuilder(const LinkSpace &space, uint32_t nodes, const rv_spec &spec)
	: space_(space), nodes_(nodes), m_(spec.m), m0_(2 * spec.m), ef_(std::max(spec.ef_construction, spec.m)),
	  thinning_(space.scalable() ? 1.1f : 1.0f), levels_(nodes), upper_at_(nodes, NO_ID)
{
	const double scale = 1.0 / std::log(static_cast<double>(m_));
	uint32_t	upper_lists = 0;

	for (uint32_t node = 0; node < nodes_; node++)
	{
		levels_[node] = static_cast<uint8_t>(random_level(spec.seed, node, scale));
		if (levels_[node] > max_level_)
		{
			max_level_ = levels_[node];
			entry_ = node;
		}
		if (levels_[node] > 0)
		{
			upper_at_[node] = upper_lists;
			upper_lists += levels_[node];
		}
	}
	ids0_.reset(new uint32_t[static_cast<size_t>(nodes_) * m0_]);
	distances0_.reset(new float[static_cast<size_t>(nodes_) * m0_]);
	count0_.assign(nodes_, 0);
	ids_upper_.reset(new uint32_t[static_cast<size_t>(upper_lists) * m_]);
	distances_upper_.reset(new float[static_cast<size_t>(upper_lists) * m_]);
	count_upper_.assign(upper_lists, 0);
	locks_.reset(new std::atomic<uint8_t>[nodes_]());
}

GraphBuilder::~GraphBuilder() = default;

size_t
GraphBuilder::peak_bytes(uint32_t nodes, const rv_spec &spec)
{
	/* Links and distances of level 0 and of 1 / (m - 1) as many upper lists, and 12 bytes of bookkeeping. */
	return static_cast<size_t>(nodes) * (2 * spec.m * 8 + spec.m * 8 / (spec.m - 1) + 12);
}

GraphBuilder::List
GraphBuilder::list(uint32_t node, uint32_t level)
{
	if (level == 0)
		return {ids0_.get() + static_cast<size_t>(node) * m0_, distances0_.get() + static_cast<size_t>(node) * m0_,
				&count0_[node], m0_};

	const size_t at = static_cast<size_t>(upper_at_[node]) + level - 1;

	return {ids_upper_.get() + at * m_, distances_upper_.get() + at * m_, &count_upper_[at], m_};
}

uint32_t
GraphBuilder::read_links(uint32_t node, uint32_t level, uint32_t *out)
{
	SpinGuard	guard(&locks_[node]);
	const List	links = list(node, level);

	memcpy(out, links.ids, *links.count * sizeof(uint32_t));
	return *links.count;
}

/* Extends worker->beam (entry points, sorted) to the ef nearest that the links lead to. While looking for worker->self
 * itself it ends as soon as a link leads there. */
void
GraphBuilder::search(Worker *worker, uint32_t level, uint32_t ef)
{
	std::vector<Candidate> &beam = worker->beam;
	std::vector<uint8_t> &expanded = worker->expanded;
	size_t		at = 0;

	worker->next_stamp();
	if (beam.size() > ef)
		beam.resize(ef);
	expanded.assign(beam.size(), 0);
	for (const Candidate &c : beam)
		worker->seen[c.node] = worker->stamp;
	worker->seen[worker->self.node] = worker->stamp;
	while (at < beam.size())
	{
		uint32_t   *ids = worker->ids.data();
		uint32_t	n = 0;
		size_t		first = beam.size();

		if (expanded[at])
		{
			at++;
			continue;
		}
		expanded[at] = 1;
		const uint32_t links = read_links(beam[at].node, level, ids);

		for (uint32_t i = 0; i < links; i++)
			if (worker->seen[ids[i]] != worker->stamp)
			{
				worker->seen[ids[i]] = worker->stamp;
				space_.prefetch(ids[i]);
				ids[n++] = ids[i];
			}
			else if (ids[i] == worker->self.node)
				worker->met = true;
		if (worker->looking && worker->met)
			return;
		space_.many(worker->self, ids, n, worker->distances.data());
		for (uint32_t i = 0; i < n; i++)
		{
			const Candidate c = {worker->distances[i], ids[i]};

			if (beam.size() == ef)
			{
				if (!(c < beam.back()))
					continue;
				beam.pop_back();
				expanded.pop_back();
			}
			const size_t place = std::upper_bound(beam.begin(), beam.end(), c) - beam.begin();

			beam.insert(beam.begin() + place, c);
			expanded.insert(expanded.begin() + place, 0);
			first = std::min(first, place);
		}
		at = std::min(at + 1, first);
	}
}

/* From the entry down to above `level`: what is nearest to worker->self there becomes the beam. */
void
GraphBuilder::approach(Worker *worker, uint32_t level)
{
	worker->beam.assign(1, {space_.one(worker->self, entry_), entry_});
	for (uint32_t above = max_level_; above > level; above--)
		search(worker, above, GRAPH_UPPER_BEAM);
}

/* Leaves in candidates (sorted by distance to one base) at most want, in order of distance, none nearer to a chosen
 * one than to the base. */
void
GraphBuilder::select(Worker *worker, std::vector<Candidate> *candidates, uint32_t want)
{
	std::vector<Candidate> &chosen = worker->chosen;

	if (candidates->size() <= 1)
		return;
	chosen.clear();
	for (const Candidate &c : *candidates)
	{
		bool		keep = true;

		if (chosen.size() == want)
			break;
		space_.begin(&worker->other, c.node);
		for (size_t i = chosen.size(); keep && i-- > 0;)
			keep = space_.one(worker->other, chosen[i].node) * thinning_ > c.distance;
		if (keep)
			chosen.push_back(c);
	}
	candidates->assign(chosen.begin(), chosen.end());
}

/* Adds to the list of `node` the link that `to` says (its distance is that between the two). */
void
GraphBuilder::link_back(Worker *worker, uint32_t node, uint32_t level, Candidate to)
{
	SpinGuard	guard(&locks_[node]);
	const List	links = list(node, level);
	uint32_t	count = *links.count;

	for (uint32_t i = 0; i < count; i++)
		if (links.ids[i] == to.node)
			return;
	if (count < links.capacity)
	{
		links.ids[count] = to.node;
		links.distances[count] = to.distance;
		*links.count = static_cast<uint16_t>(count + 1);
		return;
	}

	std::vector<Candidate> &rebuilt = worker->rebuilt;

	rebuilt.clear();
	rebuilt.push_back(to);
	for (uint32_t i = 0; i < count; i++)
		rebuilt.push_back({links.distances[i], links.ids[i]});
	std::sort(rebuilt.begin(), rebuilt.end());
	select(worker, &rebuilt, links.capacity);
	for (size_t i = 0; i < rebuilt.size(); i++)
	{
		links.ids[i] = rebuilt[i].node;
		links.distances[i] = rebuilt[i].distance;
	}
	*links.count = static_cast<uint16_t>(rebuilt.size());
}

void
GraphBuilder::insert(Worker *worker, uint32_t node)
{
	const uint32_t top = levels_[node];

	space_.begin(&worker->self, node);
	space_.widen(&worker->self);
	approach(worker, top);
	worker->found.resize(top + 1);
	for (uint32_t level = std::min(top, max_level_) + 1; level-- > 0;)
	{
		search(worker, level, ef_);
		worker->found[level] = worker->beam;
	}
	for (uint32_t level = 0; level <= top; level++)
	{
		std::vector<Candidate> &found = worker->found[level];

		select(worker, &found, m_);
		{
			SpinGuard	guard(&locks_[node]);
			const List	links = list(node, level);

			/* Another thread may have linked to this node already on a level that is complete. */
			uint32_t	count = *links.count;

			for (const Candidate &c : found)
			{
				if (count == links.capacity)
					break;
				if (std::find(links.ids, links.ids + count, c.node) != links.ids + count)
					continue;
				links.ids[count] = c.node;
				links.distances[count++] = c.distance;
			}
			*links.count = static_cast<uint16_t>(count);
		}
		for (const Candidate &c : found)
			link_back(worker, c.node, level, {c.distance, node});
	}
}

void
GraphBuilder::run(Jobs *jobs)
{
	std::vector<Worker> workers;

	for (int i = 0; i < jobs->threads(); i++)
	{
		workers.emplace_back(nodes_);
		workers.back().ids.resize(m0_ + 1);
		workers.back().distances.resize(m0_ + 1);
	}
	if (nodes_ == 0)
		return;
	jobs->advance(1);
	jobs->for_each(nodes_ - 1, [&](int worker, uint32_t i) {
		insert(&workers[worker], i < entry_ ? i : i + 1);
		jobs->advance(1);
	});
	fill_lists(jobs, &workers);
	link_lost(jobs, &workers);
	connect_unreachable(&workers[0], jobs);
}

}								/* namespace rv */
