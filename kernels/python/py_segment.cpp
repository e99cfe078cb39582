/* SPDX-License-Identifier: PostgreSQL
 *
 * py_segment.cpp: classes Segment, Scan and Hits. A segment holds the buffer it reads; searches release the
 * interpreter, so that Python threads search in parallel, and `search` spreads a batch over threads of its own.
 */
#include "common.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <system_error>
#include <thread>

namespace rvpy
{

PySegment::PySegment(nb::object source, bool verify)
{
	rv_error	error;
	rv_status	status;

	if (PyObject_GetBuffer(source.ptr(), &buffer_, PyBUF_SIMPLE) != 0)
		throw nb::python_error();
	bytes_ = buffer_.buf;
	if (reinterpret_cast<uintptr_t>(bytes_) % 64 != 0)
	{
		/* Python aligns bytes objects to 16. */
		copy_.reset(aligned_alloc(64, (static_cast<size_t>(buffer_.len) + 63) / 64 * 64 + 64));
		if (copy_ == nullptr)
		{
			PyBuffer_Release(&buffer_);
			throw std::bad_alloc();
		}
		memcpy(copy_.get(), bytes_, static_cast<size_t>(buffer_.len));
		bytes_ = copy_.get();
	}
	{
		nb::gil_scoped_release released;

		status = rv_segment_open(bytes_, static_cast<size_t>(buffer_.len), verify ? RV_OPEN_VERIFY : 0, &segment_, &error);
	}
	if (status != RV_OK)
		PyBuffer_Release(&buffer_);
	check(status, error);
	rv_segment_info_get(segment_, &info_);
}

PySegment::~PySegment()
{
	rv_segment_close(segment_);
	PyBuffer_Release(&buffer_);
}

namespace
{

struct Hits
{
	std::vector<rv_hit> hits;
	bool		batch_end = false;

	template <typename T>
	nb::ndarray<nb::numpy, T>
	column(T rv_hit::*field) const
	{
		std::vector<T> out;

		out.reserve(hits.size());
		for (const rv_hit &hit : hits)
			out.push_back(hit.*field);
		return to_numpy(std::move(out), {hits.size()});
	}
};

using Indices = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/* A search that is asked for more and more; holds what it reads. */
class Scan
{
public:
	Scan(nb::object segment, nb::object tombstones, const AnyArray &query, const std::optional<Indices> &indices,
		 const rv_search_options &options, const double *radius)
		: segment_(segment), tombstones_(tombstones)
	{
		const PySegment &of = nb::cast<const PySegment &>(segment);
		const rv_element stored = of.info().spec.element;

		if (stored == RV_ELEMENT_SPARSE)
		{
			if (!indices || query.ndim() != 1 || query.dtype() != nb::dtype<float>() || indices->shape(0) != query.shape(0))
				throw nb::value_error("a sparse query is float32 values and as many int32 indices");
			start({query.data(), indices->data(), static_cast<uint32_t>(query.shape(0))}, stored, options, radius);
			return;
		}

		const Rows	rows(query, stored, of.info().spec.dims);

		if (rows.count() != 1)
			throw nb::value_error("expected one query");
		start(rows.row(0, &buffer_), rows.element(), options, radius);
	}

	Scan(const Scan &) = delete;
	Scan &operator=(const Scan &) = delete;

	~Scan()
	{
		rv_search_free(search_);
		ScratchPool::give(scratch_);
	}

	Hits
	next(uint32_t capacity)
	{
		Hits		out;
		rv_error	error;
		uint32_t	count = 0;
		rv_status	status;

		out.hits.resize(capacity);
		{
			nb::gil_scoped_release released;

			status = rv_search_next(search_, out.hits.data(), capacity, &count, &out.batch_end, &error);
		}
		check(status, error);
		out.hits.resize(count);
		return out;
	}

	Hits
	all()
	{
		Hits		out;

		for (;;)
		{
			Hits		more = next(4096);

			if (more.hits.empty())
				return out;
			out.hits.insert(out.hits.end(), more.hits.begin(), more.hits.end());
		}
	}

private:
	void
	start(const rv_vector &query, rv_element element, rv_search_options options, const double *radius)
	{
		const rv_segment *of = nb::cast<const PySegment &>(segment_).segment();
		rv_error	error;
		rv_status	status;

		options.scratch = scratch_ = ScratchPool::take();
		status = radius == nullptr ? rv_search_new(of, element, &query, &options, &search_, &error) :
			rv_range_new(of, element, &query, *radius, &options, &search_, &error);
		if (status != RV_OK)
		{
			/* no destructor runs for what was not constructed */
			ScratchPool::give(scratch_);
			check(status, error);
		}
	}

