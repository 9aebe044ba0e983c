/*
 * throttle.h
 *		Says when a copy must wait, and why.
 */
#ifndef MIGRATE_THROTTLE_H
#define MIGRATE_THROTTLE_H

#include "postgres.h"

#include "catalog/job.h"
#include "catalog/migration.h"

typedef struct Throttle
{
	const char *reason;			/* to wait; NULL: go on */
	bool		paused;			/* replica lag passed pause_replica_lag: alarm */
	double		lag_ms;			/* of the replica furthest behind; negative: unknown */
} Throttle;

extern Throttle throttle_look(const Job *job, const Migration *g);

#endif							/* MIGRATE_THROTTLE_H */
