/*
 * settle.h
 *		The steps that make target rows equal to what the source has for their keys.
 */
#ifndef MIGRATE_SETTLE_H
#define MIGRATE_SETTLE_H

#include "postgres.h"
#include "utils/array.h"

#include "base/deferred.h"
#include "catalog/mapping.h"

/* A distinct key with the queue rows that name it. */
typedef struct DirtyEntry
{
	char	   *text;
	Datum		key;
	int64	   *ids;			/* part of an array that all entries share */
	int			nids;
} DirtyEntry;

/* How to make the target rows of keys right that have a source row. */
typedef enum Way
{
	WAY_UPSERT,
	WAY_REPLACE,				/* values are exchanged between rows */
	WAY_CIRCLE,					/* with the rows that foreign keys tie them to */
	WAY_PARK					/* only take away what is in the way of others */
} Way;

/* Some keys of a mapping, to be settled in one subtransaction. */
typedef struct Settlement
{
	const Mapping *m;
	const DirtyEntry *entries;
	int			n;
	bool		may_wait;		/* for target rows: no source row is locked yet */
	const DeferredConstraints *deferred;	/* of the target; NULL: somebody else checks them */
	Way			way;
	bool	   *busy;			/* result: entries to be left for later */
} Settlement;

extern bool settle_lock_tables(const Mapping *m);
extern bool settle_lock_out_others(const Mapping *m);
extern int	settle_batch_keys(const Mapping *m, int limit);
extern void settle_keys(const Settlement *s);
extern ArrayType *settle_done_keys(const Settlement *s);

#endif							/* MIGRATE_SETTLE_H */
