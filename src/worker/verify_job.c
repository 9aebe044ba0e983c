/*
 * verify_job.c
 *		Verification by ranges: a job that compares one range a transaction.
 *
 * One worker does it, mapping by mapping.  It waits as a copy does: for a pause,
 * replicas, sessions that wait for us and whatever else the throttle looks at.  What was
 * compared before a cutover or a rollback says nothing about the other
 * direction: such a job is cancelled.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/quote.h"
#include "base/setting.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "lifecycle/phase.h"
#include "projection/projection.h"
#include "verify/range.h"
#include "verify/verify.h"
#include "worker/launch.h"
#include "worker/pace.h"
#include "worker/verify_job.h"

/* Is the verification of a mapping that carries writes now? */
static bool
is_current(const Migration *g, int64 mapping_id)
{
	Mapping    *m = mapping_get(mapping_id);

	return m != NULL && m->migration_id == g->id && m->reverse == migration_is_switched(g);
}

/* One range; the end of the last one ends the job. */
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
	{
		job_finish(job->id, "done");
		if (verification_job_is_clean(job->id) && verified_hook != NULL)
			verified_hook(g);
		return TURN_END;
	}
	if (!is_current(g, v->mapping_id))
	{
		job_finish(job->id, "cancelled");
		return TURN_END;
	}
	m = mapping_get(v->mapping_id);
	job_show(g, psprintf("comparing keys of %s, range %lld", name_relation(m->target), (long long) v->ranges + 1));
	verify_options(g, &options);
	range_step(m, &options, setting_int(g->settings, "batch_target_time"), v);
	return TURN_AGAIN;
}

/* The job that goes on where it stopped; NULL if there is none, or it is of the other direction. */
static Job *
find_interrupted(const Migration *g)
{
	Job		   *job = job_find_open(g->id, "verify");
	Verification *v = job ? verification_find_open(job->id) : NULL;

	if (job == NULL || (v != NULL && is_current(g, v->mapping_id)))
		return job;
	job_cancel(job->id);
	return NULL;
}

/* Begins a verification by ranges, or goes on with the one that was interrupted; returns its job. */
static int64
request_ranges(const Migration *g)
{
	List	   *mappings = mapping_list(g->id, migration_is_switched(g));
	Job		   *job = find_interrupted(g);
	int64		id;
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		if (!projection_has_key_order(m))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the key of %s has a type without an order of the server's own", name_relation(m->target)),
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
		id = job_insert(g->id, "verify", 1, 0, NULL, GetUserId());
		foreach(lc, mappings)
			range_begin(lfirst(lc), id);
	}
	launch_workers(g, id, 1);
	return id;
}

void
verify_job_init(void)
{
	verify_ranges_hook = request_ranges;
}
