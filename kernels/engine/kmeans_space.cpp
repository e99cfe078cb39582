/* SPDX-License-Identifier: PostgreSQL
 *
 * kmeans_space.cpp: the two kinds of points that are clustered.
 *
 * Of float32 vectors, assignment computes x.c - |c|^2 / 2 for four centroids a call, and for as many points as stay in the
 * first-level cache beside them: it is bound by reading the centroids otherwise (2.9 times slower at 384 dims). Spherical k-means (Dhillon & Modha,
 * 2001) normalises the means after each step. Of bit strings the Hamming distance is the squared distance of the vectors
 * of zeros and ones, so the start is k-means++ as well; a mean is rounded to bits. A whole sample's sums of 64,000 bits
 * would not fit in memory for many lists: they are formed for a few bits at a time.
 */
#include <algorithm>

#include "engine/kmeans.h"

namespace rv
{

namespace
{

constexpr uint32_t DIMS_CHUNK = 16;	/* dims a job of the means */
constexpr uint32_t BYTES_CHUNK = 8;	/* the same of bit strings */
constexpr size_t TILE_BYTES = 24576;	/* of points; with four centroids a 32 or 48 KB cache is full */

class FloatSpace final : public KMeansSpace
{
public:
	FloatSpace(const float *points, uint32_t n, const KMeansOptions &o)
		: points_(points), n_(n), spherical_(o.spherical), kernels_(rv_kernels())
	{
		centroids.dims = o.dims;
	}

	float
	squared(uint32_t a, uint32_t b) const override
	{
		return kernels_->l2_squared_f32(at(a), at(b), centroids.dims);
	}

	void
	start(const std::vector<uint32_t> &points) override
	{
		for (uint32_t point : points)
			centroids.values.insert(centroids.values.end(), at(point), at(point) + centroids.dims);
		centroids.measure();
	}

	uint32_t lists() const override { return centroids.count(); }

	void
	nearest(uint32_t first, uint32_t n, uint32_t *list, float *apart) const override
	{
		centroids.nearest(at(first), n, list, apart);
	}

	/* By ranges of dims, not of points: no job adds to another's sums. */
	void
	set_means(const Assignment &a, Jobs *jobs) override
	{
		const size_t dims = centroids.dims;
		std::vector<double> sums(centroids.values.size(), 0.0);
		jobs->for_each(static_cast<uint32_t>((dims + DIMS_CHUNK - 1) / DIMS_CHUNK), [&](int, uint32_t chunk) {
			const size_t begin = chunk * DIMS_CHUNK;
			const size_t end = std::min<size_t>(dims, begin + DIMS_CHUNK);
			for (uint32_t i = 0; i < n_; i++)
			{
				double	   *sum = sums.data() + a.list[i] * dims;
				const float *x = at(i);
				for (size_t j = begin; j < end; j++)
					sum[j] += x[j];
			}
		});
		for (uint32_t list = 0; list < a.count.size(); list++)
		{
			double	   *sum = sums.data() + list * dims;
			double		divisor = a.count[list];
			if (spherical_)
			{
				double		square = 0;
				for (size_t j = 0; j < dims; j++)
					square += sum[j] * sum[j];
				divisor = std::sqrt(square);
			}
			for (size_t j = 0; divisor > 0 && j < dims; j++)
				centroids.values[list * dims + j] = static_cast<float>(sum[j] / divisor);
		}
		centroids.measure();
	}

	Centroids	centroids;

private:
	const float *at(uint32_t point) const { return points_ + static_cast<size_t>(point) * centroids.dims; }

	const float *points_;
	const uint32_t n_;
	const bool	spherical_;
	const rv_kernel_table *kernels_;
};

class BitSpace final : public KMeansSpace
{
public:
	BitSpace(const std::vector<const uint8_t *> &points, size_t stride) : points_(points), kernels_(rv_kernels())
	{
		centroids.stride = stride;
	}

	float
	squared(uint32_t a, uint32_t b) const override
	{
		return static_cast<float>(kernels_->hamming(points_[a], points_[b], centroids.stride));
	}

	void
	start(const std::vector<uint32_t> &points) override
	{
		for (uint32_t point : points)
			centroids.values.insert(centroids.values.end(), points_[point], points_[point] + centroids.stride);
	}

	uint32_t lists() const override { return centroids.count(); }

