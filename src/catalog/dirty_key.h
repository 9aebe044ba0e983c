/*
 * dirty_key.h
 *		Rows of migrate_ext.dirty_key: the queue of keys to re-derive.
 */
#ifndef MIGRATE_DIRTY_KEY_H
#define MIGRATE_DIRTY_KEY_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

/* Keys taken from the queue; all three have one entry per row taken. */
typedef struct DirtyKeyBatch
{
	int			n;
	int64	   *ids;
	Datum	   *keys;			/* jsonb */
	bool	   *every;			/* no key: any key may be wrong */
	bool	   *changed;		/* of these, since a table that expressions read was changed ... */
	bool	   *passed;			/* ... whose barrier all have passed who may not have seen it */
	Datum	   *lookups;		/* ... or only those that it concerns: jsonb, or 0 */
} DirtyKeyBatch;

/* What to note beside a key that could not be settled. */
typedef struct DirtyKeyError
{
	const char *sqlstate;
	const char *message;
	const char *constraint;		/* or NULL */
} DirtyKeyError;

/* A key that could not be settled. */
typedef struct FailedKey
{
	int64		id;
	Datum		key;			/* jsonb */
	ErrorData	error;			/* sqlerrcode and message */
} FailedKey;

extern int64 dirty_key_add(int64 mapping_id, ArrayType *keys, const char *reason,
						   const DirtyKeyError *error);
extern void dirty_key_add_every(int64 mapping_id, const char *reason,
								const DirtyKeyError *error);
extern void dirty_key_add_lookups(int64 mapping_id, Oid relation, List *columns, ArrayType *values);
extern void dirty_key_set_barrier(int64 mapping_id, const int64 *ids, int n);
extern void dirty_key_take(int64 mapping_id, int64 after, int64 upto, int limit,
						   bool due_only, DirtyKeyBatch *batch);
extern bool dirty_key_any_untried(int64 mapping_id, int64 upto);
extern int64 dirty_key_last(int64 mapping_id, bool due_only);
extern void dirty_key_settled(int64 mapping_id, const int64 *ids, int n);
extern void dirty_key_failed(int64 mapping_id, const int64 *ids, int n,
							 const DirtyKeyError *error);
extern int64 dirty_key_count(int64 migration_id);
extern bool dirty_key_first_error(int64 migration_id, char **key, char **message);
extern bool dirty_key_any_failed(int64 migration_id);
extern bool dirty_key_any_every(int64 migration_id);
extern List *dirty_key_list_failed(int64 mapping_id);
extern void dirty_key_read_pending(int64 mapping_id, List **keys, bool *every);
extern void dirty_key_delete_all(int64 migration_id, bool reverse);

#endif							/* MIGRATE_DIRTY_KEY_H */
