/*
 * sync.c
 *		Makes the target equal to the source for dirty keys.
 *
 * The one repair primitive: it settles deletes that raced the copy, dual
 * writes that failed, queued captures, TRUNCATE and divergences.  A dirty key
 * says only that its target row may be wrong, so settling it twice, or in any
 * order, does no harm.
 *
 * For key k, each step with a new snapshot:
 *	1. Lock the source rows of k.  If there are any, upsert their projection:
 *	   no writer can be between its row and its trigger, or it would hold that
 *	   row lock.
 *	2. There are none: lock the target row of k.  None either: done, as a later
 *	   insert carries itself.
 *	3. Look at the source again, now under the target's lock.  Rows: go to 1.
 *	   None: delete the target row.  One DELETE ... WHERE NOT EXISTS would, after
 *	   waiting for the target row, re-check that row but not the source, and
 *	   delete what was just inserted.
 *
 * Not while batches of a copy may be uncommitted: step 2 would not see the row
 * that such a batch brings back.  See sync_must_wait.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/dual_write.h"
#include "catalog/dirty_key.h"
#include "catalog/job.h"
#include "copy/sync.h"
#include "projection/projection.h"

/* How often a key may change sides between steps 1 and 3 before we let go. */
#define MAX_TURNS 10

/* A distinct key with the queue rows that name it. */
typedef struct DirtyEntry
{
	char	   *text;
	Datum		key;
	int64	   *ids;
	int			nids;
} DirtyEntry;

/* Some keys of a mapping, to be settled in one subtransaction. */
typedef struct Settlement
{
	const Mapping *m;
	Datum	   *keys;
	int			n;
	bool		delete_first;
} Settlement;

static SpiArg
key_array(const Datum *keys, int n)
{
	return spi_datum(JSONBARRAYOID,
					 PointerGetDatum(construct_array((Datum *) keys, n, JSONBOID, -1, false,
													 TYPALIGN_INT)), false);
}

/* Runs a list of statements over some keys. */
static void
run_all(List *statements, SpiArg keys)
{
	ListCell   *lc;

	foreach(lc, statements)
		spi_run(lfirst(lc), &keys, 1);
}

/*
 * Runs a query that returns numbers of keys, from 1, and moves these keys to
 * the front; returns how many they are.
 */
static int
select_keys(const char *sql, Datum *keys, int n)
{
	SpiArg		arg = key_array(keys, n);
	uint64		rows = spi_run(sql, &arg, 1);
	bool	   *hit = palloc0(n + 1);
	Datum	   *rest = palloc(sizeof(Datum) * Max(n, 1));
	int			front = 0;
	int			back = 0;

	for (uint64 i = 0; i < rows; i++)
		hit[spi_get_int8(i, 1)] = true;
	for (int i = 0; i < n; i++)
	{
		if (hit[i + 1])
			keys[front++] = keys[i];
		else
			rest[back++] = keys[i];
	}
	memcpy(keys + front, rest, sizeof(Datum) * back);
	return front;
}

/* Steps 1 to 3 for some keys, as the mapping's owner. */
static void
settle(const Settlement *s)
{
	const Mapping *m = s->m;
	Datum	   *keys = s->keys;
	int			n = s->n;

	for (int turn = 0; n > 0; turn++)
	{
		int			present;
		int			in_target;

		if (turn == MAX_TURNS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("keys kept changing while they were synchronized")));

		/* step 1 */
		present = select_keys(projection_lock_source(m), keys, n);
		if (present > 0)
		{
			run_all(projection_delete_keys(m, !s->delete_first), key_array(keys, present));
			run_all(projection_upsert_keys(m), key_array(keys, present));
		}
		keys += present;
		n -= present;
		if (n == 0)
			break;

		/* step 2 */
		in_target = select_keys(projection_lock_target(m), keys, n);
		if (in_target == 0)
			break;

		/* step 3: those with a source row now go back to step 1 */
		n = select_keys(projection_find_source(m), keys, in_target);
		if (in_target > n)
			run_all(projection_delete_keys(m, false), key_array(keys + n, in_target - n));
	}
}

