/*
 * requeue.c
 *		Keys that a query finds become dirty.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/dirty_key.h"
#include "copy/requeue.h"
#include "copy/sync.h"
#include "projection/lookup.h"
#include "projection/projection.h"

/* A column of the rows that SPI has read, as jsonb[]; those where it is null are left out. */
ArrayType *
requeue_read_column(uint64 rows, int column)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(rows, 1));
	int			n = 0;

	for (uint64 i = 0; i < rows; i++)
	{
		if (!spi_is_null(i, column))
			values[n++] = spi_get_datum(i, column);
	}
	return construct_array(values, n, JSONBOID, -1, false, TYPALIGN_INT);
}

/*
 * Reads what a query finds, so many rows at a time, each time calling a function for them in
 * a memory context of its own.  The query is run as the mapping's owner, under the latest
 * snapshot also in a REPEATABLE READ transaction; its parameter $1, unless NULL, is a jsonb[].
 */
void
requeue_scan(const Mapping *m, const char *sql, ArrayType *keys, int batch_rows, RowsFound found, void *arg)
{
	Datum		value = PointerGetDatum(keys);
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;
	MemoryContext batch;

	PushActiveSnapshot(GetLatestSnapshot());
	spi_open_owner(&scope, m->owner, m->time_zone);
	plan = SPI_prepare(sql, keys != NULL ? 1 : 0, (Oid[]) {JSONBARRAYOID});
	if (plan == NULL)
		elog(ERROR, "could not prepare a search for keys: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, &value, NULL, true);
	PopActiveSnapshot();
	batch = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext found rows", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContext old;
		SPITupleTable *rows;

		SPI_cursor_fetch(portal, true, batch_rows);
		if (SPI_processed == 0)
			break;
		rows = SPI_tuptable;
		old = MemoryContextSwitchTo(batch);
		found(m, SPI_processed, arg);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
		SPI_freetuptable(rows);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
}

/* Where keys are found, and why they are dirty. */
typedef struct Requeue
{
	int			column;
	const char *reason;
} Requeue;

static void
add_keys(const Mapping *m, uint64 rows, void *arg)
{
	const Requeue *r = arg;

	(void) dirty_key_add(m->id, requeue_read_column(rows, r->column), r->reason, NULL);
}

/* Adds the keys that a query returns in a column as dirty keys; see requeue_scan. */
void
requeue_found(const Mapping *m, const char *sql, ArrayType *keys, int column, const char *reason)
{
	Requeue		r = {column, reason};

	requeue_scan(m, sql, keys, SYNC_BATCH_KEYS, add_keys, &r);
}

/*
 * The values of those of some noted changes, a jsonb[], that are of a lookup; marks
 * them in found.  NULL if there are none.
 */
static ArrayType *
values_of(const Lookup *l, ArrayType *changes, bool *found)
{
	SpiScope	scope;
	uint64		n;
	Datum	   *values;

	spi_open_catalog(&scope);
	n = spi_run("SELECT n, x -> 'values' FROM unnest($1) WITH ORDINALITY AS u(x, n) "
				"WHERE (x ->> 'relation')::int8 = $2 AND x -> 'columns' = to_jsonb($3)",
				SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(changes), false), spi_int8(l->relation), spi_texts(l->columns)));
	values = MemoryContextAlloc(scope.caller, sizeof(Datum) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		found[spi_get_int8(i, 1) - 1] = true;
		values[i] = spi_get_copy(&scope, i, 2);
	}
	spi_close(&scope);
	return n == 0 ? NULL : construct_array(values, n, JSONBOID, -1, false, TYPALIGN_INT);
}

/*
 * The keys that noted changes of tables concern, which the mapping's expressions read,
 * become dirty; false if that is not enough, as where the mapping does not read some of them so any more.
 */
bool
requeue_changes(const Mapping *m, const Datum *changes, int n)
{
	ArrayType  *array = construct_array((Datum *) changes, n, JSONBOID, -1, false, TYPALIGN_INT);
	bool	   *found = palloc0(sizeof(bool) * Max(n, 1));
	ListCell   *lc;
	bool		all = true;

	if (n > 0 && lookup_makes_key(m))
		return false;			/* what the rows were like before is not known */
	foreach(lc, n > 0 ? lookup_list(m) : NIL)
	{
		Lookup	   *l = lfirst(lc);
		ArrayType  *values = l->columns != NIL ? values_of(l, array, found) : NULL;

		if (values != NULL)
			requeue_found(m, lookup_concerned_keys(m, l), values, 1, "lookup");
	}
	for (int i = 0; i < n; i++)
		all = all && found[i];
	return all;
}
