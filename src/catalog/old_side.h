/*
 * old_side.h
 *		Rows of migrate_ext.old_side and old_side_use: who still uses what was replaced.
 */
#ifndef MIGRATE_OLD_SIDE_H
#define MIGRATE_OLD_SIDE_H

#include "postgres.h"

extern void old_side_begin(int64 migration_id);
extern void old_side_look(int64 migration_id);
extern void old_side_skip(int64 migration_id);
extern void old_side_note_write(int64 migration_id, Oid relid);
extern char *old_side_last_use(int64 migration_id, Oid relid, const char *kind, int seconds);

#endif							/* MIGRATE_OLD_SIDE_H */
