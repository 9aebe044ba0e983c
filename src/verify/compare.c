/*
 * compare.c
 *		Compares a mapping's source with its target in the active snapshot.
 *
 * Source and target change in one transaction, so in one snapshot they are
 * equal: any difference is real, but for the keys that are in the dirty queue
 * of that snapshot.  Those, and rows that an unfinished backfill has not
 * reached, are pending.  Rows that could not be stored are left out.
 *
 * One pass over each side computes the count, the set checksum and a difference
 * sketch, which tells the keys that differ.  Only where these are too many are all
 * rows of the two sides joined.  A span of keys, which is small, is joined at once.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/dirty_key.h"
#include "copy/quarantine.h"
#include "hash/sketch.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"
#include "verify/compare.h"

#define FETCH_ROWS 1000

/* How many times as large the second sketch is. */
#define SKETCH_GROWTH 32

/* A set of keys. */
typedef struct KeySet
{
	HTAB	   *table;			/* of char *; NULL: none */
	bool		every;
} KeySet;

/* A comparison under way. */
typedef struct Comparing
{
	const Mapping *m;
	const CompareOptions *options;
	const KeySpan *span;		/* NULL: all keys */
	ArrayType  *without;		/* keys of rejected rows, or NULL */
	bool		pending_known;
	KeySet		pending;		/* keys in the dirty queue */
	KeySet		rejected;		/* those of "without", where keys are given */
	Comparison *c;
} Comparing;

static uint32
hash_text(const void *key, Size size)
{
	return string_hash(*(char *const *) key, strlen(*(char *const *) key) + 1);
}

