/*
 * trigger.h
 *		Installs and removes the triggers of a migration.
 */
#ifndef MIGRATE_TRIGGER_H
#define MIGRATE_TRIGGER_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "catalog/migration.h"

extern void trigger_install_capture(const Migration *m, List *mappings, bool reverse);
extern void trigger_install_guard(const Migration *m, List *mappings);
extern void trigger_remove_all(int64 migration_id);
extern List *trigger_relations(int64 migration_id);

#endif							/* MIGRATE_TRIGGER_H */
