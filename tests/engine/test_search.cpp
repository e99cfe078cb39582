/* SPDX-License-Identifier: PostgreSQL
 *
 * test_search.cpp: a search finds the nearest, goes on past its first batch, leaves out what is deleted, keeps keys of
 * equal vectors, and answers a threshold exactly.
 */
#include "support.h"

#include <memory>

/* Some of the vectors, a step aside. */
static Vectors
queries_near(const Vectors &vectors, size_t n, uint64_t seed)
{
	std::mt19937_64 random(seed);
	std::normal_distribution<float> normal;
	Vectors		out;

	while (out.size() < n)
	{
		out.push_back(vectors[random() % vectors.size()]);
		for (float &x : out.back())
			x += 0.2f * normal(random);
	}
	return out;
}

static const rv_metric METRICS[] = {RV_METRIC_L2, RV_METRIC_IP, RV_METRIC_COSINE};

/* Recall of the first batch at ef 40 among the ten nearest. Measured with seeds 1 to 8: 0.988 and more, but for IP at 3
 * dims, where most vectors are nearest to nothing and a graph by inner product is poor: 0.69 to 0.86. */
static void
search_finds_the_nearest(rv_kind kind, rv_metric metric, uint32_t dims)
{
	const Vectors vectors = clustered(3000, dims, test_seed());
	const Vectors queries = queries_near(vectors, 50, test_seed() + 1);
	Built		built(builder_of(make_spec(kind, metric, dims), vectors));
	rv_search_options options = {};
	const double floor = metric == RV_METRIC_IP && dims == 3 ? 0.6 : 0.95;
	size_t		found = 0;

	options.ef = 40;
	for (const auto &q : queries)
	{
		rv_search  *search = start_search(built.segment, q, options);
		const auto	hits = drain(search, 40);

		CHECK(hits.size() == 40);
		for (uint64_t key : truth(metric, vectors, q, 10))
			for (size_t i = 0; i < 40; i++)
				found += hits[i].key == key;
		for (size_t i = 0; i < hits.size(); i++)
		{
			const double d = exact_distance(metric, q, vectors[hits[i].key]);

			CHECK(hits[i].lower <= d && d <= hits[i].upper, "%g <= %g <= %g", hits[i].lower, d, hits[i].upper);
			CHECK(i == 0 || hits[i - 1].estimate <= hits[i].estimate);
		}
		rv_search_free(search);
	}
	if (getenv("RV_TEST_VERBOSE") != nullptr)
		printf("kind %d metric %d dims %u: recall %.3f\n", kind, metric, dims, found / 500.0);
	CHECK(found >= floor * 500, "kind %d metric %d dims %u: %zu of 500", kind, metric, dims, found);
}

/* Points along a curve that winds through space: near to a few on either side, and equally far from all others. */
static Vectors
winding_curve(size_t n, uint64_t seed)
{
	std::mt19937_64 random(seed);
	std::uniform_real_distribution<float> noise(0.0f, 0.6f);
	Vectors		out(n, std::vector<float>(32));

	for (size_t i = 0; i < n; i++)
		for (uint32_t d = 0; d < 32; d++)
			out[i][d] = std::sin(static_cast<float>(i + 1500) * (0.0144f + static_cast<float>(d) * 0.00071f)) + noise(random);
	return out;
}

/* As an index grows: pieces of 300, of which each takes in what is no larger than itself, the newest first; then all in one,
 * without every fourth row. */
static void
grow(const rv_spec &spec, const Vectors &vectors, Built *out)
{
	std::vector<std::unique_ptr<Built>> segments;
	std::vector<uint64_t> dead((vectors.size() + 63) / 64, 0x1111111111111111u);
	rv_error	error;

	for (size_t first = 0; first < vectors.size(); first += 300)
	{
		rv_builder *builder = make_builder(spec, segments.empty() ? nullptr : segments[0]->segment);
		rv_segment_info info;
		uint64_t	rows = 0;

		for (size_t i = first; i < std::min(first + 300, vectors.size()); i++, rows++)
		{
			const rv_vector v = view(vectors[i]);

			CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK, "%s", error.message);
		}
		for (; !segments.empty(); segments.pop_back())
		{
			rv_segment_info_get(segments.back()->segment, &info);
			if (info.slots > rows)
				break;
			CHECK(rv_builder_add_segment(builder, segments.back()->segment, nullptr, &error) == RV_OK, "%s", error.message);
			rows += info.slots;
		}
		segments.push_back(std::make_unique<Built>(builder, 1));
	}
	CHECK(segments.size() > 1);

	rv_builder *builder = make_builder(spec, segments[0]->segment);

	for (const auto &segment : segments)
		CHECK(rv_builder_add_segment(builder, segment->segment, dead.data(), &error) == RV_OK, "%s", error.message);
	out->finish(builder, 1);
}

