/* SPDX-License-Identifier: PostgreSQL
 *
 * test_sets.cpp: bit strings under Hamming and Jaccard, sparse vectors, float16 vectors: search, range, bounds.
 */
#include "support.h"

static rv_vector
bits_view(const std::vector<uint8_t> &bits, uint32_t n)
{
	return {bits.data(), nullptr, n};
}

static double
bit_distance(rv_metric metric, const std::vector<uint8_t> &a, const std::vector<uint8_t> &b)
{
	unsigned	differ = 0,
				both = 0,
				either = 0;

	for (size_t i = 0; i < a.size(); i++)
		for (int bit = 0; bit < 8; bit++)
		{
			const bool	x = (a[i] >> bit) & 1,
						y = (b[i] >> bit) & 1;

			differ += x != y;
			both += x && y;
			either += x || y;
		}
	return metric == RV_METRIC_HAMMING ? differ : both == 0 ? 1 : 1 - static_cast<double>(both) / either;
}

static void
bit_strings(rv_kind kind, rv_metric metric, uint32_t n_bits)
{
	std::mt19937_64 random(test_seed());
	rv_spec		spec = make_spec(kind, metric, n_bits, RV_QUANTIZATION_NONE);
	std::vector<std::vector<uint8_t>> all(1200, std::vector<uint8_t>((n_bits + 7) / 8));
	rv_error	error;

	spec.element = RV_ELEMENT_BIT;
	rv_builder *builder = make_builder(spec);

	for (size_t i = 0; i < all.size(); i++)
	{
		/* Near one of the first twenty; the last bits of the last byte are not part of the string. */
		if (i >= 20)
			all[i] = all[random() % 20];
		for (auto &byte : all[i])
			byte = static_cast<uint8_t>(i < 20 ? random() : byte ^ (random() % 4 == 0 ? 1u << random() % 8 : 0));
		if (n_bits % 8 != 0)
			all[i].back() &= static_cast<uint8_t>(0xff00 >> (n_bits % 8));

		std::vector<uint8_t> given = all[i];

		if (n_bits % 8 != 0)
			given.back() |= 1;
		const rv_vector v = bits_view(given, n_bits);

		CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK, "%s", error.message);
	}
	Built		built(builder);
	size_t		found = 0;

	for (size_t i = 0; i < 20; i++)
	{
		rv_search_options options = {};
		const rv_vector v = bits_view(all[i * 7], n_bits);
		std::vector<double> exact;
		rv_search  *search;

		options.ef = 100;
		for (const auto &x : all)
			exact.push_back(bit_distance(metric, all[i * 7], x));
		std::vector<double> sorted = exact;

		std::sort(sorted.begin(), sorted.end());
		CHECK(rv_search_new(built.segment, RV_ELEMENT_BIT, &v, &options, &search, &error) == RV_OK, "%s", error.message);
		const auto	hits = drain(search, 100);

		rv_search_free(search);
		for (size_t j = 0; j < hits.size(); j++)
		{
			const double d = exact[hits[j].key];

			CHECK(hits[j].lower <= d && d <= hits[j].upper && hits[j].upper - hits[j].lower <= 1e-6, "%g %g %g", hits[j].lower, d, hits[j].upper);
			found += j < 10 && hits[j].estimate <= sorted[9] + 1e-6;
		}
		for (double radius : {sorted[0], sorted[30], 1e9, -1.0})
		{
			size_t		within = 0;

			CHECK(rv_range_new(built.segment, RV_ELEMENT_BIT, &v, radius, &options, &search, &error) == RV_OK);
			for (const rv_hit &hit : drain(search))
				within += exact[hit.key] <= radius;
			rv_search_free(search);
			CHECK(within == (size_t) std::count_if(exact.begin(), exact.end(), [&](double d) { return d <= radius; }));
		}
	}
	CHECK(found >= 190, "kind %d metric %d bits %u: %zu of 200", kind, metric, n_bits, found);
}

struct Sparse
{
	std::vector<int32_t> indices;
	std::vector<float> values;
	std::vector<float> dense;
};

static Sparse
random_sparse(std::mt19937_64 &random, uint32_t dims, size_t n)
{
	std::set<int32_t> chosen;
	std::normal_distribution<float> normal;
	Sparse		out;

	out.dense.resize(dims);
	while (chosen.size() < n)
		chosen.insert(static_cast<int32_t>(random() % (chosen.size() < n / 2 ? 50 : dims)));
	for (int32_t i : chosen)
	{
		out.indices.push_back(i);
		out.values.push_back(normal(random) + 1);
		out.dense[i] = out.values.back();
	}
	return out;
}

