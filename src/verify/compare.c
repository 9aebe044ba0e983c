/*
 * compare.c
 *		Compares a mapping's source with its target in the active snapshot.
 *
 * Source and target change in one transaction, so in one snapshot they are
 * equal: any difference is real, but for the keys that are in the dirty queue
 * of that snapshot.  Those, and rows that an unfinished backfill has not
 * reached, are pending.  Rows that could not be stored are left out.
 *
 * One pass over each side computes the count and the set checksum.  Only where
 * these differ are the two sides joined to find the keys.
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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/dirty_key.h"
#include "copy/quarantine.h"
#include "projection/projection.h"
#include "verify/compare.h"

#define FETCH_ROWS 1000

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

/* Rows, rows in scope, checksum and rejected rows of one side, without some keys. */
static void
read_side(const Mapping *m, const char *sql, ArrayType *without, int64 *rows, int64 *in_scope, char **checksum, int64 *rejected)
{
	SpiArg		arg = spi_datum(JSONBARRAYOID, PointerGetDatum(without), without == NULL);
	SpiScope	scope;

	spi_open_owner(&scope, m->owner, m->time_zone);
	spi_read(sql, &arg, without != NULL ? 1 : 0);
	*rows = spi_get_int8(0, 1);
	*in_scope = spi_get_int8(0, 2);
	*checksum = spi_get_text(&scope, 0, 3);
	*rejected = spi_get_int8(0, 4);
	spi_close(&scope);
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

/* Counts a differing row as what it is. */
static void
count_difference(const Mapping *m, const PendingKeys *pending, Comparison *c,
				 const SpiScope *scope, uint64 row, int limit)
{
	Verification *v = &c->totals;
	char	   *kind = TextDatumGetCString(spi_get_datum(row, 1));

	if (is_pending(pending, spi_get_datum(row, 2)))
	{
		v->pending += pending->every ? 1 : 0;	/* else counted with the queue */
		return;
	}
	if (strcmp(kind, "missing") == 0 && !m->complete && !m->reverse)
	{
		v->pending++;
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

/* Joins the two sides and counts the rows that differ. */
static void
find_differences(const Mapping *m, const PendingKeys *pending, ArrayType *without, int limit, bool values,
				 Comparison *c)
{
	Datum		arg = PointerGetDatum(without);
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;

	spi_open_owner(&scope, m->owner, m->time_zone);
	plan = SPI_prepare(projection_compare(m, values, without != NULL), without != NULL ? 1 : 0, (Oid[]) {JSONBARRAYOID});
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
 * Compares in the active snapshot.  At most max_divergences differences are
 * kept, with both rows where values is set; the totals count all.
 */
void
compare_mapping(const Mapping *m, int max_divergences, bool values, Comparison *c)
{
	Verification *v = &c->totals;
	PendingKeys pending;
	ArrayType  *without;
	int64		in_filter;
	int64		in_scope;
	int64		none;
	TimestampTz started = GetCurrentTimestamp();

	memset(c, 0, sizeof(Comparison));
	c->divergences = palloc_extended(sizeof(Divergence) * Max(max_divergences, 1), MCXT_ALLOC_HUGE);
	v->mapping_id = m->id;
	v->method = "scan";
	v->started_at = started;
	read_snapshot(v);
	v->pending = read_pending(m, &pending);
	without = quarantine_standing(m);
	read_side(m, projection_source_checksum(m, without != NULL), without, &v->source_rows, &in_filter, &v->source_checksum,
			  &v->rejected);
	read_side(m, projection_target_checksum(m, without != NULL), without, &v->target_rows, &in_scope, &v->target_checksum, &none);
	v->filtered = v->source_rows - in_filter - v->rejected;
	v->target_rows = in_scope;
	v->checksum_match = in_filter == in_scope && strcmp(v->source_checksum, v->target_checksum) == 0;
	if (!v->checksum_match)
		find_differences(m, &pending, without, max_divergences, values, c);
	if (pending.every)
		v->pending = Max(v->pending, 1);
	v->clean = v->checksum_match && v->pending == 0;
	v->elapsed.time = GetCurrentTimestamp() - started;
}