/* How many are not the first hit of a search for their own vector. */
static size_t
not_found(const rv_segment *segment, const Vectors &vectors, uint32_t ef)
{
	rv_search_options options = {};
	rv_segment_info info;
	size_t		lost = 0;

	options.ef = ef;
	rv_segment_info_get(segment, &info);
	for (uint32_t slot = 0; slot < info.slots; slot++)
	{
		const uint64_t key = rv_segment_key(segment, slot);
		rv_search  *search = start_search(segment, vectors[key], options);
		const auto	hits = drain(search, 1);

		lost += hits[0].key != key;
		rv_search_free(search);
	}
	return lost;
}

/* A walk may miss a node that links lead to from elsewhere: one whose neighbours all have nearer ones, or a stretch of the
 * curve that was built up while no walk came by. With seeds 1 to 6 all were found; without link_lost() 36 to 80 of clusters and
 * 13 of a curve were not at ef 40, 7 of clusters not at 150. */
static void
every_vector_finds_itself()
{
	size_t		lost[2][2][2] = {};

	for (uint32_t round = 0; round < 3; round++)
		for (int curve = 0; curve < 2; curve++)
		{
			const Vectors vectors = curve != 0 ? winding_curve(3100, test_seed() + round) :
				clustered(3100, 64, test_seed() + round, 3.0f);
			rv_spec		spec = make_spec(RV_KIND_HNSW, RV_METRIC_L2, static_cast<uint32_t>(vectors[0].size()));
			Built		grown;

			spec.seed += round;
			grow(spec, vectors, &grown);
			const Built built(builder_of(spec, vectors), 1);

			for (int wide = 0; wide < 2; wide++)
			{
				lost[curve][0][wide] += not_found(built.segment, vectors, wide != 0 ? 150 : 40);
				lost[curve][1][wide] += not_found(grown.segment, vectors, wide != 0 ? 150 : 40);
			}
		}
	for (int curve = 0; curve < 2; curve++)
		for (int merged = 0; merged < 2; merged++)
		{
			if (getenv("RV_TEST_VERBOSE") != nullptr)
				printf("%s, %s: %zu not found at ef 40, %zu at 150\n", curve != 0 ? "curve" : "clusters",
					   merged != 0 ? "merged" : "built", lost[curve][merged][0], lost[curve][merged][1]);
			CHECK(lost[curve][merged][0] <= 2 && lost[curve][merged][1] == 0, "%zu and %zu", lost[curve][merged][0],
				  lost[curve][merged][1]);
		}
}

/* Every key comes exactly once, whatever the batch. */
static void
search_resumes_to_the_end(rv_kind kind, uint32_t dims)
{
	const Vectors vectors = clustered(1500, dims, test_seed() + 2);
	Built		built(builder_of(make_spec(kind, RV_METRIC_L2, dims), vectors));
	rv_search_options options = {};
	std::vector<bool> seen(vectors.size());
	size_t		batches = 0;

	options.ef = 20;
	rv_search  *search = start_search(built.segment, vectors[7], options);
	const auto	hits = drain(search, SIZE_MAX, &batches);

	CHECK(hits[0].key == 7);
	CHECK(hits.size() == vectors.size(), "%zu", hits.size());
	CHECK(batches >= 6 && batches <= 8, "%zu", batches);	/* 20, 40, ... doubles past 1500 in 7 steps */
	for (const rv_hit &hit : hits)
	{
		CHECK(!seen[hit.key]);
		seen[hit.key] = true;
		CHECK(hit.key == rv_segment_key(built.segment, hit.slot));
	}
	rv_search_free(search);
}

