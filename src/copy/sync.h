/*
 * sync.h
 *		Makes the target equal to the source for dirty keys.
 */
#ifndef MIGRATE_SYNC_H
#define MIGRATE_SYNC_H

#include "postgres.h"

#include "catalog/mapping.h"
#include "catalog/migration.h"

/* Keys settled in one transaction by a worker. */
#define SYNC_BATCH_KEYS 500

/* What is left of a mapping's queue to be looked at. */
typedef struct SyncStretch
{
	int64		after;
	int64		upto;
	int			limit;			/* rows in a batch */
	bool		due_only;		/* not keys that failed and wait for their next try */
} SyncStretch;

typedef struct SyncResult
{
	int64		settled;		/* distinct keys */
	int64		failed;
	int64		busy;			/* being written by others: left for later */
	int64		parked;			/* the target row was taken away: to be settled in the next pass */
	int64		expanded;		/* "every key" made into keys behind the end */
	bool		halted;			/* a copy began, or somebody locks a table */
} SyncResult;

extern bool sync_batch(const Migration *g, const Mapping *m, SyncStretch *stretch,
					   SyncResult *result);
extern bool sync_must_wait(const Migration *g);

#endif							/* MIGRATE_SYNC_H */
