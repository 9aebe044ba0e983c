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

/* Of a trigger on a table that expressions read. */
#define CAPTURE_LOOKUP_FORWARD "lookup"
#define CAPTURE_LOOKUP_REVERSE "lookup_reverse"

/* What a trigger that rejects writes is there for. */
#define CAPTURE_GUARD "guard"	/* the side was replaced */
#define CAPTURE_FROZEN "frozen"

/* Arguments of a trigger: migration and direction.  A trigger in place has one more. */
#define CAPTURE_ARGUMENTS 2

extern bool trigger_is_ours(const Trigger *t);
extern Oid	trigger_find_damage(const Migration *g);
extern bool trigger_follow(const Migration *g);
extern List *trigger_relations(int64 migration_id);
extern void trigger_remove_all(const Migration *g);

#endif							/* MIGRATE_TRIGGER_H */
