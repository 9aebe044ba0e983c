/*
 * supervisor.c
 *		Resumes jobs whose workers were lost, where the library is preloaded.
 *
 * One process looks at each database in turn, by a worker that lives for a
 * moment: at the start of the server or the end of its recovery, which may be a
 * failover, and every migrate_ext.supervisor_interval.  Only jobs that were running
 * are resumed; whoever stopped or failed waits for the DBA.  A job that does not
 * come forward between several resumptions may be what crashes the server, and
 * is left alone, with an alarm.
 */
#include "postgres.h"

#include <limits.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/subxact.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/stashed_object.h"
#include "worker/launch.h"
#include "worker/main.h"
#include "worker/rebuild.h"
#include "worker/supervisor.h"
#include "worker/sync_job.h"

/* Resumptions of a job that does not come forward. */
#define MAX_RESUMPTIONS 5

static int	supervisor_interval = 30;

/* Work for subxact_try: resumes one job, if it still needs it. */
typedef struct Resumption
{
	int64		job_id;
	int64		migration_id;
} Resumption;

static void
work_resume(void *arg)
{
	const Resumption *r = arg;
	Migration  *g = migration_try_lock(r->migration_id);
	Job		   *job = g ? job_get(r->job_id) : NULL;
	int			tries;

	if (job == NULL || !job_is_active(job->id) || launch_job_is_running(job->id))
		return;
	if (strcmp(job->kind, "sync") == 0)
	{
		sync_job_ensure(g, migration_is_switched(g));
		return;
	}
	tries = job_note_resumption(job->id);
	if (tries == MAX_RESUMPTIONS + 1)
		event_record(g, "alarm", NULL, NULL,
					 psprintf("the %s was resumed %d times and did not come forward: it is left alone", job_name(job), MAX_RESUMPTIONS));
	if (tries > MAX_RESUMPTIONS)
		return;
	launch_workers(g, job->id, job->workers);
	event_record(g, psprintf("%s_resumed", job_name(job)), NULL, NULL, "by the supervisor");
}

/* Work for subxact_try: indexes and constraints that wait to be made again after a cutover or a rollback. */
static void
work_rebuild(void *arg)
{
	Migration  *g = migration_try_lock(*(int64 *) arg);

	if (g != NULL)
		(void) rebuild_ensure(g);
}

/* Resumes what was lost in this database. */
static void
supervise_database(void)
{
	ListCell   *lc;

	if (!identity_catalog_exists())
		return;
	foreach(lc, stashed_object_list_waiting())
	{
		ErrorData  *error = subxact_try(work_rebuild, lfirst(lc));

		if (error != NULL)
			ereport(LOG,
					(errmsg("migrate_ext could not start a worker that rebuilds indexes: %s", error->message)));
	}
	foreach(lc, job_list_active())
	{
		Job		   *job = lfirst(lc);
		Resumption	r = {job->id, job->migration_id};
		ErrorData  *error;

		if (launch_job_is_running(job->id))
			continue;
		error = subxact_try(work_resume, &r);
		if (error != NULL)
			ereport(LOG,
					(errmsg("migrate_ext could not resume job %lld: %s", (long long) job->id, error->message)));
	}
}

PGDLLEXPORT void migrate_worker_supervise(Datum arg);

/* Entry point of the worker for one database. */
void
migrate_worker_supervise(Datum arg)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "100", PGC_SUSET, PGC_S_OVERRIDE);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "migrate_ext: looking for lost jobs");
	supervise_database();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* The databases that can be connected to, in the caller's memory context. */
static List *
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!form->datallowconn || form->datistemplate || form->datconnlimit == DATCONNLIMIT_INVALID_DB)
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, form->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* Has a worker look at a database; where none can be started, the next round does. */
static void
look_at_database(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	strlcpy(worker.bgw_library_name, "migrate_ext", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "migrate_worker_supervise", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "migrate_ext supervisor", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "migrate_ext supervisor: database %u", database);
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return;
	if (WaitForBackgroundWorkerShutdown(handle) == BGWH_POSTMASTER_DIED)
		proc_exit(1);
}

PGDLLEXPORT void migrate_worker_supervisor(Datum arg);

/* Entry point of the supervisor. */
void
migrate_worker_supervisor(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	context = AllocSetContextCreate(TopMemoryContext, "migrate_ext supervisor", ALLOCSET_SMALL_SIZES);
	for (;;)
	{
		ListCell   *lc;

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextSwitchTo(context);
		if (supervisor_interval > 0)
		{
			foreach(lc, list_databases())
				look_at_database(lfirst_oid(lc));
		}
		MemoryContextReset(context);
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (supervisor_interval > 0 ? supervisor_interval : 60) * 1000L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Registers the supervisor, where the library is loaded at the server's start. */
void
supervisor_init(void)
{
	BackgroundWorker worker = {0};

	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomIntVariable("migrate_ext.supervisor_interval",
							"Time between two looks for jobs whose workers were lost.",
							"0 turns the supervisor off.",
							&supervisor_interval, 30, 0, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	MarkGUCPrefixReserved("migrate_ext");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "migrate_ext", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "migrate_worker_supervisor", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "migrate_ext supervisor", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "migrate_ext supervisor", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
