/*
 * stashed_object.h
 *		Rows of migrate_ext.stashed_object.
 */
#ifndef MIGRATE_STASHED_OBJECT_H
#define MIGRATE_STASHED_OBJECT_H

#include "postgres.h"
#include "nodes/pg_list.h"

#define STASH_INDEX			"index"
#define STASH_FOREIGN_KEY	"foreign key"
#define STASH_MATVIEW		"materialized view"	/* made again by its settings, all in one transaction */
#define STASH_VALIDATION	"validation"	/* of a constraint that is there, and was validated */

typedef struct StashedObject
{
	int64		id;
	const char *kind;
	Oid			relation;
	char	   *name;
	char	   *definition;		/* of an index: CREATE INDEX ...; of a constraint: what follows its name */
	char	   *tablespace;		/* of an index; empty: the database's */
	List	   *settings;		/* of char *: statements that give it its comment and such */
	char	   *error;			/* why it could not be rebuilt, or NULL */
} StashedObject;

extern void stashed_object_insert(int64 migration_id, const StashedObject *o);
extern List *stashed_object_list(int64 migration_id);
extern List *stashed_object_list_waiting(void);
extern int64 stashed_object_count(int64 migration_id);
extern char *stashed_object_first_error(int64 migration_id, char **sqlstate);
extern void stashed_object_clear_errors(int64 migration_id);
extern void stashed_object_restored(int64 id);
extern void stashed_object_forget(int64 migration_id, Oid relation, const char *name);
extern void stashed_object_failed(int64 id, const char *sqlstate, const char *error);

#endif							/* MIGRATE_STASHED_OBJECT_H */