static void
tombstones_are_left_out(rv_kind kind)
{
	const Vectors vectors = clustered(1000, 64, test_seed() + 3);
	Built		built(builder_of(make_spec(kind, RV_METRIC_L2, 64), vectors));
	std::vector<uint64_t> dead((vectors.size() + 63) / 64);
	rv_search_options options = {};
	std::set<uint64_t> live;

	for (uint32_t slot = 0; slot < vectors.size(); slot++)
		if (slot % 3 != 0)
			dead[slot / 64] |= 1ull << (slot % 64);
		else
			live.insert(rv_segment_key(built.segment, slot));
	options.ef = 10;
	options.tombstones = dead.data();
	rv_search  *search = start_search(built.segment, vectors[0], options);

	for (const rv_hit &hit : drain(search))
		CHECK(live.erase(hit.key) == 1);
	CHECK(live.empty());
	rv_search_free(search);
}

static void
equal_vectors_keep_every_key(rv_kind kind)
{
	Vectors		vectors = clustered(200, 32, test_seed() + 4);
	rv_segment_info info;
	rv_search_options options = {};

	for (int i = 0; i < 5000; i++)
		vectors.push_back(vectors[3]);
	Built		built(builder_of(make_spec(kind, RV_METRIC_L2, 32), vectors));

	rv_segment_info_get(built.segment, &info);
	CHECK(info.nodes == 200 && info.slots == 5200);
	options.ef = 10;
	rv_search  *search = start_search(built.segment, vectors[3], options);
	std::set<uint64_t> keys;

	for (const rv_hit &hit : drain(search))
		keys.insert(hit.key);
	CHECK(keys.size() == 5200);
	rv_search_free(search);
}

/* Keys of one node are handed out as asked for, and all before those of a farther node. */
static void
many_equal_vectors_come_in_order()
{
	Vectors		vectors = clustered(50, 16, test_seed() + 8);
	rv_search_options options = {};
	rv_hit		hits[7];
	rv_error	error;
	uint32_t	count;
	bool		batch_end = false;
	float		last = 0;
	size_t		equal = 0,
				all = 0;

	for (int i = 0; i < 10000; i++)
		vectors.push_back(vectors[3]);
	Built		built(builder_of(make_spec(RV_KIND_HNSW, RV_METRIC_L2, 16), vectors));

	options.ef = 50;
	rv_search  *search = start_search(built.segment, vectors[3], options);

	while (!batch_end)
	{
		CHECK(rv_search_next(search, hits, 7, &count, &batch_end, &error) == RV_OK && count > 0);
		for (uint32_t i = 0; i < count; i++, all++)
		{
			CHECK(hits[i].estimate >= last);
			last = hits[i].estimate;
			equal += hits[i].key == 3 || hits[i].key >= 50;
			CHECK((all < 10001) == (equal == all + 1), "hit %zu", all);
		}
	}
	CHECK(all == 10050 && equal == 10001);
	rv_search_free(search);
}

/* Of few that are admitted each comes once, and none below the floor that an earlier batch has left. A query among them, and
 * one far from all, to which codes cannot tell one distance from another. */
static void
admitted_come_in_order(rv_kind kind, rv_metric metric, uint32_t dims, rv_quantization quantization)
{
	Vectors		vectors = clustered(2000, dims, test_seed() + 9);
	Vectors		queries = queries_near(vectors, 3, test_seed() + 10);
	rv_spec		spec = make_spec(kind, metric, dims);
	std::vector<uint64_t> tombstones(2000 / 64 + 1, ~static_cast<uint64_t>(0));
	rv_search_options options = {};
	std::set<uint64_t> admitted;

	spec.quantization = quantization;
	queries.push_back(queries[0]);
	for (float &x : queries.back())
		x = x * 1000 + 5000;
	Built		built(builder_of(spec, vectors));
	std::mt19937_64 random(test_seed() + 11);

	for (uint32_t slot = 0; slot < 2000; slot++)
		if (random() % 7 == 0)
		{
			tombstones[slot / 64] &= ~(static_cast<uint64_t>(1) << (slot % 64));
			admitted.insert(rv_segment_key(built.segment, slot));
		}
	options.ef = 20;
	options.tombstones = tombstones.data();
	options.admitted = static_cast<uint32_t>(admitted.size());
	for (const auto &q : queries)
	{
		rv_search  *search = start_search(built.segment, q, options);
		std::set<uint64_t> keys;
		rv_search_stats stats;

		for (;;)
		{
			const double floor = rv_search_floor(search);
			rv_hit		hits[2000];
			rv_error	error;
			uint32_t	count;
			bool		batch_end;

			CHECK(rv_search_next(search, hits, 2000, &count, &batch_end, &error) == RV_OK);
			if (count == 0)
				break;
			for (uint32_t i = 0; i < count; i++)
			{
				CHECK(admitted.count(hits[i].key) == 1 && keys.insert(hits[i].key).second);
				CHECK(exact_distance(metric, q, vectors[hits[i].key]) >= floor * (1 - 1e-6) - 1e-6);
				CHECK(i == 0 || hits[i - 1].estimate <= hits[i].estimate);
			}
		}
		CHECK(keys == admitted);
		rv_search_stats_get(search, &stats);
		CHECK(stats.visited == admitted.size(), "%llu", static_cast<unsigned long long>(stats.visited));
		rv_search_free(search);
	}
}

