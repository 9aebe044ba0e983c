/*
 * range.h
 *		Verification by ranges of keys.
 */
#ifndef MIGRATE_RANGE_H
#define MIGRATE_RANGE_H

#include "postgres.h"

#include "verify/compare.h"

extern void range_begin(const Mapping *m, int64 job_id);
extern void range_step(const Mapping *m, const CompareOptions *options, double target_ms, Verification *v);

#endif							/* MIGRATE_RANGE_H */
