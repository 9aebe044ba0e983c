/*
 * job.h
 *		Rows of migrate_ext.job.
 */
#ifndef MIGRATE_JOB_H
#define MIGRATE_JOB_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

typedef struct Job
{
	int64		id;
	int64		migration_id;
	char	   *kind;
	char	   *status;
	char	   *step;			/* NULL for a sync */
	int			workers;
	int			batch_rows;		/* 0: the setting */
	TimestampTz run_until;		/* 0: no limit */
	bool		lag_paused;		/* replica lag was above pause_replica_lag */
	int			halvings;		/* of the batch size, for that */
	char	   *throttle_reason;
	char	   *error_sqlstate;
	char	   *error_message;
} Job;

/* What a job is called in messages. */
static inline const char *
job_name(const Job *job)
{
	return strcmp(job->kind, "verify") == 0 ? "verification" : job->kind;
}

extern int64 job_insert(int64 migration_id, const char *kind, const char *step, int workers, int batch_rows,
						Interval *run_for, Oid requested_by);
extern Job *job_get(int64 id);
extern List *job_list_active(void);
extern int	job_note_resumption(int64 id);
extern Job *job_find_open(int64 migration_id, const char *kind);
extern Job *job_find_last(int64 migration_id, const char *kind);
extern Job *job_find_awaited(int64 migration_id);
extern void job_request_again(int64 id, int workers, int batch_rows, Interval *run_for);
extern void job_resize(int64 id, int workers, int batch_rows);
extern bool job_start(int64 id);
extern bool job_is_active(int64 id);
extern bool job_advance(int64 id, const char *from_step, const char *to_step);
extern void job_finish(int64 id, const char *status);
extern void job_fail(int64 id, const char *sqlstate, const char *message, const char *context);
extern void job_cancel(int64 id);
extern void job_cancel_all(int64 migration_id);
extern void job_note_keys(int64 id, int64 settled, double per_second);
extern void job_set_error(int64 id, const char *sqlstate, const char *message,
						  const char *context);
extern bool job_begin_lag_pause(int64 id);
extern bool job_end_lag_pause(int64 id);
extern void job_set_throttle(int64 id, const char *reason);

#endif							/* MIGRATE_JOB_H */
