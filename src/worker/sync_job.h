/*
 * sync_job.h
 *		The continuous sync: a job that settles dirty keys every interval.
 */
#ifndef MIGRATE_SYNC_JOB_H
#define MIGRATE_SYNC_JOB_H

#include "postgres.h"

#include "catalog/job.h"
#include "catalog/migration.h"
#include "worker/main.h"

extern Turn sync_turn(const Job *job, const Migration *g);
extern void sync_turn_failed(const Job *job, const Migration *g, const ErrorData *error);
extern long sync_sleep_ms(void);
extern void sync_job_ensure(const Migration *g, bool reverse);
extern void sync_job_init(void);

#endif							/* MIGRATE_SYNC_JOB_H */
