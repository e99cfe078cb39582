/* SPDX-License-Identifier: PostgreSQL
 *
 * explain.h: reporting on scans.
 */
#ifndef RV_INDEX_EXPLAIN_H
#define RV_INDEX_EXPLAIN_H

#include "scan.h"

struct ExplainState;

extern void rv_explain_init(void);
/* The lines of EXPLAIN about a scan. by_order: it was asked for rows in order, within no range. */
extern void rv_explain_stats(const RvScanStats *stats, bool by_order, bool verbose, struct ExplainState *es);
/* A scan of the index has ended: its figures are the latest. */
extern void rv_explain_remember(Relation index, const RvScanStats *stats, bool by_order);

#endif							/* RV_INDEX_EXPLAIN_H */
