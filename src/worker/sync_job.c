/*
 * sync_job.c
 *		The continuous sync: a job that settles dirty keys every interval.
 *
 *	requested --worker--> running --sync_interval 0--> stopped --> requested
 *	                        \--> cancelled (rolled back)
 *
 * A pass takes the keys that are due when it begins, a batch a transaction;
 * between passes the worker sleeps without a snapshot.  It ends only by itself,
 * under the migration's lock: whoever holds that lock and finds it running
 * knows that it will see what this call commits.
 *
 * While a copy is open it waits, also at its end, where the copy settles the
 * keys itself: what one of them has taken, the other does not see.
 *
 * Errors do not end it.  A key that cannot be settled waits longer each time
 * (dirty_key.retry_at); after any other error the next pass does.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/subxact.h"
#include "capture/account.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "copy/sync_pass.h"
#include "lifecycle/phase.h"
#include "worker/launch.h"
#include "worker/sync_job.h"

/* A look at the queue that finds nothing to do may take this part of the time. */
#define IDLE_SHARE 10

/* Milliseconds to the next pass after an error: doubled each time, up to the limit. */
#define ERROR_DELAY_MS 1000
#define MAX_ERROR_DELAY_MS 60000

/* Milliseconds between two updates of the job's row in a long pass. */
#define REPORT_MS 1000

/* Milliseconds to wait for a worker that is about to end. */
#define LEAVE_MS 2000

/* This worker's passes. */
static SyncPass pass;
static bool in_pass = false;
static TimestampTz pass_began = 0;
static TimestampTz next_pass = 0;
static int	error_delay = 0;

/* Keys settled since the job's row was brought up to date. */
static int64 unreported = 0;
static TimestampTz reported_at = 0;

/* Milliseconds until the next pass is due. */
long
sync_sleep_ms(void)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_pass);
}

/* Is a worker wanted for a direction? */
static bool
is_wanted(const Migration *g, bool reverse)
{
	return migration_is_capturing(g) && sync_interval(g, reverse) > 0;
}

/* Brings the job's row up to date, unless that was done since_ms ago or later. */
static void
report(const Job *job, int since_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		us = now - reported_at;

	if (us <= since_ms * (int64) 1000)
		return;
	job_note_keys(job->id, unreported, reported_at ? rint(unreported * 1000000.0 / us) : 0);
	unreported = 0;
	reported_at = now;
}

/* Ends the job, unless a call that is not committed yet may want it. */
static Turn
stop(const Job *job, const Migration *g)
{
	Migration  *locked = migration_try_lock(g->id);

	if (locked == NULL)
		return TURN_WAIT;
	if (is_wanted(locked, migration_is_switched(locked)))
		return TURN_AGAIN;
	report(job, 0);
	job_finish(job->id, "stopped");
	return TURN_END;
}

/* Raises the alarm for keys that cannot be settled, once, and takes it back. */
static void
watch_failures(const Job *job, const Migration *g)
{
	char	   *key;
	char	   *message;

	if (pass.total.failed == 0)
	{
		if (job->error_message != NULL && !dirty_key_any_failed(g->id))
			job_set_error(job->id, NULL, NULL, NULL);
		return;
	}
	if (job->error_message != NULL || !dirty_key_first_error(g->id, &key, &message))
		return;
	message = psprintf("dirty keys cannot be settled, such as %s: %s", key, message);
	job_set_error(job->id, NULL, message, NULL);
	event_record(g, "alarm", NULL, NULL, message);
}

/* The pass is over: says when the next one is due. */
static Turn
end_pass(const Job *job, const Migration *g, int interval)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		took = (now - pass_began) / 1000;

	in_pass = false;
	error_delay = 0;
	watch_failures(job, g);
	if (pass.total.settled + pass.total.failed > 0)
		account_watch(g);
	report(job, Min(interval, REPORT_MS) / 2);
	next_pass = pass.total.parked > 0 ? now : TimestampTzPlusMilliseconds(pass_began, interval);
	if (pass.total.settled + pass.total.parked == 0)
		next_pass = Max(next_pass, TimestampTzPlusMilliseconds(now, took * IDLE_SHARE));
	return TURN_SLEEP;
}

