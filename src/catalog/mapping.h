/*
 * mapping.h
 *		Rows of migrate_ext.mapping.
 */
#ifndef MIGRATE_MAPPING_H
#define MIGRATE_MAPPING_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "catalog/mapping_column.h"

typedef struct Mapping
{
	int64		id;
	int64		migration_id;
	bool		reverse;		/* direction */
	int64		reverse_of;		/* of a reverse mapping: the forward one */
	Oid			source;
	Oid			target;
	List	   *key;			/* of char *: target column names */
	char	   *filter;			/* over the source row, or NULL; with what rules reject */
	char	   *declared_filter;	/* without */
	bool		has_rules;
	char	   *scope;			/* over the target row, or NULL */
	List	   *dedupe_by;		/* of char *: expressions; of rows with one key the first is moved */
	List	   *dedupe_order;	/* of char *: the direction of each */
	char	   *capture;
	char	   *on_error;
	bool		clears;
	bool		whole_row;
	bool		complete;
	bool		degraded;		/* dual writes failed too often */
	Oid			owner;
	List	   *columns;		/* of MappingColumn * */
	bool		canonical;		/* compare values in canonical form; of no stored mapping */
	char	   *time_zone;		/* settings of the migration */
	int			lock_timeout;
} Mapping;

#define MAPPING_FORWARD		false
#define MAPPING_REVERSE		true

/*
 * Beginning of a statement that deletes mappings: what applications have written
 * about them goes with them.  No foreign key does that, see sql/schema.sql.
 */
#define MAPPING_FORGET(condition) \
	"WITH gone AS (SELECT mapping_id FROM migrate_ext.mapping WHERE " condition "), " \
	"keys AS (DELETE FROM migrate_ext.dirty_key WHERE mapping_id IN (TABLE gone)), " \
	"errors AS (DELETE FROM migrate_ext.write_error WHERE mapping_id IN (TABLE gone)), " \
	"key_map AS (DELETE FROM migrate_ext.key_map WHERE mapping_id IN (TABLE gone)) "

/*
 * Has every source row been copied?  Then the target row of each key is right,
 * or the key is dirty.  The way back begins with two sides that are equal.
 */
static inline bool
mapping_is_settled(const Mapping *m)
{
	return m->complete || m->reverse;
}

/* Are source and target one table, whose rows are changed where they are? */
static inline bool
mapping_is_in_place(const Mapping *m)
{
	return m->source == m->target;
}

extern int64 mapping_reserve_id(void);
extern void mapping_set_side(int64 id, const char *filter, const char *scope);
extern int64 mapping_insert(const Mapping *m);
extern List *mapping_list(int64 migration_id, bool reverse);
extern Mapping *mapping_get(int64 id);
extern Mapping *mapping_find_reverse(int64 id);
extern void mapping_delete(int64 id);
extern void mapping_set_complete(int64 migration_id, bool reverse, bool complete);
extern void mapping_invalidate(int64 migration_id);
extern List *mapping_select(List *mappings, bool in_place);
extern bool mapping_relation_exists(Oid relid);

#endif							/* MIGRATE_MAPPING_H */
