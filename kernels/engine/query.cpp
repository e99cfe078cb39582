/* SPDX-License-Identifier: PostgreSQL
 *
 * query.cpp: preparing a dense query.
 */
#include "engine/query.h"

namespace rv
{

void
read_dense(const rv_vector *vector, rv_element element, uint32_t dims, float *out)
{
	if (vector->count != dims)
		fail(RV_INVALID, "expected %u dimensions, not %u", dims, vector->count);
	if (element == RV_ELEMENT_F32)
		memcpy(out, vector->values, dims * sizeof(float));
	else
	{
		std::vector<rv_half> aligned(dims);

		memcpy(aligned.data(), vector->values, dims * sizeof(rv_half));
		rv_kernels()->f16_to_f32(aligned.data(), out, dims);
	}
	for (uint32_t i = 0; i < dims; i++)
		if (!std::isfinite(out[i]))
			fail(RV_INVALID, "NaN and infinity are not allowed in a vector");
}

DenseQuery::DenseQuery(const Model *model_, const float *values)
	: model(model_), raw(values, values + model_->dims), prime(raw), norm(norm_f64(values, model_->dims))
{
	const uint32_t dims = model->dims;

	if (!model->rotated)
		return;
	if (model->metric == RV_METRIC_COSINE)
	{
		if (norm == 0)
			fail(RV_INVALID, "a zero vector has no cosine distance");
		for (float &x : prime)
			x = static_cast<float>(x / norm);
	}
	code.resize(dims);
	if (model->metric == RV_METRIC_IP)
	{
		code = prime;
		model->rotation.apply(code.data());
		for (uint32_t i = 0; i < dims; i++)
			centre_dot += static_cast<double>(prime[i]) * model->centre[i];
	}
	else
		model->to_code_space(prime.data(), code.data());
	code_norm = norm_f64(code.data(), dims);

	/* The rotation's error, one rounding of the subtraction, and one of the division by the norm (of size 1). */
	code_slack = (model->rotation.error() + 2 * FLOAT_EPSILON) * code_norm +
		(model->metric == RV_METRIC_COSINE ? 2 * FLOAT_EPSILON : 0);
}

void
DenseQuery::prepare_steps()
{
	const uint32_t dims = model->dims;
	const int64_t fit = INT32_MAX / (127 * static_cast<int64_t>(dims > 0 ? dims : 1));
	const float limit = static_cast<float>(fit < 4095 ? fit : 4095);	/* so that no sum of products overflows */
	float		largest = 0;

	steps.assign(round_up(dims, 16), 0);
	for (uint32_t i = 0; i < dims; i++)
		if (!(std::fabs(code[i]) <= largest))
			largest = std::fabs(code[i]);
	if (!(largest < FLOAT_SAFE) || largest < 1e-30f)
	{
		error = largest < 1e-30f ? code_norm * (1 + 1e-12) + code_slack : std::numeric_limits<double>::infinity();
		return;
	}

	const float inverse = limit / largest;
	double		error2 = 0;
	int64_t		sum = 0;

	step = static_cast<double>(largest) / limit;
	for (uint32_t i = 0; i < dims; i++)
	{
		float		v = code[i] * inverse;

		v = v > limit ? limit : v < -limit ? -limit : v;
		steps[i] = static_cast<int16_t>(v + (v < 0 ? -0.5f : 0.5f));

		const double d = code[i] - step * steps[i];

		error2 += d * d;
		sum += static_cast<int64_t>(steps[i]) * steps[i];
	}
	square = step * step * static_cast<double>(sum);
	error = std::sqrt(error2) * (1 + 1e-11) + code_slack;
}

void
DenseQuery::prepare_byte_steps()
{
	const uint32_t dims = model->dims;
	float		largest = 0;
	double		error2 = 0;
	int64_t		sum = 0;

	for (uint32_t i = 0; i < dims; i++)
		if (!(std::fabs(code[i]) <= largest))
			largest = std::fabs(code[i]);
	if (!(largest < FLOAT_SAFE) || largest < 1e-30f)
		return;
	byte_steps.assign(round_up(dims, 16), 0);
	byte_step = static_cast<double>(largest) / 127;
	for (uint32_t i = 0; i < dims; i++)
	{
		const double v = std::nearbyint(code[i] / byte_step);	/* largest / byte_step may round to above 127, not by a half */

		byte_steps[i] = static_cast<int8_t>(v);

		const double d = code[i] - byte_step * v;

		error2 += d * d;
		sum += static_cast<int64_t>(byte_steps[i]) * byte_steps[i];
	}
	byte_square = byte_step * byte_step * static_cast<double>(sum);
	byte_error = std::sqrt(error2) * (1 + 1e-11) + code_slack;
}

void
DenseQuery::prepare_planes()
{
	const uint32_t dims = model->dims;
	const uint32_t words = bit_words(dims);

	planes.assign(static_cast<size_t>(words) * RV_QUERY_BITS, 0);
	if (!(code_norm < FLOAT_SAFE) || code_norm < 1e-30)
		return;

	/* 16 levels over +-2.7 standard deviations: the least squares range of a 4-bit uniform quantizer of a normal
	 * variable, which the coordinates of a rotated vector resemble (Max, "Quantizing for minimum distortion", 1960). */
	const float range = static_cast<float>(2.68 * code_norm / std::sqrt(static_cast<double>(dims)));
	int64_t		sum = 0;

	bit_step = range / 8.0f;
	for (uint32_t i = 0; i < dims; i++)
	{
		float		v = std::floor(code[i] / bit_step) + 8.0f;

		v = v > 15.0f ? 15.0f : v < 0.0f ? 0.0f : v;

		const uint32_t level = static_cast<uint32_t>(v);

		sum += level;
		for (uint32_t plane = 0; plane < RV_QUERY_BITS; plane++)
			planes[static_cast<size_t>(plane) * words + i / 64] |= static_cast<uint64_t>((level >> plane) & 1) << (i % 64);
	}
	level_sum = static_cast<float>(static_cast<double>(sum) - 7.5 * dims);
}

}								/* namespace rv */
