/*
 * sample.h
 *		Rows of migrate_ext.sample.
 */
#ifndef MIGRATE_SAMPLE_H
#define MIGRATE_SAMPLE_H

#include "postgres.h"

typedef struct Sample
{
	int64		migration_id;
	int64		job_id;
	int64		batch_rows;
	double		batch_ms;
	double		replica_lag_ms; /* negative: unknown */
	const char *throttle_reason;
} Sample;

extern void sample_take(const Sample *s, int interval_ms);

#endif							/* MIGRATE_SAMPLE_H */
