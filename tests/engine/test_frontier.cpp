/* SPDX-License-Identifier: PostgreSQL
 *
 * test_frontier.cpp: what a walk has seen comes back nearest first, and a walk that goes on does what one long walk does.
 */
#include "engine/frontier.h"

#include <limits>

#include "support.h"

using namespace rv;

static void
ranks_are_ordered_as_key_then_node()
{
	const float inf = std::numeric_limits<float>::infinity();
	const float keys[] = {-inf, -3e38f, -1, -1e-45f, 0, 1e-45f, 0.5f, 1, 3e38f, inf};
	const size_t n = sizeof(keys) / sizeof(keys[0]);

	for (size_t i = 0; i < n; i++)
	{
		CHECK(rank_key(rank_of(keys[i], 7)) == keys[i] && rank_node(rank_of(keys[i], 7)) == 7);
		CHECK(rank_of(keys[i], 7) < rank_of(keys[i], 8));
		if (i + 1 < n)
			CHECK(rank_of(keys[i], UINT32_MAX) < rank_of(keys[i + 1], 0), "at %zu", i);
	}
	CHECK(rank_of(std::numeric_limits<float>::quiet_NaN(), 0) > rank_of(inf, UINT32_MAX));
}

/* Against a sorted set, whatever is said of how many will be asked for: too few, as many as there are, and more each time. */
static void
the_nearest_comes_first()
{
	std::mt19937_64 random(test_seed());

	for (size_t wanted : {1, 10, 300, 100000})
	{
		Frontier	frontier;
		std::set<Rank> all;

		for (uint32_t node = 0; node < 20000; node++)
		{
			/* few different keys: the node decides */
			const Rank	rank = rank_of(static_cast<float>(random() % 500) - 100, node);

			frontier.push(rank, wanted);
			all.insert(rank);
			CHECK(frontier.floor() <= *all.begin());
			while (!all.empty() && random() % (node < 10000 ? 5 : 2) == 0)
			{
				const Rank	nearest = frontier.pop(wanted + node / 100);

				CHECK(nearest == *all.begin(), "wanted %zu, node %u", wanted, node);
				all.erase(all.begin());
			}
			CHECK(frontier.size() == all.size() && frontier.empty() == all.empty());
		}
		for (; !all.empty(); all.erase(all.begin()))
			CHECK(frontier.pop(wanted) == *all.begin());
		CHECK(frontier.empty());
	}
}

/* Codes of 64 dims are walked by themselves, so that as many nodes are returned as are expanded: batches of 40, 40, 80 ... have
 * what one batch of as many has, and have met no more on their way. */
static void
a_walk_in_batches_is_one_walk()
{
	const uint32_t dims = 64;
	const Vectors vectors = clustered(12000, dims, test_seed(), 1.0f);
	const Built built(builder_of(make_spec(RV_KIND_HNSW, RV_METRIC_L2, dims), vectors));

	for (size_t q = 0; q < 20; q++)
	{
		rv_search_options options = {};
		rv_search_stats in_batches,
					at_once;

		options.ef = 40;

		rv_search  *search = start_search(built.segment, vectors[q * 7], options);
		const std::vector<rv_hit> some = drain(search, 640);

		rv_search_stats_get(search, &in_batches);
		rv_search_free(search);
		options.ef = 640;
		search = start_search(built.segment, vectors[q * 7], options);

		const std::vector<rv_hit> all = drain(search, 640);

		rv_search_stats_get(search, &at_once);
		rv_search_free(search);

		std::set<uint64_t> a,
					b;

		for (const rv_hit &hit : some)
			a.insert(hit.key);
		for (const rv_hit &hit : all)
			b.insert(hit.key);
		CHECK(some.size() == 640 && a.size() == 640 && a == b, "query %zu", q);
		CHECK(in_batches.hops == at_once.hops && in_batches.visited == at_once.visited, "query %zu", q);
	}
}

int
main()
{
	ranks_are_ordered_as_key_then_node();
	the_nearest_comes_first();
	a_walk_in_batches_is_one_walk();
	return 0;
}
