/* SPDX-License-Identifier: PostgreSQL
 *
 * py_nearest.cpp: the two halves of the usual question, a few nearest rows, without a Python object for every candidate:
 * which rows may be among them, and in which order they come, once all of them were read. Rows read before are kept; whoever
 * owns them says whether they still count.
 */
#include "common.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

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

/* What a search of some segments is given besides the query. */
struct Effort
{
	uint32_t	ef,
				probes;
	size_t		wanted;
	uintptr_t	interrupt;
};

/* Keys that may be among the `wanted` nearest; returns what any other is at least away. */
double
find_candidates(const nb::list &parts, const Query &query, const Effort &effort, const Keys &given,
				const Bounds &given_lower, const Bounds &given_upper, std::vector<int64_t> *keys)
{
	rv_search_options options = {};
	std::vector<Candidate> found;
	double		beyond = INFINITY;
	double		farthest = INFINITY;

	if (!std::isfinite(squared_norm(query.data(), query.shape(0))))
		throw nb::value_error("the query is not finite");
	if (effort.wanted == 0 || given_lower.shape(0) != given.shape(0) || given_upper.shape(0) != given.shape(0))
		throw nb::value_error("nothing is wanted, or bounds are missing");
	options.ef = effort.ef;
	options.probes = effort.probes;
	options.interrupt = reinterpret_cast<const volatile sig_atomic_t *>(effort.interrupt);
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
	if (found.size() > effort.wanted)
	{
		std::vector<double> tops;

		for (const Candidate &one : found)
			tops.push_back(one.upper);
		std::nth_element(tops.begin(), tops.begin() + static_cast<std::ptrdiff_t>(effort.wanted - 1), tops.end());
		farthest = tops[effort.wanted - 1];
	}
	keys->clear();
	for (const Candidate &one : found)
		if (one.lower <= farthest)
			keys->push_back(one.key);
		else
			beyond = std::min(beyond, one.lower);
	return beyond;
}

nb::object
bytes_of(size_t size)
{
	nb::object	bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));

	if (!bytes.is_valid())
		nb::raise_python_error();
	return bytes;
}

template <typename T>
T *
data_of(const nb::object &bytes)
{
	return reinterpret_cast<T *>(PyBytes_AS_STRING(bytes.ptr()));
}

/* Rows read before, tuples of (key, float32 vector as bytes, fields ...), and searches answered from them. One thread at a
 * time. */
class KeptRows
{
public:
	KeptRows(const std::string &metric, uint32_t dims, uint32_t fields)
		: metric_(metric_of(metric)), dims_(dims), fields_(fields)
	{
	}

	size_t		size() const { return rows_.size(); }

	void
	clear()
	{
		rows_.clear();
	}

	void
	add(const nb::list &rows)
	{
		for (nb::handle handle : rows)
		{
			nb::tuple	row = nb::cast<nb::tuple>(handle);

			if (row.size() != FIELDS_AT + fields_ || !PyBytes_Check(nb::handle(row[1]).ptr()) ||
				nb::cast<nb::bytes>(row[1]).size() != dims_ * sizeof(float))
				throw nb::value_error("a stored vector has a wrong size");
			rows_.insert_or_assign(nb::cast<int64_t>(row[0]), row);
		}
	}

	/* The keys of rows that have to be added before `ranked` is asked; None: there are not `wanted` to `most` candidates. */
	nb::object
	search(const nb::list &parts, const Query &query, uint32_t ef, uint32_t probes, size_t wanted, size_t most,
		   const Keys &given, const Bounds &given_lower, const Bounds &given_upper, uintptr_t interrupt)
	{
		nb::list	missing;

		beyond_ = find_candidates(parts, query, {ef, probes, wanted, interrupt}, given, given_lower, given_upper, &keys_);
		if (keys_.size() < wanted || keys_.size() > most)
			return nb::none();
		for (int64_t key : keys_)
		{
			const auto	at = rows_.find(key);

			if (at == rows_.end())
				missing.append(key);
			else
				/* read by `ranked`, after a statement that takes longer than this */
				for (size_t byte = 0; byte < dims_ * sizeof(float); byte += CACHE_LINE)
					__builtin_prefetch(reinterpret_cast<const char *>(vector_of(at->second)) + byte);
		}
		return missing;
	}

