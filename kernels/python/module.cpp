/* SPDX-License-Identifier: PostgreSQL
 *
 * module.cpp: the Python extension module ruvector_fdw._engine: names, errors, arrays. ruvector_fdw/_engine.pyi is
 * its interface in Python's terms.
 */
#include "common.h"

#include "distance/distance.h"

namespace rvpy
{

namespace
{

template <typename Enum>
struct Named
{
	const char *name;
	Enum		value;
};

constexpr Named<rv_kind> KINDS[] = {{"flat", RV_KIND_FLAT}, {"hnsw", RV_KIND_HNSW}, {"ivf", RV_KIND_IVF}};
constexpr Named<rv_metric> METRICS[] = {
	{"l2", RV_METRIC_L2}, {"ip", RV_METRIC_IP}, {"cosine", RV_METRIC_COSINE},
	{"l1", RV_METRIC_L1}, {"hamming", RV_METRIC_HAMMING}, {"jaccard", RV_METRIC_JACCARD}};
constexpr Named<rv_element> ELEMENTS[] = {
	{"f32", RV_ELEMENT_F32}, {"f16", RV_ELEMENT_F16}, {"bit", RV_ELEMENT_BIT}, {"sparse", RV_ELEMENT_SPARSE}};
constexpr Named<rv_quantization> QUANTIZATIONS[] = {
	{"none", RV_QUANTIZATION_NONE}, {"f16", RV_QUANTIZATION_F16}, {"sq8", RV_QUANTIZATION_SQ8},
	{"pq16", RV_QUANTIZATION_PQ16}, {"binary", RV_QUANTIZATION_BINARY}};

template <typename Enum, size_t N>
Enum
value_of(const Named<Enum> (&table)[N], const std::string &name, const char *what)
{
	std::string known;

	for (const auto &entry : table)
	{
		if (name == entry.name)
			return entry.value;
		known += known.empty() ? "" : ", ";
		known += entry.name;
	}
	throw nb::value_error(("invalid " + std::string(what) + " \"" + name + "\": expected one of " + known).c_str());
}

template <typename Enum, size_t N>
const char *
name_in(const Named<Enum> (&table)[N], Enum value)
{
	for (const auto &entry : table)
		if (entry.value == value)
			return entry.name;
	return "unknown";
}

}								/* namespace */

rv_kind kind_of(const std::string &name) { return value_of(KINDS, name, "kind"); }
rv_metric metric_of(const std::string &name) { return value_of(METRICS, name, "metric"); }
rv_element element_of(const std::string &name) { return value_of(ELEMENTS, name, "element"); }
rv_quantization quantization_of(const std::string &name) { return value_of(QUANTIZATIONS, name, "quantization"); }
const char *name_of(rv_kind kind) { return name_in(KINDS, kind); }
const char *name_of(rv_metric metric) { return name_in(METRICS, metric); }
const char *name_of(rv_element element) { return name_in(ELEMENTS, element); }
const char *name_of(rv_quantization quantization) { return name_in(QUANTIZATIONS, quantization); }

void
check(rv_status status, const rv_error &error)
{
	switch (status)
	{
		case RV_OK:
			return;
		case RV_NO_MEMORY:
			throw std::bad_alloc();
		case RV_CORRUPT:
			throw CorruptError(error.message);
		case RV_INVALID:
		case RV_UNSUPPORTED:
			throw nb::value_error(error.message);
		default:
			throw EngineError(error.message[0] != '\0' ? error.message : "engine call was interrupted");
	}
}

Rows::Rows(const AnyArray &array, rv_element element, uint32_t dims)
	: data_(static_cast<const uint8_t *>(array.data())), dims_(dims), element_(element), widen_(false)
{
	const size_t width = array.ndim() == 0 ? 0 : array.shape(array.ndim() - 1);
	const size_t expected = element == RV_ELEMENT_BIT ? (dims + 7) / 8 : dims;

	if (element == RV_ELEMENT_SPARSE)
		throw nb::value_error("sparse vectors cannot be given as an array of rows");
	if (array.ndim() != 1 && array.ndim() != 2)
		throw nb::value_error("expected a one- or two-dimensional array");
	if (width != expected)
		throw nb::value_error(("expected rows of " + std::to_string(expected) + " elements, not " + std::to_string(width)).c_str());
	count_ = array.ndim() == 1 ? 1 : array.shape(0);
	if (element == RV_ELEMENT_BIT)
	{
		if (array.dtype() != nb::dtype<uint8_t>())
			throw nb::type_error("expected an array of uint8: packed bits");
		row_bytes_ = width;
	}
	else if (array.dtype() == nb::dtype<float>())
	{
		row_bytes_ = width * 4;
		element_ = RV_ELEMENT_F32;
	}
	else if (array.dtype().code == static_cast<uint8_t>(nb::dlpack::dtype_code::Float) && array.dtype().bits == 16)
	{
		row_bytes_ = width * 2;
		widen_ = element == RV_ELEMENT_F32;
	}
	else
		throw nb::type_error("expected an array of float32 or float16");
}

rv_vector
Rows::row(size_t i, std::vector<float> *buffer) const
{
	const uint8_t *at = data_ + i * row_bytes_;

	if (!widen_)
		return {at, nullptr, dims_};
	buffer->resize(dims_);
	rv_kernels()->f16_to_f32(reinterpret_cast<const rv_half *>(at), buffer->data(), dims_);
	return {buffer->data(), nullptr, dims_};
}

const uint64_t *
tombstone_bits(const std::optional<Tombstones> &bits, const rv_segment *segment)
{
	rv_segment_info info;

	if (!bits)
		return nullptr;
	rv_segment_info_get(segment, &info);
	if (bits->shape(0) < (static_cast<size_t>(info.slots) + 63) / 64)
		throw nb::value_error("tombstones must have one bit for every slot");
	return bits->data();
}

}								/* namespace rvpy */

NB_MODULE(_engine, module)
{
	module.doc() = "The ruvector search engine: segments of vectors, built and searched without a server.";

	auto		engine_error = nb::exception<rvpy::EngineError>(module, "EngineError", PyExc_RuntimeError);

	nb::exception<rvpy::CorruptError>(module, "CorruptError", engine_error.ptr());
	module.def("simd_level", [] { return rv_simd_level_name(rv_kernels()->level); }, "The level of the distance kernels in use.");
	rvpy::bind_segment(module);
	rvpy::bind_builder(module);
	rvpy::bind_distance(module);
	rvpy::bind_nearest(module);
}