/* Everything within the radius is there, whatever the radius; what is not undecided is right. */
static void
range_is_exact(rv_kind kind, rv_metric metric, uint32_t dims)
{
	const Vectors vectors = clustered(2000, dims, test_seed() + 5);
	const Vectors queries = queries_near(vectors, 5, test_seed() + 6);
	Built		built(builder_of(make_spec(kind, metric, dims), vectors));
	rv_search_options options = {};

	for (const auto &q : queries)
		for (size_t rank : {0, 1, 10, 100, 1999})
		{
			const auto	nearest = truth(metric, vectors, q, rank + 1);
			const double radius = exact_distance(metric, q, vectors[nearest.back()]);
			const rv_vector v = view(q);
			rv_search  *search;
			rv_error	error;
			std::set<uint64_t> keys;

			CHECK(rv_range_new(built.segment, RV_ELEMENT_F32, &v, radius, &options, &search, &error) == RV_OK);
			for (const rv_hit &hit : drain(search))
			{
				CHECK(keys.insert(hit.key).second);
				CHECK(hit.lower <= radius);
				if (hit.upper < radius)
					CHECK(exact_distance(metric, q, vectors[hit.key]) < radius);
			}
			for (uint64_t key : nearest)
				CHECK(keys.count(key) == 1, "rank %zu", rank);
			rv_search_free(search);
		}
}

static void
interrupt_keeps_the_state(rv_kind kind)
{
	const Vectors vectors = clustered(1500, 64, test_seed() + 7);
	Built		built(builder_of(make_spec(kind, RV_METRIC_L2, 64), vectors));
	volatile sig_atomic_t flag = 1;
	rv_search_options options = {};
	rv_hit		hit;
	uint32_t	count;
	bool		batch_end;
	rv_error	error;

	options.ef = 10;
	options.interrupt = &flag;
	rv_search  *search = start_search(built.segment, vectors[0], options);

	CHECK(rv_search_next(search, &hit, 1, &count, &batch_end, &error) == RV_INTERRUPTED && count == 0);
	CHECK(rv_search_next(search, &hit, 1, &count, &batch_end, &error) == RV_INTERRUPTED && count == 0);
	flag = 0;
	CHECK(drain(search).size() == vectors.size());
	rv_search_free(search);
}

static void
empty_and_single(rv_kind kind)
{
	rv_search_options options = {};
	const std::vector<float> q(8, 1.0f);

	options.ef = 10;
	for (size_t n : {0, 1, 2})
	{
		const Vectors vectors = clustered(n, 8, test_seed());
		Built		built(builder_of(make_spec(kind, RV_METRIC_L2, 8), vectors));
		rv_search  *search = start_search(built.segment, q, options);

		CHECK(drain(search).size() == n);
		rv_search_free(search);
	}
}

