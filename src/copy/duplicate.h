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
extern void duplicate_wait_for_syncs(int64 migration_id);
extern void duplicate_find(const Job *job);
extern void duplicate_list_keys(const Mapping *m, ArrayType *keys);

#endif							/* MIGRATE_DUPLICATE_H */
