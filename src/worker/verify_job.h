/*
 * verify_job.h
 *		Verification by ranges: a job that compares one range a transaction.
 */
#ifndef MIGRATE_VERIFY_JOB_H
#define MIGRATE_VERIFY_JOB_H

#include "postgres.h"

#include "catalog/job.h"
#include "catalog/migration.h"
#include "worker/main.h"

extern Turn verify_turn(const Job *job, const Migration *g);
extern void verify_job_init(void);

#endif							/* MIGRATE_VERIFY_JOB_H */
