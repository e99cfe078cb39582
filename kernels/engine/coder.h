/* SPDX-License-Identifier: PostgreSQL
 *
 * coder.h: records of vectors that are in no segment. What a coder makes of one is what a builder of quantization sq8 with the
 * same model would, so every scorer and bound of segments holds for it.
 */
#ifndef RV_CODER_H
#define RV_CODER_H

#include "engine/segment.h"

struct rv_coder
{
	rv_spec		spec = {};
	rv::Model	model;

	/* Records as a segment without anything else: no keys, and the model is the coder's. */
	rv_segment	segment_of(const void *records, uint32_t count) const;
};

#endif							/* RV_CODER_H */
