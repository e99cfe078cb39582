/* SPDX-License-Identifier: PostgreSQL
 *
 * sessions.c: what all sessions of a database hold of its indexes, for ruvector_memory_stats().
 *
 * What a backend holds only it can tell, and shared memory is to be had only by who is preloaded. So every backend that
 * has scanned an index keeps a small file of its own beside the images, writes its figures anew when they have changed, at the end of
 * a scan or transaction, and unlinks it when it exits. Who wants the sum reads them all. A file counts only while its
 * process is a backend of this database, under the postmaster that it was written under: what a crash leaves behind is deleted
 * by the next reader. Figures in it are never trusted for anything but to be shown.
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "filtercache.h"

#define DIRECTORY RV_IMAGE_DIRECTORY "/sessions"

/* One file's content. */
typedef struct Holding
{
	TimestampTz postmaster_start;
	Oid			database;
	int32		pid;
	uint64		mapped_bytes;
	uint64		cache_bytes;
} Holding;

static Holding written;			/* by this process, when its pid is in it */
static bool failed = false;		/* and has been reported */

static void
path_of(char path[MAXPGPATH], int pid)
{
	snprintf(path, MAXPGPATH, "%s/%d", DIRECTORY, pid);
}

Size
rv_session_cache_bytes(void)
{
	return rv_view_bytes() + rv_stream_kept_bytes() + rv_filter_cache_bytes();
}

static Holding
holding_of_this_session(void)
{
	Holding		now;
	int			count;

	memset(&now, 0, sizeof(now));
	now.postmaster_start = PgStartTime;
	now.database = MyDatabaseId;
	now.pid = MyProcPid;
	now.mapped_bytes = rv_image_mapped_bytes(&count);
	now.cache_bytes = rv_session_cache_bytes();
	return now;
}

static void
unlink_at_exit(int code, Datum arg)
{
	char		path[MAXPGPATH];

	path_of(path, MyProcPid);
	unlink(path);
}

static bool
write_file(const char *path, const Holding *now)
{
	int			fd = open(path, O_WRONLY | O_CREAT | PG_BINARY, pg_file_create_mode);
	bool		done;

	if (fd < 0)
		return false;
	done = write(fd, now, sizeof(*now)) == sizeof(*now);
	close(fd);
	return done;
}

void
rv_sessions_note(void)
{
	Holding		now;
	char		path[MAXPGPATH];

	if (failed || !OidIsValid(MyDatabaseId))
		return;
	now = holding_of_this_session();
	if (memcmp(&now, &written, sizeof(now)) == 0)
		return;
	path_of(path, MyProcPid);
	/* the pid is the postmaster's where the library was preloaded: a copy of its memory has written nothing */
	if (written.pid != MyProcPid)
	{
		(void) MakePGDirectory(RV_IMAGE_DIRECTORY);
		(void) MakePGDirectory(DIRECTORY);
		before_shmem_exit(unlink_at_exit, (Datum) 0);
	}
	written = now;
	if (write_file(path, &now))
		return;
	failed = true;
	ereport(LOG, (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", path)));
}

/* False: not of a backend of this postmaster that is still there. */
static bool
read_file(const char *path, int pid, Holding *found)
{
	int			fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	bool		complete;

	if (fd < 0)
		return false;
	complete = read(fd, found, sizeof(*found)) == sizeof(*found);
	CloseTransientFile(fd);
	return complete && found->pid == pid && found->postmaster_start == PgStartTime;
}

RvHoldings
rv_sessions_holdings(void)
{
	RvHoldings	all = {0};
	DIR		   *dir;
	struct dirent *file;

	rv_sessions_note();
	dir = AllocateDir(DIRECTORY);
	if (dir == NULL)
		return all;
	while ((file = ReadDirExtended(dir, DIRECTORY, LOG)) != NULL)
	{
		char		path[MAXPGPATH];
		Holding		found;
		int			pid = atoi(file->d_name);

		if (pid <= 0)
			continue;
		path_of(path, pid);
		if (BackendPidGetProc(pid) == NULL)
			unlink(path);
		else if (read_file(path, pid, &found) && found.database == MyDatabaseId &&
				 (found.mapped_bytes > 0 || found.cache_bytes > 0))
		{
			all.sessions++;
			all.mapped_bytes += found.mapped_bytes;
			all.cache_bytes += found.cache_bytes;
		}
	}
	FreeDir(dir);
	return all;
}

/* What a DROP or another session's maintenance has made this one let go of. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (written.pid == MyProcPid && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT))
		rv_sessions_note();
}

void
rv_sessions_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
