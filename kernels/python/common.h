/* SPDX-License-Identifier: PostgreSQL
 *
 * common.h: what the files of the Python module share: names of enumerations, errors, arrays.
 */
#ifndef RV_PYTHON_COMMON_H
#define RV_PYTHON_COMMON_H

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace nb = nanobind;

namespace rvpy
{

struct EngineError : std::runtime_error
{
	using std::runtime_error::runtime_error;
};

struct CorruptError : EngineError
{
	using EngineError::EngineError;
};

/* Raises what a status stands for; RV_OK returns. */
void		check(rv_status status, const rv_error &error);

rv_kind		kind_of(const std::string &name);
rv_metric	metric_of(const std::string &name);
rv_element	element_of(const std::string &name);
rv_quantization quantization_of(const std::string &name);
const char *name_of(rv_kind kind);
const char *name_of(rv_metric metric);
const char *name_of(rv_element element);
const char *name_of(rv_quantization quantization);

/* Rows of a numpy array: dense vectors (float32 or float16) or packed bits (uint8). */
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

class Rows
{
public:
	/* One vector may be given as a one-dimensional array. */
	Rows(const AnyArray &array, rv_element element, uint32_t dims);

	size_t		count() const { return count_; }
	rv_element	element() const { return element_; }	/* as the rows are */

	/* Row i; converted ones use buffer. */
	rv_vector	row(size_t i, std::vector<float> *buffer) const;

private:
	const uint8_t *data_;
	size_t		count_;
	size_t		row_bytes_;
	uint32_t	dims_;
	rv_element	element_;
	bool		widen_;			/* float16 for a float32 segment */
};

template <typename T>
nb::ndarray<nb::numpy, T>
to_numpy(std::vector<T> &&values, std::initializer_list<size_t> shape)
{
	auto	   *held = new std::vector<T>(std::move(values));
	nb::capsule owner(held, [](void *p) noexcept { delete static_cast<std::vector<T> *>(p); });

	return nb::ndarray<nb::numpy, T>(held->data(), shape, owner);
}

void		bind_builder(nb::module_ &module);
void		bind_distance(nb::module_ &module);
void		bind_nearest(nb::module_ &module);

/* Exact distance of two vectors, in the unit of the SQL operator; q_norm: squared_norm(q), for cosine. */
double		exact_distance(rv_metric metric, const float *q, const float *x, size_t dims, double q_norm);
double		squared_norm(const float *q, size_t dims);

/* Scratch memory of searches that are over, for the next ones. Touched with the GIL held only. */
class ScratchPool
{
public:
	static rv_scratch *
	take()
	{
		if (count_ > 0)
			return free_[--count_];
		return rv_scratch_new();
	}

	static void
	give(rv_scratch *scratch)
	{
		if (scratch != nullptr && count_ < KEPT)
			free_[count_++] = scratch;
		else
			rv_scratch_free(scratch);
	}

private:
	static constexpr int KEPT = 8;
	static inline rv_scratch *free_[KEPT];
	static inline int count_ = 0;
};
void		bind_segment(nb::module_ &module);

/* An opened segment and the buffer that it reads. */
class PySegment
{
public:
	PySegment(nb::object source, bool verify);
	PySegment(const PySegment &) = delete;
	PySegment &operator=(const PySegment &) = delete;

	~PySegment();
	const rv_segment *segment() const { return segment_; }
	const rv_segment_info &info() const { return info_; }

private:
	struct Free
	{
		void		operator()(void *p) const { free(p); }
	};

	Py_buffer	buffer_ = {};
	const void *bytes_ = nullptr;
	std::unique_ptr<void, Free> copy_;
	rv_segment *segment_ = nullptr;
	rv_segment_info info_ = {};
};

using Tombstones = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/* NULL, or the bits; fails when there are too few for the slots. */
const uint64_t *tombstone_bits(const std::optional<Tombstones> &bits, const rv_segment *segment);

}								/* namespace rvpy */

#endif							/* RV_PYTHON_COMMON_H */
