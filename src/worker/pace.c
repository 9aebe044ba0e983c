/*
 * pace.c
 *		Whether a copy may go on, and its time series.
 *
 * What the throttle finds is written down: in the job, as long as it waits; as
 * an alarm where replica lag has passed pause_replica_lag; and in the samples.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/timestamp.h"

#include "base/setting.h"
#include "catalog/event.h"
#include "catalog/sample.h"
#include "copy/throttle.h"
#include "worker/main.h"
#include "worker/pace.h"

/* This worker's last batch, and the last sample it took or tried to take. */
static int64 batch_rows = 0;
static double batch_ms = 0;
static int64 sampled_job = 0;
static TimestampTz sampled_at = 0;
static bool sampled_waiting = false;

/* While a copy waits, there is less to be seen. */
#define WAITING_FACTOR 12

/* Remembers a batch for the next sample. */
void
pace_note_batch(int64 rows, double ms)
{
	batch_rows = rows;
	batch_ms = ms;
}

/* Adds a sample, unless there is one that is younger than interval_ms. */
static void
sample(const Job *job, const Migration *g, const Throttle *t, int interval_ms)
{
	Sample		s = {g->id, job->id, batch_rows, batch_ms, t->lag_ms, g->paused ? "paused" : t->reason};
	TimestampTz now = GetCurrentTimestamp();

	bool		waiting = s.throttle_reason != NULL;
	int			factor = waiting && sampled_waiting ? WAITING_FACTOR : 1;

	if (sampled_job == job->id && !TimestampDifferenceExceeds(sampled_at, now, Min(interval_ms, INT_MAX / factor) * factor))
		return;
	sampled_waiting = waiting;
	sampled_job = job->id;
	sampled_at = now;
	sample_take(&s, interval_ms);
}

/* Adds the last sample of a step. */
void
pace_sample(const Job *job, const Migration *g)
{
	Throttle	t = {NULL, false, -1};

	sample(job, g, &t, 0);
}

/* Raises the alarm for replica lag, once, and takes it back. */
static void
watch_lag(const Job *job, const Migration *g, const Throttle *t)
{
	if (t->paused && !job->lag_paused && job_begin_lag_pause(job->id))
		event_record(g, "alarm", NULL, NULL, t->reason);
	else if (!t->paused && job->lag_paused && job_end_lag_pause(job->id))
		event_record(g, "resumed", NULL, NULL, "replica lag is below max_replica_lag");
}

/* May the next batch be copied?  If not, shows why. */
bool
pace_may_go(const Job *job, const Migration *g)
{
	Throttle	t = {"paused", false, -1};

	if (!g->paused)
	{
		t = throttle_look(job, g);
		watch_lag(job, g, &t);
	}
	job_set_throttle(job->id, t.reason);
	if (strcmp(job->kind, "backfill") == 0)
		sample(job, g, &t, setting_int(g->settings, "sample_interval"));
	if (t.reason != NULL)
		job_show(g, g->paused ? "paused" : psprintf("waiting: %s", t.reason));
	return t.reason == NULL;
}