	void
	nearest(uint32_t first, uint32_t n, uint32_t *list, float *apart) const override
	{
		for (uint32_t i = 0; i < n; i++)
			list[i] = centroids.nearest(points_[first + i], &apart[i]);
	}

	void
	set_means(const Assignment &a, Jobs *jobs) override
	{
		jobs->for_each(static_cast<uint32_t>(centroids.stride / BYTES_CHUNK), [&](int, uint32_t chunk) {
			const size_t begin = chunk * BYTES_CHUNK;
			std::vector<uint32_t> ones(static_cast<size_t>(centroids.count()) * BYTES_CHUNK * 8);
			for (size_t i = 0; i < points_.size(); i++)
			{
				uint32_t   *count = ones.data() + static_cast<size_t>(a.list[i]) * BYTES_CHUNK * 8;
				for (uint32_t bit = 0; bit < BYTES_CHUNK * 8; bit++)
					count[bit] += points_[i][begin + bit / 8] >> (bit % 8) & 1;
			}
			for (uint32_t list = 0; list < centroids.count(); list++)
			{
				const uint32_t *count = ones.data() + static_cast<size_t>(list) * BYTES_CHUNK * 8;
				uint8_t    *mean = centroids.values.data() + list * centroids.stride + begin;
				if (a.count[list] == 0)
					continue;
				memset(mean, 0, BYTES_CHUNK);
				for (uint32_t bit = 0; bit < BYTES_CHUNK * 8; bit++)
					if (count[bit] > a.count[list] / 2)
						mean[bit / 8] |= static_cast<uint8_t>(1u << (bit % 8));
			}
		});
	}

	BitCentroids centroids;

private:
	const std::vector<const uint8_t *> &points_;
	const rv_kernel_table *kernels_;
};

}								/* namespace */

void
Centroids::measure()
{
	half_squares.resize(values.size() / dims);
	for (uint32_t list = 0; list < count(); list++)
		half_squares[list] = rv_kernels()->dot_f32(at(list), at(list), dims) / 2;
}

void
Centroids::nearest(const float *points, uint32_t n, uint32_t *list, float *apart) const
{
	const rv_kernel_table *kernels = rv_kernels();
	const uint32_t tile = static_cast<uint32_t>(std::max<size_t>(TILE_BYTES / (dims * sizeof(float)), 1));
	std::vector<float> best(n, -INF);

	std::fill(list, list + n, 0u);
	for (uint32_t begin = 0; begin < n; begin += tile)
		for (uint32_t first = 0; first < count(); first += 4)
		{
			const uint32_t in_call = std::min<uint32_t>(4, count() - first);
			const float *rows[4];
			float		dots[4];

			for (uint32_t j = 0; j < 4; j++)
				rows[j] = at(first + std::min(j, in_call - 1));
			for (uint32_t i = begin; i < std::min(n, begin + tile); i++)
			{
				kernels->dot4_f32(points + static_cast<size_t>(i) * dims, rows, dims, dots);
				for (uint32_t j = 0; j < in_call; j++)
					if (dots[j] - half_squares[first + j] > best[i])
					{
						best[i] = dots[j] - half_squares[first + j];
						list[i] = first + j;
					}
			}
		}
	for (uint32_t i = 0; apart != nullptr && i < n; i++)
	{
		const float *x = points + static_cast<size_t>(i) * dims;

		apart[i] = std::max(kernels->dot_f32(x, x, dims) - 2 * best[i], 0.0f);
	}
}

uint32_t
BitCentroids::nearest(const uint8_t *point, float *apart) const
{
	const rv_kernel_table *kernels = rv_kernels();
	uint32_t	best = 0;
	uint64_t	least = UINT64_MAX;

	for (uint32_t list = 0; list < count(); list++)
	{
		const uint64_t distance = kernels->hamming(point, at(list), stride);

		if (distance < least)
		{
			least = distance;
			best = list;
		}
	}
	*apart = static_cast<float>(least);
	return best;
}

Centroids
kmeans(const float *points, uint32_t n, const KMeansOptions &options, Jobs *jobs)
{
	FloatSpace	space(points, n, options);
	run_kmeans(&space, n, options, jobs);
	return std::move(space.centroids);
}

BitCentroids
kmeans_bits(const std::vector<const uint8_t *> &points, size_t stride, const KMeansOptions &options, Jobs *jobs)
{
	BitSpace	space(points, stride);
	run_kmeans(&space, static_cast<uint32_t>(points.size()), options, jobs);
	return std::move(space.centroids);
}

}								/* namespace rv */
