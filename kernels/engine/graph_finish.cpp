/* SPDX-License-Identifier: PostgreSQL
 *
 * graph_finish.cpp: after the last insertion: filling lists, finding and reaching every node, and the stored form.
 */
#include "engine/graph_work.h"

#include <algorithm>

namespace rv
{

/* Thinned lists have room left: it goes to the nearest of the neighbours' neighbours. They cost a search little, since
 * most were seen already when it gets there, and save it from the dead ends that thinning leaves.
 * A list is only written behind the links that others read, so no locks. */
void
GraphBuilder::fill_lists(Jobs *jobs, std::vector<Worker> *workers)
{
	const std::vector<uint16_t> &before = chosen0_;

	chosen0_ = count0_;

	jobs->for_each(nodes_, [&](int number, uint32_t node) {
		Worker	   *worker = &(*workers)[number];
		const List	own = list(node, 0);
		std::vector<Candidate> &found = worker->rebuilt;

		worker->next_stamp();
		worker->seen[node] = worker->stamp;
		for (uint32_t i = 0; i < before[node]; i++)
			worker->seen[own.ids[i]] = worker->stamp;
		found.clear();
		space_.begin(&worker->self, node);
		space_.widen(&worker->self);
		for (uint32_t i = 0; i < before[node]; i++)
		{
			const uint32_t *ids = list(own.ids[i], 0).ids;
			uint32_t	n = 0;

			for (uint32_t j = 0; j < before[own.ids[i]]; j++)
				if (worker->seen[ids[j]] != worker->stamp)
				{
					worker->seen[ids[j]] = worker->stamp;
					space_.prefetch(ids[j]);
					worker->ids[n++] = ids[j];
				}
			space_.many(worker->self, worker->ids.data(), n, worker->distances.data());
			for (uint32_t j = 0; j < n; j++)
				found.push_back({worker->distances[j], worker->ids[j]});
		}

		const size_t room = std::min<size_t>(own.capacity - before[node], found.size());

		std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(room), found.end());
		for (size_t i = 0; i < room; i++)
		{
			own.ids[before[node] + i] = found[i].node;
			own.distances[before[node] + i] = found[i].distance;
		}
		*own.count = static_cast<uint16_t>(before[node] + room);
	});
}

/* A link behind the chosen ones, for one of those that fill the list; false where there is none, or it is there already. */
bool
GraphBuilder::add_link(uint32_t node, const Candidate &to)
{
	SpinGuard	guard(&locks_[node]);
	const List	links = list(node, 0);
	const uint32_t place = chosen0_[node];

	if (place == links.capacity || std::find(links.ids, links.ids + *links.count, to.node) != links.ids + *links.count)
		return false;
	if (*links.count < links.capacity)
	{
		links.ids[*links.count] = links.ids[place];
		links.distances[*links.count] = links.distances[place];
		(*links.count)++;
	}
	links.ids[place] = to.node;
	links.distances[place] = to.distance;
	chosen0_[node]++;
	return true;
}

/* Whether links lead to a node from somewhere is not whether a walk gets there: one that its neighbours have dropped, or a
 * whole stretch that was built up where no walk came by, is lost to queries. So every node is looked for, by its own
 * vector and with a narrow beam; where the walk ends without it, a link leads on from there. */
void
GraphBuilder::link_lost(Jobs *jobs, std::vector<Worker> *workers)
{
	for (Worker &worker : *workers)
		worker.looking = true;
	jobs->for_each(nodes_, [&](int number, uint32_t node) {
		Worker	   *worker = &(*workers)[number];
		const std::vector<Candidate> &beam = worker->beam;

		worker->met = node == entry_;
		space_.begin(&worker->self, node);
		space_.widen(&worker->self);
		if (!worker->met)
			approach(worker, 0);
		if (!worker->met)
			search(worker, 0, GRAPH_LOST_BEAM);
		/* by inner product a vector need not be near to itself */
		if (worker->met || (beam.size() == GRAPH_LOST_BEAM && beam.back().distance < space_.one(worker->self, node)))
			return;
		for (const Candidate &c : beam)
			if (add_link(c.node, {c.distance, node}))
			{
				add_link(node, c);
				break;
			}
	});
	for (Worker &worker : *workers)
		worker.looking = false;
	chosen0_ = std::vector<uint16_t>();
}

/* Pruning may leave a node without a way in. Each such node gets a link from the nearest node that is reachable,
 * in place of one that reachability does not rest on. */
