/* SPDX-License-Identifier: PostgreSQL
 *
 * bounds.h: from approximate sums to an interval that surely contains the distance the SQL function computes.
 *
 * Three errors are added up: of the vector's code (|u - x^| <= e), of the query's code (|q - q^| <= f), and that of
 * float32 arithmetic in the SQL function (distance.h: a sum of n terms errs by at most (n / 8 + 8) 2^-24 of the sum
 * of the absolute terms; the terms themselves by another 3 * 2^-24).
 *
 * L2, triangle inequality: | |q - u| - |q^ - x^| | <= e + f.
 * When the scale was fitted, r = u - x^ is orthogonal to x^ (up to delta), so with p the part of q^ orthogonal to x^:
 *   |q^ - u|^2 = |q^ - x^|^2 + |r|^2 - 2 <p, r> -> within |q^ - x^|^2 + |r|^2 -+ 2 |p| |r|, and |p| <= |q^ - x^|.
 * IP, Cauchy-Schwarz: |<q, u> - <q^, x^>| <= |p| e + f (|x^| + e).
 * Cosine: 1 - <q', x'> = |q' - x'|^2 / 2 on the unit sphere.
 */
#ifndef RV_BOUNDS_H
#define RV_BOUNDS_H

#include "engine/internal.h"

