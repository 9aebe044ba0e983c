/*
 * main.h
 *		The loop that does a job, in a worker or in the foreground.
 */
#ifndef MIGRATE_WORKER_MAIN_H
#define MIGRATE_WORKER_MAIN_H

#include "postgres.h"

/* Commits the current transaction and begins the next. */
typedef void (*JobCommit) (void);

extern void job_work(int64 job_id, JobCommit commit);

#endif							/* MIGRATE_WORKER_MAIN_H */
