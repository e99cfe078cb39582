/* SPDX-License-Identifier: PostgreSQL
 *
 * py_distance.cpp: exact distances from one vector to some others, for what a search reads to decide its order.
 *
 * Terms and sums are double, so the result is the true distance of the float32 vectors to about 1e-15 relative. The units
 * are those of the SQL operators: L2 is the root, the inner product negative, cosine NaN for a zero vector. Sums run in
 * LANES independent parts, which compilers turn into vector instructions without being allowed to reorder a sum.
 */
#include "common.h"

#include <algorithm>
#include <cmath>

namespace rvpy
{

namespace
{

constexpr size_t LANES = 8;

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

/* Wider registers where the machine has them; without fused multiplication, so that the sum is the same everywhere. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

template <typename Term>
inline __attribute__((always_inline)) double
summed(const float *a, const float *b, size_t dims, Term term)
{
	double		lanes[LANES] = {};
	double		sum = 0.0;
	size_t		i = 0;

	for (; i + LANES <= dims; i += LANES)
		for (size_t lane = 0; lane < LANES; lane++)
			lanes[lane] += term(static_cast<double>(a[i + lane]), static_cast<double>(b[i + lane]));
	for (; i < dims; i++)
		sum += term(static_cast<double>(a[i]), static_cast<double>(b[i]));
	for (double part : lanes)
		sum += part;
	return sum;
}

WIDE double
dot(const float *a, const float *b, size_t dims)
{
	return summed(a, b, dims, [](double x, double y) { return x * y; });
}

WIDE double
l2_squared(const float *a, const float *b, size_t dims)
{
	return summed(a, b, dims, [](double x, double y) { return (x - y) * (x - y); });
}

WIDE double
l1(const float *a, const float *b, size_t dims)
{
	return summed(a, b, dims, [](double x, double y) { return std::fabs(x - y); });
}

}								/* namespace */

double
exact_distance(rv_metric metric, const float *q, const float *x, size_t dims, double q_norm)
{
	switch (metric)
	{
		case RV_METRIC_L2:
			return std::sqrt(l2_squared(q, x, dims));
		case RV_METRIC_L1:
			return l1(q, x, dims);
		case RV_METRIC_IP:
			return -dot(q, x, dims);
		case RV_METRIC_COSINE:
			{
				double		similarity = dot(q, x, dims) / std::sqrt(q_norm * dot(x, x, dims));

				return std::isnan(similarity) ? similarity : 1.0 - std::clamp(similarity, -1.0, 1.0);
			}
		default:
			throw nb::value_error("not a distance of float vectors");
	}
}

double
squared_norm(const float *q, size_t dims)
{
	return dot(q, q, dims);
}

namespace
{

nb::ndarray<nb::numpy, double>
distances(const std::string &metric_name, const Vector &query, const Matrix &block)
{
	rv_metric	metric = metric_of(metric_name);
	size_t		dims = query.shape(0);
	std::vector<double> found(block.shape(0));
	size_t		count = found.size();

	if (block.shape(1) != dims)
		throw nb::value_error("the query and the vectors differ in length");
	{
		nb::gil_scoped_release release;
		double		q_norm = squared_norm(query.data(), dims);

		for (size_t i = 0; i < count; i++)
			found[i] = exact_distance(metric, query.data(), block.data() + i * dims, dims, q_norm);
	}
	return to_numpy(std::move(found), {count});
}

}								/* namespace */

void
bind_distance(nb::module_ &module)
{
	module.def("distances", &distances, nb::arg("metric"), nb::arg("query"), nb::arg("block"),
			   "Distances float64 (n,) from query float32 (dims,) to block float32 (n, dims), as SQL has them.");
}

}								/* namespace rvpy */
