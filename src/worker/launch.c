/*
 * launch.c
 *		Starts background workers, and tells whether they run.
 *
 * Whoever works on a job holds a session lock on it, in share mode; that lock
 * is the only sign of life, so a killed worker leaves none behind.
 *
 * The job's row is not committed when its workers start.  They wait for the
 * transaction that starts them, and leave if it is rolled back; so the call
 * can report that no worker slot is free as an ordinary error.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "worker/launch.h"

/* Tells our locks on jobs from users' advisory locks, which use 1 and 2. */
#define JOB_LOCK_FIELD 77
#define FINISHER_LOCK_FIELD 78
#define REBUILD_LOCK_FIELD 79	/* its number is the migration's */

/* How long a started worker may take to show its lock. */
#define WORKER_START_MS 10000

/* The job this session has taken on itself to finish. */
static int64 finishing = 0;

static void
set_tag(LOCKTAG *tag, int64 job_id, int field)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (job_id >> 32), (uint32) job_id, field);
}

static void
hold(int64 id, int field)
{
	LOCKTAG		tag;

	set_tag(&tag, id, field);
	(void) LockAcquire(&tag, ShareLock, true, false);
}

/* Takes the session lock that says: somebody works on this job. */
void
launch_hold_job(int64 job_id)
{
	hold(job_id, JOB_LOCK_FIELD);
}

/* The same for a worker that rebuilds what a migration has put off. */
void
launch_hold_rebuild(int64 migration_id)
{
	hold(migration_id, REBUILD_LOCK_FIELD);
}

/*
 * Is this session the one to take the job through its last steps?  The first
 * to ask is, until it ends.
 */
bool
launch_become_finisher(int64 job_id)
{
	LOCKTAG		tag;

	if (finishing == job_id)
		return true;
	set_tag(&tag, job_id, FINISHER_LOCK_FIELD);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	finishing = job_id;
	return true;
}

/* Gives the session locks back, where the session goes on. */
void
launch_release_job(int64 job_id)
{
	LOCKTAG		tag;

	set_tag(&tag, job_id, JOB_LOCK_FIELD);
	LockRelease(&tag, ShareLock, true);
	if (finishing == job_id)
	{
		set_tag(&tag, job_id, FINISHER_LOCK_FIELD);
		LockRelease(&tag, ExclusiveLock, true);
		finishing = 0;
	}
}

/* How many sessions with a pid from first to before end hold such a lock? */
static int
count_holders(int64 id, int field, int first, int end)
{
	LockData   *locks = GetLockStatusData();
	LOCKTAG		tag;
	int			n = 0;

	set_tag(&tag, id, field);
	for (int i = 0; i < locks->nelements; i++)
	{
		if (memcmp(&locks->locks[i].locktag, &tag, sizeof(LOCKTAG)) == 0 && locks->locks[i].pid >= first &&
			locks->locks[i].pid < end &&
			(locks->locks[i].holdMask & LOCKBIT_ON(ShareLock)) != 0)
			n++;
	}
	return n;
}

/* How many sessions work on the job? */
int
launch_count_workers(int64 job_id)
{
	return count_holders(job_id, JOB_LOCK_FIELD, 0, INT_MAX);
}

/* Is this session one too many, where so many are wanted?  Each decides for itself, and all alike. */
bool
launch_is_surplus(int64 job_id, int wanted)
{
	return count_holders(job_id, JOB_LOCK_FIELD, 0, MyProcPid) >= wanted;
}

bool
launch_job_is_running(int64 job_id)
{
	return launch_count_workers(job_id) > 0;
}

/* Can a worker connect as the migration's owner? */
bool
launch_worker_can_connect(const Migration *g)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(g->owner));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
		return false;
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return can_login || !WORKER_NEEDS_LOGIN;
}

/* Registers one worker, which runs a function; NULL if no slot is free. */
BackgroundWorkerHandle *
launch_worker(const Migration *g, const char *function, int64 job_id, pid_t notify)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	WorkerArgs	args = {MyDatabaseId, g->owner, g->id, job_id, GetTopTransactionId()};

	StaticAssertStmt(sizeof(WorkerArgs) <= BGW_EXTRALEN, "worker arguments do not fit");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = notify;
	strlcpy(worker.bgw_library_name, "migrate_ext", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_type, "migrate_ext worker", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "migrate_ext: %s", g->name);
	memcpy(worker.bgw_extra, &args, sizeof(args));
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

/* Waits until the worker shows its lock, or is gone. */
static void
wait_until_holding(BackgroundWorkerHandle *handle, int64 id, int field)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WORKER_START_MS);
	pid_t		pid;

	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start background worker"),
				 errhint("More details may be in the server log.")));
	while (count_holders(id, field, pid, pid + 1) == 0)
	{
		if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STARTED ||
			GetCurrentTimestamp() > deadline)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("background worker did not begin to work"),
					 errhint("More details may be in the server log.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
launch_rebuild_is_running(int64 migration_id)
{
	return count_holders(migration_id, REBUILD_LOCK_FIELD, 0, INT_MAX) > 0;
}

/* Starts the worker that rebuilds what a migration has put off; false if that cannot be. */
bool
launch_rebuild(const Migration *g)
{
	BackgroundWorkerHandle *handle = NULL;

	if (launch_worker_can_connect(g))
		handle = launch_worker(g, "migrate_worker_rebuild", 0, MyProcPid);
	if (handle != NULL)
		wait_until_holding(handle, g->id, REBUILD_LOCK_FIELD);
	return handle != NULL;
}

/*
 * Starts workers for a job until so many run.  Those of a job of the current
 * transaction begin when it commits.  Fewer than asked for is a warning, none an
 * error.
 */
void
launch_workers(const Migration *g, int64 job_id, int workers)
{
	int			started = launch_count_workers(job_id);

	if (!launch_worker_can_connect(g))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a background worker cannot connect as role \"%s\"",
						GetUserNameFromId(g->owner, true)),
				 errhint("Give the role LOGIN (it needs no password), or use CALL migrate_run.")));
	while (started < workers)
	{
		BackgroundWorkerHandle *handle = launch_worker(g, "migrate_worker_main", job_id, MyProcPid);

		if (handle == NULL)
			break;
		wait_until_holding(handle, job_id, JOB_LOCK_FIELD);
		started++;
	}
	if (started == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no free background worker slot for migration \"%s\"", g->name),
				 errhint("Raise max_worker_processes, wait for other workers, or do the same work in this session with CALL migrate_run.")));
	if (started < workers)
		ereport(WARNING,
				(errmsg("only %d of %d workers could be started for migration \"%s\"",
						started, workers, g->name),
				 errhint("Raise max_worker_processes for more.")));
}
