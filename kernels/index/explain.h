/* SPDX-License-Identifier: PostgreSQL
 *
 * explain.h: reporting on scans.
 */
#ifndef RV_INDEX_EXPLAIN_H
#define RV_INDEX_EXPLAIN_H

#include "scan.h"

extern void rv_explain_init(void);
/* A scan has ended: its figures are the latest. */
extern void rv_explain_remember(const RvScanStats *stats);

#endif							/* RV_INDEX_EXPLAIN_H */