/* Work for subxact_try. */
static void
work_settle(void *arg)
{
	const Settlement *s = arg;
	SpiScope	scope;
	ApplyFrame	frame;

	apply_begin(&frame, s->m->migration_id);
	PG_TRY();
	{
		spi_open_owner(&scope, s->m->owner, s->m->time_zone);
		settle(s);
		spi_close(&scope);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
}

/* Settles entries in a subtransaction; NULL or the error. */
static ErrorData *
try_settle(const Mapping *m, const DirtyEntry *entries, int n, bool delete_first)
{
	Settlement	s = {m, palloc(sizeof(Datum) * n), n, delete_first};

	for (int i = 0; i < n; i++)
		s.keys[i] = entries[i].key;
	return subxact_try(work_settle, &s);
}

/*
 * Settles entries, halving what fails until the bad keys stand alone; those
 * stay in the queue with their error.
 */
static void
settle_entries(const Mapping *m, const DirtyEntry *entries, int n, SyncResult *result)
{
	ErrorData  *error = try_settle(m, entries, n, false);

	/* values exchanged between rows clash on another unique index: make room */
	if (error != NULL && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && !m->clears)
		error = try_settle(m, entries, n, true);
	if (error == NULL)
	{
		for (int i = 0; i < n; i++)
			dirty_key_settled(m->id, entries[i].ids, entries[i].nids);
		result->settled += n;
	}
	else if (n > 1)
	{
		settle_entries(m, entries, n / 2, result);
		settle_entries(m, entries + n / 2, n - n / 2, result);
	}
	else
	{
		DirtyKeyError why = {error_sqlstate(error), error->message};

		dirty_key_failed(m->id, entries[0].ids, entries[0].nids, &why);
		result->failed++;
	}
}

static int
compare_rows(const void *a, const void *b)
{
	return strcmp(((const DirtyEntry *) a)->text, ((const DirtyEntry *) b)->text);
}

/* The distinct keys of a batch in sorted order, so that two syncs meet in order. */
static int
distinct_entries(const DirtyKeyBatch *batch, DirtyEntry *entries)
{
	int			rows = 0;
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		if (batch->every[i])
			continue;
		entries[rows].key = batch->keys[i];
		entries[rows].text = JsonbToCString(NULL, &DatumGetJsonbP(batch->keys[i])->root, 0);
		entries[rows].ids = palloc(sizeof(int64) * batch->n);
		entries[rows].ids[0] = batch->ids[i];
		entries[rows++].nids = 1;
	}
	if (rows == 0)
		return 0;
	qsort(entries, rows, sizeof(DirtyEntry), compare_rows);
	for (int i = 1; i < rows; i++)
	{
		if (strcmp(entries[i].text, entries[n].text) == 0)
			entries[n].ids[entries[n].nids++] = entries[i].ids[0];
		else
			entries[++n] = entries[i];
	}
	return n + 1;
}

/*
 * "Every key" becomes the keys that differ now.  Keys that are equal now need
 * nothing: whatever changes them later is captured.
 */
