/* SPDX-License-Identifier: PostgreSQL
 *
 * model.h: trained parameters: how a vector is brought into the space in which it is coded.
 *
 * Dense vectors under L2, inner product and cosine (the "rotated" metrics) are coded as u = R (x' - c), where x' is x
 * (cosine: x divided by its norm), c the sample mean and R a random orthogonal map:
 *   L2      |q - x| = |R(q - c) - u|
 *   cosine  1 - <q', x'> = |R(q' - c) - u|^2 / 2
 *   IP      <q, x> = <q, c> + <R q, u>
 * R is a few rounds of sign flips, a Hadamard transform over the first or last power-of-two block, and a Givens
 * mix of the two halves when dims is no power of two: O(d log d), any dims. The signs follow from the seed.
 * Source: Ailon & Chazelle, "The fast Johnson-Lindenstrauss transform", 2009; the halves' mix after Kac's walk.
 */
#ifndef RV_MODEL_H
#define RV_MODEL_H

#include <memory>

#include "engine/internal.h"

namespace rv
{

class Rotation
{
public:
	Rotation() = default;
	Rotation(uint32_t dims, uint64_t seed);
	void		apply(float *x) const;
	void		invert(float *x) const;

	/* |computed R x - R x| <= error() |x|: each of the log2(block) additions, one scaling and the mix (two products,
	 * one sum) of a round err by at most 2^-24 of the norm each. */
	double		error() const { return error_at(dims_); }
	size_t		bytes() const { return signs_.capacity() * sizeof(uint32_t); }
	static double error_at(uint32_t dims);

private:
	uint32_t	dims_ = 0;
	uint32_t	block_ = 1;
	uint32_t	rounds_ = 0;
	std::vector<uint32_t> signs_;	/* rounds_ * dims_ masks of the sign bit */
};

constexpr uint32_t PQ_SUB_DIMS = 4;
constexpr uint32_t PQ_CENTROIDS = 256;

struct Model
{
	uint32_t	dims = 0;
	rv_metric	metric = RV_METRIC_L2;
	bool		rotated = false;
	uint64_t	rotation_seed = 0;
	std::vector<float> centre;	/* c, rotated metrics only */
	std::vector<float> rotated_centre;	/* R c */
	std::vector<float> codebooks;	/* PQ16: ceil(dims / 4) * 256 * 4 */
	Rotation	rotation;

	static bool metric_is_rotated(rv_metric metric, rv_element element);

	void		set_rotation(uint64_t seed);
	void		set_centre(std::vector<float> mean);

	/* out = R (x - c); x is x' of the head comment. out may be x. */
	void		to_code_space(const float *x, float *out) const;
	void		from_code_space(const float *u, float *out) const;

	uint32_t	pq_subs() const { return (dims + PQ_SUB_DIMS - 1) / PQ_SUB_DIMS; }

	/* What it holds beside itself. */
	size_t
	bytes() const
	{
		return (centre.capacity() + rotated_centre.capacity() + codebooks.capacity()) * sizeof(float) + rotation.bytes();
	}

	size_t		stored_size() const;
	void		store(uint8_t *out) const;
	static Model parse(const uint8_t *data, size_t size, const rv_spec &spec);
	bool		equals(const Model &other) const;
};

/* The centre of a sample: its mean, under cosine that of the vectors of length 1. */
class CentreSum
{
public:
	explicit CentreSum(const rv_spec &spec) : sum_(spec.dims), to_unit_(spec.metric == RV_METRIC_COSINE) {}
	void		add(const float *x);
	std::vector<float> mean() const;

private:
	std::vector<double> sum_;
	size_t		count_ = 0;
	bool		to_unit_;
};

}								/* namespace rv */

#endif							/* RV_MODEL_H */