void
GraphBuilder::connect_unreachable(Worker *worker, const Jobs *jobs)
{
	std::vector<uint32_t> parent(nodes_, NO_ID);
	std::vector<uint32_t> open;

	auto explore = [&](uint32_t from) {
		open.push_back(from);
		while (!open.empty())
		{
			const uint32_t node = open.back();
			const List	links = list(node, 0);

			open.pop_back();
			for (uint32_t i = 0; i < *links.count; i++)
				if (parent[links.ids[i]] == NO_ID)
				{
					parent[links.ids[i]] = node;
					open.push_back(links.ids[i]);
				}
		}
	};

	parent[entry_] = entry_;
	explore(entry_);
	for (uint32_t node = 0; node < nodes_; node++)
	{
		if (parent[node] != NO_ID)
			continue;
		jobs->check_cancelled();
		space_.begin(&worker->self, node);
		space_.widen(&worker->self);
		approach(worker, 0);

		std::vector<Candidate> &beam = worker->beam;

		beam.erase(std::remove_if(beam.begin(), beam.end(), [&](const Candidate &c) { return parent[c.node] == NO_ID; }),
				   beam.end());
		if (beam.empty())
			beam.push_back({space_.one(worker->self, entry_), entry_});
		const std::vector<Candidate> starts = beam;

		/* A narrow beam may hold only nodes whose links all carry the tree; a tree leaves links free somewhere, so a
		 * beam as wide as the graph finds one. */
		for (uint64_t ef = ef_; parent[node] == NO_ID; ef *= 2)
		{
			beam = starts;
			search(worker, 0, static_cast<uint32_t>(std::min<uint64_t>(ef, nodes_)));
			for (const Candidate &c : beam)
				if (link_into_tree(c, node, &parent))
				{
					explore(node);
					break;
				}
			if (ef >= nodes_ && parent[node] == NO_ID)
				fail(RV_INVALID, "could not connect node %u of the graph", node);
		}
	}
}

/* A link from c to node, in a free place or in that of one that is no edge of the tree; false where there is neither. */
bool
GraphBuilder::link_into_tree(const Candidate &c, uint32_t node, std::vector<uint32_t> *parent)
{
	const List	links = list(c.node, 0);
	uint32_t	place = *links.count;

	if (place == links.capacity)
	{
		while (place > 0 && (*parent)[links.ids[place - 1]] == c.node)
			place--;
		if (place-- == 0)
			return false;
	}
	links.ids[place] = node;
	links.distances[place] = c.distance;
	if (place == *links.count)
		(*links.count)++;
	(*parent)[node] = c.node;
	return true;
}

uint32_t
GraphBuilder::entry_position() const
{
	uint32_t	position = 0;

	if (max_level_ == 0)
		return entry_;
	for (uint32_t node = 0; node < entry_; node++)
		position += levels_[node] == max_level_;
	return position;
}

size_t
GraphBuilder::upper_size() const
{
	std::vector<uint32_t> counts(max_level_);

	for (uint32_t node = 0; node < nodes_; node++)
		for (uint32_t level = 0; level < levels_[node]; level++)
			counts[level]++;
	return GraphView::upper_size(m_, counts);
}

void
GraphBuilder::write(uint32_t *level0, uint8_t *upper) const
{
	std::vector<uint32_t> below(nodes_),
				position(nodes_, NO_ID);
	uint32_t   *counts = reinterpret_cast<uint32_t *>(upper);
	uint32_t   *at = counts + max_level_;

	for (uint32_t node = 0; node < nodes_; node++)
	{
		uint32_t   *out = level0 + static_cast<size_t>(node) * m0_;

		memcpy(out, ids0_.get() + static_cast<size_t>(node) * m0_, count0_[node] * sizeof(uint32_t));
		std::fill(out + count0_[node], out + m0_, NO_ID);
		below[node] = node;
	}
	for (uint32_t level = 1; level <= max_level_; level++)
	{
		std::vector<uint32_t> members;

		for (uint32_t node = 0; node < nodes_; node++)
			if (levels_[node] >= level)
			{
				position[node] = static_cast<uint32_t>(members.size());
				members.push_back(node);
			}

		const size_t count = members.size();
		uint32_t   *links = at + 2 * count;

		counts[level - 1] = static_cast<uint32_t>(count);
		for (size_t p = 0; p < count; p++)
		{
			const size_t list_at = static_cast<size_t>(upper_at_[members[p]]) + level - 1;
			uint32_t   *out = links + p * m_;

			at[p] = members[p];
			at[count + p] = below[members[p]];
			for (uint32_t i = 0; i < m_; i++)
				out[i] = i < count_upper_[list_at] ? position[ids_upper_[list_at * m_ + i]] : NO_ID;
		}
		for (uint32_t node : members)
			below[node] = position[node];
		at = links + count * m_;
	}
}

}								/* namespace rv */
