/*
 * verify_job.c
 *		Verification by ranges: a job that compares one range a transaction.
 *
 * One worker does it, mapping by mapping: a pass.  It waits as a copy does: for a pause,
 * replicas, sessions that wait for us and whatever else the throttle looks at.  With
 * setting verify_interval a pass begins so long after the last one has begun, again
 * and again, until it is 0.  What was compared before a cutover says nothing
 * about the other direction: such a pass is abandoned.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/quote.h"
#include "base/setting.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/old_side.h"
#include "lifecycle/phase.h"
#include "projection/projection.h"
#include "verify/range.h"
#include "verify/verify.h"
#include "worker/launch.h"
#include "worker/pace.h"
#include "worker/verify_job.h"

/* A verification's mapping; NULL if it does not carry writes now. */
static Mapping *
current_mapping(const Migration *g, const Verification *v)
{
	Mapping    *m = mapping_get(v->mapping_id);

	return m != NULL && m->migration_id == g->id && m->reverse == migration_is_switched(g) ? m : NULL;
}

/* Makes the verifications of a pass, which compare nothing yet. */
static void
make_pass(int64 job_id, const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, migration_is_switched(g)))
		range_begin(lfirst(lc), job_id);
}

/* Nothing is left to compare: the job is done, or begins again when verify_interval has passed. */
static Turn
begin_pass(const Job *job, const Migration *g)
{
	int			interval = setting_int(g->settings, "verify_interval");

	if (interval == 0)
	{
		job_finish(job->id, "done");
		return TURN_END;
	}
	if (!TimestampDifferenceExceeds(verification_last_start(job->id), GetCurrentTimestamp(), interval))
		return TURN_IDLE;
	make_pass(job->id, g);
	return TURN_AGAIN;
}

/* The direction has changed: what was compared until now means nothing. */
static Turn
abandon_pass(const Job *job, const Migration *g)
{
	verification_delete_open(job->id);
	if (setting_int(g->settings, "verify_interval") > 0)
		return TURN_AGAIN;
	job_finish(job->id, "cancelled");
	return TURN_END;
}

/* All has been compared. */
static void
end_pass(const Job *job, const Migration *g)
{
	int64		differing;

	if (verification_pass_is_clean(job->id, &differing))
	{
		if (verified_hook != NULL)
			verified_hook(g);
	}
	else if (differing > 0)
		event_record(g, "alarm", NULL, NULL,
					 psprintf("verification by ranges found %lld differences: migrate_divergence lists them", (long long) differing));
}

/* One range. */
Turn
verify_turn(const Job *job, const Migration *g)
{
	Verification *v;
	Mapping    *m;
	CompareOptions options;

	if (!pace_may_go(job, g))
		return TURN_THROTTLE;
	v = verification_find_open(job->id);
	if (v == NULL)
		return begin_pass(job, g);
	m = current_mapping(g, v);
	if (m == NULL)
		return abandon_pass(job, g);
	job_show(g, psprintf("comparing keys of %s, range %lld", name_relation(m->target), (long long) v->ranges + 1));
	verify_options(g, &options);
	old_side_look(g);
	range_step(m, &options, setting_int(g->settings, "batch_target_time"), v);
	old_side_skip(g);
	if (v->finished && verification_find_open(job->id) == NULL)
		end_pass(job, g);
	return TURN_AGAIN;
}

/*
 * The job that goes on, or waits for its next pass; NULL if there is none, or it
 * is of the other direction, or has nothing left to compare.
 */
static Job *
find_usable(const Migration *g)
{
	Job		   *job = job_find_open(g->id, "verify");
	Verification *v = job ? verification_find_open(job->id) : NULL;

	if (job == NULL || (v != NULL ? current_mapping(g, v) != NULL : launch_job_is_running(job->id)))
		return job;
	job_cancel(job->id);
	return NULL;
}

/* Begins a verification by ranges, or goes on with the one that was interrupted; returns its job. */
static int64
request_ranges(const Migration *g)
{
	List	   *mappings = mapping_list(g->id, migration_is_switched(g));
	Job		   *job = find_usable(g);
	int64		id;
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		if (!projection_has_key_order(m))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg(m->key == NIL ? "the rows of %s have no key" : "the key of %s has a type without an order of the server's own", name_relation(m->target)),
					 errhint("Use method \"scan\".")));
	}
	if (job != NULL && launch_job_is_running(job->id))
	{
		ereport(NOTICE,
				(errmsg("the verification of migration \"%s\" is running already", g->name)));
		return job->id;
	}
	if (job != NULL)
	{
		job_request_again(job->id, 0, 0, NULL);
		id = job->id;
	}
	else
	{
		id = job_insert(g->id, "verify", NULL, 1, 0, NULL, GetUserId());
		make_pass(id, g);
	}
	launch_workers(g, id, 1);
	return id;
}

void
verify_job_init(void)
{
	verify_ranges_hook = request_ranges;
}
