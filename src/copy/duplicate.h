/*
 * duplicate.h
 *		What a copy leaves out, and lists: source rows that lose their key to another one (dedupe_by).
 */
#ifndef MIGRATE_DUPLICATE_H
#define MIGRATE_DUPLICATE_H

#include "postgres.h"
#include "utils/array.h"

#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"

extern const char *duplicate_first_step(const Migration *g);
extern bool duplicate_lock_all(const Migration *g);
extern void duplicate_find(int64 job_id);
extern void duplicate_list_all(const Mapping *m);
extern void duplicate_list_keys(const Mapping *m, ArrayType *keys);

#endif							/* MIGRATE_DUPLICATE_H */