	/* (vectors as bytes or None, a list for every field, keys, distances as bytes) of those after the first `offset` of the
	 * `wanted` nearest that `search` found last, nearest first, equal ones by key; None when others may be nearer. */
	nb::object
	ranked(const Query &query, size_t wanted, size_t offset, bool with_vectors)
	{
		using Place = std::tuple<double, int64_t, PyObject *>;
		std::vector<Place> order;
		const double norm = squared_norm(query.data(), dims_);

		if (query.shape(0) != dims_)
			throw nb::value_error("the query has other dimensions");
		for (int64_t key : keys_)
		{
			const auto	at = rows_.find(key);

			if (at == rows_.end())
				return nb::none();

			const double distance = exact_distance(metric_, query.data(), vector_of(at->second), dims_, norm);

			if (std::isnan(distance))
				return nb::none();
			order.emplace_back(distance, key, at->second.ptr());
		}
		if (order.size() < wanted || offset >= wanted)
			return nb::none();
		std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(wanted), order.end());
		order.resize(wanted);
		if (std::get<0>(order.back()) > beyond_)
			return nb::none();
		order.erase(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(offset));
		return columns(order, with_vectors);
	}

private:
	static constexpr size_t FIELDS_AT = 2;
	static constexpr size_t CACHE_LINE = 64;

	static const float *
	vector_of(nb::handle row)
	{
		return reinterpret_cast<const float *>(PyBytes_AS_STRING(PyTuple_GET_ITEM(row.ptr(), 1)));
	}

	nb::object
	columns(const std::vector<std::tuple<double, int64_t, PyObject *>> &order, bool with_vectors) const
	{
		nb::object	vectors = with_vectors ? bytes_of(order.size() * dims_ * sizeof(float)) : nb::none();
		nb::object	distances = bytes_of(order.size() * sizeof(double));
		nb::object	keys = bytes_of(order.size() * sizeof(int64_t));
		nb::list	fields;

		for (size_t i = 0; i < order.size(); i++)
		{
			data_of<double>(distances)[i] = std::get<0>(order[i]);
			data_of<int64_t>(keys)[i] = std::get<1>(order[i]);
			if (with_vectors)
				memcpy(data_of<float>(vectors) + i * dims_, vector_of(std::get<2>(order[i])), dims_ * sizeof(float));
		}
		for (size_t field = 0; field < fields_; field++)
		{
			nb::list	values;

			for (const auto &one : order)
				values.append(nb::borrow(PyTuple_GET_ITEM(std::get<2>(one), static_cast<Py_ssize_t>(FIELDS_AT + field))));
			fields.append(values);
		}
		return nb::make_tuple(vectors, fields, keys, distances);
	}

	rv_metric	metric_;
	size_t		dims_,
				fields_;
	std::unordered_map<int64_t, nb::object> rows_;
	std::vector<int64_t> keys_;
	double		beyond_ = INFINITY;
};

}								/* namespace */

void
bind_nearest(nb::module_ &module)
{
	nb::class_<KeptRows>(module, "KeptRows", "Rows read before, and searches answered from them.")
		.def(nb::init<const std::string &, uint32_t, uint32_t>(), nb::arg("metric"), nb::arg("dims"), nb::arg("fields"))
		.def("__len__", &KeptRows::size)
		.def("clear", &KeptRows::clear)
		.def("add", &KeptRows::add, nb::arg("rows"))
		.def("search", &KeptRows::search, nb::arg("parts"), nb::arg("query"), nb::arg("ef"), nb::arg("probes"),
			 nb::arg("wanted"), nb::arg("most"), nb::arg("given"), nb::arg("given_lower"), nb::arg("given_upper"),
			 nb::arg("interrupt"))
		.def("ranked", &KeptRows::ranked, nb::arg("query"), nb::arg("wanted"), nb::arg("offset"), nb::arg("with_vectors"));
}

}								/* namespace rvpy */
