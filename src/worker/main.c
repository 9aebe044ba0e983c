/*
 * main.c
 *		The loop that does a job, in a worker or in the foreground.
 *
 * A job's steps:
 *	duplicates	where several source rows may have one key: find those that are not copied
 *	copy	batches until no range is left
 *	barrier	wait for the transactions that write a source; from here on a
 *			delete cannot be undone by a batch, and needs no dirty key
 *	drain	settle the dirty keys; then every row is there
 *	index	wait until what was put off is built; then the backfill is complete
 *
 * Everything the loop knows is in the catalog and read again before each
 * batch, so pause, settings and cancel work within one batch, and any other
 * worker can go on where one was killed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/setting.h"
#include "base/subxact.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/job_duplicate.h"
#include "catalog/job_range.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "catalog/rejected_row.h"
#include "catalog/stashed_object.h"
#include "copy/backfill.h"
#include "copy/duplicate.h"
#include "copy/quarantine.h"
#include "copy/range_plan.h"
#include "copy/sync_pass.h"
#include "worker/launch.h"
#include "worker/main.h"
#include "worker/pace.h"
#include "worker/rebuild.h"
#include "worker/sync_job.h"
#include "worker/verify_job.h"

/* Milliseconds between two looks while paused or waiting for other workers. */
#define POLL_MS 100

/* Milliseconds between two looks at whether the job is still wanted. */
#define SLEEP_MS 500

/* Milliseconds to stand aside after giving way to the application. */
#define YIELD_MS 20

/* How often a worker begins again after it gave way outside of a batch. */
#define MAX_RESTARTS 100

/* How often the queue is drained at the end of a copy while it is long. */
#define MAX_DRAINS 10

/* Turns that came to their end in this worker. */
static uint64 turns = 0;

/* Sleeps without a snapshot, which would hold back vacuum everywhere. */
static void
nap(long ms, uint32 event)
{
	bool		active = ActiveSnapshotSet();

	if (active)
		PopActiveSnapshot();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (active)
		PushActiveSnapshot(GetTransactionSnapshot());
}

/* Shows in pg_stat_activity what is being done. */
void
job_show(const Migration *g, const char *doing)
{
	pgstat_report_activity(STATE_RUNNING, psprintf("migrate_ext %s: %s", g->name, doing));
}

/* Ends the job with an error. */
static void
fail(const Job *job, const Migration *g, const ErrorData *error)
{
	job_fail(job->id, error_sqlstate(error), error->message, error->context);
	event_record(g, "job_failed", NULL, NULL, error->message);
}

/* Work for subxact_try. */
static void
work_duplicates(void *arg)
{
	duplicate_find(*(int64 *) arg);
}

/* Finds what is not to be copied, before anything is. */
static Turn
turn_duplicates(const Job *job, const Migration *g)
{
	int64		job_id = job->id;
	ErrorData  *error;

	job_show(g, "waiting for a sync to end");
	if (!duplicate_lock_all(g))
		return TURN_WAIT;		/* or for a worker that does the same */
	job_show(g, "looking for rows with one key");
	error = subxact_try(work_duplicates, &job_id);
	if (error == NULL)
		return TURN_AGAIN;
	if (error_is_transient(error))
		return TURN_YIELD;
	fail(job, g, error);
	return TURN_END;
}

/* One batch of the copy. */
static Turn
turn_copy(const Job *job, const Migration *g)
{
	BatchResult result = {0};

	switch (backfill_batch(job, g, &result))
	{
		case BATCH_COPIED:
			pace_note_batch(result.rows, result.ms);
			return TURN_AGAIN;
		case BATCH_YIELDED:
			return TURN_YIELD;
		case BATCH_FAILED:
			fail(job, g, result.error);
			return TURN_END;
		case BATCH_NONE:
			break;
	}
	if (!job_range_all_done(job->id))
		return TURN_WAIT;		/* other workers hold the last ranges */
	if (range_plan_make(job->id, g->id))
		return TURN_AGAIN;
	pace_sample(job, g);
	(void) job_advance(job->id, "copy", "barrier");
	return TURN_AGAIN;
}

/* Work for subxact_try: the keys that the drain could not settle. */
static void
work_reject(void *arg)
{
	quarantine_failed_keys(arg);
}

/*
 * One batch of dirty keys; the end of the last pass completes the backfill.
 * What the copy has left is settled by one pass; another one follows where
 * "every key" was expanded, or others were in the way, or the first took long.
 */
