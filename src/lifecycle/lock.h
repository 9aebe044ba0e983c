/*
 * lock.h
 *		Table locks that never keep the application waiting for long.
 */
#ifndef MIGRATE_LIFECYCLE_LOCK_H
#define MIGRATE_LIFECYCLE_LOCK_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

#include "catalog/migration.h"

extern void lock_with_others(const Migration *g, List *relids, List *others);
extern void lock_relations(const Migration *g, List *relids, LOCKMODE mode, List *exclusive);

#endif							/* MIGRATE_LIFECYCLE_LOCK_H */