/* Where walking on would meet most nodes anyway the rest comes in one batch, nearest first, interrupted or not. */
static void
the_rest_is_read_whole()
{
	const Vectors vectors = clustered(3000, 64, test_seed() + 9);
	Built		built(builder_of(make_spec(RV_KIND_HNSW, RV_METRIC_L2, 64), vectors));
	volatile sig_atomic_t flag = 0;
	rv_search_options options = {};

	options.ef = 10;
	options.interrupt = &flag;
	for (uint32_t whole : {5000, 100})
	{
		size_t		batches = 0;
		std::set<uint64_t> keys;
		rv_hit		hit;
		uint32_t	count;
		bool		batch_end;
		rv_error	error;

		options.whole = whole;
		rv_search  *search = start_search(built.segment, vectors[5], options);
		auto		hits = drain(search, 160, &batches);
		const size_t walked = hits.size();
		const size_t bytes = rv_search_bytes(search);

		CHECK(walked == 160 && batches == 5 && bytes > 160 * 8, "%zu in %zu, %zu bytes", walked, batches, bytes);
		flag = 1;
		CHECK(rv_search_next(search, &hit, 1, &count, &batch_end, &error) == RV_INTERRUPTED && count == 0);
		flag = 0;
		for (const rv_hit &next : drain(search, SIZE_MAX, &batches))
			hits.push_back(next);
		CHECK(hits.size() == vectors.size());
		CHECK(whole == 5000 ? batches == 6 : batches > 6, "%zu batches", batches);
		CHECK(rv_search_bytes(search) > bytes);
		for (size_t i = 0; i < hits.size(); i++)
		{
			CHECK(keys.insert(hits[i].key).second);
			CHECK(i <= walked || whole != 5000 || hits[i - 1].estimate <= hits[i].estimate);
		}
		rv_search_free(search);
	}
	/* and where there was nothing to walk for, all of it */
	const Vectors few(vectors.begin(), vectors.begin() + 150);
	Built		small(builder_of(make_spec(RV_KIND_HNSW, RV_METRIC_L2, 64), few));
	size_t		batches = 0;

	options.whole = 5000;
	rv_search  *search = start_search(small.segment, few[5], options);

	CHECK(drain(search, SIZE_MAX, &batches).size() == 150 && batches == 1);
	rv_search_free(search);
}

/* One hit for all rows with one vector; vectors that only have the same code stay apart, also when segments are merged. */
static void
only_equal_vectors_share_a_hit(rv_kind kind, rv_quantization quantization)
{
	Vectors		vectors;
	rv_spec		spec = make_spec(kind, RV_METRIC_L2, 8, quantization);
	rv_search_options options = {};
	std::mt19937_64 random(test_seed() + 10);

	for (int i = 0; i < 2000; i++)
	{
		std::vector<float> v(8);

		for (float &x : v)
			x = random() % 4 == 0 ? 1.0f + 1e-6f * static_cast<float>(random() % 2) : -0.0f;
		vectors.push_back(v);
	}
	const std::set<std::vector<float>> different(vectors.begin(), vectors.end());
	Built		first(builder_of(spec, vectors));
	rv_builder *merging = make_builder(spec, first.segment);
	rv_error	error;

	CHECK(rv_builder_add_segment(merging, first.segment, nullptr, &error) == RV_OK);
	CHECK(rv_builder_add_segment(merging, first.segment, nullptr, &error) == RV_OK);
	Built		merged(merging);

	options.ef = 4000;
	options.by_vector = 1;
	for (const Built *built : {&first, &merged})
	{
		rv_search  *search = start_search(built->segment, vectors[0], options);
		const auto	hits = drain(search);
		size_t		rows = 0;

		for (const rv_hit &hit : hits)
		{
			CHECK(hit.key == rv_segment_key(built->segment, hit.slot) && hit.end > hit.slot);
			for (uint32_t slot = hit.slot; slot < hit.end; slot++, rows++)
				CHECK(vectors[rv_segment_key(built->segment, slot)] == vectors[hit.key]);
		}
		CHECK(rows == vectors.size() * (built == &merged ? 2 : 1));
		CHECK(hits.size() == different.size(), "%zu hits, %zu different vectors", hits.size(), different.size());
		rv_search_free(search);
	}
}

int
main()
{
	the_rest_is_read_whole();
	for (rv_quantization quantization : {RV_QUANTIZATION_NONE, RV_QUANTIZATION_SQ8, RV_QUANTIZATION_BINARY})
		for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW, RV_KIND_IVF})
			only_equal_vectors_share_a_hit(kind, quantization);
	for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW})
	{
		for (rv_metric metric : METRICS)
			for (uint32_t dims : {3, 60, 300})
			{
				search_finds_the_nearest(kind, metric, dims);
				range_is_exact(kind, metric, dims);
			}
		search_resumes_to_the_end(kind, 40);
		search_resumes_to_the_end(kind, 320);
		tombstones_are_left_out(kind);
		equal_vectors_keep_every_key(kind);
		interrupt_keeps_the_state(kind);
		empty_and_single(kind);
	}
	for (rv_quantization quantization : {RV_QUANTIZATION_NONE, RV_QUANTIZATION_F16, RV_QUANTIZATION_SQ8, RV_QUANTIZATION_BINARY})
		for (rv_metric metric : METRICS)
			for (uint32_t dims : {3, 300})
				for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW, RV_KIND_IVF})
					admitted_come_in_order(kind, metric, dims, quantization);
	many_equal_vectors_come_in_order();
	every_vector_finds_itself();
	return 0;
}
