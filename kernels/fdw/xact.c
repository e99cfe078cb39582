/* SPDX-License-Identifier: PostgreSQL
 *
 * xact.c: PostgreSQL's transactions, told to the wrappers that took part.
 *
 * Before commit a wrapper may still refuse (its exception aborts the transaction). After commit, and in an abort,
 * nothing can be undone any more: an exception is only a WARNING. A prepared transaction may end in another backend,
 * where the wrapper object is not: refused, as postgres_fdw does.
 */
#include "postgres.h"

#include "fdw.h"

#include "access/xact.h"

static void
on_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			rv_instances_xact(RV_XACT_PRE_COMMIT);
			break;
		case XACT_EVENT_PRE_PREPARE:
			if (rv_instances_in_xact())
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has operated on ruvector_fdw foreign tables")));
			break;
		case XACT_EVENT_COMMIT:
			rv_instances_xact(RV_XACT_COMMIT);
			break;
		case XACT_EVENT_ABORT:
			rv_instances_xact(RV_XACT_ROLLBACK);
			break;
		default:
			break;
	}
}

static void
on_subxact(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		rv_instances_subxact(true, GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		rv_instances_subxact(false, GetCurrentTransactionNestLevel());
}

void
rv_xact_init(void)
{
	RegisterXactCallback(on_xact, NULL);
	RegisterSubXactCallback(on_subxact, NULL);
}
