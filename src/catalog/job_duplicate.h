/*
 * job_duplicate.h
 *		Rows of migrate_ext.job_duplicate.
 */
#ifndef MIGRATE_JOB_DUPLICATE_H
#define MIGRATE_JOB_DUPLICATE_H

#include "postgres.h"
#include "storage/itemptr.h"
#include "utils/array.h"

extern void job_duplicate_add(int64 job_id, int64 mapping_id, Oid relation, ArrayType *tids);
extern ArrayType *job_duplicate_list(int64 job_id, int64 mapping_id, Oid relation, ItemPointerData low, ItemPointerData high);
extern void job_duplicate_delete(int64 job_id);
extern void job_duplicate_delete_all(int64 migration_id);

#endif							/* MIGRATE_JOB_DUPLICATE_H */
