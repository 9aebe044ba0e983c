/*
 * job.c
 *		Rows of migrate_ext.job.
 *
 *	requested -> running -> done
 *	               |  \---> stopped (run_for ended, paused out)  -> requested
 *	               |------> failed (error recorded)              -> requested
 *	               \------> cancelled (rolled back, dropped)
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/job.h"
#include "catalog/job_duplicate.h"

#define JOB_SELECT \
	"SELECT job_id, migration_id, kind, status, step, workers, coalesce(batch_rows, 0), " \
	"run_until, error_sqlstate, error_message, lag_paused, halvings, throttle_reason FROM migrate_ext.job "

static SpiArg
interval_arg(Interval *value)
{
	return spi_datum(INTERVALOID, IntervalPGetDatum(value), value == NULL);
}

/* Inserts a requested job with its first step (NULL: it has none); returns its id. */
int64
job_insert(int64 migration_id, const char *kind, const char *step, int workers, int batch_rows,
		   Interval *run_for, Oid requested_by)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.job (migration_id, kind, workers, batch_rows, run_until, "
			"requested_by, step) VALUES ($1, $2, $3, nullif($4, 0), clock_timestamp() + $5, $6, "
			"$7) RETURNING job_id",
			SPI_ARGS(spi_int8(migration_id), spi_text(kind), spi_int4(workers),
					 spi_int4(batch_rows), interval_arg(run_for),
					 spi_oid(REGROLEOID, requested_by), spi_text(step)));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* Builds a Job from row i of the result of a JOB_SELECT. */
static Job *
read_row(const SpiScope *scope, uint64 i)
{
	Job		   *job = MemoryContextAllocZero(scope->caller, sizeof(Job));

	job->id = spi_get_int8(i, 1);
	job->migration_id = spi_get_int8(i, 2);
	job->kind = spi_get_text(scope, i, 3);
	job->status = spi_get_text(scope, i, 4);
	job->step = spi_get_text(scope, i, 5);
	job->workers = DatumGetInt32(spi_get_datum(i, 6));
	job->batch_rows = DatumGetInt32(spi_get_datum(i, 7));
	job->run_until = spi_is_null(i, 8) ? 0 : DatumGetTimestampTz(spi_get_datum(i, 8));
	job->error_sqlstate = spi_get_text(scope, i, 9);
	job->error_message = spi_get_text(scope, i, 10);
	job->lag_paused = spi_get_bool(i, 11);
	job->halvings = DatumGetInt32(spi_get_datum(i, 12));
	job->throttle_reason = spi_get_text(scope, i, 13);
	return job;
}

static Job *
fetch(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	Job		   *job = NULL;

	spi_open_catalog(&scope);
	if (spi_run_fixed(sql, args, nargs) > 0)
		job = read_row(&scope, 0);
	spi_close(&scope);
	return job;
}

