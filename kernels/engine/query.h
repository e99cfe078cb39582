/* SPDX-License-Identifier: PostgreSQL
 *
 * query.h: a dense query brought into every form that the scorers of a segment need, once per search.
 */
#ifndef RV_QUERY_H
#define RV_QUERY_H

#include "engine/record.h"

namespace rv
{

struct DenseQuery
{
	const Model *model = nullptr;
	std::vector<float> raw;		/* as given */
	std::vector<float> prime;	/* cosine: divided by the norm; else as given */
	double		norm = 0;		/* |q| as given */

	/* Rotated metrics: L2 and cosine R (q' - c), IP R q. */
	std::vector<float> code;
	double		code_norm = 0;
	double		code_slack = 0;	/* >= |true - code| */
	double		centre_dot = 0;	/* IP: <q, c> */

	/* q^ = step * steps */
	std::vector<int16_t> steps;
	double		step = 0;
	double		square = 0;		/* |q^|^2, exact */
	double		error = 0;		/* >= |true - q^| */

	/* The same more coarsely, for sorting out what is far. Empty: not to be had. */
	std::vector<int8_t> byte_steps;
	double		byte_step = 0;
	double		byte_square = 0;
	double		byte_error = 0;

	/* 4-bit planes: code ~ bit_step * (level - 7.5) */
	std::vector<uint64_t> planes;
	float		bit_step = 0;
	float		level_sum = 0;	/* sum of levels - 7.5 dims */

	DenseQuery(const Model *model_, const float *values);
	void		prepare_steps();
	void		prepare_byte_steps();
	void		prepare_planes();

	/* <code, signs of a 1-bit record>, from sum over set bits of the levels */
	float
	sign_dot(uint32_t level_dot, uint32_t ones) const
	{
		return bit_step * (2.0f * static_cast<float>(level_dot) - 15.0f * static_cast<float>(ones) - level_sum);
	}
};

/* Any caller's dense vector as float32; fails on other counts, NaN and infinity. out: float[dims]. */
void		read_dense(const rv_vector *vector, rv_element element, uint32_t dims, float *out);

}								/* namespace rv */

#endif							/* RV_QUERY_H */
