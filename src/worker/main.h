/*
 * main.h
 *		The loop that does a job, in a worker or in the foreground.
 */
#ifndef MIGRATE_WORKER_MAIN_H
#define MIGRATE_WORKER_MAIN_H

#include "postgres.h"

#include "catalog/migration.h"
#include "worker/launch.h"

/* Commits the current transaction and begins the next. */
typedef void (*JobCommit) (void);

/* What a turn of the loop asks for. */
typedef enum Turn
{
	TURN_AGAIN,
	TURN_YIELD,
	TURN_WAIT,
	TURN_THROTTLE,				/* paused, or a signal says so */
	TURN_IDLE,					/* nothing to do for a while */
	TURN_SLEEP,					/* nothing to do until something is due */
	TURN_BARRIER,
	TURN_END
} Turn;

extern void worker_connect(WorkerArgs *args);
extern void worker_wait_for_launcher(TransactionId xid);
extern void job_show(const Migration *g, const char *doing);
extern void job_work(int64 job_id, JobCommit commit);

#endif							/* MIGRATE_WORKER_MAIN_H */