static void
sparse_vectors(rv_kind kind, rv_metric metric)
{
	const uint32_t dims = 2000;
	std::mt19937_64 random(test_seed());
	rv_spec		spec = make_spec(kind, metric, dims, RV_QUANTIZATION_NONE);
	std::vector<Sparse> all;
	rv_error	error;

	spec.element = RV_ELEMENT_SPARSE;
	rv_builder *builder = make_builder(spec);

	for (size_t i = 0; i < 800; i++)
	{
		all.push_back(random_sparse(random, dims, 1 + random() % 30));
		const rv_vector v = {all[i].values.data(), all[i].indices.data(), static_cast<uint32_t>(all[i].values.size())};

		CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK, "%s", error.message);
	}
	Built		first(builder);

	/* Through another builder: records are moved as they are. */
	builder = make_builder(spec);
	CHECK(rv_builder_add_segment(builder, first.segment, nullptr, &error) == RV_OK, "%s", error.message);
	Built		built(builder);
	std::vector<float> decoded(dims);
	size_t		found = 0;

	for (uint32_t slot : {0u, 17u})
	{
		CHECK(rv_segment_decode(built.segment, slot, decoded.data(), &error) == RV_OK);
		CHECK(decoded == all[rv_segment_key(built.segment, slot)].dense);
	}
	for (size_t i = 0; i < 20; i++)
	{
		const Sparse &q = all[i * 31];
		const rv_vector v = {q.values.data(), q.indices.data(), static_cast<uint32_t>(q.values.size())};
		rv_search_options options = {};
		rv_search  *search;
		Vectors		dense;

		for (const Sparse &s : all)
			dense.push_back(s.dense);
		const auto	nearest = truth(metric, dense, q.dense, 10);

		options.ef = 200;
		CHECK(rv_search_new(built.segment, RV_ELEMENT_SPARSE, &v, &options, &search, &error) == RV_OK, "%s", error.message);
		const auto	hits = drain(search);

		rv_search_free(search);
		CHECK(hits.size() == all.size());
		for (size_t j = 0; j < hits.size(); j++)
		{
			const double d = exact_distance(metric, q.dense, all[hits[j].key].dense);

			CHECK(hits[j].lower <= d && d <= hits[j].upper, "%.9g %.9g %.9g", hits[j].lower, d, hits[j].upper);
			found += j < 200 && std::count(nearest.begin(), nearest.end(), hits[j].key) > 0;
		}
	}
	CHECK(found >= 170, "kind %d metric %d: %zu of 200", kind, metric, found);
}

/* The bits of 1.5 in float16 are 0x3e00: sign 0, exponent 15, fraction .1 */
static void
half_vectors()
{
	rv_spec		spec = make_spec(RV_KIND_HNSW, RV_METRIC_L2, 3, RV_QUANTIZATION_NONE);
	const uint16_t vectors[2][3] = {{0x3e00, 0, 0}, {0, 0x4000, 0}};	/* (1.5, 0, 0), (0, 2, 0) */
	float		out[3];
	rv_error	error;

	spec.element = RV_ELEMENT_F16;
	rv_builder *builder = make_builder(spec);

	for (int i = 0; i < 2; i++)
	{
		const rv_vector v = {vectors[i], nullptr, 3};

		CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK);
	}
	Built		built(builder);
	rv_search_options options = {};

	CHECK(rv_segment_decode(built.segment, 0, out, &error) == RV_OK);
	CHECK(out[0] == 1.5f && out[1] == 0 && out[2] == 0);
	rv_search  *search = start_search(built.segment, {1.5f, 0, 0}, options);
	const auto	hits = drain(search);

	CHECK(hits.size() == 2 && hits[0].key == 0 && hits[0].estimate == 0);
	CHECK(std::fabs(hits[1].estimate - 2.5f) < 1e-5f);	/* sqrt(1.5^2 + 2^2) */
	rv_search_free(search);
}

static void
refusals()
{
	rv_spec		spec = make_spec(RV_KIND_HNSW, RV_METRIC_L2, 4, RV_QUANTIZATION_NONE);
	rv_builder *builder;
	rv_error	error;
	const float values[2] = {1, 2};
	const int32_t good[2] = {1, 3},
				descending[2] = {3, 1},
				outside[2] = {1, 4};

	spec.element = RV_ELEMENT_SPARSE;
	builder = make_builder(spec);
	for (const int32_t *indices : {descending, outside})
	{
		const rv_vector v = {values, indices, 2};

		CHECK(rv_builder_add(builder, &v, 0, &error) == RV_INVALID && error.message[0] != '\0');
	}
	const rv_vector v = {values, good, 2};

	CHECK(rv_builder_add(builder, &v, 0, &error) == RV_OK);
	rv_builder_free(builder);
	spec.metric = RV_METRIC_HAMMING;
	CHECK(rv_builder_new(&spec, nullptr, &builder, &error) == RV_UNSUPPORTED && builder == nullptr);
	spec.element = RV_ELEMENT_BIT;
	spec.quantization = RV_QUANTIZATION_SQ8;
	CHECK(rv_builder_new(&spec, nullptr, &builder, &error) == RV_UNSUPPORTED);
	spec.quantization = RV_QUANTIZATION_NONE;
	spec.dims = 64001;
	CHECK(rv_builder_new(&spec, nullptr, &builder, &error) == RV_INVALID);
	spec.dims = 64000;
	CHECK(rv_builder_new(&spec, nullptr, &builder, &error) == RV_OK);
	rv_builder_free(builder);
}

int
main()
{
	for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW})
	{
		for (rv_metric metric : {RV_METRIC_HAMMING, RV_METRIC_JACCARD})
			for (uint32_t n_bits : {13, 64, 500})
				bit_strings(kind, metric, n_bits);
		for (rv_metric metric : {RV_METRIC_L2, RV_METRIC_IP, RV_METRIC_COSINE, RV_METRIC_L1})
			sparse_vectors(kind, metric);
	}
	half_vectors();
	refusals();
	return 0;
}
