/* SPDX-License-Identifier: PostgreSQL
 *
 * support.h: what the engine tests share: CHECK, seeded data, the exact distance in double, a segment made in one call.
 *
 * The seed is printed with every failure; RV_TEST_SEED=N runs with another one.
 */
#ifndef RV_TEST_SUPPORT_H
#define RV_TEST_SUPPORT_H

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/engine.h"

inline uint64_t
test_seed()
{
	const char *text = getenv("RV_TEST_SEED");

	return text != nullptr ? strtoull(text, nullptr, 10) : 20260101;
}

#define CHECK(condition, ...) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: failed: %s (seed %llu) ", __FILE__, __LINE__, #condition, (unsigned long long) test_seed()); \
			fprintf(stderr, " " __VA_ARGS__); \
			fprintf(stderr, "\n"); \
			exit(1); \
		} \
	} while (0)

using Vectors = std::vector<std::vector<float>>;

/* Points around random centres, so that neighbourhoods mean something. */
inline Vectors
clustered(size_t n, uint32_t dims, uint64_t seed, float spread = 0.3f)
{
	std::mt19937_64 random(seed);
	std::normal_distribution<float> normal;
	Vectors		centres(1 + n / 50, std::vector<float>(dims)),
				out(n, std::vector<float>(dims));

	for (auto &c : centres)
		for (float &x : c)
			x = normal(random) + 0.5f;
	for (auto &v : out)
	{
		const auto &c = centres[random() % centres.size()];

		for (uint32_t i = 0; i < dims; i++)
			v[i] = c[i] + spread * normal(random);
	}
	return out;
}

inline double
exact_distance(rv_metric metric, const std::vector<float> &a, const std::vector<float> &b)
{
	double		l2 = 0,
				dot = 0,
				aa = 0,
				bb = 0,
				l1 = 0;

	for (size_t i = 0; i < a.size(); i++)
	{
		const double x = a[i],
					y = b[i];

		l2 += (x - y) * (x - y);
		l1 += std::fabs(x - y);
		dot += x * y;
		aa += x * x;
		bb += y * y;
	}
	switch (metric)
	{
		case RV_METRIC_L2: return std::sqrt(l2);
		case RV_METRIC_IP: return -dot;
		case RV_METRIC_COSINE: return 1 - std::fmax(-1, std::fmin(1, dot / std::sqrt(aa) / std::sqrt(bb)));
		default: return l1;
	}
}

inline rv_spec
make_spec(rv_kind kind, rv_metric metric, uint32_t dims, rv_quantization quantization = RV_QUANTIZATION_SQ8)
{
	rv_spec		spec = {};

	spec.kind = kind;
	spec.metric = metric;
	spec.element = RV_ELEMENT_F32;
	spec.quantization = quantization;
	spec.dims = dims;
	spec.m = 16;
	spec.ef_construction = 64;
	spec.lists = 10;
	spec.seed = test_seed();
	return spec;
}

inline rv_vector
view(const std::vector<float> &x)
{
	return {x.data(), nullptr, static_cast<uint32_t>(x.size())};
}

inline rv_builder *
make_builder(const rv_spec &spec, const rv_segment *model = nullptr)
{
	rv_builder *builder;
	rv_error	error;

	CHECK(rv_builder_new(&spec, model, &builder, &error) == RV_OK, "%s", error.message);
	return builder;
}

/* Runs a builder to its end and opens the result. Aligned copy, exact size: ASan sees a read past the end. */
struct Built
{
	void	   *bytes = nullptr;
	size_t		size = 0;
	rv_segment *segment = nullptr;

	Built() = default;
	explicit Built(rv_builder *builder, int threads = 2) { finish(builder, threads); }
	Built(const Built &) = delete;
	Built &operator=(const Built &) = delete;
	~Built() { rv_segment_close(segment); free(bytes); }

	void
	finish(rv_builder *builder, int threads)
	{
		rv_error	error;
		rv_progress progress;
		rv_status	status;
		const void *blob;

		CHECK(rv_builder_start(builder, threads, &error) == RV_OK, "%s", error.message);
		while ((status = rv_builder_poll(builder, 50, &progress, &error)) == RV_BUSY)
			CHECK(progress.done <= progress.total);
		CHECK(status == RV_OK, "%s", error.message);
		CHECK(rv_builder_blob(builder, &blob, &size, &error) == RV_OK);
		bytes = aligned_alloc(64, size);
		memcpy(bytes, blob, size);
		rv_builder_free(builder);
		CHECK(rv_segment_open(bytes, size, RV_OPEN_VERIFY, &segment, &error) == RV_OK, "%s", error.message);
		CHECK(rv_segment_check(segment, nullptr, &error) == RV_OK, "%s", error.message);
	}
};

inline rv_builder *
builder_of(const rv_spec &spec, const Vectors &vectors)
{
	rv_builder *builder = make_builder(spec);
	rv_error	error;

	for (size_t i = 0; i < vectors.size(); i++)
	{
		const rv_vector v = view(vectors[i]);

		CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK, "%s", error.message);
	}
	return builder;
}

/* Every hit of a search, in the order given; batches: how many it took. */
inline std::vector<rv_hit>
drain(rv_search *search, size_t limit = SIZE_MAX, size_t *batches = nullptr)
{
	std::vector<rv_hit> out;
	rv_hit		hits[100];
	rv_error	error;
	uint32_t	count;
	bool		batch_end;

	while (out.size() < limit)
	{
		CHECK(rv_search_next(search, hits, 100, &count, &batch_end, &error) == RV_OK, "%s", error.message);
		if (count == 0)
			break;
		out.insert(out.end(), hits, hits + count);
		if (batches != nullptr)
			*batches += batch_end;
	}
	return out;
}

inline rv_search *
start_search(const rv_segment *segment, const std::vector<float> &query, const rv_search_options &options)
{
	const rv_vector v = view(query);
	rv_search  *search;
	rv_error	error;

	CHECK(rv_search_new(segment, RV_ELEMENT_F32, &v, &options, &search, &error) == RV_OK, "%s", error.message);
	return search;
}

/* Numbers of the k nearest, by brute force. */
inline std::vector<uint64_t>
truth(rv_metric metric, const Vectors &vectors, const std::vector<float> &query, size_t k)
{
	std::vector<std::pair<double, uint64_t>> all;

	for (size_t i = 0; i < vectors.size(); i++)
		all.push_back({exact_distance(metric, query, vectors[i]), i});
	std::sort(all.begin(), all.end());

	std::vector<uint64_t> out;

	for (size_t i = 0; i < k && i < all.size(); i++)
		out.push_back(all[i].second);
	return out;
}

#endif							/* RV_TEST_SUPPORT_H */