/* The jobs that somebody should be working on. */
List *
job_list_active(void)
{
	SpiScope	scope;
	List	   *jobs = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run(JOB_SELECT "WHERE status IN ('requested', 'running') ORDER BY job_id", SPI_NO_ARGS);
	for (uint64 i = 0; i < n; i++)
	{
		Job		   *job = read_row(&scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return jobs;
}

/* A job by id; NULL if it was removed with its migration. */
Job *
job_get(int64 id)
{
	return fetch(JOB_SELECT "WHERE job_id = $1", SPI_ARGS(spi_int8(id)));
}

/* The job of a kind that is not done or cancelled; NULL if there is none. */
Job *
job_find_open(int64 migration_id, const char *kind)
{
	return fetch(JOB_SELECT "WHERE migration_id = $1 AND kind = $2 "
				 "AND status NOT IN ('cancelled', 'done')",
				 SPI_ARGS(spi_int8(migration_id), spi_text(kind)));
}

/* The newest job of a kind; NULL if there is none. */
Job *
job_find_last(int64 migration_id, const char *kind)
{
	return fetch(JOB_SELECT "WHERE migration_id = $1 AND kind = $2 "
				 "ORDER BY job_id DESC LIMIT 1",
				 SPI_ARGS(spi_int8(migration_id), spi_text(kind)));
}

/* The backfill or verification to wait for: one that is to be worked on, or the newest. */
Job *
job_find_awaited(int64 migration_id)
{
	return fetch(JOB_SELECT "WHERE migration_id = $1 AND kind IN ('backfill', 'verify') "
				 "ORDER BY status IN ('requested', 'running') DESC, CASE WHEN status IN ('requested', 'running') THEN kind END, job_id DESC LIMIT 1",
				 SPI_ARGS(spi_int8(migration_id)));
}

/* Asks for an interrupted job to go on; 0 workers or rows keep the old number. */
void
job_request_again(int64 id, int workers, int batch_rows, Interval *run_for)
{
	spi_change("UPDATE migrate_ext.job SET status = 'requested', finished_at = NULL, "
		   "workers = coalesce(nullif($2, 0), workers), "
		   "batch_rows = coalesce(nullif($3, 0), batch_rows), "
		   "run_until = clock_timestamp() + $4, throttle_reason = NULL, lag_paused = false, halvings = 0, resumptions = 0, "
		   "error_sqlstate = NULL, error_message = NULL, error_context = NULL "
		   "WHERE job_id = $1",
		   SPI_ARGS(spi_int8(id), spi_int4(workers), spi_int4(batch_rows),
					interval_arg(run_for)));
}

/* Changes the number of workers and the batch size of a job; 0 keeps them. */
void
job_resize(int64 id, int workers, int batch_rows)
{
	spi_change("UPDATE migrate_ext.job SET workers = coalesce(nullif($2, 0), workers), "
		   "batch_rows = coalesce(nullif($3, 0), batch_rows) WHERE job_id = $1",
		   SPI_ARGS(spi_int8(id), spi_int4(workers), spi_int4(batch_rows)));
}

/* A worker begins: false if the job is over already. */
bool
job_start(int64 id)
{
	return spi_change("UPDATE migrate_ext.job SET status = 'running', "
				  "started_at = coalesce(started_at, clock_timestamp()) "
				  "WHERE job_id = $1 AND status IN ('requested', 'running')",
				  SPI_ARGS(spi_int8(id))) == 1;
}

/* Is the job still to be worked on?  (Nobody has cancelled or ended it.) */
bool
job_is_active(int64 id)
{
	Job		   *job = job_get(id);

	return job != NULL &&
		(strcmp(job->status, "requested") == 0 || strcmp(job->status, "running") == 0);
}

/* Cancels one job, whatever its state. */
void
job_cancel(int64 id)
{
	spi_change("UPDATE migrate_ext.job SET status = 'cancelled', finished_at = clock_timestamp(), throttle_reason = NULL "
			   "WHERE job_id = $1 AND status NOT IN ('cancelled', 'done')", SPI_ARGS(spi_int8(id)));
}

/* Moves a job to its next step, also where its time has ended meanwhile; false if that was done, or it was ended otherwise. */
bool
job_advance(int64 id, const char *from_step, const char *to_step)
{
	return spi_change("UPDATE migrate_ext.job SET step = $3 WHERE job_id = $1 AND step = $2 "
				  "AND status IN ('requested', 'running', 'stopped')",
				  SPI_ARGS(spi_int8(id), spi_text(from_step), spi_text(to_step))) == 1;
}

/* Ends a running job. */
void
job_finish(int64 id, const char *status)
{
	spi_change("UPDATE migrate_ext.job SET status = $2, finished_at = clock_timestamp(), "
		   "finished_xid = pg_current_xact_id(), throttle_reason = NULL "
		   "WHERE job_id = $1 AND status IN ('requested', 'running')",
		   SPI_ARGS(spi_int8(id), spi_text(status)));
}

/* Records an error; the first of several workers' errors stays. */
void
job_fail(int64 id, const char *sqlstate, const char *message, const char *context)
{
	spi_change("UPDATE migrate_ext.job SET status = 'failed', finished_at = clock_timestamp(), "
		   "error_sqlstate = $2, error_message = $3, error_context = $4, throttle_reason = NULL "
		   "WHERE job_id = $1 AND status IN ('requested', 'running')",
		   SPI_ARGS(spi_int8(id), spi_text(sqlstate), spi_text(message), spi_text(context)));
}

/* Cancels whatever of a migration is not over. */
void
job_cancel_all(int64 migration_id)
{
	spi_change("UPDATE migrate_ext.job SET status = 'cancelled', finished_at = clock_timestamp(), "
		   "throttle_reason = NULL WHERE migration_id = $1 AND status NOT IN ('cancelled', 'done')",
		   SPI_ARGS(spi_int8(migration_id)));
	job_duplicate_delete_all(migration_id);
}

/* Shows why a job waits; null when it goes on. */
void
job_set_throttle(int64 id, const char *reason)
{
	spi_change("UPDATE migrate_ext.job SET throttle_reason = $2 "
		   "WHERE job_id = $1 AND throttle_reason IS DISTINCT FROM $2",
		   SPI_ARGS(spi_int8(id), spi_text(reason)));
}

/* The supervisor resumes a job; how often it has, since the job last came forward? */
int
job_note_resumption(int64 id)
{
	SpiScope	scope;
	int			n;

	spi_open_catalog(&scope);
	spi_run("UPDATE migrate_ext.job j SET resumptions = CASE WHEN j.resumed_at = r.done THEN j.resumptions + 1 ELSE 1 END, "
			"resumed_at = r.done FROM (SELECT coalesce(sum(next_block - first_block), 0) + "
			"(SELECT CASE step WHEN 'copy' THEN 1 WHEN 'barrier' THEN 2 WHEN 'drain' THEN 3 WHEN 'index' THEN 4 ELSE 0 END FROM migrate_ext.job WHERE job_id = $1) "
			"+ (SELECT coalesce(sum(ranges), 0) FROM migrate_ext.verification WHERE job_id = $1) "
			"AS done FROM migrate_ext.job_range WHERE job_id = $1) r WHERE j.job_id = $1 RETURNING j.resumptions",
			SPI_ARGS(spi_int8(id)));
	n = DatumGetInt32(spi_get_datum(0, 1));
	spi_close(&scope);
	return n;
}

/* Replica lag is above pause_replica_lag: smaller batches from now on.  False if that is known. */
bool
job_begin_lag_pause(int64 id)
{
	return spi_change("UPDATE migrate_ext.job SET lag_paused = true, halvings = least(halvings + 1, 10) "
				  "WHERE job_id = $1 AND NOT lag_paused", SPI_ARGS(spi_int8(id))) == 1;
}

/* Replica lag is below max_replica_lag again; false if it was. */
bool
job_end_lag_pause(int64 id)
{
	return spi_change("UPDATE migrate_ext.job SET lag_paused = false WHERE job_id = $1 AND lag_paused",
				  SPI_ARGS(spi_int8(id))) == 1;
}

/* Counts keys that a sync has settled, and shows its speed. */
void
job_note_keys(int64 id, int64 settled, double per_second)
{
	spi_change("UPDATE migrate_ext.job SET keys_settled = keys_settled + $2, keys_per_second = $3 "
		   "WHERE job_id = $1 AND ($2 > 0 OR keys_per_second IS DISTINCT FROM $3)",
		   SPI_ARGS(spi_int8(id), spi_int8(settled),
					spi_datum(FLOAT8OID, Float8GetDatum(per_second), false)));
}

/* Shows an error of a job that goes on; null when it is over. */
void
job_set_error(int64 id, const char *sqlstate, const char *message, const char *context)
{
	spi_change("UPDATE migrate_ext.job SET error_sqlstate = $2, error_message = $3, error_context = $4 "
		   "WHERE job_id = $1",
		   SPI_ARGS(spi_int8(id), spi_text(sqlstate), spi_text(message), spi_text(context)));
}
