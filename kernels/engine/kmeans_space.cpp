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
constexpr uint32_t CODED_CHUNK = 256;	/* points a job that codes them */
constexpr size_t TILE_BYTES = 24576;	/* of points; with four centroids a 32 or 48 KB cache is full */
constexpr uint32_t TILES_MIN_LISTS = 16;	/* fewer do not pay for coding the points */
constexpr uint32_t POINTS_TILE = 32;	/* points at once, against all centroids */

float
largest_of_block(const float *x)
{
	float		largest[4] = {x[0], x[1], x[2], x[3]};

	for (uint32_t i = 4; i < RV_TILE_BLOCK; i++)
		largest[i % 4] = x[i] > largest[i % 4] ? x[i] : largest[i % 4];
	return std::max(std::max(largest[0], largest[1]), std::max(largest[2], largest[3]));
}

class FloatSpace final : public KMeansSpace
{
public:
	FloatSpace(const float *points, uint32_t n, const KMeansOptions &o, Jobs *jobs)
		: points_(points), n_(n), spherical_(o.spherical), coded_(o.dims, o.dims >= TILES_MIN_DIMS ? n : 0)
	{
		centroids.dims = o.dims;
		jobs->for_each((coded_.count() + CODED_CHUNK - 1) / CODED_CHUNK, [&](int, uint32_t chunk) {
			for (uint32_t i = chunk * CODED_CHUNK; i < std::min(n, (chunk + 1) * CODED_CHUNK); i++)
				coded_.set(i, at(i));
		});
	}

	void
	seed_from(const std::vector<uint32_t> &pool) override
	{
		pool_ = pool;
		if (coded_.count() == 0)
			return;
		tiles_.set(coded_, pool);
		work_.resize(tiles_.padded());
		dots_.resize(tiles_.padded());
	}

	/* By codes their error is a part in a thousand, which does not matter for what is drawn at random. */
	void
	distances(uint32_t seed, float *out) const override
	{
		const uint32_t s = pool_[seed];

		if (!tiles_.usable() || coded_.scales[s] == 0)
		{
			for (size_t i = 0; i < pool_.size(); i++)
				out[i] = rv_kernels()->l2_squared_f32(at(pool_[i]), at(s), centroids.dims);
			return;
		}
		tiles_.dots(coded_, s, 1, work_.data(), dots_.data());
		for (size_t i = 0; i < pool_.size(); i++)
		{
			const float a = coded_.norms[pool_[i]];

			out[i] = std::max(a * a + coded_.norms[s] * coded_.norms[s] - 2 * dots_[i], 0.0f);
		}
	}

	void
	start(const std::vector<uint32_t> &points) override
	{
		tiles_.clear();
		for (uint32_t point : points)
			centroids.values.insert(centroids.values.end(), at(point), at(point) + centroids.dims);
		centroids.measure();
	}

	uint32_t lists() const override { return centroids.count(); }

	void
	nearest(uint32_t first, uint32_t n, uint32_t *list, float *apart) const override
	{
		centroids.nearest(at(first), n, list, apart, coded_.count() > 0 ? &coded_ : nullptr, first);
	}

	/* By ranges of dims, not of points: no job adds to another's sums. Only points that changed their list since the last
	 * time are added and taken away; the sums are float64, so that nothing builds up. */
	void
	set_means(const Assignment &a, Jobs *jobs) override
	{
		const size_t dims = centroids.dims;

		sums_.resize(centroids.values.size());
		summed_.resize(n_, NO_ID);
		jobs->for_each(static_cast<uint32_t>((dims + DIMS_CHUNK - 1) / DIMS_CHUNK), [&](int, uint32_t chunk) {
			const size_t begin = chunk * DIMS_CHUNK;
			const size_t end = std::min<size_t>(dims, begin + DIMS_CHUNK);
			for (uint32_t i = 0; i < n_; i++)
			{
				if (a.list[i] == summed_[i])
					continue;
				double	   *to = sums_.data() + a.list[i] * dims;
				double	   *from = summed_[i] == NO_ID ? nullptr : sums_.data() + summed_[i] * dims;
				const float *x = at(i);
				for (size_t j = begin; j < end; j++)
					to[j] += x[j];
				for (size_t j = begin; from != nullptr && j < end; j++)
					from[j] -= x[j];
			}
		});
		summed_ = a.list;
		for (uint32_t list = 0; list < a.count.size(); list++)
			set_mean(list, a.count[list]);
		centroids.measure();
	}

	Centroids	centroids;

private:
	const float *at(uint32_t point) const { return points_ + static_cast<size_t>(point) * centroids.dims; }