	nb::object	segment_,
				tombstones_;
	std::vector<float> buffer_;
	rv_scratch *scratch_ = nullptr;
	rv_search  *search_ = nullptr;
};

/* The k nearest of one query by estimate, the rest padded. */
rv_status
search_one(const PySegment &segment, const Rows &rows, size_t i, const rv_search_options &options, size_t k, uint64_t *keys,
		   float *distances, rv_error *error)
{
	std::vector<float> buffer;
	std::vector<rv_hit> hits(k);
	const rv_vector vector = rows.row(i, &buffer);
	rv_search  *search;
	size_t		found = 0;
	rv_status	status = rv_search_new(segment.segment(), rows.element(), &vector, &options, &search, error);

	while (status == RV_OK && found < k)
	{
		uint32_t	count;
		bool		batch_end;

		status = rv_search_next(search, hits.data() + found, static_cast<uint32_t>(k - found), &count, &batch_end, error);
		if (count == 0)
			break;
		found += count;
	}
	rv_search_free(search);
	for (size_t j = 0; j < k; j++)
	{
		keys[j] = j < found ? hits[j].key : UINT64_MAX;
		distances[j] = j < found ? hits[j].estimate : INFINITY;
	}
	return status;
}

nb::tuple
search(const PySegment &segment, const AnyArray &queries, uint32_t k, uint32_t ef, uint32_t probes,
	   const std::optional<Tombstones> &tombstones, int threads)
{
	const Rows	rows(queries, segment.info().spec.element, segment.info().spec.dims);
	const size_t n = rows.count();
	std::vector<uint64_t> keys(n * k);
	std::vector<float> distances(n * k);
	std::atomic<size_t> next{0};
	std::atomic<int> failed{RV_OK};
	rv_error	error = {};
	rv_search_options options = {};

	options.ef = ef > k ? ef : k;
	options.probes = probes;
	options.tombstones = tombstone_bits(tombstones, segment.segment());
	auto		work = [&] {
		std::unique_ptr<rv_scratch, void (*)(rv_scratch *)> scratch(rv_scratch_new(), rv_scratch_free);
		rv_search_options own = options;
		rv_error	own_error;

		own.scratch = scratch.get();
		for (size_t i = next++; i < n && failed == RV_OK; i = next++)
		{
			const rv_status status = search_one(segment, rows, i, own, k, keys.data() + i * k, distances.data() + i * k, &own_error);
			int			none = RV_OK;

			if (status != RV_OK && failed.compare_exchange_strong(none, status))
				error = own_error;
		}
	};

	{
		nb::gil_scoped_release released;
		std::vector<std::thread> others;

		/* Threads that cannot be had are done without. */
		try
		{
			for (int i = 1; i < threads && static_cast<size_t>(i) < n; i++)
				others.emplace_back(work);
		}
		catch (const std::system_error &)
		{
		}
		work();
		for (std::thread &thread : others)
			thread.join();
	}
	check(static_cast<rv_status>(failed.load()), error);
	return nb::make_tuple(to_numpy(std::move(keys), {n, k}), to_numpy(std::move(distances), {n, k}));
}

nb::dict
info(const PySegment &segment)
{
	const rv_segment_info &i = segment.info();
	nb::dict	out;

	out["kind"] = name_of(i.spec.kind);
	out["metric"] = name_of(i.spec.metric);
	out["element"] = name_of(i.spec.element);
	out["quantization"] = name_of(i.spec.quantization);
	out["dims"] = i.spec.dims;
	out["m"] = i.spec.m;
	out["ef_construction"] = i.spec.ef_construction;
	out["lists"] = i.spec.lists;
	out["seed"] = i.spec.seed;
	out["nodes"] = i.nodes;
	out["slots"] = i.slots;
	out["max_level"] = i.max_level;
	out["bytes_total"] = i.bytes_total;
	out["bytes_vectors"] = i.bytes_vectors;
	out["bytes_traversal"] = i.bytes_traversal;
	out["bytes_graph"] = i.bytes_graph;
	out["bytes_keys"] = i.bytes_keys;
	return out;
}

nb::ndarray<nb::numpy, uint64_t>
keys(const PySegment &segment)
{
	std::vector<uint64_t> out(segment.info().slots);

	for (uint32_t slot = 0; slot < out.size(); slot++)
		out[slot] = rv_segment_key(segment.segment(), slot);
	return to_numpy(std::move(out), {segment.info().slots});
}

nb::ndarray<nb::numpy, float>
decode(const PySegment &segment, const nb::ndarray<const uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &slots)
{
	const size_t dims = segment.info().spec.dims;
	std::vector<float> out(slots.shape(0) * dims);
	rv_error	error;

	for (size_t i = 0; i < slots.shape(0); i++)
		check(rv_segment_decode(segment.segment(), slots.data()[i], out.data() + i * dims, &error), error);
	return to_numpy(std::move(out), {slots.shape(0), dims});
}

Scan *
scan(nb::handle self, const AnyArray &query, const std::optional<Indices> &indices, uint32_t ef, uint32_t probes,
	 uint32_t max_probes, nb::object tombstones, uintptr_t interrupt)
{
	rv_search_options options = {};

	options.ef = ef;
	options.probes = probes;
	options.max_probes = max_probes;
	if (!tombstones.is_none())
		options.tombstones = tombstone_bits(nb::cast<Tombstones>(tombstones, false), nb::cast<const PySegment &>(self).segment());
	options.interrupt = reinterpret_cast<const volatile sig_atomic_t *>(interrupt);
	return new Scan(nb::borrow(self), tombstones, query, indices, options, nullptr);
}

Hits
range(nb::handle self, const AnyArray &query, double radius, const std::optional<Indices> &indices, nb::object tombstones,
	  uintptr_t interrupt)
{
	rv_search_options options = {};

	if (!tombstones.is_none())
		options.tombstones = tombstone_bits(nb::cast<Tombstones>(tombstones, false), nb::cast<const PySegment &>(self).segment());
	options.interrupt = reinterpret_cast<const volatile sig_atomic_t *>(interrupt);
	return Scan(nb::borrow(self), tombstones, query, indices, options, &radius).all();
}

void
check_segment(const PySegment &segment)
{
	rv_error	error;
	rv_status	status;

	{
		nb::gil_scoped_release released;

		status = rv_segment_check(segment.segment(), nullptr, &error);
	}
	check(status, error);
}

}								/* namespace */

void
bind_segment(nb::module_ &module)
{
	nb::class_<Hits>(module, "Hits", "Columns of what a search found.")
		.def("__len__", [](const Hits &h) { return h.hits.size(); })
		.def_ro("batch_end", &Hits::batch_end)
		.def_prop_ro("keys", [](const Hits &h) { return h.column(&rv_hit::key); }, nb::rv_policy::automatic)
		.def_prop_ro("slots", [](const Hits &h) { return h.column(&rv_hit::slot); }, nb::rv_policy::automatic)
		.def_prop_ro("estimate", [](const Hits &h) { return h.column(&rv_hit::estimate); }, nb::rv_policy::automatic)
		.def_prop_ro("lower", [](const Hits &h) { return h.column(&rv_hit::lower); }, nb::rv_policy::automatic)
		.def_prop_ro("upper", [](const Hits &h) { return h.column(&rv_hit::upper); }, nb::rv_policy::automatic);
	nb::class_<Scan>(module, "Scan", "A search that can be asked for more.")
		.def("next", &Scan::next, nb::arg("capacity") = 100);
	nb::class_<PySegment>(module, "Segment", "An immutable segment, read from a buffer that it keeps.")
		.def(nb::init<nb::object, bool>(), nb::arg("buffer"), nb::arg("verify") = false)
		.def_prop_ro("info", &info)
		.def_prop_ro("keys", &keys, nb::rv_policy::automatic)
		.def("check", &check_segment)
		.def("decode", &decode, nb::arg("slots"))
		.def("search", &search, nb::arg("queries"), nb::arg("k"), nb::kw_only(), nb::arg("ef") = 40, nb::arg("probes") = 1,
			 nb::arg("tombstones").none() = nb::none(), nb::arg("threads") = 1)
		.def("scan", &scan, nb::arg("query"), nb::kw_only(), nb::arg("indices").none() = nb::none(), nb::arg("ef") = 40,
			 nb::arg("probes") = 1, nb::arg("max_probes") = 0, nb::arg("tombstones").none() = nb::none(), nb::arg("interrupt") = 0)
		.def("range", &range, nb::arg("query"), nb::arg("radius"), nb::kw_only(), nb::arg("indices").none() = nb::none(),
			 nb::arg("tombstones").none() = nb::none(), nb::arg("interrupt") = 0);
}

}								/* namespace rvpy */
