/* SPDX-License-Identifier: PostgreSQL
 *
 * record_raw.cpp: vectors stored as float32 or float16, in the caller's space; and one entry for every kind of record.
 *
 * float16 holds 65504 at the most and 6e-8 at the least, so a vector out of that range is stored divided by a power
 * of two, head.scale. A vector that came as float16 is never scaled down and so stays exact.
 */
#include "engine/pq.h"
#include "engine/record.h"

namespace rv
{

namespace
{

/* The power of two that brings the largest coordinate into [2^-2, 2^15], 1 when it is there or above already. */
float
half_scale(float largest)
{
	if (!(largest > 0) || !(largest < FLOAT_SAFE) || (largest >= 0.25f && largest <= 32768.0f))
		return 1;
	return std::ldexp(1.0f, std::ilogb(largest) - (largest < 1 ? 0 : 14));
}

}								/* namespace */

void
encode_f32(const float *x, uint32_t dims, double error, double norm, uint8_t *record)
{
	CodeHead	head;

	memset(&head, 0, sizeof(head));
	memset(record, 0, sizeof(head) + round_up(dims * sizeof(float), 16));
	head.scale = 1;
	head.error = float_up(error);
	head.norm = float_up(norm);
	memcpy(record, &head, sizeof(head));
	memcpy(record + sizeof(head), x, dims * sizeof(float));
}

void
encode_f16(const float *x, uint32_t dims, bool l1, double error, double norm, uint8_t *record)
{
	CodeHead	head;
	rv_half    *halves = reinterpret_cast<rv_half *>(record + sizeof(head));
	std::vector<float> back(dims);
	float		largest = 0;
	double		sum = 0;

	memset(&head, 0, sizeof(head));
	memset(record, 0, sizeof(head) + round_up(dims * sizeof(rv_half), 16));
	for (uint32_t i = 0; i < dims; i++)
		largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
	head.scale = half_scale(largest);
	head.norm = float_up(norm);
	for (uint32_t i = 0; i < dims; i++)
		back[i] = x[i] / head.scale;
	rv_kernels()->f32_to_f16(back.data(), halves, dims);
	rv_kernels()->f16_to_f32(halves, back.data(), dims);
	for (uint32_t i = 0; i < dims; i++)
	{
		const double d = x[i] - static_cast<double>(head.scale) * back[i];

		sum += l1 ? std::fabs(d) : d * d;
	}
	error += (l1 ? sum : std::sqrt(sum)) * (1 + 1e-11);
	head.error = error < FLOAT_SAFE ? float_up(error) : INF;	/* also NaN: infinite halves */
	memcpy(record, &head, sizeof(head));
}

void
decode_f32(const uint8_t *record, uint32_t dims, float *x)
{
	memcpy(x, record + sizeof(CodeHead), dims * sizeof(float));
}

void
decode_f16(const uint8_t *record, uint32_t dims, float *x)
{
	const float scale = load<CodeHead>(record).scale;

	rv_kernels()->f16_to_f32(reinterpret_cast<const rv_half *>(record + sizeof(CodeHead)), x, dims);
	if (scale != 1)
		for (uint32_t i = 0; i < dims; i++)
			x[i] *= scale;
}

RecordKind
record_kind(const rv_spec &spec)
{
	if (spec.element == RV_ELEMENT_BIT)
		return RecordKind::bits;
	if (spec.element == RV_ELEMENT_SPARSE)
		return RecordKind::sparse;
	switch (spec.quantization)
	{
		case RV_QUANTIZATION_NONE:
			return spec.element == RV_ELEMENT_F16 ? RecordKind::f16 : RecordKind::f32;
		case RV_QUANTIZATION_F16:
			return RecordKind::f16;
		case RV_QUANTIZATION_PQ16:
			return RecordKind::pq;
		case RV_QUANTIZATION_BINARY:
			return RecordKind::signs;
		default:
			return spec.metric == RV_METRIC_L1 ? RecordKind::sq8_l1 : RecordKind::sq8;
	}
}

rv_spec
primary_spec(const rv_spec &spec)
{
	rv_spec		primary = spec;

	if (record_kind(spec) == RecordKind::pq || record_kind(spec) == RecordKind::signs)
		primary.quantization = RV_QUANTIZATION_SQ8;
	return primary;
}

void
encode_record(float *x, const rv_spec &spec, const Model &model, double error, double norm, uint8_t *record)
{
	switch (record_kind(spec))
	{
		case RecordKind::f32:
			encode_f32(x, spec.dims, error, norm, record);
			break;
		case RecordKind::f16:
			encode_f16(x, spec.dims, spec.metric == RV_METRIC_L1, error, norm, record);
			break;
		case RecordKind::sq8_l1:
			encode_sq8_l1(x, spec.dims, error, record);
			break;
		default:
			model.to_code_space(x, x);

			const double length = norm_f64(x, spec.dims);

			/* As for a query: the rotation and the subtraction. */
			encode_sq8(x, spec.dims, length, (model.rotation.error() + 2 * FLOAT_EPSILON) * length + error, norm, record);
			break;
	}
}

void
encode_vector(float *x, const rv_spec &spec, const Model &model, uint8_t *record)
{
	const double norm = norm_f64(x, spec.dims);
	const bool	to_unit = record_kind(spec) == RecordKind::sq8 && spec.metric == RV_METRIC_COSINE;

	for (uint32_t d = 0; to_unit && d < spec.dims; d++)
		x[d] = static_cast<float>(x[d] / norm);
	encode_record(x, spec, model, to_unit ? 2 * FLOAT_EPSILON : 0, norm, record);
}

double
decode_prime(const uint8_t *record, const rv_spec &spec, const Model &model, float *out)
{
	const CodeHead head = load<CodeHead>(record);
	const RecordKind kind = record_kind(spec);

	if (kind == RecordKind::f32)
		decode_f32(record, spec.dims, out);
	else if (kind == RecordKind::f16)
		decode_f16(record, spec.dims, out);
	else if (kind == RecordKind::sq8_l1)
		decode_sq8_l1(record, spec.dims, out);
	else
	{
		const double error = decode_record(record, spec, model, out);

		/* The way back errs like the way there. */
		const double rounding = (model.rotation.error() + 2 * FLOAT_EPSILON) *
			(norm_f64(out, spec.dims) + norm_f64(model.centre.data(), spec.dims));

		model.from_code_space(out, out);
		return error + rounding;
	}
	if (spec.metric != RV_METRIC_COSINE)
		return head.error;

	/* Raw vectors are stored with their length: error and rounding shrink with it. */
	const double norm = norm_f64(out, spec.dims);

	for (uint32_t i = 0; norm > 0 && i < spec.dims; i++)
		out[i] = static_cast<float>(out[i] / norm);
	return norm > 0 ? 2.00001 * head.error / head.norm + 2 * FLOAT_EPSILON : 2;
}

double
decode_record(const uint8_t *record, const rv_spec &spec, const Model &model, float *out)
{
	const CodeHead head = load<CodeHead>(record);

	switch (record_kind(spec))
	{
		case RecordKind::signs:
			decode_bits(record, spec.dims, out);
			return load<BitsHead>(record).error + load<BitsHead>(record).slack();
		case RecordKind::pq:
			decode_pq(record, model, out);
			return head.error;
		case RecordKind::sq8:
			decode_sq8(record, spec.dims, out);
			return std::fabs(head.error);
		default:
			break;
	}

	const double error = decode_prime(record, spec, model, out);

	if (!model.rotated)
		return error;
	model.to_code_space(out, out);
	return error + (model.rotation.error() + 2 * FLOAT_EPSILON) * norm_f64(out, spec.dims);
}

double
record_norm(const uint8_t *record, const rv_spec &spec)
{
	return record_kind(spec) == RecordKind::signs ? 1 : load<CodeHead>(record).norm;
}

}								/* namespace rv */
