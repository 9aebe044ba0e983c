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
 * rows of the two sides joined.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "common/hashfn.h"
#include "miscadmin.h"
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
#include "projection/projection.h"
#include "verify/compare.h"

#define FETCH_ROWS 1000

/* How many times as large the second sketch is. */
#define SKETCH_GROWTH 32

/* The keys that are pending in the snapshot. */
typedef struct PendingKeys
{
	HTAB	   *table;			/* of char * */
	bool		every;
} PendingKeys;

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

/* Reads the dirty queue; returns how many distinct keys it holds. */
static int64
read_pending(const Mapping *m, PendingKeys *pending)
{
	HASHCTL		ctl = {0};
	List	   *keys;
	ListCell   *lc;

	dirty_key_read_pending(m->id, &keys, &pending->every);
	ctl.keysize = sizeof(char *);
	ctl.entrysize = sizeof(char *);
	ctl.hash = hash_text;
	ctl.match = match_text;
	ctl.hcxt = CurrentMemoryContext;
	pending->table = hash_create("pending keys", Max(list_length(keys), 16), &ctl,
								 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	foreach(lc, keys)
	{
		char	   *key = lfirst(lc);

		(void) hash_search(pending->table, &key, HASH_ENTER, NULL);
	}
	return list_length(keys);
}

static bool
is_pending(const PendingKeys *pending, Datum key)
{
	char	   *text;

	if (pending->every)
		return true;
	if (key == (Datum) 0)
		return false;
	text = JsonbToCString(NULL, &DatumGetJsonbP(key)->root, 0);
	return hash_search(pending->table, &text, HASH_FIND, NULL) != NULL;
}

/* What one pass over a side finds. */
typedef struct Side
{
	int64		rows;
	int64		in_scope;
	int64		rejected;
	Datum		sketch;			/* bytea; 0: there was no row */
	Checksum	checksum;
} Side;

/* Reads a side, without some keys. */
static void
read_side(const Mapping *m, const char *sql, ArrayType *without, Side *side)
{
	SpiArg		arg = spi_datum(JSONBARRAYOID, PointerGetDatum(without), without == NULL);
	SpiScope	scope;

	spi_open_owner(&scope, m->owner, m->time_zone);
	spi_read(sql, &arg, without != NULL ? 1 : 0);
	side->rows = spi_get_int8(0, 1);
	side->in_scope = spi_get_int8(0, 2);
	side->sketch = spi_get_copy(&scope, 0, 3);
	side->rejected = spi_get_int8(0, 4);
	spi_close(&scope);
	side->checksum = side->sketch != (Datum) 0 ? sketch_checksum(side->sketch) : (Checksum) {0, 0};
}

/* Reads both sides, a pass over each. */
static void
read_sides(const Mapping *m, int cells, ArrayType *without, Side *source, Side *target)
{
	read_side(m, projection_source_checksum(m, cells, without != NULL), without, source);
	read_side(m, projection_target_checksum(m, cells, without != NULL), without, target);
}

/* Does a key stand for itself in a sketch? */
static bool
key_is_number(const Mapping *m)
{
	Oid			type = list_length(m->key) == 1 ? get_atttype(m->target, get_attnum(m->target, linitial(m->key))) : InvalidOid;

	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* The keys that numbers of a sketch stand for, as a jsonb[]; NULL if there are none. */
static ArrayType *
keys_of(const Mapping *m, ArrayType *numbers)
{
	SpiScope	scope;
	SpiArg		arg = spi_datum(INT8ARRAYOID, PointerGetDatum(numbers), false);
	Datum	   *keys;
	uint64		n;
	ArrayType  *result = NULL;
	MemoryContext old;

	spi_open_owner(&scope, m->owner, m->time_zone);
	if (key_is_number(m))
		n = spi_read(psprintf("SELECT jsonb_build_object(%s, k) FROM unnest($1) k", quote_literal_cstr(linitial(m->key))), &arg, 1);
	else
		n = spi_read(projection_keys_by_hash(m), &arg, 1);
	keys = palloc(sizeof(Datum) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
		keys[i] = spi_get_datum(i, 1);
	old = MemoryContextSwitchTo(scope.caller);
	if (n > 0)
		result = construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT);
	MemoryContextSwitchTo(old);
	spi_close(&scope);
	return result;
}

/* Keeps a difference, as long as there is room. */
static void
keep(Comparison *c, const SpiScope *scope, uint64 row, int limit)
{
	Divergence *d;

	if (c->ndivergences >= limit)
		return;
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
count_difference(const Mapping *m, const PendingKeys *pending, Comparison *c,
				 const SpiScope *scope, uint64 row, int limit)
{
	Verification *v = &c->totals;
	char	   *kind = TextDatumGetCString(spi_get_datum(row, 1));
	bool		in_queue = is_pending(pending, spi_get_datum(row, 2));

	c->nseen++;
	if (in_queue || (strcmp(kind, "missing") == 0 && !m->complete && !m->reverse))
	{
		v->pending += in_queue && !pending->every ? 0 : 1;	/* the queue's keys were counted */
		checksum_add(&v->pending_checksum, row_checksum(row, 6));
		checksum_subtract(&v->pending_checksum, row_checksum(row, 7));
		return;
	}
	if (strcmp(kind, "missing") == 0)
		v->missing++;
	else if (strcmp(kind, "extra") == 0)
		v->extra++;
	else
		v->different++;
	keep(c, scope, row, limit);
}

/* Joins the two sides, or what they have of some keys, and counts the rows that differ. */
static void
find_differences(const Mapping *m, const PendingKeys *pending, ArrayType *keys, ComparedKeys which, int limit, bool values,
				 Comparison *c)
{
	Datum		arg = PointerGetDatum(keys);
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;

	spi_open_owner(&scope, m->owner, m->time_zone);
	plan = SPI_prepare(projection_compare(m, values, which), which != KEYS_ALL ? 1 : 0, (Oid[]) {JSONBARRAYOID});
	if (plan == NULL)
		elog(ERROR, "could not prepare a comparison: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, &arg, NULL, true);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			count_difference(m, pending, c, &scope, i, limit);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
}

/*
 * Finds the rows that differ by the sketches, the second time by larger ones.  False
 * if there are too many, as while a copy is under way: then all rows are joined.
 */
static bool
find_by_sketch(const Mapping *m, const PendingKeys *pending, ArrayType *without, int cells, Side *source, Side *target,
			   int limit, bool values, Comparison *c)
{
	ArrayType  *numbers = sketch_difference(source->sketch, target->sketch);
	ArrayType  *keys;
	int			larger = Min(cells * SKETCH_GROWTH, SKETCH_MAX_CELLS);

	if (numbers == NULL && mapping_is_settled(m) && llabs((long long) (source->in_scope - target->in_scope)) < (int64) larger / 2)
	{
		read_sides(m, larger, without, source, target);
		numbers = sketch_difference(source->sketch, target->sketch);
	}
	if (numbers == NULL || (keys = keys_of(m, numbers)) == NULL)
		return false;
	find_differences(m, pending, keys, KEYS_GIVEN, limit, values, c);

	/* rows of one key that are there several times are told by nothing but all of them */
	return c->nseen > 0;
}

/* Notes which snapshot this is. */
static void
read_snapshot(Verification *v)
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

/*
 * Compares in the active snapshot, by a sketch of so many cells at first.  At most max_divergences differences are
 * kept, with both rows where values is set; the totals count all.
 */
void
compare_mapping(const Mapping *m, int cells, int max_divergences, bool values, Comparison *c)
{
	Verification *v = &c->totals;
	PendingKeys pending;
	ArrayType  *without;
	Side		source;
	Side		target;
	TimestampTz started = GetCurrentTimestamp();

	memset(c, 0, sizeof(Comparison));
	c->divergences = palloc_extended(sizeof(Divergence) * Max(max_divergences, 1), MCXT_ALLOC_HUGE);
	v->mapping_id = m->id;
	v->method = "scan";
	v->started_at = started;
	read_snapshot(v);
	v->pending = read_pending(m, &pending);
	without = quarantine_standing(m);
	read_sides(m, cells, without, &source, &target);
	v->source_rows = source.rows;
	v->rejected = source.rejected;
	v->filtered = source.rows - source.in_scope - source.rejected;
	v->target_rows = target.in_scope;
	v->source_checksum = source.checksum;
	v->target_checksum = target.checksum;
	v->checksum_match = source.in_scope == target.in_scope && checksum_equal(source.checksum, target.checksum);
	if (!v->checksum_match && !find_by_sketch(m, &pending, without, cells, &source, &target, max_divergences, values, c))
		find_differences(m, &pending, without, without != NULL ? KEYS_LEFT_OUT : KEYS_ALL, max_divergences, values, c);
	if (pending.every)
		v->pending = Max(v->pending, 1);
	v->clean = v->checksum_match && v->pending == 0;
	v->elapsed.time = GetCurrentTimestamp() - started;
}
