/*
 * key_batch.c
 *		New keys for the rows of a batch of the copy, or of a statement, added to the map together.
 *
 * While a batch is open, migrate_lookup takes a new key without a word to
 * anybody, and remembers it; the map gets all of them at the end, many rows at a time.  That
 * guesses that nobody else gives out the same keys meanwhile: whoever does is waited
 * for, and if he commits it is a unique violation, after which the copy takes its
 * cautious way, and a dual write that of SQL: key by key.
 *
 * Rows are added to the map between rows of the batch only: what an expression calls
 * may be rolled back by itself, but not what it has asked for.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "capture/key_batch.h"
#include "capture/key_default.h"
#include "catalog/key_map.h"

/* Pairs of keys that are held in memory, about. */
#define MAX_PAIRS 10000

/* An old key: what is looked for. */
typedef struct OldKey
{
	int64		mapping_id;
	const char *text;
} OldKey;

typedef struct BatchEntry
{
	OldKey		old_key;
	char	   *new_key;
	bool		added;			/* to be added to the map */
} BatchEntry;

/* The default of one mapping's column. */
typedef struct BatchDefault
{
	int64		mapping_id;
	KeyDefault *value;			/* NULL if there is none */
} BatchDefault;

struct KeyBatch
{
	MemoryContext context;
	MemoryContext pairs_context;
	HTAB	   *pairs;
	KeyMapReader map;
	List	   *defaults;
	KeyBatch   *previous;
};

static KeyBatch *innermost = NULL;

static uint32
hash_old_key(const void *key, Size size)
{
	const OldKey *k = key;

	return hash_combine(string_hash(k->text, SIZE_MAX), hash_bytes_uint32((uint32) k->mapping_id));
}

static int
match_old_keys(const void *a, const void *b, Size size)
{
	const OldKey *ka = a;
	const OldKey *kb = b;

	return ka->mapping_id == kb->mapping_id ? strcmp(ka->text, kb->text) : 1;
}

/* Begins with no pairs, and the map as it is now. */
static void
begin_pairs(KeyBatch *b)
{
	HASHCTL		ctl = {.keysize = sizeof(OldKey), .entrysize = sizeof(BatchEntry), .hash = hash_old_key, .match = match_old_keys};

	b->pairs_context = AllocSetContextCreate(b->context, "migrate_ext new keys", ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = b->pairs_context;
	b->pairs = hash_create("migrate_ext new keys", 1024, &ctl, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	key_map_open(&b->map, true);
}

/* Adds the new pairs to the map, and forgets all. */
static void
end_pairs(KeyBatch *b)
{
	MemoryContext old = MemoryContextSwitchTo(b->pairs_context);
	KeyPair    *pairs = palloc(sizeof(KeyPair) * Max(hash_get_num_entries(b->pairs), 1));
	HASH_SEQ_STATUS seq;
	BatchEntry *entry;
	int			n = 0;

	hash_seq_init(&seq, b->pairs);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->added)
			pairs[n++] = (KeyPair) {entry->old_key.mapping_id, entry->old_key.text, entry->new_key};
	}
	key_map_close(&b->map);
	if (n > 0)
		key_map_add_all(pairs, n);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(b->pairs_context);
}

/* Opens a batch, in the current memory context and for a part of the current subtransaction. */
KeyBatch *
key_batch_begin(void)
{
	KeyBatch   *b = palloc0(sizeof(KeyBatch));

	b->context = CurrentMemoryContext;
	begin_pairs(b);
	b->previous = innermost;
	innermost = b;
	return b;
}

/* Adds what there is to the map if it is much: to be called between rows. */
void
key_batch_keep_many(KeyBatch *b)
{
	if (hash_get_num_entries(b->pairs) < MAX_PAIRS)
		return;
	end_pairs(b);
	begin_pairs(b);
}

/*
 * Adds what there is to the map; the batch is left then.  A unique violation if
 * somebody has given out one of the keys.
 */
void
key_batch_finish(KeyBatch *b)
{
	end_pairs(b);
}

/* Leaves the batch, also after an error. */
void
key_batch_leave(KeyBatch *b)
{
	innermost = b->previous;
}

bool
key_batch_is_open(void)
{
	return innermost != NULL;
}

/* The default of a mapping's key column. */
static KeyDefault *
find_default(KeyBatch *b, int64 mapping_id, Oid target, const char *column)
{
	BatchDefault *d;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, b->defaults)
	{
		d = lfirst(lc);
		if (d->mapping_id == mapping_id)
			return d->value;
	}
	old = MemoryContextSwitchTo(b->context);
	d = palloc(sizeof(BatchDefault));
	d->mapping_id = mapping_id;
	d->value = key_default_make(target, column);
	b->defaults = lappend(b->defaults, d);
	MemoryContextSwitchTo(old);
	return d->value;
}

/* The new key of an old one, in the open batch; NULL if the column has no default. */
char *
key_batch_new_key(int64 mapping_id, Oid target, const char *column, const char *source_key)
{
	KeyBatch   *b = innermost;
	OldKey		wanted = {mapping_id, source_key};
	BatchEntry *entry = hash_search(b->pairs, &wanted, HASH_FIND, NULL);
	char	   *new_key;
	bool		added = false;

	if (entry != NULL)
		return entry->new_key;
	new_key = key_map_look(&b->map, mapping_id, source_key);
	if (new_key == NULL)
	{
		KeyDefault *d = find_default(b, mapping_id, target, column);

		new_key = d != NULL ? key_default_take(d) : NULL;
		if (new_key == NULL)
			return NULL;
		added = true;
	}
	wanted.text = MemoryContextStrdup(b->pairs_context, source_key);
	entry = hash_search(b->pairs, &wanted, HASH_ENTER, NULL);
	entry->new_key = MemoryContextStrdup(b->pairs_context, new_key);
	entry->added = added;
	return entry->new_key;
}
