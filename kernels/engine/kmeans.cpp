/* SPDX-License-Identifier: PostgreSQL
 *
 * kmeans.cpp: Lloyd's algorithm from a k-means++ start, on several threads.
 *
 * Seeding is k-means++ (Arthur & Vassilvitskii, 2007) over a subsample, which bounds its cost at about that of one
 * iteration. Assignment computes x.c - |c|^2 / 2 for four centroids a call. An empty list takes the point farthest
 * from its own centroid, out of a list that has others, so none stays empty. Spherical k-means (Dhillon & Modha,
 * 2001) normalises the means after each step.
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
constexpr uint32_t DIMS_CHUNK = 16;	/* dims a job of the means */

struct Assignment
{
	std::vector<uint32_t> list;
	std::vector<float> score;	/* x.c - |c|^2 / 2 of its list: larger is nearer */
	std::vector<uint32_t> count;	/* points a list */
};

uint32_t
chunks(uint32_t n, uint32_t size)
{
	return (n + size - 1) / size;
}

/* Up to `lists` points, each drawn with probability proportional to its squared distance from those before. */
Centroids
seed_centroids(const float *points, uint32_t n, const KMeansOptions &o, Jobs *jobs)
{
	const rv_kernel_table *kernels = rv_kernels();
	const uint64_t wanted = std::max<uint64_t>(2 * o.lists, std::min<uint64_t>(SEEDING_POINTS_PER_LIST * o.lists,
																			   SEEDING_MAX_DISTANCES / o.lists));
	const uint32_t pool = static_cast<uint32_t>(std::min<uint64_t>(n, std::max<uint64_t>(wanted, 256)));
	const size_t dims = o.dims;
	auto point = [&](uint32_t i) { return points + static_cast<uint64_t>(i) * n / pool * dims; };

	std::mt19937_64 random(o.seed);
	std::vector<float> nearest(pool, INF);
	Centroids	centroids;
	centroids.dims = o.dims;
	uint32_t	pick = static_cast<uint32_t>(random() % pool);
	for (uint32_t list = 0; list < o.lists; list++)
	{
		jobs->check_cancelled();
		const float *c = point(pick);
		centroids.values.insert(centroids.values.end(), c, c + dims);
		double		total = 0;
		for (uint32_t i = 0; i < pool; i++)
		{
			nearest[i] = std::min(nearest[i], kernels->l2_squared_f32(point(i), c, dims));
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
	centroids.measure();
	return centroids;
}

/* Assigns every point to its nearest centroid; returns how many changed their list. */
uint32_t
assign(const float *points, uint32_t n, const Centroids &centroids, Jobs *jobs, Assignment *a)
{
	std::atomic<uint32_t> moved{0};
	const size_t dims = centroids.dims;
	jobs->for_each(chunks(n, CHUNK), [&](int, uint32_t chunk) {
		const uint32_t end = std::min(n, (chunk + 1) * CHUNK);
		uint32_t	changed = 0;
		for (uint32_t i = chunk * CHUNK; i < end; i++)
		{
			const float *x = points + i * dims;
			const uint32_t list = centroids.nearest(x);
			changed += list != a->list[i];
			a->list[i] = list;
			a->score[i] = rv_kernels()->dot_f32(x, centroids.at(list), dims) - centroids.half_squares[list];
		}
		moved.fetch_add(changed, std::memory_order_relaxed);
		jobs->advance(end - chunk * CHUNK);
	});
	a->count.assign(centroids.count(), 0);
	for (uint32_t list : a->list)
		a->count[list]++;
	return moved.load();
}

/* Gives every empty list a point; returns whether there was one. */
bool
fill_empty(const float *points, uint32_t n, size_t dims, Assignment *a)
{
	if (std::find(a->count.begin(), a->count.end(), 0u) == a->count.end())
		return false;
	std::vector<std::pair<float, uint32_t>> farthest(n);
	for (uint32_t i = 0; i < n; i++)
	{
		const float *x = points + i * dims;
		farthest[i] = {a->score[i] - rv_kernels()->dot_f32(x, x, dims) / 2, i};	/* -|x - c|^2 / 2 */
	}
	std::sort(farthest.begin(), farthest.end());
	uint32_t	next = 0;
	for (uint32_t list = 0; list < a->count.size(); list++)
	{
		if (a->count[list] > 0)
			continue;
		while (next < n && a->count[a->list[farthest[next].second]] < 2)
			next++;
		if (next == n)
			break;
		const uint32_t i = farthest[next++].second;
		a->count[a->list[i]]--;
		a->list[i] = list;
		a->count[list] = 1;
	}
	return true;
}

/* By ranges of dims, not of points: no job adds to another's sums. */
void
set_means(const float *points, uint32_t n, const Assignment &a, bool spherical, Jobs *jobs, Centroids *centroids)
{
	const size_t dims = centroids->dims;
	std::vector<double> sums(centroids->values.size(), 0.0);
	jobs->for_each(chunks(centroids->dims, DIMS_CHUNK), [&](int, uint32_t chunk) {
		const size_t begin = chunk * DIMS_CHUNK;
		const size_t end = std::min<size_t>(dims, begin + DIMS_CHUNK);
		for (uint32_t i = 0; i < n; i++)
		{
			double	   *sum = sums.data() + a.list[i] * dims;
			const float *x = points + i * dims;
			for (size_t j = begin; j < end; j++)
				sum[j] += x[j];
		}
	});
	for (uint32_t list = 0; list < a.count.size(); list++)
	{
		double	   *sum = sums.data() + list * dims;
		double		divisor = a.count[list];
		if (spherical)
		{
			double		square = 0;
			for (size_t j = 0; j < dims; j++)
				square += sum[j] * sum[j];
			divisor = std::sqrt(square);
		}
		for (size_t j = 0; divisor > 0 && j < dims; j++)
			centroids->values[list * dims + j] = static_cast<float>(sum[j] / divisor);
	}
	centroids->measure();
}

}								/* namespace */

void
Centroids::measure()
{
	half_squares.resize(values.size() / dims);
	for (uint32_t list = 0; list < count(); list++)
		half_squares[list] = rv_kernels()->dot_f32(at(list), at(list), dims) / 2;
}

uint32_t
Centroids::nearest(const float *point) const
{
	const rv_kernel_table *kernels = rv_kernels();
	uint32_t	best = 0;
	float		best_score = -INF;
	for (uint32_t first = 0; first < count(); first += 4)
	{
		const uint32_t n = std::min<uint32_t>(4, count() - first);
		const float *rows[4];
		float		dots[4];
		for (uint32_t j = 0; j < 4; j++)
			rows[j] = at(first + std::min(j, n - 1));
		kernels->dot4_f32(point, rows, dims, dots);
		for (uint32_t j = 0; j < n; j++)
			if (dots[j] - half_squares[first + j] > best_score)
			{
				best_score = dots[j] - half_squares[first + j];
				best = first + j;
			}
	}
	return best;
}

Centroids
kmeans(const float *points, uint32_t n, const KMeansOptions &options, Jobs *jobs)
{
	Centroids	centroids = seed_centroids(points, n, options, jobs);
	Assignment	a;
	a.list.assign(n, NO_ID);
	a.score.resize(n);
	for (int iteration = 0; iteration < options.iterations; iteration++)
	{
		const uint32_t moved = assign(points, n, centroids, jobs, &a);
		const bool	refilled = fill_empty(points, n, options.dims, &a);
		set_means(points, n, a, options.spherical, jobs, &centroids);
		if (!refilled && moved < n / 1000)
			break;
	}
	return centroids;
}

}								/* namespace rv */
