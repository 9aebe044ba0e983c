/*
 * sync.c
 *		Makes the target equal to the source for dirty keys.
 *
 * The one repair primitive: it settles deletes that raced the copy, dual
 * writes that failed, queued captures, TRUNCATE and divergences.  A dirty key
 * says only that its target row may be wrong, so settling it twice, or in any
 * order, does no harm.
 *
 * What is done for some keys is in settle.c.
 *
 * Not while batches of a copy may be uncommitted: step 2 would not see the row
 * that such a batch brings back.  See sync_must_wait.
 *
 * Which keys are settled when is in sync_pass.c.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/deferred.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/apply_frame.h"
#include "catalog/dirty_key.h"
#include "catalog/job.h"
#include "catalog/rejected_row.h"
#include "copy/circle.h"
#include "copy/duplicate.h"
#include "copy/quarantine.h"
#include "copy/requeue.h"
#include "copy/settle.h"
#include "copy/sync.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Work for subxact_try. */
static void
work_settle(void *arg)
{
	const Settlement *s = arg;
	ApplyFrame	frame;

	apply_begin(&frame, s->m->migration_id, s->m->reverse);
	PG_TRY();
	{
		if (s->way == WAY_CIRCLE)
			circle_settle(s);
		else
			settle_keys(s);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
}

/* Settles entries in a subtransaction; NULL or the error. */
static ErrorData *
try_settle(Settlement *s, Way way)
{
	s->way = way;
	memset(s->busy, 0, sizeof(bool) * s->n);
	return subxact_try(work_settle, s);
}

/* Takes what was settled out of the queue. */
static void
finish_entries(const Settlement *s, SyncResult *result)
{
	int64	   *ids;
	int			rows = 0;
	int			n = 0;
	ArrayType  *settled;

	for (int i = 0; i < s->n; i++)
		rows += s->entries[i].nids;
	ids = palloc(sizeof(int64) * Max(rows, 1));
	for (int i = 0; i < s->n; i++)
	{
		if (s->busy[i])
		{
			result->busy++;
			continue;
		}
		memcpy(ids + n, s->entries[i].ids, sizeof(int64) * s->entries[i].nids);
		n += s->entries[i].nids;
		result->settled++;
	}
	if (n == 0)
		return;
	dirty_key_settled(s->m->id, ids, n);
	settled = settle_done_keys(s);
	if (!s->m->reverse && rejected_row_any(s->m->id))
		rejected_row_forget(s->m->id, settled, NULL);
	if (ref_dedupes(s->m) && !s->m->reverse)
		duplicate_list_keys(s->m, settled);
}

/*
 * A key clashes with one that is settled elsewhere, before which it cannot be
 * settled either if they stand in a circle.  The target row, which is wrong, is
 * taken away: with that every circle is broken.  True if there was one; the key
 * stays in the queue.
 */
static bool
try_park(Settlement *s, SyncResult *result)
{
	if (!projection_covers_all(s->m) || try_settle(s, WAY_PARK) != NULL || !s->busy[0])
		return false;
	result->parked++;
	return true;
}

/*
 * Settles entries.  Where somebody is in the way they are left for later; what
 * fails otherwise is halved until the bad keys stand alone, which stay in the
 * queue with their error.
 */
static void
settle_entries(const Mapping *m, const DeferredConstraints *deferred, const DirtyEntry *entries, int n,
			   SyncResult *result)
{
	Settlement	s = {m, entries, n, result->settled == 0, deferred, WAY_UPSERT, palloc0(sizeof(bool) * n)};
	ErrorData  *error = try_settle(&s, WAY_UPSERT);
	bool		clash = error != NULL && error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && projection_may_replace(m);

	if (clash)
		error = try_settle(&s, WAY_REPLACE);
	else if (error != NULL && error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && deferred_any(deferred))
		error = try_settle(&s, WAY_CIRCLE);
	if (error == NULL)
		finish_entries(&s, result);
	else if (error_is_transient(error))
		result->busy += n;
	else if (n > 1)
	{
		settle_entries(m, deferred, entries, n / 2, result);
		settle_entries(m, deferred, entries + n / 2, n - n / 2, result);
	}
	else if (clash && try_park(&s, result))
		return;
	else if (quarantine_keep(m, entries[0].key, error))
	{
		dirty_key_settled(m->id, entries[0].ids, entries[0].nids);
		result->settled++;
	}
	else
	{
		DirtyKeyError why = {error_sqlstate(error), error->message, error->constraint_name};

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
	int64	   *ids = palloc(sizeof(int64) * batch->n);
	int			rows = 0;
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		if (batch->every[i])
			continue;
		entries[rows].key = batch->keys[i];
		entries[rows].text = JsonbToCString(NULL, &DatumGetJsonbP(batch->keys[i])->root, 0);
		entries[rows].ids = &batch->ids[i];
		entries[rows++].nids = 1;
	}
	if (rows == 0)
		return 0;
	qsort(entries, rows, sizeof(DirtyEntry), compare_rows);
	for (int i = 0; i < rows; i++)
	{
		ids[i] = *entries[i].ids;
		if (i > 0 && strcmp(entries[i].text, entries[n].text) == 0)
		{
			entries[n].nids++;	/* its ids lie side by side, as they are sorted */
			continue;
		}
		n += i > 0 ? 1 : 0;
		entries[n] = entries[i];
		entries[n].ids = &ids[i];
	}
	return n + 1;
}

/*
 * "Every key" becomes the keys that differ now.  Keys that are equal now need
 * nothing: whatever changes them later is captured.  Of those that several rows have
 * the list is made anew, too.
 */
static void
expand_every(const Mapping *m)
{
	ArrayType  *without;

	PushActiveSnapshot(GetLatestSnapshot());
	without = quarantine_standing(m);
	PopActiveSnapshot();
	requeue_found(m, ref_is_multiset(m) ? projection_compare_multisets(m, false, without != NULL ? KEYS_LEFT_OUT : KEYS_ALL) :
				  projection_compare(m, false, without != NULL ? KEYS_LEFT_OUT : KEYS_ALL, NULL), without, 2, "reconcile");
	if (ref_dedupes(m) && !m->reverse)
		duplicate_list_all(m);
	if (m->has_rules && !m->reverse)
		quarantine_list_all(m);
}

/* Rows of the queue that name no key. */
typedef struct Expansion
{
	const Mapping *m;
	bool		every;			/* any key may be wrong */
	Datum	   *changes;		/* or those that changes of tables concern, which expressions read */
	int			nchanges;
} Expansion;

/* Work for subxact_try. */
static void
work_expand(void *arg)
{
	Expansion  *e = arg;
	ApplyFrame	frame;

	/* rows that nobody has seen yet get their new keys here */
	apply_begin(&frame, e->m->migration_id, e->m->reverse);
	PG_TRY();
	{
		if (!requeue_changes(e->m, e->changes, e->nchanges) || e->every)
			expand_every(e->m);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
}

/* Does nobody else write the relation now? */
static bool
nobody_writes(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		LOCKTAG		tag;
		int			n;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, lfirst_oid(lc));
		(void) GetLockConflicts(&tag, ShareLock, &n);
		if (n > 0)
			return false;
	}
	return true;
}

