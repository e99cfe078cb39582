/* SPDX-License-Identifier: PostgreSQL
 *
 * coder.cpp: making coders, and records by them. search.cpp searches the records.
 */
#include "engine/coder.h"

#include <memory>

#include "engine/query.h"

using namespace rv;

namespace
{

/* As the record is made of it. */
std::vector<float>
read_vector(const rv_vector *vector, const rv_spec &spec)
{
	std::vector<float> values(spec.dims);

	read_dense(vector, spec.element, spec.dims, values.data());
	if (spec.metric == RV_METRIC_COSINE && !(norm_f64(values.data(), spec.dims) > 0))
		fail(RV_INVALID, "a zero vector has no cosine distance");
	return values;
}

rv_spec
spec_of_coder(const rv_spec &asked)
{
	rv_spec		spec = {};

	if (!Model::metric_is_rotated(asked.metric, asked.element))
		fail(RV_UNSUPPORTED, "vectors of element %d under metric %d are not coded", asked.element, asked.metric);
	if (asked.dims < 1 || asked.dims > 16000)
		fail(RV_INVALID, "dims must be between 1 and 16000, not %u", asked.dims);
	spec.kind = RV_KIND_FLAT;
	spec.metric = asked.metric;
	spec.element = asked.element;
	spec.quantization = RV_QUANTIZATION_SQ8;
	spec.dims = asked.dims;
	return spec;
}

Model
model_of_sample(const rv_spec &spec, uint64_t seed, const rv_vector *sample, uint32_t sampled)
{
	Model		model;
	CentreSum	sum(spec);

	model.dims = spec.dims;
	model.metric = spec.metric;
	for (uint32_t i = 0; i < sampled; i++)
		sum.add(read_vector(&sample[i], spec).data());
	model.set_rotation(mix64(seed));
	model.set_centre(sum.mean());
	return model;
}

}								/* namespace */

rv_segment
rv_coder::segment_of(const void *records, uint32_t count) const
{
	rv_segment	segment;

	segment.spec = spec;
	segment.header.nodes = segment.header.slots = count;
	segment.header.code_stride = stored_stride(spec);
	segment.codes.data = static_cast<const uint8_t *>(records);
	segment.codes.size = static_cast<size_t>(count) * segment.header.code_stride;
	return segment;
}

extern "C"
{

rv_status
rv_coder_new(const rv_spec *spec, const rv_segment *model, const rv_vector *sample, uint32_t sampled, rv_coder **out,
			 rv_error *error)
{
	*out = nullptr;
	return guarded(error, [&] {
		auto		coder = std::make_unique<rv_coder>();

		coder->spec = spec_of_coder(*spec);
		if (model == nullptr)
			coder->model = model_of_sample(coder->spec, spec->seed, sample, sampled);
		else if (model->spec.metric != spec->metric || model->spec.element != spec->element || model->spec.dims != spec->dims)
			fail(RV_INVALID, "model is of another metric, element or number of dimensions");
		else
		{
			coder->model = model->model;
			coder->model.codebooks = {};
		}
		*out = coder.release();
		return RV_OK;
	});
}

size_t
rv_coder_bytes(const rv_coder *coder)
{
	return sizeof(*coder) + coder->model.bytes();
}

size_t
rv_coder_record_bytes(const rv_coder *coder)
{
	return stored_stride(coder->spec);
}

rv_status
rv_coder_encode(const rv_coder *coder, const rv_vector *vector, void *record, rv_error *error)
{
	return guarded(error, [&] {
		encode_vector(read_vector(vector, coder->spec).data(), coder->spec, coder->model, static_cast<uint8_t *>(record));
		return RV_OK;
	});
}

void
rv_coder_free(rv_coder *coder)
{
	delete coder;
}

}								/* extern "C" */
