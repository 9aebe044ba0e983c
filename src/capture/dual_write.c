/*
 * dual_write.c
 *		Applies a statement, and says what becomes of it when that fails.
 *
 * It happens in the application's transaction.  With on_error => 'defer' it
 * runs in one subtransaction: when it fails it is rolled back, and the
 * statement's keys become dirty keys with the error.  With 'abort' the error
 * reaches the application.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "base/subxact.h"
#include "capture/account.h"
#include "capture/apply_frame.h"
#include "capture/dual_write.h"
#include "projection/foreign_key.h"
#include "projection/projection.h"

/* Rows that are taken away and put back at once, at most: they are held in memory. */
#define MAX_EXCHANGED_ROWS 10000

/* Fresh snapshots tried when a concurrent batch or sync got in between. */
#define SNAPSHOT_RETRIES 3

/* Runs work with SPI and the transition tables at hand. */
static void
open_spi(Capture *c)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_register_trigger_data(c->trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register transition tables");
}

/*
 * Finds out now what would fail the application at its commit.  A constraint may have come
 * while the target's lock was waited for; as that is held now, none can come any more.
 */
static void
check_deferred(const Capture *c, List *mappings)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		const CaptureMapping *cm = lfirst(lc);
		DeferredConstraints deferred = cm->deferred;
		int			level;

		if (c->stale || cm->queue || strcmp(cm->mapping->on_error, "abort") == 0)
			continue;
		if (c->set->stale)
			deferred_find(cm->mapping->target, &deferred);
		if (!deferred_any(&deferred))
			continue;
		level = NewGUCNestLevel();
		capture_limit_locks(c);
		deferred_check(&deferred);
		AtEOXact_GUC(true, level);
	}
}

/* Work for subxact_try: apply the statement to some mappings. */
typedef struct ApplyWork
{
	Capture    *capture;
	List	   *mappings;
} ApplyWork;

/* The rows of keys that have gone are left to the queue, all others are stored. */
static void
leave_gone(Capture *c, CaptureMapping *cm)
{
	Datum		key;
	int64		n = capture_record_gone(c, cm, c->leaves, &key);

	account_note(cm->mapping, n, key, c->leaves);
}

static void
work_apply(void *arg)
{
	ApplyWork  *w = arg;
	Capture    *c = w->capture;

	open_spi(c);
	capture_apply(c, w->mappings);
	if (c->current && source_write_came_between(c))
	{
		c->current = false;
		capture_apply(c, w->mappings);
	}
	if (c->leaves != NULL)
		leave_gone(c, linitial(w->mappings));
	check_deferred(c, w->mappings);
	SPI_finish();
}

/* Work for subxact_try: record the statement's keys with an error. */
typedef struct RecordWork
{
	Capture    *capture;
	CaptureMapping *mapping;
	DirtyKeyError why;
} RecordWork;

static void
work_record(void *arg)
{
	RecordWork *w = arg;
	Datum		key;
	int64		n;

	open_spi(w->capture);
	n = capture_record_keys(w->capture, w->mapping, &w->why, &key);
	account_note(w->mapping->mapping, n, key, &w->why);
	SPI_finish();
}

/* Did a concurrent batch or sync commit between our snapshot and our write? */
static bool
is_snapshot_race(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE && IsolationUsesXactSnapshot();
}

/*
 * How long the application may wait for a lock on the target, in milliseconds;
 * 0: as long as its settings say.  It may wait for another session that waits
 * for a row of its own: the dual write leaves that circle, for the dirty queue,
 * before anybody's deadlock_timeout ends.
 */
static int
lock_limit(const Capture *c, List *mappings)
{
	int			limit = Max(1, DeadlockTimeout / 2);
	ListCell   *lc;

	foreach(lc, mappings)
	{
		const Mapping *m = ((CaptureMapping *) lfirst(lc))->mapping;

		if (c->stale || strcmp(m->on_error, "abort") == 0)
			return 0;			/* the application asked to wait */
		limit = Min(limit, m->lock_timeout);
	}
	return LockTimeout > 0 && LockTimeout <= limit ? 0 : limit;
}

/*
 * Did rows of one mapping clash that one after the other cannot be made right,
 * but all at once perhaps can?
 */
static bool
is_exchange(const Capture *c, List *mappings, const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && list_length(mappings) == 1 &&
		c->event == 'u' && c->rows > 1 && c->rows <= MAX_EXCHANGED_ROWS;
}

