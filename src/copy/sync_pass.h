/*
 * sync_pass.h
 *		Passes over the dirty keys of a migration.
 */
#ifndef MIGRATE_SYNC_PASS_H
#define MIGRATE_SYNC_PASS_H

#include "postgres.h"

#include "copy/sync.h"

/* A pass of a worker over the queues of some mappings, a batch a transaction. */
typedef struct SyncPass
{
	int64		mapping_id;		/* at work on; 0: none yet */
	SyncStretch stretch;
	SyncResult	total;
} SyncPass;

extern void sync_pass_begin(SyncPass *pass, bool due_only);
extern bool sync_pass_step(const Migration *g, List *mappings, SyncPass *pass, SyncResult *result);
extern void sync_mappings(const Migration *g, List *mappings, SyncResult *result);
extern int	sync_interval(const Migration *g, bool reverse);

#endif							/* MIGRATE_SYNC_PASS_H */
