/* SPDX-License-Identifier: PostgreSQL
 *
 * py_builder.cpp: class Builder. The interpreter is free for others while vectors are coded and while threads build.
 */
#include "common.h"

namespace rvpy
{

namespace
{

using Keys = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const char *
phase_name(rv_phase phase)
{
	static const char *const names[] = {"loading", "training", "encoding", "assigning", "linking", "writing"};

	return names[phase];
}

class PyBuilder
{
public:
	PyBuilder(const std::string &kind, const std::string &metric, uint32_t dims, const std::string &element,
			  const std::string &quantization, uint32_t m, uint32_t ef_construction, uint32_t lists, uint64_t seed,
			  const PySegment *model)
	{
		rv_error	error;

		spec_.kind = kind_of(kind);
		spec_.metric = metric_of(metric);
		spec_.element = element_of(element);
		spec_.quantization = quantization_of(quantization);
		spec_.dims = dims;
		spec_.m = m;
		spec_.ef_construction = ef_construction;
		spec_.lists = lists;
		spec_.seed = seed;
		check(rv_builder_new(&spec_, model == nullptr ? nullptr : model->segment(), &builder_, &error), error);
	}

	PyBuilder(const PyBuilder &) = delete;
	PyBuilder &operator=(const PyBuilder &) = delete;
	~PyBuilder() { rv_builder_free(builder_); }

	void
	add(const AnyArray &vectors, const Keys &keys)
	{
		const Rows	rows(vectors, spec_.element, spec_.dims);
		std::vector<float> buffer;
		rv_status	status = RV_OK;
		rv_error	error = {};

		if (rows.count() != keys.shape(0))
			throw nb::value_error("there must be as many keys as vectors");
		if (spec_.element != rows.element())
			throw nb::type_error("a segment of float16 takes vectors of float16");
		{
			nb::gil_scoped_release released;

			for (size_t i = 0; i < rows.count() && status == RV_OK; i++)
			{
				const rv_vector vector = rows.row(i, &buffer);

				status = rv_builder_add(builder_, &vector, keys.data()[i], &error);
			}
		}
		check(status, error);
	}

	void
	add_sparse(const nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &offsets,
			   const nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> &indices,
			   const nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu> &values, const Keys &keys)
	{
		const size_t n = keys.shape(0);

		if (offsets.shape(0) != n + 1 || indices.shape(0) != values.shape(0))
			throw nb::value_error("expected offsets of one more than keys, and as many indices as values");
		for (size_t i = 0; i < n; i++)
		{
			const int64_t first = offsets.data()[i],
						end = offsets.data()[i + 1];
			rv_error	error;

			if (first < 0 || end < first || static_cast<uint64_t>(end) > values.shape(0))
				throw nb::value_error("offsets must ascend within the values");

			const rv_vector vector = {values.data() + first, indices.data() + first, static_cast<uint32_t>(end - first)};

			check(rv_builder_add(builder_, &vector, keys.data()[i], &error), error);
		}
	}

	void
	add_segment(const PySegment &segment, const std::optional<Tombstones> &tombstones)
	{
		rv_error	error;

		check(rv_builder_add_segment(builder_, segment.segment(), tombstone_bits(tombstones, segment.segment()), &error), error);
	}

	/* The array keeps this builder alive, and with it the bytes. */
	static nb::object
	build(nb::handle self, int threads, nb::object progress)
	{
		PyBuilder  &builder = nb::cast<PyBuilder &>(self);
		rv_error	error;
		rv_status	status;
		const void *bytes;
		size_t		size;

		check(rv_builder_start(builder.builder_, threads, &error), error);
		do
		{
			rv_progress now = {};

			{
				nb::gil_scoped_release released;

				status = rv_builder_poll(builder.builder_, 50, &now, &error);
			}
			if (PyErr_CheckSignals() != 0)
				throw nb::python_error();
			if (!progress.is_none())
				progress(phase_name(now.phase), now.done, now.total);
		} while (status == RV_BUSY);
		check(status, error);
		check(rv_builder_blob(builder.builder_, &bytes, &size, &error), error);
		return nb::cast(nb::ndarray<nb::numpy, const uint8_t>(bytes, {size}, self));
	}

	uint64_t	count() const { return rv_builder_count(builder_); }
	size_t		peak_bytes() const { return rv_builder_peak_bytes(builder_); }

private:
	rv_spec		spec_ = {};
	rv_builder *builder_ = nullptr;
};

}								/* namespace */

void
bind_builder(nb::module_ &module)
{
	nb::class_<PyBuilder>(module, "Builder", "Collects vectors and builds one immutable segment of them.")
		.def(nb::init<const std::string &, const std::string &, uint32_t, const std::string &, const std::string &, uint32_t,
					  uint32_t, uint32_t, uint64_t, const PySegment *>(),
			 nb::arg("kind"), nb::arg("metric"), nb::arg("dims"), nb::kw_only(), nb::arg("element") = "f32",
			 nb::arg("quantization") = "sq8", nb::arg("m") = 16, nb::arg("ef_construction") = 64, nb::arg("lists") = 100,
			 nb::arg("seed") = 0, nb::arg("model").none() = nb::none())
		.def("add", &PyBuilder::add, nb::arg("vectors"), nb::arg("keys"))
		.def("add_sparse", &PyBuilder::add_sparse, nb::arg("offsets"), nb::arg("indices"), nb::arg("values"), nb::arg("keys"))
		.def("add_segment", &PyBuilder::add_segment, nb::arg("segment"), nb::arg("tombstones").none() = nb::none())
		.def("build", &PyBuilder::build, nb::arg("threads") = 1, nb::arg("progress").none() = nb::none())
		.def_prop_ro("count", &PyBuilder::count)
		.def_prop_ro("peak_bytes", &PyBuilder::peak_bytes);
}

}								/* namespace rvpy */
