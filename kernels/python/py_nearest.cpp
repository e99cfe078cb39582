/* SPDX-License-Identifier: PostgreSQL
 *
 * py_nearest.cpp: the two halves of the usual question, a few nearest rows, without a Python object for every candidate:
 * which rows may be among them (`candidates`), and, once they were read, in which order they come (`ranked`). Between the
 * two whoever holds the rows says which of them count.
 */
#include "common.h"

#include <algorithm>
#include <cmath>

namespace rvpy
{

namespace
{

using Keys = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bounds = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Query = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

struct Candidate
{
	int64_t		key;
	double		lower,
				upper;
};

/* A search of one segment, freed however it ends. */
struct Search
{
	rv_search  *search = nullptr;
	rv_scratch *scratch = ScratchPool::take();

	Search() = default;
	Search(const Search &) = delete;
	Search &operator=(const Search &) = delete;
	~Search()
	{
		rv_search_free(search);
		ScratchPool::give(scratch);
	}
};

/* Adds the first batch of a segment; returns the estimate it ends with: what comes later goes on from there. */
double
search_segment(const PySegment &segment, const Query &query, rv_search_options options, std::vector<Candidate> *found)
{
	const rv_vector vector = {query.data(), nullptr, segment.info().spec.dims};
	std::vector<rv_hit> hits(options.ef);
	Search		run;
	rv_error	error;
	rv_status	status;
	double		horizon = INFINITY;
	bool		batch_end = false;

	if (query.shape(0) != segment.info().spec.dims)
		throw nb::value_error("the query and the segment differ in dimensions");
	options.scratch = run.scratch;
	{
		nb::gil_scoped_release released;

		status = rv_search_new(segment.segment(), RV_ELEMENT_F32, &vector, &options, &run.search, &error);
		while (status == RV_OK && !batch_end)
		{
			uint32_t	count = 0;

			status = rv_search_next(run.search, hits.data(), options.ef, &count, &batch_end, &error);
			if (status != RV_OK || count == 0)
				break;
			for (uint32_t i = 0; i < count; i++)
				found->push_back({static_cast<int64_t>(hits[i].key), hits[i].lower, hits[i].upper});
			horizon = hits[count - 1].estimate;
		}
	}
	check(status, error);
	return horizon;
}

/* (keys that may be among the `wanted` nearest, what any other is at least away) */
nb::tuple
candidates(const nb::list &parts, const Query &query, uint32_t ef, uint32_t probes, size_t wanted, const Keys &given,
		   const Bounds &given_lower, const Bounds &given_upper, uintptr_t interrupt)
{
	rv_search_options options = {};
	std::vector<Candidate> found;
	double		beyond = INFINITY;
	nb::list	keys;

	if (!std::isfinite(squared_norm(query.data(), query.shape(0))))
		throw nb::value_error("the query is not finite");
	if (wanted == 0 || given_lower.shape(0) != given.shape(0) || given_upper.shape(0) != given.shape(0))
		throw nb::value_error("nothing is wanted, or bounds are missing");
	options.ef = ef;
	options.probes = probes;
	options.interrupt = reinterpret_cast<const volatile sig_atomic_t *>(interrupt);
	for (nb::handle part : parts)
	{
		const PySegment &segment = nb::cast<const PySegment &>(part[0]);
		nb::object	tombstones = part[1];

		options.tombstones =
			tombstones.is_none() ? nullptr : tombstone_bits(nb::cast<Tombstones>(tombstones, false), segment.segment());
		beyond = std::min(beyond, search_segment(segment, query, options, &found));
	}
	for (size_t i = 0; i < given.shape(0); i++)
		found.push_back({given.data()[i], given_lower.data()[i], given_upper.data()[i]});
	if (found.size() > wanted)
	{
		std::vector<double> tops;

		for (const Candidate &one : found)
			tops.push_back(one.upper);
		std::nth_element(tops.begin(), tops.begin() + static_cast<std::ptrdiff_t>(wanted - 1), tops.end());
		for (const Candidate &one : found)
			if (one.lower <= tops[wanted - 1])
				keys.append(one.key);
			else
				beyond = std::min(beyond, one.lower);
	}
	else
		for (const Candidate &one : found)
			keys.append(one.key);
	return nb::make_tuple(keys, beyond);
}

/* (places of the `wanted` nearest in `rows`, their distances), nearest first, equal ones by row[0]; None when a row has no
 * distance. A row is a tuple whose item 1 is the vector, as bytes. */
nb::object
ranked(const std::string &metric_name, const Query &query, const nb::list &rows, size_t wanted)
{
	const rv_metric metric = metric_of(metric_name);
	const size_t dims = query.shape(0);
	const double norm = squared_norm(query.data(), dims);
	std::vector<std::tuple<double, int64_t, size_t>> order;
	std::vector<double> distances;
	nb::list	places;

	for (size_t i = 0; i < rows.size(); i++)
	{
		nb::handle	row = rows[i];
		nb::bytes	vector = nb::cast<nb::bytes>(row[1]);

		if (vector.size() != dims * sizeof(float))
			throw nb::value_error("a stored vector has a wrong size");

		const double distance = exact_distance(metric, query.data(), static_cast<const float *>(vector.data()), dims, norm);

		if (std::isnan(distance))
			return nb::none();
		order.emplace_back(distance, nb::cast<int64_t>(row[0]), i);
	}
	wanted = std::min(wanted, order.size());
	std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(wanted), order.end());
	for (size_t i = 0; i < wanted; i++)
	{
		distances.push_back(std::get<0>(order[i]));
		places.append(std::get<2>(order[i]));
	}
	return nb::make_tuple(places, to_numpy(std::move(distances), {wanted}));
}

}								/* namespace */

void
bind_nearest(nb::module_ &module)
{
	module.def("candidates", &candidates, nb::arg("parts"), nb::arg("query"), nb::arg("ef"), nb::arg("probes"),
			   nb::arg("wanted"), nb::arg("given"), nb::arg("given_lower"), nb::arg("given_upper"), nb::arg("interrupt"),
			   "Keys that may be among the nearest, and what every other is at least away.");
	module.def("ranked", &ranked, nb::arg("metric"), nb::arg("query"), nb::arg("rows"), nb::arg("wanted"),
			   "Places of the nearest rows and their distances.");
}

}								/* namespace rvpy */
