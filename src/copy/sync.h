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

typedef struct SyncResult
{
	int64		settled;		/* distinct keys */
	int64		failed;
	int64		busy;			/* being written by others: left for later */
} SyncResult;

extern bool sync_batch(const Migration *g, const Mapping *m, int64 *after, int64 upto,
					   int limit, SyncResult *result);
extern void sync_mappings(const Migration *g, List *mappings, SyncResult *result);
extern bool sync_must_wait(const Migration *g);

#endif							/* MIGRATE_SYNC_H */