	void
	set_mean(uint32_t list, uint32_t count)
	{
		const size_t dims = centroids.dims;
		const double *sum = sums_.data() + list * dims;
		double		divisor = count;

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

	const float *points_;
	const uint32_t n_;
	const bool	spherical_;
	CodedPoints coded_;			/* empty when dims are few */
	std::vector<uint32_t> pool_;
	CentroidTiles tiles_;		/* of the pool, while seeds are chosen */
	mutable std::vector<int32_t> work_;
	mutable std::vector<float> dots_;
	std::vector<double> sums_;
	std::vector<uint32_t> summed_;	/* the list whose sum a point is part of */
};

class BitSpace final : public KMeansSpace
{
public:
	BitSpace(const std::vector<const uint8_t *> &points, size_t stride) : points_(points), kernels_(rv_kernels())
	{
		centroids.stride = stride;
	}

	void seed_from(const std::vector<uint32_t> &pool) override { pool_ = pool; }

	void
	distances(uint32_t seed, float *out) const override
	{
		for (size_t i = 0; i < pool_.size(); i++)
			out[i] = static_cast<float>(kernels_->hamming(points_[pool_[i]], points_[pool_[seed]], centroids.stride));
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
	std::vector<uint32_t> pool_;
	const rv_kernel_table *kernels_;
};

}								/* namespace */

void
Centroids::measure()
{
	half_squares.resize(values.size() / dims);
	for (uint32_t list = 0; list < count(); list++)
		half_squares[list] = rv_kernels()->dot_f32(at(list), at(list), dims) / 2;
	if (dims >= TILES_MIN_DIMS && count() >= TILES_MIN_LISTS)
		tiles.set(values.data(), count(), dims);
}

void
Centroids::nearest(const float *points, uint32_t n, uint32_t *list, float *apart, const CodedPoints *coded, uint32_t first) const
{
	std::vector<float> best(n, -INF);

	std::fill(list, list + n, 0u);
	if (!tiles.usable())
		nearest_by_floats(points, n, list, best.data());
	else if (coded != nullptr)
		nearest_by_tiles(points, n, list, best.data(), *coded, first);
	else
	{
		CodedPoints own(dims, n);

		for (uint32_t i = 0; i < n; i++)
			own.set(i, points + static_cast<size_t>(i) * dims);
		nearest_by_tiles(points, n, list, best.data(), own, 0);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		const float *x = points + static_cast<size_t>(i) * dims;
		const float square = rv_kernels()->dot_f32(x, x, dims) - 2 * best[i];

		apart[i] = square > 0 ? square : square <= 0 ? 0 : INF;	/* not a number: too large for float32 */
	}
}

/* By codes, and then by float32 those that the codes leave near enough to be the nearest. */
void
Centroids::nearest_by_tiles(const float *points, uint32_t n, uint32_t *list, float *best, const CodedPoints &coded, uint32_t first) const
{
	const uint32_t padded = tiles.padded();
	std::vector<int32_t> work(static_cast<size_t>(POINTS_TILE) * padded);
	std::vector<float> keys(work.size());
	std::vector<float> peaks(padded / RV_TILE_BLOCK);

	for (uint32_t begin = 0; begin < n; begin += POINTS_TILE)
	{
		const uint32_t end = std::min(n, begin + POINTS_TILE);

		tiles.dots(coded, first + begin, end - begin, work.data(), keys.data());
		for (uint32_t i = begin; i < end; i++)
		{
			const float *x = points + static_cast<size_t>(i) * dims;
			float	   *key = keys.data() + static_cast<size_t>(i - begin) * padded;

			for (uint32_t j = 0; j < count(); j++)
				key[j] -= half_squares[j];
			std::fill(key + count(), key + padded, -INF);
			for (uint32_t b = 0; b < peaks.size(); b++)
				peaks[b] = largest_of_block(key + b * RV_TILE_BLOCK);

			const float enough = *std::max_element(peaks.begin(), peaks.end()) - tiles.margin(coded, first + i);

			for (uint32_t b = 0; b < peaks.size(); b++)
			{
				if (peaks[b] < enough)
					continue;
				for (uint32_t j = b * RV_TILE_BLOCK; j < std::min((b + 1) * RV_TILE_BLOCK, count()); j++)
				{
					if (key[j] < enough)
						continue;

					const float exact = rv_kernels()->dot_f32(x, at(j), dims) - half_squares[j];

					if (exact > best[i])
					{
						best[i] = exact;
						list[i] = j;
					}
				}
			}
		}
	}
}

void
Centroids::nearest_by_floats(const float *points, uint32_t n, uint32_t *list, float *best) const
{
	const uint32_t tile = static_cast<uint32_t>(std::max<size_t>(TILE_BYTES / (dims * sizeof(float)), 1));

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
				rv_kernels()->dot4_f32(points + static_cast<size_t>(i) * dims, rows, dims, dots);
				for (uint32_t j = 0; j < in_call; j++)
					if (dots[j] - half_squares[first + j] > best[i])
					{
						best[i] = dots[j] - half_squares[first + j];
						list[i] = first + j;
					}
			}
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
	FloatSpace	space(points, n, options, jobs);
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
