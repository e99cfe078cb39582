/* SPDX-License-Identifier: PostgreSQL
 *
 * kmeans.cpp: Lloyd's algorithm from a k-means++ start, on several threads.
 *
 * Seeding is k-means++ (Arthur & Vassilvitskii, 2007) over a subsample, which bounds its cost at about that of one
 * iteration. An empty list takes the point farthest from its own centroid, out of a list that has others, so none stays
 * empty. What a distance and a mean are is the space's: kmeans_space.cpp.
 *
 * The result depends on points, options and nothing else: sums are formed in an order that the number of threads
 * does not change.
 */
#include "engine/kmeans.h"

#include <algorithm>
#include <random>

namespace rv
{

namespace
{

constexpr uint32_t SEEDING_POINTS_PER_LIST = 16;
constexpr uint64_t SEEDING_MAX_DISTANCES = 1u << 24;	/* lists * points; but at least two points a list */
constexpr uint32_t CHUNK = 256;	/* points a job */

/* Up to `lists` points, each drawn with probability proportional to its squared distance from those before. */
std::vector<uint32_t>
choose_seeds(KMeansSpace *space, uint32_t n, const KMeansOptions &o, Jobs *jobs)
{
	const uint64_t wanted = std::max<uint64_t>(2 * o.lists, std::min<uint64_t>(SEEDING_POINTS_PER_LIST * o.lists,
																			   SEEDING_MAX_DISTANCES / o.lists));
	const uint32_t pool = static_cast<uint32_t>(std::min<uint64_t>(n, std::max<uint64_t>(wanted, 256)));
	std::vector<uint32_t> points(pool);
	for (uint32_t i = 0; i < pool; i++)
		points[i] = static_cast<uint32_t>(static_cast<uint64_t>(i) * n / pool);
	space->seed_from(points);

	std::mt19937_64 random(o.seed);
	std::vector<float> nearest(pool, INF);
	std::vector<float> distance(pool);
	std::vector<uint32_t> chosen;
	uint32_t	pick = static_cast<uint32_t>(random() % pool);
	for (uint32_t list = 0; list < o.lists; list++)
	{
		jobs->check_cancelled();
		chosen.push_back(points[pick]);
		space->distances(pick, distance.data());
		nearest[pick] = 0;
		double		total = 0;
		for (uint32_t i = 0; i < pool; i++)
		{
			nearest[i] = std::min(nearest[i], distance[i]);
			total += nearest[i];
		}
		if (!(total > 0))
			break;				/* every point of the pool is a centroid */
		double		target = std::uniform_real_distribution<double>(0, total)(random);
		for (uint32_t i = 0; i < pool; i++)
		{
			if (nearest[i] <= 0)
				continue;
			pick = i;
			target -= nearest[i];
			if (target <= 0)
				break;
		}
	}
	return chosen;
}

/* Assigns every point to its nearest centroid; returns how many changed their list. */
uint32_t
assign(const KMeansSpace &space, uint32_t n, Jobs *jobs, Assignment *a)
{
	std::atomic<uint32_t> moved{0};
	jobs->for_each((n + CHUNK - 1) / CHUNK, [&](int, uint32_t chunk) {
		const uint32_t end = std::min(n, (chunk + 1) * CHUNK);
		uint32_t	changed = 0;
		uint32_t	list[CHUNK];
		space.nearest(chunk * CHUNK, end - chunk * CHUNK, list, &a->apart[chunk * CHUNK]);
		for (uint32_t i = chunk * CHUNK; i < end; i++)
		{
			changed += list[i - chunk * CHUNK] != a->list[i];
			a->list[i] = list[i - chunk * CHUNK];
		}
		moved.fetch_add(changed, std::memory_order_relaxed);
		jobs->advance(end - chunk * CHUNK);
	});
	a->count.assign(space.lists(), 0);
	for (uint32_t list : a->list)
		a->count[list]++;
	return moved.load();
}

/* Gives every empty list a point; returns whether there was one. */
bool
fill_empty(uint32_t n, Assignment *a)
{
	if (std::find(a->count.begin(), a->count.end(), 0u) == a->count.end())
		return false;
	std::vector<uint32_t> farthest(n);
	for (uint32_t i = 0; i < n; i++)
		farthest[i] = i;
	std::sort(farthest.begin(), farthest.end(), [&](uint32_t i, uint32_t j) {
		return a->apart[i] != a->apart[j] ? a->apart[i] > a->apart[j] : i < j;
	});
	uint32_t	next = 0;
	for (uint32_t list = 0; list < a->count.size(); list++)
	{
		if (a->count[list] > 0)
			continue;
		while (next < n && a->count[a->list[farthest[next]]] < 2)
			next++;
		if (next == n)
			break;
		const uint32_t i = farthest[next++];
		a->count[a->list[i]]--;
		a->list[i] = list;
		a->count[list] = 1;
	}
	return true;
}

}								/* namespace */

void
run_kmeans(KMeansSpace *space, uint32_t n, const KMeansOptions &options, Jobs *jobs)
{
	Assignment	a;
	space->start(choose_seeds(space, n, options, jobs));
	a.list.assign(n, NO_ID);
	a.apart.resize(n);
	for (int iteration = 0; iteration < options.iterations; iteration++)
	{
		const uint32_t moved = assign(*space, n, jobs, &a);
		const bool	refilled = fill_empty(n, &a);
		space->set_means(a, jobs);
		if (!refilled && moved < n / 1000)
			break;
	}
}

}								/* namespace rv */
