/* SPDX-License-Identifier: PostgreSQL
 *
 * sweep.c: the directory of images: how much is in it, and what of it belongs to nothing and is deleted.
 *
 * It is swept before an image is made and by VACUUM; and, since the last index of a database may be dropped and none made again, after a
 * transaction that dropped, moved or rebuilt one. That one's relation file goes only when the transaction has ended, so the
 * images are looked for at the end of the backend's next transaction, or of the backend. Only files are looked at then. On a
 * standby they are looked for at the end of each session's first transaction.
 */
#include "internal.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "common/relpath.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#define STALE_AFTER_S 600

static bool wanted = false;		/* this transaction has dropped, moved or rebuilt an index */
static bool pending = false;	/* an earlier one has, and nobody has looked since */
static int	commits = 0;		/* since this library was loaded, up to 2 */
static object_access_hook_type previous_hook = NULL;

/* Whether the relation that an image is named for still has a file with something in it. */
static bool
relation_file_exists(Oid database, Oid tablespace, Oid relnumber)
{
	struct stat st;
	bool		exists;
#if PG_VERSION_NUM >= 180000
	RelPathStr	path = GetRelationPath(database, tablespace, relnumber, INVALID_PROC_NUMBER, MAIN_FORKNUM);

	exists = stat(path.str, &st) == 0 && st.st_size > 0;
#else
#if PG_VERSION_NUM >= 170000
	char	   *path = GetRelationPath(database, tablespace, relnumber, INVALID_PROC_NUMBER, MAIN_FORKNUM);
#else
	char	   *path = GetRelationPath(database, tablespace, relnumber, InvalidBackendId, MAIN_FORKNUM);
#endif

	exists = stat(path, &st) == 0 && st.st_size > 0;
	pfree(path);
#endif
	return exists;
}

/* An image of this index that the meta page does not name: its segment was merged away. One that is being made for a
 * segment that is not registered yet is young. */
static bool
is_stale(Relation index, const RvMeta *meta, unsigned relnumber, uint64 uid, const char *path)
{
	struct stat st;

	if (index == NULL || relnumber != RV_RELNUMBER(index))
		return false;
	for (uint32 i = 0; i < meta->n_segments; i++)
		if (meta->segments[i].uid == uid)
			return false;
	return stat(path, &st) == 0 && st.st_ctime < time(NULL) - STALE_AFTER_S;
}

/* index, meta: NULL, or one whose merged segments' images are looked for too. */
static void
sweep_database(const char *directory, Oid database, Relation index, const RvMeta *meta)
{
	DIR		   *dir = AllocateDir(directory);
	struct dirent *file;

	if (dir == NULL)
		return;
	while ((file = ReadDirExtended(dir, directory, LOG)) != NULL)
	{
		unsigned	tablespace;
		unsigned	relnumber;
		unsigned long long uid;
		int			pid = 0;
		char		path[MAXPGPATH * 2];
		int			fields = sscanf(file->d_name, "%u_%u_%16llx.%d.tmp", &tablespace, &relnumber, &uid, &pid);

		if (fields < 3)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, file->d_name);
		/* half-written files of processes that are gone, and what belongs to no relation */
		if (fields == 4 ? (pid == MyProcPid || kill(pid, 0) == 0 || errno != ESRCH) :
			(relation_file_exists(database, tablespace, relnumber) && !is_stale(index, meta, relnumber, uid, path)))
			continue;
		unlink(path);
	}
	FreeDir(dir);
}

void
rv_image_sweep(Relation index)
{
	DIR		   *dir = AllocateDir(RV_IMAGE_DIRECTORY);
	struct dirent *file;
	RvMeta	   *meta;

	if (dir == NULL)
		return;
	meta = rv_meta_read(index);
	while ((file = ReadDirExtended(dir, RV_IMAGE_DIRECTORY, LOG)) != NULL)
	{
		char		path[MAXPGPATH * 2];
		Oid			database = (Oid) strtoul(file->d_name, NULL, 10);

		if (!OidIsValid(database))
			continue;
		snprintf(path, sizeof(path), "%s/%s", RV_IMAGE_DIRECTORY, file->d_name);
		/* another database may have its relations in tablespaces that only its backends see: not ours to judge */
		if (database == MyDatabaseId)
			sweep_database(path, database, index, meta);
		else if (IsTransactionState() && !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			rmtree(path, true);
	}
	pfree(meta);
	FreeDir(dir);
}

static void
sweep_this_database(void)
{
	char		path[MAXPGPATH];
	struct stat st;

	pending = false;
	snprintf(path, sizeof(path), "%s/%u", RV_IMAGE_DIRECTORY, MyDatabaseId);
	if (stat(path, &st) == 0)
		sweep_database(path, MyDatabaseId, NULL, NULL);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT && commits < 2)
	{
		commits++;
		/* a standby replays DROP in a process that knows of no images: every session there looks once */
		pending = pending || (commits == 1 && RecoveryInProgress());
	}
	if (event == XACT_EVENT_PRE_COMMIT && pending)
		sweep_this_database();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		pending = pending || wanted;
		wanted = false;
	}
}

static void
at_exit(int code, Datum arg)
{
	if ((pending || wanted) && code == 0)
		sweep_this_database();
}

/* Not before the process has been forked that will exit: the library may be preloaded. */
static void
watch_exit(void)
{
	static int	watched = 0;

	if (watched == MyProcPid)
		return;
	before_shmem_exit(at_exit, (Datum) 0);
	watched = MyProcPid;
}

void
rv_image_sweep_later(void)
{
	watch_exit();
	wanted = true;
}

/* DROP may be what loads this library, in order to close the index, and then see_access came too late. When that
 * transaction changes a relation, it may have been that. */
static void
relation_changed(Datum arg, Oid relation)
{
	if (commits < 2 && !wanted)
		rv_image_sweep_later();
}

/* Any index whose access method is not one of PostgreSQL's: looking once too often does no harm. */
static void
see_access(ObjectAccessType access, Oid class_oid, Oid object_oid, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_oid, object_oid, sub_id, arg);
	if ((access == OAT_DROP || access == OAT_POST_ALTER) && class_oid == RelationRelationId && sub_id == 0)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(object_oid));

		if (!HeapTupleIsValid(tuple))
			return;
		if (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_INDEX &&
			((Form_pg_class) GETSTRUCT(tuple))->relam >= FirstNormalObjectId)
			rv_image_sweep_later();
		ReleaseSysCache(tuple);
	}
}

void
rv_image_init(void)
{
	previous_hook = object_access_hook;
	object_access_hook = see_access;
	RegisterXactCallback(at_transaction_end, NULL);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

Size
rv_image_file_bytes(int *count)
{
	char		directory[MAXPGPATH];
	DIR		   *dir;
	struct dirent *file;
	Size		total = 0;

	*count = 0;
	snprintf(directory, sizeof(directory), "%s/%u", RV_IMAGE_DIRECTORY, MyDatabaseId);
	dir = AllocateDir(directory);
	if (dir == NULL)
		return 0;
	while ((file = ReadDirExtended(dir, directory, LOG)) != NULL)
	{
		char		path[MAXPGPATH * 2];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", directory, file->d_name);
		if (file->d_name[0] != '.' && stat(path, &st) == 0)
		{
			total += st.st_size;
			(*count)++;
		}
	}
	FreeDir(dir);
	return total;
}
