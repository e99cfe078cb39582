/* SPDX-License-Identifier: PostgreSQL
 *
 * distance_common.h: the last step of the distances that all types share.
 */
#ifndef RV_DISTANCE_COMMON_H
#define RV_DISTANCE_COMMON_H

#include <math.h>

#include "distance/distance.h"

/* 1 - cos(a, b), in [0, 2]: rounding may leave a similarity just outside [-1, 1]. NaN when a norm is zero. */
static inline double
rv_cosine_distance(rv_cosine_sums sums)
{
	double		similarity = (double) sums.dot / sqrt((double) sums.norm_a * (double) sums.norm_b);

	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	return 1 - similarity;
}

/* The angle between two unit vectors over pi, in [0, 1]. */
static inline double
rv_spherical_distance(float dot)
{
	double		cosine = (double) dot;

	if (cosine > 1)
		cosine = 1;
	else if (cosine < -1)
		cosine = -1;
	return acos(cosine) / M_PI;
}

#endif							/* RV_DISTANCE_COMMON_H */
