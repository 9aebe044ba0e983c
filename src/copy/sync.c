/*
 * sync.c
 *		Makes the target equal to the source for dirty keys.
 *
 * The one repair primitive: it settles deletes that raced the copy, dual
 * writes that failed, queued captures, TRUNCATE and divergences.  A dirty key
 * says only that its target row may be wrong, so settling it twice, or in any
 * order, does no harm.
 *
 * For some keys, each step a statement with a new snapshot:
 *	1. Which of them have a source row?
 *	2. Those that have none: lock their target rows.  No target row either:
 *	   done, as a later insert carries itself.
 *	3. Look at the source again, now under the target's lock.  Still no row:
 *	   delete the target row.  One DELETE ... WHERE NOT EXISTS would, after
 *	   waiting for the target row, re-check that row but not the source, and
 *	   delete what was just inserted.
 *	4. Those that have a source row: lock it, and upsert its projection.  No
 *	   writer can be between its row and its trigger, or it would hold that row
 *	   lock.
 *
 * The application never loses: a source row that it has locked is not waited
 * for, its key stays in the queue.  Whoever waits for us may hold what we would
 * wait for, and it is the application's deadlock_timeout that would end it.
 * Step 2 may wait, as long as the transaction holds no source row: a dual
 * write gives a target row up by itself (see limit_lock_wait).
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
#include "copy/quarantine.h"
#include "copy/requeue.h"
#include "copy/sync.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* A distinct key with the queue rows that name it. */
typedef struct DirtyEntry
{
	char	   *text;
	Datum		key;
	int64	   *ids;			/* part of an array that all entries share */
	int			nids;
} DirtyEntry;

/* How to make the target rows of keys right that have a source row. */
typedef enum Way
{
	WAY_UPSERT,
	WAY_REPLACE,				/* values are exchanged between rows */
	WAY_PARK					/* only take away what is in the way of others */
} Way;

/* Some keys of a mapping, to be settled in one subtransaction. */
typedef struct Settlement
{
	const Mapping *m;
	const DirtyEntry *entries;
	int			n;
	bool		may_wait;		/* for target rows: no source row is locked yet */
	const DeferredConstraints *deferred;	/* of the target */
	Way			way;
	bool	   *busy;			/* result: entries to be left for later */
} Settlement;

/* The keys of the entries with these numbers, as a parameter. */
static SpiArg
key_array(const Settlement *s, const int *which, int n)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		keys[i] = s->entries[which[i]].key;
	return spi_datum(JSONBARRAYOID,
					 PointerGetDatum(construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT)),
					 false);
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
 * Runs a query that returns numbers of keys, from 1, and moves the entries it
 * returns to the front; returns how many they are.
 */
static int
partition(const Settlement *s, const char *sql, int *which, int n)
{
	SpiArg		arg = key_array(s, which, n);
	uint64		rows;
	bool	   *hit = palloc0(n + 1);
	int		   *rest = palloc(sizeof(int) * Max(n, 1));
	int			front = 0;
	int			back = 0;

	if (n == 0)
		return 0;
	rows = spi_run(sql, &arg, 1);
	for (uint64 i = 0; i < rows; i++)
		hit[spi_get_int8(i, 1)] = true;
	for (int i = 0; i < n; i++)
	{
		if (hit[i + 1])
			which[front++] = which[i];
		else
			rest[back++] = which[i];
	}
	memcpy(which + front, rest, sizeof(int) * back);
	return front;
}

/* Leaves entries for later. */
static void
leave(const Settlement *s, const int *which, int n)
{
	for (int i = 0; i < n; i++)
		s->busy[which[i]] = true;
}

/*
 * Steps 2 and 3, for entries without a source row.  Those whose source row has
 * appeared meanwhile are moved to the front; returns how many they are.
 */
static int
settle_absent(const Settlement *s, int *which, int n)
{
	int			locked = partition(s, projection_find_target(s->m, s->may_wait ? TARGET_LOCKED : TARGET_SKIP_LOCKED),
								   which, n);
	int			appeared;

	if (!s->may_wait)
		leave(s, which + locked,
			  partition(s, projection_find_target(s->m, TARGET_UNLOCKED), which + locked, n - locked));
	appeared = partition(s, projection_find_source(s->m), which, locked);
	if (locked > appeared)
		run_all(projection_delete_keys(s->m, false), key_array(s, which + appeared, locked - appeared));
	return appeared;
}

