/*
 * backfill.h
 *		Copies the rows that were there before the dual writes.
 */
#ifndef MIGRATE_BACKFILL_H
#define MIGRATE_BACKFILL_H

#include "postgres.h"

#include "catalog/job.h"
#include "catalog/migration.h"

typedef enum BatchOutcome
{
	BATCH_COPIED,				/* committed by the caller */
	BATCH_YIELDED,				/* gave way to the application: try again soon */
	BATCH_NONE,					/* no range is free */
	BATCH_FAILED				/* error is set */
} BatchOutcome;

extern bool backfill_plan_ranges(int64 job_id, int64 migration_id);
extern BatchOutcome backfill_batch(const Job *job, const Migration *g, ErrorData **error);
extern void backfill_wait_for_writers(int64 migration_id);

#endif							/* MIGRATE_BACKFILL_H */
