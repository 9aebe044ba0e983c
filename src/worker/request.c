/*
 * request.c
 *		migrate_backfill, migrate_set, migrate_pause, migrate_resume: asks workers to work.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/rejected_row.h"
#include "catalog/stashed_object.h"
#include "catalog/write_error.h"
#include "copy/duplicate.h"
#include "copy/range_plan.h"
#include "copy/sync_pass.h"
#include "lifecycle/cutover.h"
#include "lifecycle/gate.h"
#include "lifecycle/phase.h"
#include "lifecycle/stash.h"
#include "worker/launch.h"
#include "worker/request.h"
#include "worker/sync_job.h"

MIGRATE_FUNCTION(migrate_backfill);
MIGRATE_FUNCTION(migrate_set);
MIGRATE_FUNCTION(migrate_pause);
MIGRATE_FUNCTION(migrate_resume);

/* Is everything copied already? */
static bool
is_complete(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		if (!((Mapping *) lfirst(lc))->complete)
			return false;
	}
	return job_find_open(g->id, "backfill") == NULL;
}

/* Makes a new backfill job with its ranges, and enters the phase. */
static int64
new_job(Migration *g, int workers, int batch_rows, Interval *run_for)
{
	int64		id;

	if (phase_is(g, "dual_write"))
		gate_pass(g, "backfill", NULL, false, NULL);
	id = job_insert(g->id, "backfill", duplicate_first_step(g), workers, batch_rows, run_for, GetUserId());
	range_plan_make(id, g->id);
	if (phase_is(g, "dual_write"))
		phase_move(g, "backfill", NULL, NULL);
	return id;
}

/* Changes the number of workers and the batch size of a running backfill, where they are given. */
static void
resize_running(const Migration *g, int workers, int batch_rows)
{
	Job		   *job = job_find_open(g->id, "backfill");

	if (job == NULL || !launch_job_is_running(job->id) || (workers == 0 && batch_rows == 0))
		return;
	job_resize(job->id, workers, batch_rows);
	if (workers > job->workers)
		launch_workers(g, job->id, workers);
}

/*
 * The job that a call for a backfill means: the open one, taken up again, or
 * a new one.  *nothing_to_do is set where it runs or is complete already.
 */
int64
request_backfill(Migration *g, int workers, int batch_rows, Interval *run_for,
				 bool *nothing_to_do)
{
	Job		   *job;

	phase_require(g, "migrate_backfill", PHASES("dual_write", "backfill", "shadow"));
	*nothing_to_do = false;
	job = job_find_open(g->id, "backfill");
	if (job != NULL && launch_job_is_running(job->id))
	{
		ereport(NOTICE,
				(errmsg("the backfill of migration \"%s\" is running already", g->name)));
		resize_running(g, workers, batch_rows);
		*nothing_to_do = true;
		return job->id;
	}
	if (workers == 0)
		workers = setting_int(g->settings, "workers");
	if (job != NULL)
	{
		if (strcmp(job->status, "failed") == 0)
			rejected_row_requeue(g->id);	/* its cause is mended, perhaps */
		stashed_object_clear_errors(g->id);
		job_request_again(job->id, workers, batch_rows, run_for);
		event_record(g, "backfill_resumed", NULL, NULL, NULL);
		return job->id;
	}
	if (is_complete(g) && (job = job_find_last(g->id, "backfill")) != NULL)
	{
		ereport(NOTICE,
				(errmsg("the backfill of migration \"%s\" is complete already", g->name)));
		*nothing_to_do = true;
		return job->id;
	}
	return new_job(g, workers, batch_rows, run_for);
}

/* Raises for a number that is not positive; 0 where the argument is null. */
static int
positive_arg(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		return 0;
	if (PG_GETARG_INT32(i) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be greater than zero", name),
				 errhint("Leave it out for the migration's setting.")));
	return PG_GETARG_INT32(i);
}

/*
 * migrate_backfill(migration text, workers int, batch_size int, run_for
 * interval) RETURNS bigint: the job's id, as soon as the workers run.
 *
 * Idempotent: a running backfill is reported, and takes on the number of workers
 * and batch size that are given; an interrupted one goes on; a complete one is
 * left alone.
 */
Datum
migrate_backfill(PG_FUNCTION_ARGS)
{
	Migration  *g;
	int			workers = positive_arg(fcinfo, 1, "workers");
	int			batch_rows = positive_arg(fcinfo, 2, "batch_size");
	Interval   *run_for = PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3);
	bool		nothing_to_do;
	int64		id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	id = request_backfill(g, workers, batch_rows, run_for, &nothing_to_do);
	if (!nothing_to_do)
		launch_workers(g, id, job_get(id)->workers);
	sync_job_ensure(g, migration_is_switched(g));
	PG_RETURN_INT64(id);
}

/*
 * migrate_set(migration text, setting text, value text) RETURNS text: the
 * value that was in force before.  A null value goes back to the default.
 */
Datum
migrate_set(PG_FUNCTION_ARGS)
{
	Migration  *g;
	char	   *name;
	char	   *value;
	char	   *before;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration and setting must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	before = strcmp(name, "sync_interval") == 0 ?
		psprintf("%d", sync_interval(g, migration_is_switched(g))) : setting_text(g->settings, name);
	value = PG_ARGISNULL(2) ? NULL : setting_check(name, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (strcmp(name, "time_zone") == 0)
		phase_require(g, "migrate_set('time_zone')", PHASES("planned", "rolled_back"));
	migration_set_setting(g->id, name, value);
	mapping_invalidate(g->id);
	if (strcmp(name, "stale_writes") == 0)
		cutover_change_stale_writes(migration_get_by_id(g->id));
	event_record(g, "setting", NULL, NULL,
				 psprintf("%s: %s -> %s", name, before, value ? value : "default"));
	if (strcmp(name, "workers") == 0)
		resize_running(g, setting_int(migration_get_by_id(g->id)->settings, name), 0);
	sync_job_ensure(g, migration_is_switched(g));
	PG_RETURN_TEXT_P(cstring_to_text(before));
}

/* migrate_pause(migration text): workers stop after their current batch. */
Datum
migrate_pause(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (!g->paused)
	{
		migration_set_paused(g->id, true);
		event_record(g, "paused", NULL, NULL, NULL);
	}
	PG_RETURN_VOID();
}

/*
 * migrate_resume(migration text): workers go on; those that were lost since,
 * by a restart for example, are started again.
 */
Datum
migrate_resume(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	static const char *const kinds[] = {"backfill", "verify"};

	if (g->paused)
	{
		migration_set_paused(g->id, false);
		event_record(g, "resumed", NULL, NULL, NULL);
	}
	if (write_error_any_degraded(g->id))
	{
		write_error_reset(g->id);
		mapping_invalidate(g->id);
		event_record(g, "resumed", NULL, NULL, "dual writes");
	}
	for (int i = 0; i < lengthof(kinds); i++)
	{
		Job		   *job = job_find_open(g->id, kinds[i]);

		if (job == NULL || launch_job_is_running(job->id))
			continue;
		job_request_again(job->id, 0, 0, NULL);
		launch_workers(g, job->id, Max(1, job->workers));
	}
	sync_job_ensure(g, migration_is_switched(g));
	if (job_find_open(g->id, "backfill") == NULL && (!migration_is_capturing(g) || migration_is_switched(g)))
		stash_rebuild_hook(g);	/* after a cutover or a rollback */
	PG_RETURN_VOID();
}
