/* SPDX-License-Identifier: PostgreSQL
 *
 * pq.h: product quantization of the rotated vectors: 4 coordinates a byte, 256 centroids for each group of 4.
 *
 * Source: Jegou, Douze & Schmid, "Product quantization for nearest neighbor search", 2011, sections 2 and 3.
 */
#ifndef RV_PQ_H
#define RV_PQ_H

#include "engine/parallel.h"
#include "engine/record.h"

namespace rv
{

constexpr uint32_t PQ_SAMPLE = 4096;	/* 16 points a centroid: more moves the error by under 2 % */

/* Fills model->codebooks. sample: float32[n][dims] in the code space. */
void		train_pq(Model *model, const std::vector<float> &sample, Jobs *jobs);

/* |c|^2 / 2 of every centroid, which makes the nearest one a matter of four products. */
std::vector<float> pq_halves(const Model &model);

void		encode_pq(const float *u, const Model &model, const std::vector<float> &halves, double slack, double norm, uint8_t *record);
void		decode_pq(const uint8_t *record, const Model &model, float *u);

}								/* namespace rv */

#endif							/* RV_PQ_H */