/*
 * Could a row not be removed whose key has changed, as others name it?  What is cascaded to
 * those is captured after this: they find the row with the new key if that is stored now.
 */
static bool
is_named_still(const Capture *c, List *mappings, const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION && list_length(mappings) == 1 && c->event == 'u' && !c->stale &&
		strcmp(((CaptureMapping *) linitial(mappings))->mapping->on_error, "abort") != 0;
}

/*
 * May the row be given its new key instead, so that what names it in the target follows as it
 * does in the source?  Not where an INSERT would give other columns than it has.
 */
static bool
may_rename(const Capture *c, List *mappings)
{
	const Mapping *m = ((CaptureMapping *) linitial(mappings))->mapping;

	return c->paired && !m->clears && projection_covers_all(m) &&
		foreign_key_follows_alike(m, mapping_list(m->migration_id, m->reverse));
}

/*
 * A row whose key has changed could not be removed: it is given the new key, if that does
 * the same, or left to the queue.  False if that was tried already.
 */
static bool
try_otherwise(Capture *c, List *mappings, const DirtyKeyError *why)
{
	if (c->leaves != NULL)
		return false;
	if (c->current && !c->images.renames && may_rename(c, mappings))
	{
		c->images.renames = true;
		return true;
	}
	c->leaves = why;
	c->current = false;
	return true;
}

/*
 * Applies a statement in a subtransaction; NULL or the error.  Where a fresh
 * snapshot or another way is all it needs, it is tried again.
 */
static ErrorData *
try_apply(Capture *c, List *mappings)
{
	ApplyWork	work = {c, mappings};
	ApplyFrame *innermost = apply_innermost();
	ErrorData  *error = NULL;
	DirtyKeyError why;

	c->lock_limit = lock_limit(c, mappings);
	c->replaces = false;
	c->images.renames = false;
	c->leaves = NULL;
	for (int i = 0; i < SNAPSHOT_RETRIES; i++)
	{
		bool		again = c->current;

		error = subxact_try(work_apply, &work);
		apply_reset(innermost);
		if (error == NULL)
			break;

		if (is_named_still(c, mappings, error))
		{
			why = (DirtyKeyError) {error_sqlstate(error), error->message};
			if (try_otherwise(c, mappings, &why))
			{
				i--;			/* it ends: there are two other ways */
				continue;
			}
		}
		/* what failed directly is given to SQL, which knows more ways */
		c->current = false;
		if (!c->replaces && is_exchange(c, mappings, error))
			c->replaces = again = true;
		if (!again && !is_snapshot_race(error))
			break;
	}
	c->leaves = NULL;
	return error;
}

/*
 * The target write of a mapping failed: the source is the truth, so the
 * application's write stands and its keys are dirty.  Where even the keys
 * cannot be computed, every key is.
 */
static void
defer(Capture *c, CaptureMapping *cm, ErrorData *cause)
{
	RecordWork	work = {c, cm, {error_sqlstate(cause), cause->message}};

	/* the side that was replaced is no truth to derive anything from later */
	if (c->stale || strcmp(cm->mapping->on_error, "abort") == 0)
		ReThrowError(cause);
	if (subxact_try(work_record, &work) != NULL)
	{
		dirty_key_add_every(cm->mapping->id, "error", &work.why);
		account_note(cm->mapping, c->rows, (Datum) 0, &work.why);
	}
}

/* Applies a statement, all mappings at once and, if that fails, one by one. */
void
dual_write_rows(Capture *c)
{
	ErrorData  *error = try_apply(c, c->set->mappings);
	ListCell   *lc;

	if (error == NULL)
		return;
	if (list_length(c->set->mappings) == 1)
	{
		defer(c, linitial(c->set->mappings), error);
		return;
	}
	foreach(lc, c->set->mappings)
	{
		error = try_apply(c, list_make1(lfirst(lc)));
		if (error != NULL)
			defer(c, lfirst(lc), error);
	}
}

/* TRUNCATE names no rows: any key may be wrong now. */
void
dual_write_truncate(const Capture *c)
{
	ListCell   *lc;

	foreach(lc, c->set->mappings)
		dirty_key_add_every(((CaptureMapping *) lfirst(lc))->mapping->id, "truncate", NULL);
}
