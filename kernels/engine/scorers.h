/* SPDX-License-Identifier: PostgreSQL
 *
 * scorers.h: the scorers there are, one for each kind of record; for scorer.cpp, which chooses among them.
 */
#ifndef RV_SCORERS_H
#define RV_SCORERS_H

#include "engine/bounds.h"
#include "engine/scorer.h"

namespace rv
{

/* Turns what is known in the code space into a hit. norm: |x|, at least. */
void		emit_pair(const DenseQuery &query, const Pair &pair, double norm, rv_hit *hit);

std::unique_ptr<Scorer> make_sq8_scorer(const rv_segment *segment, const DenseQuery &query);
std::unique_ptr<Scorer> make_signs_scorer(const rv_segment *segment, const DenseQuery &query, Section records);
std::unique_ptr<Scorer> make_pq_scorer(const rv_segment *segment, const DenseQuery &query);
std::unique_ptr<Scorer> make_raw_scorer(const rv_segment *segment, const DenseQuery &query);	/* f32, f16 */
std::unique_ptr<Scorer> make_l1_scorer(const rv_segment *segment, const DenseQuery &query);	/* sq8_l1 */

}								/* namespace rv */

#endif							/* RV_SCORERS_H */