namespace rv
{

/* What a scorer knows of one pair. Norms and dot in the code space, exact up to double rounding. */
struct Pair
{
	double		query2;			/* |q^|^2 */
	double		code2;			/* |x^|^2 */
	double		dot;			/* <q^, x^> */
	double		error;			/* e, of r */
	double		slack;			/* what may be between u and the truth beside it */
	double		query_error;	/* f */
	double		delta;			/* >= |<u - x^, x^>|; < 0: not orthogonal */
};

struct Interval
{
	double		estimate,
				lower,
				upper;
};

/* float32 rounding of the SQL function at these dims, relative to the sum of the absolute terms. */
inline double
sql_rounding(uint32_t dims)
{
	return (dims / 8.0 + 16.0) * FLOAT_EPSILON;
}

/* |q - u| in the code space, before the SQL function's own rounding. */
inline Interval
l2_interval(const Pair &p)
{
	const double size2 = p.query2 + p.code2;
	const double base = p.query2 + p.code2 - 2 * p.dot;
	const double base_low = base - 1e-14 * size2 > 0 ? base - 1e-14 * size2 : 0;
	const double base_high = (base > 0 ? base : 0) + 1e-14 * size2;
	const double e = p.error;
	double		lower = std::sqrt(base_low) - e;
	double		upper = std::sqrt(base_high) + e;
	double		estimate2 = base > 0 ? base : 0;

	if (p.delta >= 0 && p.code2 > 0)
	{
		const double perpendicular2 = p.query2 - p.dot / p.code2 * p.dot + 1e-14 * size2;
		const double perpendicular = perpendicular2 > 0 ? std::sqrt(perpendicular2) : 0;
		const double slip = 2 * (std::fabs(p.dot) / p.code2 + 1) * p.delta;
		const double least = perpendicular >= e ? e * e - 2 * perpendicular * e : -perpendicular * perpendicular;
		const double lower2 = base_low + least - slip;
		const double upper2 = base_high + e * e + 2 * perpendicular * e + slip;

		if (lower2 > 0 && std::sqrt(lower2) > lower)
			lower = std::sqrt(lower2);
		if (upper2 < upper * upper)
			upper = std::sqrt(upper2);
		estimate2 += e * e;
	}
	return {std::sqrt(estimate2), (lower - p.query_error - p.slack) * (1 - 1e-14),
		(upper + p.query_error + p.slack) * (1 + 1e-14)};
}

/* <q, u> */
inline Interval
dot_interval(const Pair &p)
{
	const double query = std::sqrt(p.query2);
	const double code = std::sqrt(p.code2);
	double		margin = query * p.error;

	if (p.delta >= 0 && p.code2 > 0)
	{
		const double perpendicular2 = p.query2 - p.dot / p.code2 * p.dot + 1e-14 * p.query2;
		const double better = (perpendicular2 > 0 ? std::sqrt(perpendicular2) : 0) * p.error +
			std::fabs(p.dot) / p.code2 * p.delta;

		margin = better < margin ? better : margin;
	}
	margin += p.query_error * (code + p.error + p.slack) + query * p.slack + 1e-13 * query * code;
	return {p.dot, p.dot - margin, p.dot + margin};
}

/* Writes an interval of SQL distances; NaN (an overflow met infinity) means nothing is known. least: the metric's
 * own minimum, most: its maximum. */
inline void
emit(Interval i, double least, double most, rv_hit *hit)
{
	if (!(i.lower >= least))
		i.lower = least;
	if (!(i.upper <= most))
		i.upper = most;
	if (!(i.estimate >= i.lower))
		i.estimate = i.lower;
	if (!(i.estimate <= i.upper))
		i.estimate = i.upper;
	hit->lower = float_down(i.lower);
	hit->upper = float_up(i.upper);
	hit->estimate = static_cast<float>(i.estimate);
	if (!std::isfinite(hit->estimate))
		hit->estimate = std::isfinite(hit->lower) ? hit->lower : i.estimate < 0 ? -std::numeric_limits<float>::max() : INF;
}

/* The SQL function's rounding, and its overflow and underflow, around an interval of true distances. */
inline void
emit_l2(Interval i, uint32_t dims, rv_hit *hit)
{
	const double rounding = sql_rounding(dims) / 2;

	i.lower = i.lower * (1 - rounding) - 1e-20;	/* squares below 2^-149 vanish: sqrt(16000 * 2^-149) < 1e-20 */
	i.upper = i.upper > 1e19 ? INF : i.upper * (1 + rounding) + 1e-20;
	emit(i, 0, INF, hit);
}

/* The sums of the SQL function under inner product and cosine neither overflow nor vanish in float32. */
inline bool
sql_is_sound(rv_metric metric, double query_norm, double norm)
{
	if (metric == RV_METRIC_IP)
		return query_norm * norm < FLOAT_SAFE;
	return query_norm > 1e-15 && norm > 1e-15 && query_norm < 1e18 && norm < 1e18;
}

inline void
emit_cosine(Interval i, uint32_t dims, double query_norm, double norm, rv_hit *hit)
{
	const double rounding = 4 * sql_rounding(dims);

	if (!sql_is_sound(RV_METRIC_COSINE, query_norm, norm))
		i.lower = i.upper = std::numeric_limits<double>::quiet_NaN();
	else
	{
		i.lower = (i.lower > 0 ? i.lower * i.lower / 2 : 0) - rounding;
		i.upper = i.upper * i.upper / 2 + rounding;
	}
	i.estimate = i.estimate * i.estimate / 2;
	emit(i, 0, 2, hit);
}

inline void
emit_l1(Interval i, uint32_t dims, rv_hit *hit)
{
	const double rounding = sql_rounding(dims);

	i.lower = i.lower * (1 - rounding) - 1e-40;
	i.upper = i.upper > FLOAT_SAFE ? INF : i.upper * (1 + rounding) + 1e-40;
	emit(i, 0, INF, hit);
}

/* similarity: an interval of <q, x>; sizes: |q| |x|, at least. */
inline void
emit_ip(Interval similarity, uint32_t dims, double sizes, rv_hit *hit)
{
	const double slack = sql_rounding(dims) * sizes + 1e-40;
	Interval	i = {-similarity.estimate, -similarity.upper - slack, -similarity.lower + slack};

	if (!(sizes < FLOAT_SAFE))	/* as sql_is_sound */
		i.lower = i.upper = std::numeric_limits<double>::quiet_NaN();
	emit(i, -INF, INF, hit);
}

}								/* namespace rv */

#endif							/* RV_BOUNDS_H */
