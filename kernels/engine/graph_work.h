/* SPDX-License-Identifier: PostgreSQL
 *
 * graph_work.h: what the two files of GraphBuilder share: candidates, lists, a worker's memory, the lock of a list.
 */
#ifndef RV_GRAPH_WORK_H
#define RV_GRAPH_WORK_H

#include <algorithm>
#include <thread>

#include "engine/graph_build.h"

namespace rv
{

struct GraphBuilder::Candidate
{
	float		distance;
	uint32_t	node;
	bool operator<(const Candidate &o) const { return distance != o.distance ? distance < o.distance : node < o.node; }
};

struct GraphBuilder::List
{
	uint32_t   *ids;
	float	   *distances;
	uint16_t   *count;
	uint32_t	capacity;
};

struct GraphBuilder::Worker
{
	explicit Worker(uint32_t nodes) : seen(nodes) {}

	LinkLeft	self,
				other;
	std::vector<uint8_t> seen;
	uint8_t		stamp = 0;
	bool		looking = false,	/* for self: a search ends as soon as a link leads there */
				met = false;	/* a link led to self */
	std::vector<Candidate> beam;	/* sorted */
	std::vector<uint8_t> expanded;	/* of the beam; not bits, which are slow to insert */
	std::vector<uint32_t> ids;
	std::vector<float> distances;
	std::vector<Candidate> chosen,
				rebuilt;
	std::vector<std::vector<Candidate>> found;	/* by level */

	void
	next_stamp()
	{
		if (++stamp == 0)
		{
			std::fill(seen.begin(), seen.end(), 0);
			stamp = 1;
		}
	}
};

/* Held for a few hundred nanoseconds, rarely for a thinning of some microseconds. */
class SpinGuard
{
public:
	explicit SpinGuard(std::atomic<uint8_t> *lock) : lock_(lock)
	{
		/* The holder may have lost its processor: after a while, give up ours. */
		for (uint32_t spins = 0; lock_->exchange(1, std::memory_order_acquire) != 0; spins++)
			if (spins > 64)
				std::this_thread::yield();
	}
	~SpinGuard() { lock_->store(0, std::memory_order_release); }

private:
	std::atomic<uint8_t> *lock_;
};

}								/* namespace rv */

#endif							/* RV_GRAPH_WORK_H */
