/*
 * plan_cache.h
 *		What a capturing trigger needs to know, kept for the session.
 */
#ifndef MIGRATE_PLAN_CACHE_H
#define MIGRATE_PLAN_CACHE_H

#include "postgres.h"
#include "executor/spi.h"

#include "base/deferred.h"
#include "capture/direct.h"
#include "catalog/mapping.h"
#include "projection/projection.h"

/* A list of statements and their plans, made when first needed. */
typedef struct CapturePlans
{
	List	   *statements;		/* of char * */
	SPIPlanPtr *plans;			/* NULL where not made yet */
	bool		built;
} CapturePlans;

typedef struct CaptureMapping
{
	Mapping    *mapping;
	bool		queue;			/* only dirty keys are recorded */
	bool		rederives;		/* another source row may have the key of one that is gone */
	bool		planned;		/* what follows is known */
	bool		calls_user_code;	/* whose change makes it stale */
	DirectPlan *direct;			/* NULL: by SQL */
	DeferredConstraints deferred;	/* of the target */
	struct InPlacePlan *in_place;
	List	   *lookups;		/* of Lookup *: where expressions read the trigger's relation */
	CapturePlans keys[NUM_TRANSITION_KEYS]; /* what rows are looked up by: keys, or values of each lookup */
	CapturePlans removal;		/* by the source rows as they are now ... */
	CapturePlans upsert;
	CapturePlans removal_at_hand;	/* ... or by those of the statement */
	CapturePlans upsert_at_hand;
	CapturePlans rederive;
} CaptureMapping;

/* What a set is for: the rows of sources, rows in place, or of tables that expressions read. */
typedef enum CaptureKind
{
	CAPTURE_SOURCE,
	CAPTURE_IN_PLACE,
	CAPTURE_LOOKUP
} CaptureKind;

typedef struct CaptureSet
{
	MemoryContext context;
	List	   *mappings;		/* of CaptureMapping * */
	Oid			relid;			/* the trigger's relation */
	bool		cascades;		/* foreign keys write to it */
	List	   *relations;		/* OIDs whose invalidation drops this set */
	int			users;			/* trigger calls under way */
	bool		stale;			/* a relation changed: not for another call */
	bool		detached;		/* no longer in the table: the last user frees it */
} CaptureSet;

extern CaptureSet *plan_cache_get(int64 migration_id, Oid relid, bool reverse, CaptureKind kind);
extern CaptureSet *plan_cache_peek(int64 migration_id, Oid relid, bool reverse);
extern void plan_cache_release(CaptureSet *set);
extern void plan_cache_init(void);

#endif							/* MIGRATE_PLAN_CACHE_H */
