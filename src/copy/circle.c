/*
 * circle.c
 *		Keys that can only be settled together, as foreign keys go round.
 *
 * Two rows that name each other, of one application transaction: neither can be
 * stored, nor removed, without the other.  Where the foreign keys of the targets can be
 * deferred, what is missing on the other end of one is settled in the same
 * subtransaction, from mapping to mapping, and all of it is checked at its end.  To settle a
 * key does no harm, dirty or not; one that is dirty is found right when its turn comes.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "base/spi.h"
#include "copy/circle.h"
#include "copy/quarantine.h"
#include "projection/foreign_key.h"
#include "projection/projection.h"

/* Keys that are drawn in, at most. */
#define MAX_DRAWN_KEYS 5000

/* Keys of one mapping whose neighbours are to be looked at. */
typedef struct Neighbourhood
{
	const Mapping *m;
	ArrayType  *keys;
} Neighbourhood;

typedef struct Circle
{
	List	   *mappings;		/* of this direction */
	List	   *todo;			/* of Neighbourhood * */
	HTAB	   *seen;			/* hashes of mappings' keys */
	int			drawn;
} Circle;

/* Is the key of a mapping new? */
static bool
is_new(Circle *c, const Mapping *m, Datum key)
{
	char	   *text = JsonbToCString(NULL, &DatumGetJsonbP(key)->root, 0);
	uint64		hash = hash_bytes_extended((unsigned char *) text, strlen(text), m->id);
	bool		found;

	(void) hash_search(c->seen, &hash, HASH_ENTER, &found);
	pfree(text);
	return !found;
}

/* Those of some keys that have no row in the mapping's target now; NULL if there are none. */
static ArrayType *
missing_keys(const Mapping *m, ArrayType *keys)
{
	ArrayType  *missing;

	PushActiveSnapshot(GetLatestSnapshot());
	missing = quarantine_keys_without(m, projection_find_target(m, TARGET_UNLOCKED), keys);
	PopActiveSnapshot();
	return missing;
}

/* Settles keys of a mapping; those of the application are not waited for. */
static void
settle_drawn(const Mapping *m, Datum *keys, int n)
{
	DirtyEntry *entries = palloc0(sizeof(DirtyEntry) * n);
	Settlement	s = {m, entries, n, false, NULL, WAY_UPSERT, palloc0(sizeof(bool) * n)};

	for (int i = 0; i < n; i++)
		entries[i].key = keys[i];
	if (settle_lock_tables(m))
		settle_keys(&s);
	else
		s.busy[0] = true;
	for (int i = 0; i < n; i++)
	{
		if (s.busy[i])
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("a row that is named by one to be settled is being written")));
	}
}

/* Draws the keys of a mapping in that are new. */
static void
draw(Circle *c, const Mapping *m, ArrayType *keys)
{
	Neighbourhood *next;
	Datum	   *elems;
	int			n;
	int			count = 0;

	deconstruct_array(keys, JSONBOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		if (is_new(c, m, elems[i]))
			elems[count++] = elems[i];
	}
	c->drawn += count;
	if (count == 0 || c->drawn > MAX_DRAWN_KEYS)
		return;					/* the check at the end says what is missing */
	settle_drawn(m, elems, count);
	next = palloc(sizeof(Neighbourhood));
	next->m = m;
	next->keys = construct_array(elems, count, JSONBOID, -1, false, TYPALIGN_INT);
	c->todo = lappend(c->todo, next);
}

/* The keys that a query over some keys of a mapping finds. */
static ArrayType *
find_keys(const Mapping *m, const char *sql, ArrayType *keys)
{
	SpiScope	scope;
	ArrayType  *found;

	spi_open_owner(&scope, m->owner, m->time_zone);
	found = spi_get_jsonbs(&scope, spi_run(sql, SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false))));
	spi_close(&scope);
	return found;
}

/* Draws in the rows that are missing, and named; and those that name what is gone. */
static void
look_around(Circle *c, const Neighbourhood *n)
{
	ArrayType  *gone = missing_keys(n->m, n->keys);
	ListCell   *lc;
	ListCell   *sql;

	foreach(lc, c->mappings)
	{
		Mapping    *other = lfirst(lc);

		if (mapping_is_in_place(other))
			continue;
		foreach(sql, foreign_key_named(n->m, other))
		{
			ArrayType  *missing = missing_keys(other, find_keys(n->m, lfirst(sql), n->keys));

			if (missing != NULL)
				draw(c, other, missing);
		}
		foreach(sql, gone != NULL ? foreign_key_naming(other, n->m) : NIL)
			draw(c, other, find_keys(n->m, lfirst(sql), gone));
	}
}

/* Puts the checks on all targets off, or makes them. */
static void
each_deferred(const Circle *c, void (*what) (const DeferredConstraints *found))
{
	ListCell   *lc;

	foreach(lc, c->mappings)
	{
		const Mapping *m = lfirst(lc);
		DeferredConstraints deferred;
		SpiScope	scope;

		deferred_find(m->target, &deferred);
		spi_open_owner(&scope, m->owner, m->time_zone);
		what(&deferred);
		spi_close(&scope);
	}
}

/*
 * Settles some keys together with those that they hang together with.  Called in the
 * migration's frame, and in a subtransaction.
 */
void
circle_settle(const Settlement *s)
{
	HASHCTL		ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = CurrentMemoryContext};
	Circle		c = {mapping_list(s->m->migration_id, s->m->reverse)};
	Settlement	first = *s;
	Neighbourhood start = {s->m};

	c.seen = hash_create("migrate_ext keys of a circle", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int i = 0; i < s->n; i++)
		(void) is_new(&c, s->m, s->entries[i].key);
	first.deferred = NULL;
	each_deferred(&c, deferred_postpone);
	settle_keys(&first);
	start.keys = settle_done_keys(&first);
	if (start.keys != NULL)
		c.todo = list_make1(&start);
	while (c.todo != NIL)
	{
		Neighbourhood *next = linitial(c.todo);

		CHECK_FOR_INTERRUPTS();
		c.todo = list_delete_first(c.todo);
		look_around(&c, next);
	}
	each_deferred(&c, deferred_check);
}