static void
expand_every(const Mapping *m)
{
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;

	spi_open_owner(&scope, m->owner, m->time_zone);
	plan = SPI_prepare(projection_compare(m, false), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a comparison: %s", SPI_result_code_string(SPI_result));

	/* the latest snapshot, also in a REPEATABLE READ transaction */
	PushActiveSnapshot(GetLatestSnapshot());
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	PopActiveSnapshot();
	for (;;)
	{
		Datum	   *keys;
		int			n = 0;

		SPI_cursor_fetch(portal, true, SYNC_BATCH_KEYS);
		if (SPI_processed == 0)
			break;
		keys = palloc(sizeof(Datum) * SPI_processed);
		for (uint64 i = 0; i < SPI_processed; i++)
			keys[n++] = spi_get_datum(i, 2);
		dirty_key_add(m->id, DatumGetArrayTypeP(key_array(keys, n).value), "reconcile", NULL);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
}

/* Work for subxact_try. */
static void
work_expand(void *arg)
{
	expand_every(arg);
}

/* Expands the batch's "every key" rows, if it has any. */
static void
settle_every(const Mapping *m, const DirtyKeyBatch *batch, SyncResult *result)
{
	int64	   *ids = palloc(sizeof(int64) * batch->n);
	int			n = 0;
	ErrorData  *error;

	for (int i = 0; i < batch->n; i++)
	{
		if (batch->every[i])
			ids[n++] = batch->ids[i];
	}
	if (n == 0)
		return;
	error = subxact_try(work_expand, (void *) m);
	if (error == NULL)
		dirty_key_settled(m->id, ids, n);
	else
	{
		DirtyKeyError why = {error_sqlstate(error), error->message};

		dirty_key_failed(m->id, ids, n, &why);
		result->failed++;
	}
}

/*
 * Settles the next batch of a mapping's dirty keys with *after < id <= upto,
 * and moves *after on.  False if there was none.  Row locks on the source are
 * held until the transaction ends; waiting for one is limited by lock_timeout,
 * so that in a deadlock with the application it is we who leave.
 */
bool
sync_batch(const Migration *g, const Mapping *m, int64 *after, int64 upto, SyncResult *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext sync",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DirtyKeyBatch batch;
	int			level = NewGUCNestLevel();
	int			n;

	(void) set_config_option("lock_timeout",
							 setting_text(g->settings, "lock_timeout"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	dirty_key_take(m->id, *after, upto, SYNC_BATCH_KEYS, &batch);
	if (batch.n > 0)
	{
		DirtyEntry *entries = palloc(sizeof(DirtyEntry) * batch.n);

		*after = batch.ids[batch.n - 1];
		settle_every(m, &batch, result);
		n = distinct_entries(&batch, entries);
		if (n > 0)
			settle_entries(m, entries, n, result);
	}
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(old);
	n = batch.n;
	MemoryContextDelete(context);
	return n > 0;
}

/* Settles all keys that are dirty now, in the current transaction. */
void
sync_mappings(const Migration *g, List *mappings, SyncResult *result)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		int64		after = 0;
		int64		upto;

		/* twice, as "every key" is expanded into keys behind the end */
		for (int pass = 0; pass < 2; pass++)
		{
			upto = dirty_key_last(m->id);
			while (sync_batch(g, m, &after, upto, result))
				CHECK_FOR_INTERRUPTS();
		}
	}
}

/*
 * Is a copy under way whose uncommitted batches might bring back a row that a
 * sync does not see?  Its keys are settled after the barrier at its end.
 */
bool
sync_must_wait(const Migration *g)
{
	Job		   *job = job_find_open(g->id, "backfill");

	return job != NULL && strcmp(job->step, "drain") != 0;
}

MIGRATE_FUNCTION(migrate_sync);

/*
 * migrate_sync(migration text) RETURNS bigint: settles the keys that are dirty
 * now; returns how many.  Keys that cannot be settled stay in the queue with
 * their error.  Locks the source rows of these keys until the transaction ends.
 */
Datum
migrate_sync(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	SyncResult	result = {0, 0};

	if (sync_must_wait(g))
	{
		ereport(NOTICE,
				(errmsg("the backfill of migration \"%s\" is not complete", g->name),
				 errdetail("Its dirty keys are settled when all batches are committed, by the backfill itself.")));
		PG_RETURN_INT64(0);
	}
	sync_mappings(g, mapping_list(g->id, migration_is_switched(g)), &result);
	if (result.failed > 0)
		ereport(WARNING,
				(errmsg("%lld dirty keys of migration \"%s\" could not be settled",
						(long long) result.failed, g->name),
				 errhint("Their errors are in migrate_ext.dirty_key.")));
	PG_RETURN_INT64(result.settled);
}
