/*
 * old_side.h
 *		Rows of migrate_ext.old_side and old_side_use: who still uses what was replaced.
 */
#ifndef MIGRATE_OLD_SIDE_H
#define MIGRATE_OLD_SIDE_H

#include "postgres.h"

#include "catalog/migration.h"

extern void old_side_begin(const Migration *g);
extern void old_side_look(const Migration *g);
extern void old_side_skip(const Migration *g);
extern void old_side_note_write(int64 migration_id, Oid relid);
extern char *old_side_last_use(int64 migration_id, Oid relid, const char *kind, int seconds);

#endif							/* MIGRATE_OLD_SIDE_H */