/* Step 4, for entries with a source row. */
static void
settle_present(const Settlement *s, int *which, int n)
{
	int			locked = partition(s, projection_lock_source(s->m), which, n);

	leave(s, which + locked, n - locked);
	if (locked == 0)
		return;
	if (s->way == WAY_PARK)
	{
		if (partition(s, projection_find_target(s->m, TARGET_UNLOCKED), which, locked) > 0)
			leave(s, which, locked);
		run_all(projection_delete_keys(s->m, false), key_array(s, which, locked));
		return;
	}
	run_all(projection_delete_keys(s->m, true), key_array(s, which, locked));
	if (s->way == WAY_REPLACE)
		run_all(projection_replace_keys(s->m), key_array(s, which, locked));
	run_all(projection_upsert_keys(s->m), key_array(s, which, locked));
}

/* All steps, as the mapping's owner. */
static void
settle(const Settlement *s)
{
	int		   *which = palloc(sizeof(int) * s->n);
	int			present;
	int			appeared;

	for (int i = 0; i < s->n; i++)
		which[i] = i;
	present = partition(s, projection_find_source(s->m), which, s->n);
	appeared = settle_absent(s, which + present, s->n - present);
	settle_present(s, which, present + appeared);
}

/*
 * Looks keys up by the index that is known to be there: by what the planner
 * knows, it might rather read the whole source for each batch.
 */
static void
prefer_index(const Mapping *m)
{
	static const char *const joins[] = {"enable_hashjoin", "enable_mergejoin"};

	for (int i = 0; i < lengthof(joins) && projection_source_is_unique(m, true); i++)
		(void) set_config_option(joins[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Work for subxact_try. */
static void
work_settle(void *arg)
{
	const Settlement *s = arg;
	SpiScope	scope;
	ApplyFrame	frame;

	apply_begin(&frame, s->m->migration_id, s->m->reverse);
	PG_TRY();
	{
		spi_open_owner(&scope, s->m->owner, s->m->time_zone);
		prefer_index(s->m);		/* until the scope ends */
		settle(s);
		deferred_check(s->deferred);
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
	Datum	   *keys = palloc(sizeof(Datum) * s->n);
	int			rows = 0;
	int			n = 0;
	int			result_keys = 0;
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
		keys[result_keys++] = s->entries[i].key;
		memcpy(ids + n, s->entries[i].ids, sizeof(int64) * s->entries[i].nids);
		n += s->entries[i].nids;
		result->settled++;
	}
	if (n == 0)
		return;
	dirty_key_settled(s->m->id, ids, n);
	settled = construct_array(keys, result_keys, JSONBOID, -1, false, TYPALIGN_INT);
	if (!s->m->reverse && rejected_row_any(s->m->id))
		rejected_row_forget(s->m->id, settled, NULL);
	if (ref_dedupes(s->m))
		requeue_list_duplicates(s->m, settled);
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
 * nothing: whatever changes them later is captured.
 */
static void
expand_every(const Mapping *m)
{
	ArrayType  *without;

	PushActiveSnapshot(GetLatestSnapshot());
	without = quarantine_standing(m);
	PopActiveSnapshot();
	requeue_found(m, projection_compare(m, false, without != NULL ? KEYS_LEFT_OUT : KEYS_ALL, NULL), without, 2, "reconcile");
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
 * Locks the two tables as the settling will, or says that somebody keeps them.
 * Who changes the direction of the migration locks them, too, and settles what
 * is left: it must not meet keys that we have taken and not settled yet.  A foreign table
 * is read in one snapshot of the other server, from our first look on: what another sync
 * commits there meanwhile would not be seen, so there is one at a time.
 */
static bool
lock_tables(const Mapping *m)
{
	return ConditionalLockRelationOid(m->source, RowShareLock) &&
		ConditionalLockRelationOid(m->target, key_is_foreign(m->target) ? ShareRowExclusiveLock : RowExclusiveLock);
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
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext sync",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DirtyKeyBatch batch = {0};
	int			level = NewGUCNestLevel();
	int			n;

	(void) set_config_option("lock_timeout",
							 setting_text(g->settings, "lock_timeout"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	result->halted = !lock_tables(m);
	if (!result->halted)
		dirty_key_take(m->id, stretch->after, stretch->upto, stretch->limit, stretch->due_only, &batch);
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