/*
 * May the keys that a change of another table concerns be looked for now?  Who writes
 * a source row may have read that table before the change: such a row cannot be seen
 * yet.  Everybody who may have done so has ended where nobody writes now, or all
 * have who had begun when a sync saw the change.
 */
static bool
may_expand(const Mapping *m, const DirtyKeyBatch *batch, int i)
{
	return !batch->changed[i] || batch->passed[i] || (nobody_writes(m->source) && nobody_writes(m->target));
}

/* Expands the batch's rows that name no key, if it has any. */
static void
settle_every(const Mapping *m, const DirtyKeyBatch *batch, SyncResult *result)
{
	int64	   *ids = palloc(sizeof(int64) * batch->n);
	int64	   *early = palloc(sizeof(int64) * batch->n);
	Expansion	e = {m, false, palloc(sizeof(Datum) * batch->n), 0};
	int			n = 0;
	int			nearly = 0;
	ErrorData  *error;

	for (int i = 0; i < batch->n; i++)
	{
		if (!batch->every[i])
			continue;
		if (!may_expand(m, batch, i))
		{
			early[nearly++] = batch->ids[i];
			continue;
		}
		ids[n++] = batch->ids[i];
		if (batch->lookups[i] == (Datum) 0)
			e.every = true;
		else
			e.changes[e.nchanges++] = batch->lookups[i];
	}
	if (nearly > 0)
		dirty_key_set_barrier(m->id, early, nearly);
	result->busy += nearly;
	if (n == 0)
		return;
	if (e.every && ref_dedupes(m) && !m->reverse && !settle_lock_out_others(m))
	{
		result->busy += n;		/* another sync may have listed lost rows, and not ended yet */
		return;
	}
	error = subxact_try(work_expand, &e);
	if (error == NULL)
	{
		dirty_key_settled(m->id, ids, n);
		result->expanded += n;
	}
	else
	{
		DirtyKeyError why = {error_sqlstate(error), error->message};

		dirty_key_failed(m->id, ids, n, &why);
		result->failed++;
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

	return job != NULL && strcmp(job->step, "drain") != 0 && strcmp(job->step, "index") != 0;
}

/*
 * Is a mapping to be copied first?  Rows without keys that a sync has brought would be brought
 * by the copy again.
 */
static bool
waits_for_copy(const Migration *g, const Mapping *m)
{
	return ref_is_multiset(m) && !mapping_is_settled(m) && job_find_open(g->id, "backfill") == NULL;
}

/*
 * Takes entries out whose key has a null in it: as long as there is a source row with such a
 * key they stay in the queue, as that row has no place on the other side.  Returns
 * how many entries are left.
 */
static int
settle_null_keys(const Mapping *m, DirtyEntry *entries, int n, SyncResult *result)
{
	int			left = 0;
	int			known = -1;		/* is there such a row? */

	for (int i = 0; i < n; i++)
	{
		SpiScope	scope;

		if (!key_has_null(entries[i].key))
		{
			entries[left++] = entries[i];
			continue;
		}
		if (known < 0)
		{
			spi_open_owner(&scope, m->owner, m->time_zone);
			known = spi_run(projection_null_keys(m), SPI_NO_ARGS) > 0;
			spi_close(&scope);
		}
		if (known > 0)
		{
			DirtyKeyError why = {"23502", "a column of the key is null: the row has no place on the other side"};

			dirty_key_failed(m->id, entries[i].ids, entries[i].nids, &why);
			result->failed++;
		}
		else
		{
			dirty_key_settled(m->id, entries[i].ids, entries[i].nids);
			result->settled++;
		}
	}
	return left;
}

/* Settles what was taken. */
static void
settle_batch(const Mapping *m, const DirtyKeyBatch *batch, SyncResult *result)
{
	DirtyEntry *entries = palloc(sizeof(DirtyEntry) * batch->n);
	DeferredConstraints deferred;
	int			n;

	settle_every(m, batch, result);
	n = settle_null_keys(m, entries, distinct_entries(batch, entries), result);
	if (n == 0)
		return;
	deferred_find(m->target, &deferred);
	settle_entries(m, &deferred, entries, n, result);
}

/*
 * Settles the next keys of a stretch of the queue, and moves its begin on.
 * False if there was none, or it must stop here: *result tells.  Row locks on
 * the source are held until the transaction ends; any wait is limited by
 * lock_timeout.
 *
 * Whether a copy is under way is asked after the keys were taken: the batches
 * of one that begins later see what made these keys dirty.
 */
bool
sync_batch(const Migration *g, const Mapping *m, SyncStretch *stretch, SyncResult *result)
{
	MemoryContext context;
	MemoryContext old;
	DirtyKeyBatch batch = {0};
	int			level;
	int			n;

	if (waits_for_copy(g, m))
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext sync", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	level = NewGUCNestLevel();
	(void) set_config_option("lock_timeout",
							 setting_text(g->settings, "lock_timeout"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	result->halted = !settle_lock_tables(m);
	if (!result->halted)
		dirty_key_take(m->id, stretch->after, stretch->upto, settle_batch_keys(m, stretch->limit), stretch->due_only, &batch);
	if (batch.n > 0)
		result->halted = sync_must_wait(g);
	if (batch.n > 0 && !result->halted)
	{
		stretch->after = batch.ids[batch.n - 1];
		settle_batch(m, &batch, result);
	}
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(old);
	n = result->halted ? 0 : batch.n;
	MemoryContextDelete(context);
	return n > 0;
}
