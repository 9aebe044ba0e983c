/*
 * plan_cache.c
 *		What a capturing trigger needs to know, kept for the session.
 *
 * One set per (migration, relation, direction): the mappings that have the
 * relation as source (those in place have one of their own), or read it in a subquery, and
 * the plans of their statements.  A relcache
 * invalidation of any relation involved makes the set stale; it is freed when
 * no call uses it any more, and built again by the next one.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "capture/plan_cache.h"
#include "projection/key.h"
#include "projection/lookup.h"
#include "projection/projection.h"

typedef struct CaptureKey
{
	int64		migration_id;
	Oid			relid;
	uint16		reverse;		/* as wide as they are, so that no padding is hashed */
	uint16		kind;			/* CaptureKind */
} CaptureKey;

typedef struct CaptureEntry
{
	CaptureKey	key;
	CaptureSet *set;
} CaptureEntry;

static HTAB *capture_sets = NULL;

/* Counts invalidations, to see those that come while a set is built. */
static uint64 invalidations = 0;

/* A function or a domain changed: drop the plans that may be made of it. */
static void
forget_code(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS seq;
	CaptureEntry *entry;
	ListCell   *lc;

	if (capture_sets == NULL)
		return;
	hash_seq_init(&seq, capture_sets);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->set == NULL)
			continue;
		foreach(lc, entry->set->mappings)
		{
			if (((CaptureMapping *) lfirst(lc))->calls_user_code)
				entry->set->stale = true;
		}
	}
}

/* A relation changed: drop what was derived from it. */
static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	CaptureEntry *entry;

	invalidations++;
	if (capture_sets == NULL)
		return;
	hash_seq_init(&seq, capture_sets);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->set != NULL &&
			(relid == InvalidOid || list_member_oid(entry->set->relations, relid)))
			entry->set->stale = true;
	}
}

/* Frees the plans of a list of statements. */
static void
free_plans(CapturePlans *p)
{
	for (int i = 0; p->plans != NULL && i < list_length(p->statements); i++)
	{
		if (p->plans[i] != NULL)
			SPI_freeplan(p->plans[i]);
	}
}

static void
free_set(CaptureSet *set)
{
	ListCell   *lc;

	foreach(lc, set->mappings)
	{
		CaptureMapping *c = lfirst(lc);

		for (int i = 0; i < NUM_TRANSITION_KEYS; i++)
			free_plans(&c->keys[i]);
		free_plans(&c->removal);
		free_plans(&c->upsert);
		free_plans(&c->removal_at_hand);
		free_plans(&c->upsert_at_hand);
		free_plans(&c->rederive);
	}
	MemoryContextDelete(set->context);
}

/* Takes a set out of use; a call that still uses it frees it when it ends. */
static void
detach(CaptureSet *set)
{
	set->detached = true;
	if (set->users == 0)
		free_set(set);
}

/* Does a mapping of this source answer for writes to relid? */
static bool
is_source(Oid source, Oid relid)
{
	return source == relid ||
		(mapping_relation_exists(source) &&
		 list_member_oid(find_all_inheritors(source, NoLock, NULL), relid));
}

/* Where the mapping's expressions read a relation, or one above it. */
static List *
list_lookups(const Mapping *m, Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, mapping_relation_exists(m->source) ? lookup_list(m) : NIL)
	{
		Lookup	   *l = lfirst(lc);

		if (is_source(l->relation, relid))
			result = lappend(result, l);
	}
	return lookup_merge(result);
}

/* Reads the mappings of a set. */
static CaptureSet *
build_set(const CaptureKey *key)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext capture set",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CaptureSet *set = palloc0(sizeof(CaptureSet));
	ListCell   *lc;

	set->context = context;
	set->relid = key->relid;
	set->cascades = key_is_cascaded_to(key->relid);
	set->relations = list_make1_oid(key->relid);
	foreach(lc, mapping_select(mapping_list(key->migration_id, key->reverse), key->kind == CAPTURE_IN_PLACE))
	{
		Mapping    *m = lfirst(lc);
		List	   *lookups = key->kind == CAPTURE_LOOKUP ? list_lookups(m, key->relid) : NIL;
		CaptureMapping *c;

		if (strcmp(m->capture, "none") == 0 || (key->kind == CAPTURE_LOOKUP ? lookups == NIL : !is_source(m->source, key->relid)))
			continue;
		c = palloc0(sizeof(CaptureMapping));
		c->mapping = m;
		c->lookups = lookups;
		c->queue = projection_is_queued(m);
		c->rederives = !projection_source_is_unique(m, true);
		deferred_find(m->target, &c->deferred);
		set->mappings = lappend(set->mappings, c);
		set->relations = list_append_unique_oid(set->relations, m->source);
		set->relations = list_append_unique_oid(set->relations, m->target);
	}
	MemoryContextSwitchTo(old);
	return set;
}

/* The set for a trigger, if the session has it and nothing has changed. */
CaptureSet *
plan_cache_peek(int64 migration_id, Oid relid, bool reverse)
{
	CaptureKey	key = {migration_id, relid, reverse, CAPTURE_SOURCE};
	CaptureEntry *entry = capture_sets ? hash_search(capture_sets, &key, HASH_FIND, NULL) : NULL;

	return entry && entry->set && !entry->set->stale ? entry->set : NULL;
}

/* The set for a trigger call; release it with plan_cache_release. */
CaptureSet *
plan_cache_get(int64 migration_id, Oid relid, bool reverse, CaptureKind kind)
{
	CaptureKey	key;
	CaptureEntry *entry;
	bool		found;

	key.migration_id = migration_id;
	key.relid = relid;
	key.reverse = reverse;
	key.kind = kind;
	if (capture_sets == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(CaptureKey);
		ctl.entrysize = sizeof(CaptureEntry);
		ctl.hcxt = CacheMemoryContext;
		capture_sets = hash_create("migrate_ext capture sets", 32, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(capture_sets, &key, HASH_ENTER, &found);
	if (!found)
		entry->set = NULL;
	if (entry->set == NULL || entry->set->stale)
	{
		uint64		before = invalidations;
		CaptureSet *set = build_set(&key);

		set->stale = invalidations != before;

		/* reading the catalog may have changed the table: look again */
		entry = hash_search(capture_sets, &key, HASH_ENTER, &found);
		if (found && entry->set != NULL)
			detach(entry->set);
		MemoryContextSetParent(set->context, CacheMemoryContext);
		entry->set = set;
	}
	entry->set->users++;
	return entry->set;
}

/* Ends a call's use of its set. */
void
plan_cache_release(CaptureSet *set)
{
	if (--set->users == 0 && set->detached)
		free_set(set);
}

void
plan_cache_init(void)
{
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_code, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_code, (Datum) 0);
}
