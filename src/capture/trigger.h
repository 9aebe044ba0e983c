/*
 * trigger.h
 *		Installs and removes the triggers of a migration.
 */
#ifndef MIGRATE_TRIGGER_H
#define MIGRATE_TRIGGER_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/reltrigger.h"

#include "catalog/migration.h"

/* Directions of a capturing trigger. */
#define CAPTURE_FORWARD "forward"
#define CAPTURE_REVERSE "reverse"
#define CAPTURE_STALE "stale"	/* forward, from the side that was replaced */

/* Arguments of a trigger: migration and direction.  A trigger in place has one more. */
#define CAPTURE_ARGUMENTS 2

extern void trigger_install_capture(const Migration *m, List *mappings, const char *direction);
extern void trigger_install_in_place(const Migration *m, List *mappings, const char *direction,
									 const char *stale_writes);
extern void trigger_install_guard(const Migration *m, List *mappings);
extern void trigger_remove_all(int64 migration_id);
extern void trigger_remove_stale(int64 migration_id);
extern bool trigger_is_ours(const Trigger *t);
extern List *trigger_relations(int64 migration_id);

#endif							/* MIGRATE_TRIGGER_H */
