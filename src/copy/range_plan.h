/*
 * range_plan.h
 *		What a copy has to read.
 */
#ifndef MIGRATE_RANGE_PLAN_H
#define MIGRATE_RANGE_PLAN_H

#include "postgres.h"

#include "catalog/job_range.h"

extern bool range_plan_make(int64 job_id, int64 migration_id);
extern bool range_plan_holds(const JobRange *range, int64 migration_id);
extern void range_plan_wait_for_writers(int64 migration_id);

#endif							/* MIGRATE_RANGE_PLAN_H */
