/*
 * deferred.h
 *		Constraints of a written table that would be checked at commit.
 */
#ifndef MIGRATE_DEFERRED_H
#define MIGRATE_DEFERRED_H

#include "postgres.h"
#include "nodes/pg_list.h"

/* Deferrable constraints, by what they are declared to be at first. */
typedef struct DeferredConstraints
{
	List	   *at_commit;		/* INITIALLY DEFERRED; of RangeVar * */
	List	   *if_asked;		/* INITIALLY IMMEDIATE */
} DeferredConstraints;

static inline bool
deferred_any(const DeferredConstraints *found)
{
	return found->at_commit != NIL || found->if_asked != NIL;
}

extern void deferred_find(Oid relid, DeferredConstraints *found);
extern void deferred_postpone(const DeferredConstraints *found);
extern void deferred_check(const DeferredConstraints *found);

#endif							/* MIGRATE_DEFERRED_H */
