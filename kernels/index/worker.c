/* SPDX-License-Identifier: PostgreSQL
 *
 * worker.c: maintenance off the inserting session's back: a background worker started when it is wanted, for one index,
 * which ends when done. No preloading is needed. When none can be had (max_worker_processes), or when only this session
 * sees the index, the session does the work itself.
 */
#include "internal.h"

#include "access/parallel.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define REQUEST_INTERVAL_MS 100
#define IDLE_ROUND_MS 100
#define IDLE_ROUNDS 8

typedef struct WorkerTask
{
	Oid			database;
	Oid			index;
	int			delta_limit_kb;
} WorkerTask;

StaticAssertDecl(sizeof(WorkerTask) <= BGW_EXTRALEN, "a task must fit into bgw_extra");

extern PGDLLEXPORT void ruvector_worker_main(Datum arg);

/* DROP DATABASE and CREATE DATABASE ... TEMPLATE wait a few seconds for a database's other processes to end. */
bool
rv_database_is_wanted(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, false);
	return false;
}

/* Opens the index with the lock that lets only one worker at it. The table's lock is let go at once: nothing of the table
 * is looked at, and a merge takes too long to keep ALTER TABLE, and everybody behind it, waiting. Who wants to remove or
 * rebuild the index asks for its own lock, which the worker gives way for. */
static Relation
open_index(Oid index_oid, int *threads)
{
	Oid			heap_oid = IndexGetRelation(index_oid, true);
	Relation	heap = OidIsValid(heap_oid) ? try_relation_open(heap_oid, AccessShareLock) : NULL;
	Relation	index = NULL;

	if (heap == NULL)
		return NULL;
	/* not waiting: whoever has the index does the same, or will make it new */
	if (ConditionalLockRelationOid(index_oid, ShareUpdateExclusiveLock))
		index = try_relation_open(index_oid, NoLock);
	/* dropped, or its number taken over by something else, since the request */
	if (index != NULL && (!rv_index_is_ours(index) || index->rd_index->indrelid != heap_oid))
	{
		relation_close(index, NoLock);
		index = NULL;
	}
	*threads = rv_build_threads(heap);
	relation_close(heap, AccessShareLock);
	return index;
}

/* Works while there is something to do, and looks again for a little while: rows that come while a segment is made ask
 * for nobody. */
static void
maintain_index(Oid index_oid)
{
	int			threads;
	Relation	index = open_index(index_oid, &threads);
	int			idle = 0;

	if (index == NULL)
		return;
	while (idle < IDLE_ROUNDS && !LockHasWaitersRelation(index, ShareUpdateExclusiveLock) && !rv_database_is_wanted())
	{
		RvMaintenance result;

		/* a merge may take long and looks at no table: it must not keep VACUUM from removing rows */
		InvalidateCatalogSnapshot();
		if (rv_maintain(threads, index, RV_MAINTAIN_NOWAIT | RV_MAINTAIN_YIELD | RV_MAINTAIN_WORKER, &result) &&
			result.sealed_rows + result.merged_segments > 0)
		{
			idle = 0;
			continue;
		}
		idle++;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, IDLE_ROUND_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	relation_close(index, NoLock);
}

void
ruvector_worker_main(Datum arg)
{
	WorkerTask	task;

	memcpy(&task, MyBgworkerEntry->bgw_extra, sizeof(task));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(task.database, InvalidOid, 0);
	rv_delta_limit_kb = task.delta_limit_kb;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, "ruvector index maintenance");
	maintain_index(task.index);
	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

bool
rv_request_worker(Relation index)
{
	BackgroundWorker worker;
	WorkerTask	task = {MyDatabaseId, RelationGetRelid(index), rv_delta_limit_kb};

	/* who holds this lock maintains the index, or makes a new one */
	if (!ConditionalLockRelation(index, ShareUpdateExclusiveLock))
		return true;
	UnlockRelation(index, ShareUpdateExclusiveLock);
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "ruvector", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ruvector_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "ruvector maintenance of index %u", task.index);
	strlcpy(worker.bgw_type, "ruvector maintenance", BGW_MAXLEN);
	memcpy(worker.bgw_extra, &task, sizeof(task));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Whether another backend can open what this one sees: not before the creating transaction has committed. */
static bool
visible_to_others(Relation index)
{
#if PG_VERSION_NUM >= 160000
	return !RELATION_IS_LOCAL(index) && index->rd_firstRelfilelocatorSubid == InvalidSubTransactionId;
#else
	return !RELATION_IS_LOCAL(index) && index->rd_firstRelfilenodeSubid == InvalidSubTransactionId;
#endif
}

void
rv_request_maintenance(Relation heap, Relation index)
{
	static TimestampTz last = 0;
	static Oid	last_index = InvalidOid;
	RvMaintenance result;

	if (rv_background_maintenance && visible_to_others(index))
	{
		TimestampTz now = GetCurrentTimestamp();

		/* of two indexes that are filled alike each must be asked for */
		if (last_index == RelationGetRelid(index) && !TimestampDifferenceExceeds(last, now, REQUEST_INTERVAL_MS))
			return;
		last = now;
		last_index = RelationGetRelid(index);
		if (rv_request_worker(index))
			return;
	}
	rv_maintain(rv_build_threads(heap), index, RV_MAINTAIN_NOWAIT, &result);
}
