/*
 * pace.h
 *		Whether a copy may go on, and its time series.
 */
#ifndef MIGRATE_PACE_H
#define MIGRATE_PACE_H

#include "postgres.h"

#include "catalog/job.h"
#include "catalog/migration.h"

extern bool pace_may_go(const Job *job, const Migration *g);
extern void pace_note_batch(int64 rows, double ms);
extern void pace_sample(const Job *job, const Migration *g);

#endif							/* MIGRATE_PACE_H */
