/*
 * wait.c
 *		CALL migrate_run and CALL migrate_wait: procedures, so that they can
 *		commit, and hold no snapshot while they wait.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/setting.h"
#include "base/spi.h"
#include "catalog/job.h"
#include "catalog/job_range.h"
#include "catalog/migration.h"
#include "catalog/verification.h"
#include "worker/launch.h"
#include "worker/main.h"
#include "worker/request.h"

MIGRATE_FUNCTION(migrate_run);
MIGRATE_FUNCTION(migrate_wait);

/* Milliseconds between two looks at a job, and between two progress lines. */
#define WAIT_POLL_MS 200
#define WAIT_REPORT_MS 2000

/* Raises unless the procedure may commit. */
static void
require_nonatomic(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot run inside a transaction block", name),
				 errhint("CALL it on its own: it commits as it goes.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s needs isolation level READ COMMITTED", name)));
}

/* The function that a job is asked for with. */
static const char *
job_caller(const Job *job)
{
	return strcmp(job->kind, "verify") == 0 ? "migrate_verify" : "migrate_backfill";
}

/* Raises for a job that ended badly. */
static void
check_outcome(const Job *job, const char *migration)
{
	if (job != NULL && strcmp(job->status, "failed") == 0)
		ereport(ERROR,
				(errcode(job->error_sqlstate ? MAKE_SQLSTATE(job->error_sqlstate[0],
															 job->error_sqlstate[1], job->error_sqlstate[2],
															 job->error_sqlstate[3], job->error_sqlstate[4]) :
						 ERRCODE_INTERNAL_ERROR),
				 errmsg("the %s of migration \"%s\" failed: %s", job_name(job), migration, job->error_message),
				 errhint("Mend the cause and call %s again: it goes on where it stopped.", job_caller(job))));
}

/* The foreground's JobCommit. */
static void
commit_foreground(void)
{
	SPI_commit();
}

/*
 * CALL migrate_run(migration text): does the backfill in this session,
 * committing each batch.  No worker slot is needed.
 */
Datum
migrate_run(PG_FUNCTION_ARGS)
{
	Migration  *g;
	bool		nothing_to_do;
	volatile int64 id;
	MemoryContext outer = CurrentMemoryContext;

	require_nonatomic(fcinfo, "migrate_run");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	id = request_backfill(g, 0, 0, NULL, &nothing_to_do);
	if (nothing_to_do)
	{
		SPI_finish();
		PG_RETURN_VOID();
	}
	launch_hold_job(id);
	SPI_commit();
	PG_TRY();
	{
		job_work(id, commit_foreground);
	}
	PG_FINALLY();
	{
		launch_release_job(id);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	check_outcome(job_get(id), text_to_cstring(PG_GETARG_TEXT_PP(0)));
	SPI_finish();
	PG_RETURN_VOID();
}

/* Prints one line of progress. */
static void
report_progress(const Job *job)
{
	int64		done;
	int64		total;
	int64		rows;

	if (strcmp(job->kind, "verify") == 0)
	{
		int64		differing;

		verification_sum(job->id, &done, &rows, &differing);
		ereport(NOTICE,
				(errmsg("verification %s: %lld ranges, %lld rows compared, %lld differ%s%s", job->status, (long long) done,
						(long long) rows, (long long) differing,
						job->throttle_reason ? "; waiting: " : "", job->throttle_reason ? job->throttle_reason : "")));
		return;
	}
	job_range_sum(job->id, &done, &total, &rows);
	ereport(NOTICE,
			(errmsg("backfill %s, step %s: %lld of %lld blocks (%.1f %%), %lld rows written%s%s",
					job->status, job->step, (long long) done, (long long) total,
					total > 0 ? 100.0 * done / total : 100.0, (long long) rows,
					job->throttle_reason ? "; waiting: " : "", job->throttle_reason ? job->throttle_reason : "")));
}

/* Waits a little, outside a transaction's snapshot. */
static void
nap(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_POLL_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Has a verification that is done again and again compared all for now?  The pass is awaited that
 * was under way at the first look: where one takes longer than the interval, the next
 * follows at once.
 */
static bool
is_pass_over(const Job *job, const char *name, int64 *awaited)
{
	Verification *open;

	if (strcmp(job->kind, "verify") != 0 || setting_int(migration_get(name)->settings, "verify_interval") == 0)
		return false;
	open = verification_find_open(job->id);
	if (open != NULL && *awaited == 0)
		*awaited = ((Verification *) llast(verification_list(job->id)))->id;
	return open == NULL || open->id > *awaited;
}

/* Looks at a job: true when the wait is over. */
static bool
is_over(const char *name, Job *job, bool report, int64 *awaited)
{
	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("migration \"%s\" has no backfill to wait for", name),
				 errhint("Start it with migrate_backfill, or a verification by ranges with migrate_verify.")));
	check_outcome(job, name);
	if ((strcmp(job->status, "requested") != 0 && strcmp(job->status, "running") != 0) || is_pass_over(job, name, awaited))
	{
		report_progress(job);
		return true;
	}
	if (!launch_job_is_running(job->id))
	{
		/* it may have ended between our two looks */
		job = job_get(job->id);
		if (job != NULL && (strcmp(job->status, "requested") == 0 || strcmp(job->status, "running") == 0))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the %s of migration \"%s\" was interrupted", job_name(job), name),
					 errhint("Call %s again: it goes on where it stopped.", job_caller(job))));
		return false;
	}
	if (report)
		report_progress(job);
	return false;
}

/*
 * CALL migrate_wait(migration text, timeout interval): until the backfill, or
 * a verification by ranges, ends.  Raises where it failed, was interrupted, or the timeout passes.
 */
Datum
migrate_wait(PG_FUNCTION_ARGS)
{
	char	   *name;
	TimestampTz deadline = 0;
	TimestampTz reported;
	int64		awaited = 0;	/* the last verification of the pass to wait for */

	require_nonatomic(fcinfo, "migrate_wait");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!PG_ARGISNULL(1))
		deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
														   TimestampTzGetDatum(GetCurrentTimestamp()),
														   PG_GETARG_DATUM(1)));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	reported = GetCurrentTimestamp();
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		report = TimestampDifferenceExceeds(reported, now, WAIT_REPORT_MS);

		Job		   *job = job_find_awaited(migration_get(name)->id);

		if (is_over(name, job, report, &awaited))
			break;
		if (report)
			reported = now;
		if (deadline != 0 && now >= deadline)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("the %s of migration \"%s\" did not end in time", job_name(job), name),
					 errhint("It goes on; wait again, or look at migrate_progress.")));
		SPI_commit();
		nap();
	}
	SPI_finish();
	PG_RETURN_VOID();
}
