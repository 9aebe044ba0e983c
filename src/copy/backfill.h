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

typedef struct BatchResult
{
	int64		rows;			/* inserted */
	double		ms;
	ErrorData  *error;			/* why it failed */
} BatchResult;

extern BatchOutcome backfill_batch(const Job *job, const Migration *g, BatchResult *result);

#endif							/* MIGRATE_BACKFILL_H */
