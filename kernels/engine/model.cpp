/* SPDX-License-Identifier: PostgreSQL
 *
 * model.cpp: the rotation, and the stored form of the trained parameters.
 */
#include "engine/record.h"

namespace rv
{

namespace
{

struct StoredModel
{
	uint32_t	dims;
	uint32_t	rotated;
	uint64_t	rotation_seed;
	uint32_t	centre_count;
	uint32_t	codebook_count;
};

static_assert(sizeof(StoredModel) == 24, "stored layout");

uint32_t
power_of_two_below(uint32_t n)
{
	uint32_t	p = 1;

	while (p * 2 <= n)
		p *= 2;
	return p;
}

uint32_t
rounds_at(uint32_t dims)
{
	return dims < 2 ? 0 : power_of_two_below(dims) == dims ? 3 : 4;
}

void
flip_signs(float *x, const uint32_t *signs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	bits = load<uint32_t>(x + i) ^ signs[i];

		memcpy(x + i, &bits, sizeof(bits));
	}
}

/* Its own inverse. */
void
mix_halves(float *x, uint32_t n)
{
	const uint32_t half = n / 2;
	float	   *y = x + (n - half);
	const float s = 0.70710678118654752f;

	for (uint32_t i = 0; i < half; i++)
	{
		float		a = x[i],
					b = y[i];

		x[i] = (a + b) * s;
		y[i] = (a - b) * s;
	}
}

void
hadamard_block(float *x, uint32_t block)
{
	const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(block)));

	rv_kernels()->hadamard(x, block);
	for (uint32_t i = 0; i < block; i++)
		x[i] *= scale;
}

}								/* namespace */

double
Rotation::error_at(uint32_t dims)
{
	uint32_t	log2_block = 0;

	while ((2u << log2_block) <= dims)
		log2_block++;
	return rounds_at(dims) * (log2_block + 6.0) * FLOAT_EPSILON;
}

Rotation::Rotation(uint32_t dims, uint64_t seed)
	: dims_(dims), block_(power_of_two_below(dims)), rounds_(rounds_at(dims))
{
	signs_.resize(static_cast<size_t>(rounds_) * dims_);
	for (size_t i = 0; i < signs_.size(); i++)
		signs_[i] = static_cast<uint32_t>(mix64(seed + i / 64) >> (i % 64)) << 31;
}

void
Rotation::apply(float *x) const
{
	for (uint32_t round = 0; round < rounds_; round++)
	{
		flip_signs(x, signs_.data() + static_cast<size_t>(round) * dims_, dims_);
		hadamard_block(x + (round % 2 == 0 ? 0 : dims_ - block_), block_);
		if (block_ != dims_)
			mix_halves(x, dims_);
	}
}

void
Rotation::invert(float *x) const
{
	for (uint32_t round = rounds_; round-- > 0;)
	{
		if (block_ != dims_)
			mix_halves(x, dims_);
		hadamard_block(x + (round % 2 == 0 ? 0 : dims_ - block_), block_);
		flip_signs(x, signs_.data() + static_cast<size_t>(round) * dims_, dims_);
	}
}

bool
Model::metric_is_rotated(rv_metric metric, rv_element element)
{
	return (element == RV_ELEMENT_F32 || element == RV_ELEMENT_F16) &&
		(metric == RV_METRIC_L2 || metric == RV_METRIC_IP || metric == RV_METRIC_COSINE);
}

void
Model::set_rotation(uint64_t seed)
{
	rotated = true;
	rotation_seed = seed;
	rotation = Rotation(dims, seed);
}

void
Model::set_centre(std::vector<float> mean)
{
	centre = std::move(mean);
	rotated_centre = centre;
	rotation.apply(rotated_centre.data());
}

void
Model::to_code_space(const float *x, float *out) const
{
	for (uint32_t i = 0; i < dims; i++)
		out[i] = x[i] - centre[i];
	rotation.apply(out);
}

void
Model::from_code_space(const float *u, float *out) const
{
	if (out != u)
		memcpy(out, u, dims * sizeof(float));
	rotation.invert(out);
	for (uint32_t i = 0; i < dims; i++)
		out[i] += centre[i];
}

void
CentreSum::add(const float *x)
{
	const double weight = to_unit_ ? 1.0 / norm_f64(x, sum_.size()) : 1.0;

	for (size_t d = 0; d < sum_.size(); d++)
		sum_[d] += x[d] * weight;
	count_++;
}

std::vector<float>
CentreSum::mean() const
{
	std::vector<float> mean(sum_.size());

	for (size_t d = 0; d < sum_.size(); d++)
	{
		const double m = count_ > 0 ? sum_[d] / static_cast<double>(count_) : 0;

		mean[d] = std::fabs(m) < FLOAT_SAFE ? static_cast<float>(m) : 0;
	}
	return mean;
}

size_t
Model::stored_size() const
{
	return sizeof(StoredModel) + (centre.size() + codebooks.size()) * sizeof(float);
}

void
Model::store(uint8_t *out) const
{
	StoredModel stored = {dims, rotated ? 1u : 0u, rotation_seed, static_cast<uint32_t>(centre.size()),
						  static_cast<uint32_t>(codebooks.size())};

	memcpy(out, &stored, sizeof(stored));
	out += sizeof(stored);
	if (!centre.empty())
		memcpy(out, centre.data(), centre.size() * sizeof(float));
	out += centre.size() * sizeof(float);
	if (!codebooks.empty())
		memcpy(out, codebooks.data(), codebooks.size() * sizeof(float));
}

Model
Model::parse(const uint8_t *data, size_t size, const rv_spec &spec)
{
	Model		model;

	model.dims = spec.dims;
	model.metric = spec.metric;
	if (size < sizeof(StoredModel))
		fail(RV_CORRUPT, "section \"model\" is too short");

	const StoredModel stored = load<StoredModel>(data);
	const bool	rotated = metric_is_rotated(spec.metric, spec.element);
	const uint64_t codebooks = rotated && spec.quantization == RV_QUANTIZATION_PQ16 ?
		static_cast<uint64_t>(model.pq_subs()) * PQ_CENTROIDS * PQ_SUB_DIMS : 0;

	if (stored.dims != spec.dims || (stored.rotated != 0) != rotated ||
		stored.centre_count != (rotated ? spec.dims : 0) || stored.codebook_count != codebooks ||
		size != sizeof(StoredModel) + (stored.centre_count + codebooks) * sizeof(float))
		fail(RV_CORRUPT, "section \"model\" does not fit the header");
	if (!rotated)
		return model;

	std::vector<float> mean(stored.centre_count);

	memcpy(mean.data(), data + sizeof(StoredModel), mean.size() * sizeof(float));
	model.codebooks.resize(stored.codebook_count);
	if (!model.codebooks.empty())
		memcpy(model.codebooks.data(), data + sizeof(StoredModel) + mean.size() * sizeof(float),
			   model.codebooks.size() * sizeof(float));
	model.set_rotation(stored.rotation_seed);
	model.set_centre(std::move(mean));
	return model;
}

bool
Model::equals(const Model &other) const
{
	return dims == other.dims && metric == other.metric && rotated == other.rotated &&
		rotation_seed == other.rotation_seed && centre == other.centre && codebooks == other.codebooks;
}

}								/* namespace rv */