static int
match_text(const void *a, const void *b, Size size)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Makes room for so many keys. */
static void
key_set_create(KeySet *set, int size)
{
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(char *);
	ctl.entrysize = sizeof(char *);
	ctl.hash = hash_text;
	ctl.match = match_text;
	ctl.hcxt = CurrentMemoryContext;
	set->table = hash_create("keys", Max(size, 16), &ctl, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static char *
key_text(Datum key)
{
	return JsonbToCString(NULL, &DatumGetJsonbP(key)->root, 0);
}

static bool
key_set_has(const KeySet *set, Datum key)
{
	char	   *text;

	if (set->every)
		return true;
	if (set->table == NULL || hash_get_num_entries(set->table) == 0 || key == (Datum) 0)
		return false;
	text = key_text(key);
	return hash_search(set->table, &text, HASH_FIND, NULL) != NULL;
}

/* Reads the dirty queue; returns how many distinct keys it holds. */
static int64
read_pending(Comparing *w)
{
	List	   *keys;
	ListCell   *lc;

	dirty_key_read_pending(w->m->id, &keys, &w->pending.every);
	key_set_create(&w->pending, list_length(keys));
	foreach(lc, keys)
	{
		char	   *key = lfirst(lc);

		(void) hash_search(w->pending.table, &key, HASH_ENTER, NULL);
	}
	w->pending_known = true;
	return list_length(keys);
}

/* The keys that are left out, as a set. */
static void
read_rejected(Comparing *w)
{
	Datum	   *keys;
	int			n;

	if (w->without == NULL)
		return;
	deconstruct_array(w->without, JSONBOID, -1, false, TYPALIGN_INT, &keys, NULL, &n);
	key_set_create(&w->rejected, n);
	for (int i = 0; i < n; i++)
	{
		char	   *key = key_text(keys[i]);

		(void) hash_search(w->rejected.table, &key, HASH_ENTER, NULL);
	}
}

/* What one pass over a side finds. */
typedef struct Side
{
	int64		rows;
	int64		in_scope;
	int64		rejected;
	int64		duplicates;		/* which pass, and lost their key to others */
	int64		expanded;		/* how many more they become than they are */
	Datum		sketch;			/* bytea; 0: there was no row */
	Checksum	checksum;
} Side;

/* Reads a side, without the keys that are left out. */
static void
read_side(const Comparing *w, const char *sql, Side *side)
{
	SpiArg		arg = spi_datum(JSONBARRAYOID, PointerGetDatum(w->without), w->without == NULL);
	SpiScope	scope;

	spi_open_owner(&scope, w->m->owner, w->m->time_zone);
	spi_read(sql, &arg, w->without != NULL ? 1 : 0);
	side->rows = spi_get_int8(0, 1);
	side->in_scope = spi_get_int8(0, 2);
	side->sketch = spi_get_copy(&scope, 0, 3);
	side->rejected = spi_get_int8(0, 4);
	side->duplicates = spi_get_int8(0, 5);
	side->expanded = spi_get_int8(0, 6);
	spi_close(&scope);
	side->checksum = side->sketch != (Datum) 0 ? sketch_checksum(side->sketch) : (Checksum) {0, 0};
}

/* Reads both sides, a pass over each. */
static void
read_sides(const Comparing *w, int cells, Side *source, Side *target)
{
	read_side(w, projection_source_checksum(w->m, cells, w->without != NULL, w->span), source);
	read_side(w, projection_target_checksum(w->m, cells, w->without != NULL, w->span), target);
}

/* Does a key stand for itself in a sketch?  A null does not, there is a hash of it. */
static bool
key_is_number(const Mapping *m)
{
	Oid			type = list_length(m->key) == 1 ? get_atttype(m->target, get_attnum(m->target, linitial(m->key))) : InvalidOid;

	return (type == INT2OID || type == INT4OID || type == INT8OID) &&
		!ref_may_be_null(m, KEY_OF_SOURCE, 0) && !ref_may_be_null(m, KEY_OF_TARGET, 0);
}

/* Has one of these keys a null in it? */
static bool
any_has_null(ArrayType *keys)
{
	Datum	   *elems;
	int			n;
	bool		found = false;

	deconstruct_array(keys, JSONBOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		found = found || key_has_null(elems[i]);
	return found;
}

/* The keys that numbers of a sketch stand for, as a jsonb[]; NULL if there are none. */
static ArrayType *
keys_of(const Mapping *m, ArrayType *numbers)
{
	SpiScope	scope;
	SpiArg		arg = spi_datum(INT8ARRAYOID, PointerGetDatum(numbers), false);
	uint64		n;
	ArrayType  *result;

	spi_open_owner(&scope, m->owner, m->time_zone);
	if (key_is_number(m))
		n = spi_read(psprintf("SELECT jsonb_build_object(%s, k) FROM unnest($1) k", quote_literal_cstr(linitial(m->key))), &arg, 1);
	else
		n = spi_read(projection_keys_by_hash(m), &arg, 1);
	result = n > 0 ? spi_get_jsonbs(&scope, n) : NULL;
	spi_close(&scope);
	return result;
}

/* Keeps a difference, as long as there is room. */
static void
keep(Comparing *w, const SpiScope *scope, uint64 row)
{
	Comparison *c = w->c;
	Divergence *d;

	if (c->ndivergences >= w->options->max_divergences)
		return;
	if (c->divergences == NULL)
		c->divergences = MemoryContextAllocExtended(scope->caller, sizeof(Divergence) * w->options->max_divergences, MCXT_ALLOC_HUGE);
	d = &c->divergences[c->ndivergences++];
	d->kind = spi_get_copy(scope, row, 1);
	d->key = spi_get_copy(scope, row, 2);
	d->columns = spi_get_copy(scope, row, 3);
	d->source_row = spi_get_copy(scope, row, 4);
	d->target_row = spi_get_copy(scope, row, 5);
}

/* What a side's row adds to the checksum, in a column of the result; nothing where there is none. */
static Checksum
row_checksum(uint64 row, int column)
{
	if (spi_is_null(row, column))
		return (Checksum) {0, 0};
	return checksum_from_string(TextDatumGetCString(spi_get_datum(row, column)));
}

/* Counts a differing row as what it is. */
static void
count_difference(Comparing *w, const SpiScope *scope, uint64 row)
{
	Verification *v = &w->c->totals;
	char	   *kind = TextDatumGetCString(spi_get_datum(row, 1));
	Datum		key = spi_get_datum(row, 2);
	bool		in_queue = key_set_has(&w->pending, key);
	int64		n = ref_is_multiset(w->m) ? spi_get_int8(row, 8) : 1;

	if (key_set_has(&w->rejected, key))
	{
		v->rejected += n;
		return;
	}
	w->c->nseen++;
	if (in_queue || (strcmp(kind, "missing") == 0 && !w->m->complete && !w->m->reverse))
	{
		v->pending += in_queue && w->c->queue_counted && !w->pending.every ? 0 : n;
		for (int64 i = 0; i < n; i++)
		{
			checksum_add(&v->pending_checksum, row_checksum(row, 6));
			checksum_subtract(&v->pending_checksum, row_checksum(row, 7));
		}
		return;
	}
	if (strcmp(kind, "missing") == 0)
		v->missing += n;
	else if (strcmp(kind, "extra") == 0)
		v->extra += n;
	else
		v->different++;
	keep(w, scope, row);
}

/* Joins the two sides, or what they have of some keys, and counts the rows that differ. */
static void
find_differences(Comparing *w, ArrayType *keys, ComparedKeys which)
{
	Datum		arg = PointerGetDatum(keys);
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;
	MemoryContext batch;

	if (!w->pending_known)
		(void) read_pending(w);
	spi_open_owner(&scope, w->m->owner, w->m->time_zone);
	plan = SPI_prepare(ref_is_multiset(w->m) ? projection_compare_multisets(w->m, w->options->values, which) :
					   projection_compare(w->m, w->options->values, which, w->span), which != KEYS_ALL ? 1 : 0, (Oid[]) {JSONBARRAYOID});
	if (plan == NULL)
		elog(ERROR, "could not prepare a comparison: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, &arg, NULL, true);
	batch = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext differences", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContext old;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(batch);
		for (uint64 i = 0; i < SPI_processed; i++)
			count_difference(w, &scope, i);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
}

/*
 * Finds the keys that the source has several times, of rows that are the same: each of them
 * has found its row on the other side.
 */
static void
find_repeated_keys(Comparing *w)
{
	SpiScope	scope;
	uint64		n;

	spi_open_owner(&scope, w->m->owner, w->m->time_zone);
	n = spi_read(projection_repeated_keys(w->m, w->span), SPI_NO_ARGS);
	for (uint64 i = 0; i < n; i++)
	{
		if (key_set_has(&w->pending, spi_get_datum(i, 2)))
			continue;
		w->c->totals.missing += spi_get_int8(i, 6);
		keep(w, &scope, i);
	}
	spi_close(&scope);
}

/* May several source rows, or several values of a set, have one key? */
static bool
may_repeat_keys(const Mapping *m)
{
	return !ref_dedupes(m) && !ref_is_multiset(m) && (ref_expands(m) || !projection_source_is_unique(m, false));
}

/* Joins all rows but those that are left out. */
static void
find_all_differences(Comparing *w)
{
	find_differences(w, w->without, w->without != NULL ? KEYS_LEFT_OUT : KEYS_ALL);
}

/*
 * Finds the rows that differ by the sketches, the second time by larger ones.  False
 * if there are too many, as while a copy is under way: then all rows are joined.
 */
static bool
find_by_sketch(Comparing *w, Side *source, Side *target)
{
	ArrayType  *numbers = sketch_difference(source->sketch, target->sketch);
	ArrayType  *keys;
	int			larger = Min(w->options->cells * SKETCH_GROWTH, SKETCH_MAX_CELLS);

	if (numbers == NULL && mapping_is_settled(w->m) && llabs((long long) (source->in_scope - target->in_scope)) < (int64) larger / 2)
	{
		read_sides(w, larger, source, target);
		numbers = sketch_difference(source->sketch, target->sketch);
	}
	/* rows without a key cannot be looked up by it */
	if (numbers == NULL || (keys = keys_of(w->m, numbers)) == NULL || any_has_null(keys))
		return false;
	find_differences(w, keys, KEYS_GIVEN);

	/* rows of one key that are there several times are told by nothing but all of them */
	return w->c->nseen > 0;
}

/*
 * To be called before the snapshot of a comparison is taken.  What another server has is read
 * in a snapshot of its own, a moment later: so that it is what it was, a sync or a copy
 * must not write it until the transaction ends.  They give way to the lock.
 */
void
compare_keep_still(const Mapping *m)
{
	if (key_is_foreign(m->target))
		LockRelationOid(m->target, ShareLock);
}

/* Notes which snapshot the active one is. */
void
compare_note_snapshot(Verification *v)
{
	SpiScope	scope;

	spi_open_caller(&scope);
	spi_read("SELECT pg_catalog.pg_current_snapshot()", SPI_NO_ARGS);
	v->snapshot = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	v->has_lsn = !RecoveryInProgress();
	if (v->has_lsn)
		v->lsn = GetXLogInsertRecPtr();
}

/* Begins a comparison by a method, in the active snapshot. */
static void
begin(Comparing *w, const Mapping *m, const CompareOptions *options, const KeySpan *span, const char *method, Comparison *c)
{
	memset(w, 0, sizeof(Comparing));
	memset(c, 0, sizeof(Comparison));
	w->m = m;
	w->options = options;
	w->span = span;
	w->c = c;
	c->totals.mapping_id = m->id;
	c->totals.method = method;
	c->totals.finished = true;
	c->totals.started_at = GetCurrentTimestamp();
	compare_note_snapshot(&c->totals);
	w->without = quarantine_standing(m);
}

/* Notes what the two passes have found; true if the sides are equal. */
static bool
note_sides(Verification *v, const Side *source, const Side *target)
{
	v->source_rows = source->rows;
	v->rejected = source->rejected;
	v->deduplicated = source->duplicates;
	v->expanded = source->expanded;
	v->filtered = source->rows + source->expanded - source->in_scope - source->rejected - source->duplicates;
	v->target_rows = target->in_scope;
	v->source_checksum = source->checksum;
	v->target_checksum = target->checksum;
	v->checksum_match = source->in_scope == target->in_scope && checksum_equal(source->checksum, target->checksum);
	return v->checksum_match;
}

static void
end(Comparing *w)
{
	Verification *v = &w->c->totals;

	v->clean = v->checksum_match && v->pending == 0;
	v->elapsed.time = GetCurrentTimestamp() - v->started_at;
}

/* Compares all rows in the active snapshot. */
void
compare_all(const Mapping *m, const CompareOptions *options, Comparison *c)
{
	Comparing	w;
	Side		source;
	Side		target;

	begin(&w, m, options, NULL, "scan", c);
	c->totals.pending = read_pending(&w);
	c->queue_counted = true;
	read_sides(&w, options->cells, &source, &target);
	if (!note_sides(&c->totals, &source, &target))
	{
		if (!find_by_sketch(&w, &source, &target))
			find_all_differences(&w);
		if (may_repeat_keys(m))
			find_repeated_keys(&w);
	}
	if (w.pending.every)
		c->totals.pending = Max(c->totals.pending, 1);
	end(&w);
}

/* Compares the rows of a span of keys in the active snapshot. */
void
compare_span(const Mapping *m, const CompareOptions *options, const KeySpan *span, Comparison *c)
{
	Comparing	w;
	Side		source;
	Side		target;

	begin(&w, m, options, span, "range", c);
	read_sides(&w, SKETCH_MIN_CELLS, &source, &target);
	if (!note_sides(&c->totals, &source, &target))
	{
		find_all_differences(&w);
		if (may_repeat_keys(m))
			find_repeated_keys(&w);
	}
	end(&w);
}

/* Compares the rows of some keys, a jsonb[] of distinct ones, in the active snapshot: "sample" or "keys". */
void
compare_keys(const Mapping *m, const CompareOptions *options, ArrayType *keys, const char *method, Comparison *c)
{
	Comparing	w;
	Verification *v = &c->totals;
	int64		n = ArrayGetNItems(ARR_NDIM(keys), ARR_DIMS(keys));

	begin(&w, m, options, NULL, method, c);
	read_rejected(&w);
	find_differences(&w, keys, KEYS_GIVEN);
	v->source_rows = ref_is_multiset(m) ? n : n - v->extra;
	v->target_rows = ref_is_multiset(m) ? n : n - v->missing - v->rejected;
	v->checksum_match = c->nseen == 0;
	end(&w);
}