/* One batch of the pass. */
static Turn
settle(const Job *job, const Migration *g, int interval)
{
	SyncResult	result = {0};

	if (!in_pass)
	{
		sync_pass_begin(&pass, true);
		pass_began = GetCurrentTimestamp();
		in_pass = true;
	}
	job_show(g, "settling dirty keys");
	if (!sync_pass_step(g, mapping_list(g->id, migration_is_switched(g)), &pass, &result))
		return end_pass(job, g, interval);
	unreported += result.settled;
	report(job, REPORT_MS);
	return result.settled > 0 || result.busy == 0 ? TURN_AGAIN : TURN_YIELD;
}

/* Does a backfill settle the keys itself, now or later? */
static bool
copy_is_open(const Migration *g)
{
	Job		   *backfill = job_find_open(g->id, "backfill");

	return backfill != NULL && strcmp(backfill->step, "index") != 0;
}

/* A turn of the worker, in a transaction of its own. */
Turn
sync_turn(const Job *job, const Migration *g)
{
	int			interval = migration_is_capturing(g) ?
		sync_interval(g, migration_is_switched(g)) : 0;

	if (interval == 0)
		return stop(job, g);
	if (g->paused)
	{
		job_set_throttle(job->id, "paused");
		return TURN_THROTTLE;
	}
	if (!in_pass && error_delay == 0)
		next_pass = Min(next_pass, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), interval));
	if (!in_pass && sync_sleep_ms() > 0)
		return TURN_SLEEP;
	if (copy_is_open(g))
	{
		job_set_throttle(job->id, "the backfill settles the keys at its end");
		next_pass = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), interval);
		in_pass = false;
		return TURN_SLEEP;
	}
	job_set_throttle(job->id, NULL);
	return settle(job, g, interval);
}

/*
 * A turn failed and was rolled back: shows the error, records the first of a
 * row of equal ones, and puts the next pass off.
 */
void
sync_turn_failed(const Job *job, const Migration *g, const ErrorData *error)
{
	in_pass = false;
	error_delay = Min(MAX_ERROR_DELAY_MS, Max(ERROR_DELAY_MS, error_delay * 2));
	next_pass = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), error_delay);
	if (job->error_message != NULL && strcmp(job->error_message, error->message) == 0)
		return;
	job_set_error(job->id, error_sqlstate(error), error->message, error->context);
	event_record(g, "alarm", NULL, NULL, psprintf("sync: %s", error->message));
}

/* A worker to be started. */
typedef struct Launch
{
	const Migration *g;
	int64		job_id;
} Launch;

/* Work for subxact_try. */
static void
work_launch(void *arg)
{
	Launch	   *l = arg;

	launch_workers(l->g, l->job_id, 1);
}

/* Waits until a worker that has ended the job is gone. */
static void
wait_until_left(int64 job_id)
{
	for (int waited = 0; launch_job_is_running(job_id) && waited < LEAVE_MS; waited += 10)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The job, asked for again or new; *running if a worker is at it. */
static int64
request_job(const Migration *g, bool *running)
{
	Job		   *job = job_find_open(g->id, "sync");

	*running = false;
	if (job == NULL)
		return job_insert(g->id, "sync", NULL, 1, 0, NULL, GetUserId());
	if (strcmp(job->status, "stopped") == 0)
		wait_until_left(job->id);
	else if (launch_job_is_running(job->id))
	{
		*running = true;
		return job->id;
	}
	job_request_again(job->id, 0, 0, NULL);
	return job->id;
}

/*
 * Starts the sync worker of a migration that wants one for a direction, if it
 * does not run.  The caller has locked the migration.  That no worker can be
 * started is a warning: what the caller does is right without it.
 */
void
sync_job_ensure(const Migration *migration, bool reverse)
{
	Migration  *g = migration_get_by_id(migration->id);
	Launch		launch = {g};
	ErrorData  *error;
	bool		running;

	if (!is_wanted(g, reverse))
	{
		Job		   *job = job_find_open(g->id, "sync");

		if (job != NULL && !launch_job_is_running(job->id))
			job_finish(job->id, "stopped");
		return;
	}
	launch.job_id = request_job(g, &running);
	if (running)
		return;
	error = subxact_try(work_launch, &launch);
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("the sync worker of migration \"%s\" could not be started", g->name),
				 errdetail("%s.", error->message),
				 errhint("Dirty keys wait. Raise max_worker_processes or wait for other workers and call migrate_resume; until then, call migrate_sync.")));
}

void
sync_job_init(void)
{
	sync_wanted_hook = sync_job_ensure;
}
