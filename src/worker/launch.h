/*
 * launch.h
 *		Starts background workers, and tells whether they run.
 */
#ifndef MIGRATE_LAUNCH_H
#define MIGRATE_LAUNCH_H

#include "postgres.h"
#include "postmaster/bgworker.h"

#include "catalog/migration.h"

/* What a worker is told at its start; fits into bgw_extra. */
typedef struct WorkerArgs
{
	Oid			database;
	Oid			role;
	int64		migration_id;
	int64		job_id;			/* 0: it has none */
	TransactionId launcher;		/* whose commit the worker waits for */
} WorkerArgs;

extern bool launch_worker_can_connect(const Migration *g);
extern BackgroundWorkerHandle *launch_worker(const Migration *g, const char *function, int64 job_id, pid_t notify);
extern void launch_workers(const Migration *g, int64 job_id, int workers);
extern bool launch_job_is_running(int64 job_id);
extern int	launch_count_workers(int64 job_id);
extern void launch_hold_rebuild(int64 migration_id);
extern bool launch_rebuild_is_running(int64 migration_id);
extern bool launch_rebuild(const Migration *g);
extern bool launch_is_surplus(int64 job_id, int wanted);
extern void launch_hold_job(int64 job_id);
extern bool launch_become_finisher(int64 job_id);
extern void launch_release_job(int64 job_id);

#endif							/* MIGRATE_LAUNCH_H */
