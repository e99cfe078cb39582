/* SPDX-License-Identifier: PostgreSQL
 *
 * scorer.cpp: the scorer for the records of a segment.
 */
#include "engine/scorers.h"

namespace rv
{

void
emit_pair(const DenseQuery &query, const Pair &pair, double norm, rv_hit *hit)
{
	const uint32_t dims = query.model->dims;

	switch (query.model->metric)
	{
		case RV_METRIC_IP:
			{
				Interval	i = dot_interval(pair);

				i.estimate += query.centre_dot;
				i.lower += query.centre_dot;
				i.upper += query.centre_dot;
				emit_ip(i, dims, query.norm * norm, hit);
				break;
			}
		case RV_METRIC_COSINE:
			emit_cosine(l2_interval(pair), dims, query.norm, norm, hit);
			break;
		default:
			emit_l2(l2_interval(pair), dims, hit);
			break;
	}
}

std::unique_ptr<Scorer>
make_stored_scorer(const rv_segment *segment, const DenseQuery &query)
{
	switch (record_kind(segment->spec))
	{
		case RecordKind::sq8:
			return make_sq8_scorer(segment, query);
		case RecordKind::sq8_l1:
			return make_l1_scorer(segment, query);
		case RecordKind::pq:
			return make_pq_scorer(segment, query);
		case RecordKind::signs:
			return make_signs_scorer(segment, query, segment->codes);
		case RecordKind::f32:
		case RecordKind::f16:
			return make_raw_scorer(segment, query);
		default:
			fail(RV_INVALID, "a dense query cannot be compared with this segment");
	}
}

std::unique_ptr<Scorer>
make_traversal_scorer(const rv_segment *segment, const DenseQuery &query)
{
	if (segment->header.traversal_stride == 0)
		return nullptr;
	return make_signs_scorer(segment, query, segment->traversal);
}

}								/* namespace rv */
