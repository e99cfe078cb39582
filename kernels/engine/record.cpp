/* SPDX-License-Identifier: PostgreSQL
 *
 * record.cpp: coding and decoding of one dense vector as 8-bit and 1-bit codes.
 */
#include "engine/record.h"

#include <algorithm>

namespace rv
{

uint32_t
stored_stride(const rv_spec &spec)
{
	const uint32_t head = sizeof(CodeHead);

	if (spec.element == RV_ELEMENT_SPARSE)
		return 0;
	if (spec.element == RV_ELEMENT_BIT)
		return static_cast<uint32_t>(round_up((spec.dims + 7) / 8, 8));
	switch (spec.quantization)
	{
		case RV_QUANTIZATION_SQ8:
			return sq8_stride(spec.dims);
		case RV_QUANTIZATION_PQ16:
			return head + static_cast<uint32_t>(round_up((spec.dims + PQ_SUB_DIMS - 1) / PQ_SUB_DIMS, 16));
		case RV_QUANTIZATION_BINARY:
			return bits_stride(spec.dims);
		case RV_QUANTIZATION_F16:
			return head + static_cast<uint32_t>(round_up(spec.dims * 2, 16));
		case RV_QUANTIZATION_NONE:
			if (spec.element == RV_ELEMENT_F16)
				return head + static_cast<uint32_t>(round_up(spec.dims * 2, 16));
			return head + static_cast<uint32_t>(round_up(spec.dims * 4, 16));
	}
	return 0;
}

uint32_t
traversal_stride(const rv_spec &spec)
{
	if (!Model::metric_is_rotated(spec.metric, spec.element) || spec.dims < TRAVERSAL_MIN_DIMS ||
		spec.quantization == RV_QUANTIZATION_BINARY || spec.kind == RV_KIND_IVF)
		return 0;
	return bits_stride(spec.dims);
}

/* Rotation, subtraction and division by the norm: see DenseQuery. */
double
orthogonal_slack(uint32_t dims, double norm)
{
	return (Rotation::error_at(dims) + 4 * FLOAT_EPSILON) * norm + 4 * FLOAT_EPSILON;
}

namespace
{

/* The sum of term(0 .. n - 1), in eight parts: in one, every addition would wait for the one before. */
template <typename Term>
double
sum_f64(size_t n, Term term)
{
	double		sum[8] = {};
	size_t		i = 0;

	for (; i + 8 <= n; i += 8)
#pragma GCC unroll 8
		for (size_t lane = 0; lane < 8; lane++)
			sum[lane] += term(i + lane);
	for (; i < n; i++)
		sum[0] += term(i);
	return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

}								/* namespace */

double
norm_f64(const float *x, size_t n)
{
	return std::sqrt(sum_f64(n, [x](size_t i) { return static_cast<double>(x[i]) * x[i]; }));
}

/* In eight parts, as above, and without branches, here and below: those
 * on signs and sizes of numbers are mispredicted half of the time. */
float
largest_magnitude(const float *x, uint32_t n)
{
	float		largest[8] = {};
	uint32_t	strange = 0;
	uint32_t	i = 0;

	for (; i + 8 <= n; i += 8)
#pragma GCC unroll 8
		for (uint32_t lane = 0; lane < 8; lane++)
		{
			const float a = std::fabs(x[i + lane]);

			largest[lane] = std::max(largest[lane], a);
			strange |= !(a < INF);
		}
	for (; i < n; i++)
	{
		largest[0] = std::max(largest[0], std::fabs(x[i]));
		strange |= !(std::fabs(x[i]) < INF);
	}
	return strange != 0 ? INF : *std::max_element(largest, largest + 8);
}

void
round_codes(const float *x, uint32_t n, float centre, float inverse, int8_t *codes)
{
	for (uint32_t i = 0; i < n; i++)
	{
		const float v = std::min(std::max((x[i] - centre) * inverse, -127.0f), 127.0f);

		codes[i] = static_cast<int8_t>(v + std::copysign(0.5f, v));
	}
}

void
encode_sq8(const float *u, uint32_t dims, double u_norm, double slack, double norm, uint8_t *record)
{
	CodeHead	head;
	int8_t	   *codes = reinterpret_cast<int8_t *>(record + sizeof(head));
	const float largest = largest_magnitude(u, dims);

	memset(record, 0, sq8_stride(dims));
	memset(&head, 0, sizeof(head));
	head.norm = float_up(norm);
	if (!(largest < FLOAT_SAFE))
		head.error = INF;
	else if (largest < 1e-30f)
		head.error = float_up(u_norm * (1 + 1e-12) + slack);
	else
	{
		round_codes(u, dims, 0, 127.0f / largest, codes);
		head.square = rv_kernels()->dot_i8(codes, codes, dims);

		/* least squares: the error is orthogonal to the code */
		const double dot = sum_f64(dims, [=](size_t i) { return static_cast<double>(u[i]) * codes[i]; });
		const float scale = static_cast<float>(dot / head.square);

		/* |u - scale code|^2 without another pass. It is a small difference of three terms of about |u|^2, two of them sums of dims
		 * float64: what that may have lost, at most 2 (dims / 8 + 8) 2^-53 of them each, is added. */
		const double square = u_norm * u_norm;
		const double error2 = square - 2 * scale * dot + static_cast<double>(scale) * scale * head.square;

		head.scale = scale;
		head.error = float_up(std::sqrt(std::max(error2, 0.0) + (dims / 8 + 8) * 1e-15 * square) * (1 + 1e-11) + slack);
		if (slack > orthogonal_slack(dims, u_norm))
			head.error = -head.error;
	}
	memcpy(record, &head, sizeof(head));
}

void
encode_sq8_l1(const float *x, uint32_t dims, double error, uint8_t *record)
{
	CodeHead	head;
	int8_t	   *codes = reinterpret_cast<int8_t *>(record + sizeof(head));
	float		low = dims > 0 ? x[0] : 0,
				high = low;

	memset(record, 0, sq8_stride(dims));
	memset(&head, 0, sizeof(head));
	for (uint32_t i = 1; i < dims; i++)
	{
		low = x[i] < low ? x[i] : low;
		high = x[i] > high ? x[i] : high;
	}
	if (!(std::fabs(low) < FLOAT_SAFE && std::fabs(high) < FLOAT_SAFE))
		head.error = INF;
	else
	{
		head.offset = static_cast<float>((static_cast<double>(low) + high) / 2);
		head.scale = static_cast<float>((static_cast<double>(high) - low) / 254);
		if (head.scale > 1e-35f)
			round_codes(x, dims, head.offset, 1.0f / head.scale, codes);
		else
			head.scale = 0;
		for (uint32_t i = 0; i < dims; i++)
			error += std::fabs(x[i] - (static_cast<double>(head.scale) * codes[i] + head.offset));
		head.error = float_up(error * (1 + 1e-11));
	}
	memcpy(record, &head, sizeof(head));
}

void
encode_bits(const float *u, uint32_t dims, double slack, uint8_t *record)
{
	BitsHead	head;
	const uint32_t words = bit_words(dims);
	double		sum = 0,
				square = 0;

	memset(&head, 0, sizeof(head));
	memset(record, 0, bits_stride(dims));
	if (!(largest_magnitude(u, dims) < FLOAT_SAFE))
	{
		head.error = INF;
		memcpy(record, &head, sizeof(head));
		return;
	}
	for (uint32_t w = 0; w < words; w++)
	{
		const uint32_t end = dims - w * 64 < 64 ? dims - w * 64 : 64;
		uint64_t	bits = 0;

		for (uint32_t i = 0; i < end; i++)
		{
			const float v = u[w * 64 + i];

			bits |= static_cast<uint64_t>(v >= 0) << i;
			sum += std::fabs(v);
			square += static_cast<double>(v) * v;
		}
		memcpy(record + sizeof(head) + w * 8, &bits, 8);
		head.ones = static_cast<uint16_t>(head.ones + __builtin_popcountll(bits));
	}

	const double steps = square > 0 ? std::ceil(slack / std::sqrt(square) * 32000 * (1 + 1e-6)) : 0;

	/* Where float32 cannot hold the factors, the decoded vector is zero. */
	if (square > FLOAT_SAFE || steps > UINT16_MAX)
		head.error = INF;
	else if (square < 1e-30)
		head.error = float_up(std::sqrt(square) * (1 + 1e-11) + slack);
	else
	{
		const double rest = square - sum * sum / dims;

		/* Sums of dims doubles: relative error below dims * 2^-53, times square in the difference. */
		head.error = float_up(std::sqrt((rest > 0 ? rest : 0) + square * 4e-12));
		head.square = static_cast<float>(square);
		head.factor = static_cast<float>(square / sum);
		head.slack_steps = static_cast<uint16_t>(steps);
	}
	memcpy(record, &head, sizeof(head));
}

void
decode_sq8(const uint8_t *record, uint32_t dims, float *u)
{
	const CodeHead head = load<CodeHead>(record);
	const int8_t *codes = reinterpret_cast<const int8_t *>(record + sizeof(head));

	for (uint32_t i = 0; i < dims; i++)
		u[i] = head.scale * codes[i];
}

void
decode_sq8_l1(const uint8_t *record, uint32_t dims, float *x)
{
	const CodeHead head = load<CodeHead>(record);
	const int8_t *codes = reinterpret_cast<const int8_t *>(record + sizeof(head));

	for (uint32_t i = 0; i < dims; i++)
		x[i] = head.scale * codes[i] + head.offset;
}

void
decode_bits(const uint8_t *record, uint32_t dims, float *u)
{
	const BitsHead head = load<BitsHead>(record);
	const float alpha = head.factor > 0 ? head.square / (head.factor * static_cast<float>(dims)) : 0;

	for (uint32_t i = 0; i < dims; i++)
		u[i] = ((record[sizeof(head) + i / 8] >> (i % 8)) & 1) != 0 ? alpha : -alpha;
}

}								/* namespace rv */
