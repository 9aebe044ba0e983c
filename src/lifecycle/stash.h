/*
 * stash.h
 *		Puts off indexes and foreign keys of targets until their rows are copied.
 */
#ifndef MIGRATE_STASH_H
#define MIGRATE_STASH_H

#include "nodes/pg_list.h"

#include "catalog/migration.h"

extern List *stash_list_relations(const Migration *g);
extern void stash_targets(const Migration *g);

/* Has somebody rebuild what is put off; set by the room that has workers. */
extern void (*stash_rebuild_hook) (const Migration *g);

#endif							/* MIGRATE_STASH_H */