static Turn
turn_drain(const Job *job, const Migration *g)
{
	static SyncPass pass;
	static int64 draining = 0;
	static int	passes;
	static int64 failed;
	SyncResult	result = {0};
	char	   *key;
	char	   *message;
	ErrorData  *error;
	int64		rejected;
	bool		again;

	job_show(g, "settling dirty keys");
	if (draining != job->id)
	{
		sync_pass_begin(&pass, false);
		passes = 1;
		failed = PG_INT64_MAX;
		draining = job->id;
	}
	if (sync_pass_step(g, mapping_list(g->id, MAPPING_FORWARD), &pass, &result))
		return result.settled > 0 || result.busy == 0 ? TURN_AGAIN : TURN_YIELD;
	/* rows whose parents were settled after them */
	again = pass.total.settled > 0 && pass.total.failed > 0 && pass.total.failed < failed;
	failed = pass.total.failed;
	if (again || pass.total.busy > 0 || pass.total.parked > 0 || pass.total.expanded > 0 || pass.total.halted ||
		(pass.total.settled > SYNC_BATCH_KEYS && passes < MAX_DRAINS))
	{
		bool		waits = pass.total.settled == 0 && pass.total.expanded == 0;

		sync_pass_begin(&pass, false);
		passes++;
		return waits ? TURN_YIELD : TURN_AGAIN;
	}
	draining = 0;
	if (pass.total.failed > 0 && (error = subxact_try(work_reject, (void *) g)) != NULL)
	{
		fail(job, g, error);
		return TURN_END;
	}
	rejected = rejected_row_count_failed(g->id);
	if (rejected > 0)
		event_record(g, "alarm", NULL, NULL, psprintf("%lld rows were rejected: migrate_rejected lists them", (long long) rejected));
	if (dirty_key_any_failed(g->id) && dirty_key_first_error(g->id, &key, &message))
		event_record(g, "alarm", NULL, NULL,
					 psprintf("dirty keys cannot be settled, such as %s: %s", key, message));
	pace_sample(job, g);
	(void) job_advance(job->id, "drain", "index");
	return TURN_AGAIN;
}

/* Until the indexes and foreign keys that were put off are there again. */
static Turn
turn_index(const Job *job, const Migration *g)
{
	char	   *sqlstate;
	char	   *error = stashed_object_first_error(g->id, &sqlstate);

	if (error != NULL && !launch_rebuild_is_running(g->id))
	{
		job_fail(job->id, sqlstate, error, NULL);
		event_record(g, "job_failed", NULL, NULL, error);
		return TURN_END;
	}
	if (stashed_object_count(g->id) > 0)
	{
		job_show(g, "waiting for indexes");
		job_set_throttle(job->id, rebuild_ensure(g) ? NULL : "no free worker slot to rebuild indexes (max_worker_processes)");
		return TURN_WAIT;
	}
	job_finish(job->id, "done");
	event_record(g, "backfill_complete", NULL, NULL, NULL);
	return TURN_END;
}

/* Is this worker one too many, since the number was changed? */
static bool
is_surplus(const Job *job)
{
	static int64 job_id = 0;
	static int	workers;

	if (job_id == job->id && workers == job->workers)
		return false;
	job_id = job->id;
	workers = job->workers;
	return launch_is_surplus(job->id, workers);
}

/* Decides and does the next piece of work, in a transaction of its own. */
static Turn
take_turn(int64 job_id)
{
	Job		   *job = identity_catalog_exists() ? job_get(job_id) : NULL;
	Migration  *g = job ? migration_get_by_id(job->migration_id) : NULL;

	if (g == NULL || (strcmp(job->status, "running") != 0 && strcmp(job->status, "requested") != 0))
		return TURN_END;
	if (job->run_until != 0 && GetCurrentTimestamp() >= job->run_until)
	{
		job_finish(job->id, "stopped");
		return TURN_END;
	}
	if (strcmp(job->kind, "sync") == 0)
		return sync_turn(job, g);
	if (strcmp(job->kind, "verify") == 0)
		return verify_turn(job, g);
	if (is_surplus(job))
		return TURN_END;
	if (!pace_may_go(job, g))
		return TURN_THROTTLE;
	if (strcmp(job->step, "duplicates") == 0)
		return turn_duplicates(job, g);
	if (strcmp(job->step, "copy") == 0)
		return turn_copy(job, g);
	if (!launch_become_finisher(job->id))
		return TURN_END;		/* another worker does the rest */
	if (strcmp(job->step, "barrier") == 0)
		return TURN_BARRIER;
	return strcmp(job->step, "drain") == 0 ? turn_drain(job, g) : turn_index(job, g);
}

/* Says that the copy is over: deletes need no dirty keys any more. */
static void
pass_barrier(int64 job_id)
{
	Job		   *job = job_get(job_id);

	/* a rollback may have cancelled the job, and another copy may have begun */
	if (job != NULL && job_advance(job_id, "barrier", "drain"))
	{
		mapping_set_complete(job->migration_id, MAPPING_FORWARD, true);
		job_duplicate_delete(job_id);
	}
}

/* Waits for the writers of the sources; lock_timeout must not end that wait. */
static void
wait_for_writers(int64 job_id)
{
	Job		   *job = job_get(job_id);
	int			level = NewGUCNestLevel();

	if (job != NULL)
	{
		(void) set_config_option("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		range_plan_wait_for_writers(job->migration_id);
	}
	AtEOXact_GUC(true, level);
}

/* Sets lock_timeout for the next transaction's batch. */
static void
apply_lock_timeout(int64 job_id)
{
	Job		   *job = identity_catalog_exists() ? job_get(job_id) : NULL;
	Migration  *g = job ? migration_get_by_id(job->migration_id) : NULL;

	if (g != NULL)
		(void) set_config_option("lock_timeout", setting_text(g->settings, "lock_timeout"),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* What pg_stat_activity shows while a worker naps after a turn. */
static uint32
wait_event(Turn turn)
{
	static uint32 events[TURN_END + 1];
	static const char *const names[] = {
		[TURN_YIELD] = "MigrateYield", [TURN_WAIT] = "MigrateOtherWorkers",
		[TURN_THROTTLE] = "MigrateThrottle", [TURN_IDLE] = "MigrateIdle", [TURN_SLEEP] = "MigrateIdle"
	};

	if (turn > TURN_SLEEP || names[turn] == NULL)
		return PG_WAIT_EXTENSION;
	if (events[turn] == 0)
		events[turn] = named_wait_event(names[turn]);
	return events[turn];
}

static long
nap_ms(Turn turn)
{
	return turn == TURN_SLEEP ? Min(SLEEP_MS, sync_sleep_ms()) : turn == TURN_IDLE ? SLEEP_MS :
		turn == TURN_WAIT || turn == TURN_THROTTLE ? POLL_MS : turn == TURN_YIELD ? YIELD_MS : 0;
}

/*
 * Does a job until it is over.  Called in a transaction, returns in one.  The
 * caller holds the job's session lock.
 */
void
job_work(int64 job_id, JobCommit commit)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "migrate_ext job",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;
	Turn		turn = TURN_AGAIN;

	if (!job_start(job_id))
		return;
	commit();

	while (turn != TURN_END)
	{
		MemoryContextSwitchTo(context);
		apply_lock_timeout(job_id);
		turn = take_turn(job_id);
		MemoryContextReset(context);
		MemoryContextSwitchTo(old);
		commit();
		if (turn == TURN_BARRIER)
		{
			wait_for_writers(job_id);
			commit();
			pass_barrier(job_id);
			commit();
			wait_for_writers(job_id);	/* who still adds keys for deletes */
			commit();
		}
		turns++;
		if (turn == TURN_SLEEP || turn == TURN_IDLE)
			pgstat_report_activity(STATE_IDLE, NULL);
		nap(nap_ms(turn), wait_event(turn));
	}
	MemoryContextDelete(context);
}

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* The worker's JobCommit. */
static void
commit_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	begin_transaction();
}

/* Waits for the transaction that started the worker. */
void
worker_wait_for_launcher(TransactionId xid)
{
	StartTransactionCommand();
	XactLockTableWait(xid, NULL, NULL, XLTW_None);
	CommitTransactionCommand();
}

/*
 * Records an error, in a transaction of its own; true if the worker goes on in
 * spite of it, as a sync does.  Without the extension there is nothing to do.
 */
static bool
record_failure(int64 job_id, const ErrorData *error)
{
	Job		   *job = NULL;
	Migration  *g = NULL;
	bool		again = false;

	begin_transaction();
	if (identity_catalog_exists())
		job = job_get(job_id);
	if (job != NULL)
		g = migration_get_by_id(job->migration_id);
	if (g != NULL && strcmp(job->kind, "sync") == 0)
	{
		sync_turn_failed(job, g, error);
		again = true;
	}
	else if (g != NULL)
		fail(job, g, error);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return again;
}

/*
 * Does the job; true if it only gave way, to a DROP EXTENSION or a rollback
 * that locks the state tables, and shall begin again.  Any other error is
 * recorded, and ends the worker unless it is a sync.
 */
static bool
work_or_record(int64 job_id)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool again = false;

	PG_TRY();
	{
		begin_transaction();
		job_work(job_id, commit_transaction);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!error_is_transient(error))
			EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();

		/* a cancelled job is only interrupted: it can be resumed at once */
		again = error_is_transient(error);
		if (!again && !error_must_propagate(error))
			again = record_failure(job_id, error);
	}
	PG_END_TRY();
	return again;
}

PGDLLEXPORT void migrate_worker_main(Datum arg);

/* Makes the process a session of the role it was started for. */
void
worker_connect(WorkerArgs *args)
{
	memcpy(args, MyBgworkerEntry->bgw_extra, sizeof(WorkerArgs));
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args->database, args->role, WORKER_CONNECT_FLAGS);

	/* a worker must read committed rows, whatever the role's defaults are */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
}

/* Entry point of a background worker that does a job. */
void
migrate_worker_main(Datum arg)
{
	WorkerArgs	args;

	worker_connect(&args);
	StartTransactionCommand();
	launch_hold_job(args.job_id);
	CommitTransactionCommand();
	worker_wait_for_launcher(args.launcher);

	/* from here on nothing waits for long, also not for the state tables */
	SetConfigOption("lock_timeout", "100", PGC_USERSET, PGC_S_SESSION);
	for (int i = 0; i < MAX_RESTARTS; i++)
	{
		uint64		before = turns;

		if (!work_or_record(args.job_id))
			break;
		if (turns > before)
			i = 0;				/* it comes forward */
		nap(POLL_MS, wait_event(TURN_WAIT));
	}
}
