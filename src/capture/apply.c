/*
 * apply.c
 *		Applies the rows of one statement to the targets of its mappings.
 *
 * Directly where they are the source rows, by SQL over the transition tables
 * otherwise; as the mapping's owner either way, under the latest snapshot (the
 * transaction's own would miss target rows that the backfill has committed
 * since it began).  Where only a sync can tell, keys become dirty.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/spi.h"
#include "capture/dual_write.h"
#include "projection/projection.h"

/* Above this many rows a plan is made for the statement, and not kept. */
#define CACHED_PLAN_ROWS 1000

/* Dirty keys are written in pieces of this size. */
#define KEY_CHUNK 5000

/* Runs one statement over the transition tables under the latest snapshot. */
static void
run_plan(SPIPlanPtr plan)
{
	int			rc = SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(),
										  InvalidSnapshot, false, true, 0);

	if (rc < 0)
		elog(ERROR, "could not execute dual write: %s", SPI_result_code_string(rc));
}

static SPIPlanPtr
prepare(const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

/* The kept plan of a statement. */
static SPIPlanPtr
kept_plan(CapturePlans *p, int i)
{
	if (p->plans[i] == NULL)
	{
		SPIPlanPtr	plan = prepare(list_nth(p->statements, i));

		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep a plan");
		p->plans[i] = plan;
	}
	return p->plans[i];
}

/*
 * Runs one of a list of statements.  Its plan has no parameters, so a kept plan
 * would be one made for the row counts of its first use: for many rows a
 * fresh one is made.
 */
void
capture_run_statement(CapturePlans *p, int i, int64 rows)
{
	if (rows > CACHED_PLAN_ROWS)
	{
		SPIPlanPtr	plan = prepare(list_nth(p->statements, i));

		run_plan(plan);
		SPI_freeplan(plan);
	}
	else
		run_plan(kept_plan(p, i));
}

/* Keeps a list of statements, in the set's memory. */
void
capture_keep_statements(CaptureSet *set, CapturePlans *p, List *statements)
{
	MemoryContext old = MemoryContextSwitchTo(set->context);

	p->statements = NIL;
	for (int i = 0; i < list_length(statements); i++)
		p->statements = lappend(p->statements, pstrdup(list_nth(statements, i)));
	p->plans = palloc0(sizeof(SPIPlanPtr) * Max(list_length(statements), 1));
	p->built = true;
	MemoryContextSwitchTo(old);
}

/* Builds the statements of a list when they are first needed. */
static void
build(CaptureSet *set, CapturePlans *p, List *(*make) (const Mapping *m), const Mapping *m)
{
	if (!p->built)
		capture_keep_statements(set, p, make(m));
}

/* Adds the keys that SPI has read, as dirty keys. */
static void
add_keys(const Mapping *m, const char *reason, const DirtyKeyError *error)
{
	uint64		n = SPI_processed;
	SPITupleTable *rows = SPI_tuptable;
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
		keys[i] = spi_get_datum(i, 1);
	if (n > 0)
		dirty_key_add(m->id, construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT), reason, error);
	pfree(keys);
	SPI_freetuptable(rows);
}

/* Copies the first key that SPI has read, if it is the first at all. */
static void
note_first(Datum *first)
{
	if (first != NULL && *first == (Datum) 0 && SPI_processed > 0)
		*first = datumCopy(spi_get_datum(0, 1), false, -1);
}

/* Records the keys of many rows, a piece after the other. */
static int64
record_many(const Mapping *m, TransitionKeys which, const char *reason, const DirtyKeyError *error, Datum *first)
{
	SPIPlanPtr	plan = prepare(projection_transition_keys(m, which));
	Portal		portal = NULL;
	int64		total = 0;
	Identity	identity;

	for (;;)
	{
		identity_become_owner(&identity, m->owner, m->time_zone);
		if (portal == NULL)
			portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
		SPI_cursor_fetch(portal, true, KEY_CHUNK);
		identity_restore(&identity);
		if (SPI_processed == 0)
			break;
		note_first(first);
		total += SPI_processed;
		add_keys(m, reason, error);
	}
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
	return total;
}

/*
 * Reads the keys of a statement as the owner, adds them as dirty keys.  Returns
 * how many, and the first of them in *first, or 0, unless first is NULL.
 */
static int64
record_keys(Capture *c, CaptureMapping *cm, TransitionKeys which, const char *reason,
			const DirtyKeyError *error, Datum *first)
{
	const Mapping *m = cm->mapping;
	CapturePlans *p = &cm->keys[which];
	int64		n;
	Identity	identity;

	if (first != NULL)
		*first = (Datum) 0;
	if (c->rows > CACHED_PLAN_ROWS)
		return record_many(m, which, reason, error, first);
	identity_become_owner(&identity, m->owner, m->time_zone);
	if (!p->built)
		capture_keep_statements(c->set, p, list_make1(projection_transition_keys(m, which)));
	run_plan(kept_plan(p, 0));
	identity_restore(&identity);
	note_first(first);
	n = SPI_processed;
	add_keys(m, reason, error);
	return n;
}

/* Which of a statement's rows it touched. */
TransitionKeys
capture_touched(const Capture *c)
{
	return c->event == 'i' ? KEYS_NEW : c->event == 'd' ? KEYS_OLD : KEYS_BOTH;
}

/*
 * Adds all keys that the statement touched, with the error that is the reason.
 * Returns how many, and one of them, or 0.
 */
int64
capture_record_keys(Capture *c, CaptureMapping *cm, const DirtyKeyError *error, Datum *first)
{
	return record_keys(c, cm, capture_touched(c), "error", error, first);
}

/* The same for the keys that an update has taken from all of its rows. */
int64
capture_record_gone(Capture *c, CaptureMapping *cm, const DirtyKeyError *error, Datum *first)
{
	return record_keys(c, cm, KEYS_GONE, "error", error, first);
}

/*
 * While the copy is under way, keys whose row is removed also become dirty: a
 * batch that is not committed yet may bring the row back, and only a look
 * after the barrier can tell.
 */
static void
record_removals(Capture *c, CaptureMapping *cm)
{
	if (!cm->mapping->complete && !cm->mapping->reverse)
		record_keys(c, cm, c->event == 'd' ? KEYS_OLD : KEYS_GONE, "delete", NULL, NULL);
}

/*
 * Are the new rows of an insert or update the source rows, one a row?  To look
 * at the source again would be slower, and a SERIALIZABLE transaction would
 * conflict with those who write rows beside.
 */
static bool
rows_at_hand(const Capture *c)
{
	return c->current && (c->event == 'i' || (c->event == 'u' && c->paired));
}

/* Limits waits for locks until the current nest level of settings ends. */
void
capture_limit_locks(const Capture *c)
{
	if (c->lock_limit > 0)
		(void) set_config_option("lock_timeout", psprintf("%d", c->lock_limit), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Runs the statements of one kind as the mapping's owner. */
static void
run_as_owner(Capture *c, CaptureMapping *cm, CapturePlans *p, List *(*make) (const Mapping *m))
{
	Identity	identity;

	identity_become_owner(&identity, cm->mapping->owner, cm->mapping->time_zone);
	capture_limit_locks(c);
	build(c->set, p, make, cm->mapping);
	for (int i = 0; i < list_length(p->statements); i++)
		capture_run_statement(p, i, c->rows);
	identity_restore(&identity);
}

/* First half of a mapping's work: what is no longer there. */
static void
remove_by_sql(Capture *c, CaptureMapping *cm)
{
	if (rows_at_hand(c))
		run_as_owner(c, cm, &cm->removal_at_hand, projection_delete_gone);
	else
		run_as_owner(c, cm, &cm->removal, projection_delete_old);
}

/* Takes target rows away that are to be made right, and puts them back so. */
static void
replace_by_sql(Capture *c, CaptureMapping *cm)
{
	Mapping    *m = cm->mapping;
	Identity	identity;
	ListCell   *lc;

	identity_become_owner(&identity, m->owner, m->time_zone);
	capture_limit_locks(c);
	foreach(lc, projection_replace_new(m))
	{
		SPIPlanPtr	plan = prepare(lfirst(lc));

		run_plan(plan);
		SPI_freeplan(plan);
	}
	identity_restore(&identity);
}

/* Second half: what is there now. */
static void
upsert_by_sql(Capture *c, CaptureMapping *cm)
{
	if (rows_at_hand(c))
		run_as_owner(c, cm, &cm->upsert_at_hand, projection_upsert_images);
	else
		run_as_owner(c, cm, &cm->upsert, projection_upsert_new);
}

/* What another source row has, whose key one has had that is gone. */
static void
rederive_by_sql(Capture *c, CaptureMapping *cm)
{
	if (cm->rederives)
		run_as_owner(c, cm, &cm->rederive, projection_upsert_old);
}

/* Finds out whether a mapping's target can be written directly. */
static DirectPlan *
plan_directly(Capture *c, CaptureMapping *cm)
{
	if (!cm->planned)
	{
		Identity	identity;

		identity_become_owner(&identity, cm->mapping->owner, cm->mapping->time_zone);
		capture_limit_locks(c);
		cm->direct = !projection_source_is_unique(cm->mapping, true) ? NULL : direct_plan(cm->mapping, c->set->relid, c->set->context);
		cm->planned = true;
		cm->calls_user_code = cm->direct != NULL && cm->direct->program->calls_user_code;
		identity_restore(&identity);
	}
	return cm->direct;
}

/* May the statement be applied to the mapping's target directly? */
static bool
is_direct(Capture *c, CaptureMapping *cm)
{
	DirectPlan *d;

	if (!c->current || cm->queue)
		return false;
	d = plan_directly(c, cm);
	if (d == NULL)
		return false;
	return rows_at_hand(c) || (c->event == 'd' && d->removes);
}

/*
 * Applies the statement directly, under the caller's settings but for the limit
 * of waits.  That is set past the machinery of settings, which costs as much as
 * a row: nobody else's code runs meanwhile that could see it, or set it.
 */
static bool
apply_plainly(Capture *c, CaptureMapping *cm)
{
	int			save = LockTimeout;
	bool		applied = false;
	Identity	identity;

	identity_become_role(&identity, cm->mapping->owner);
	PG_TRY();
	{
		if (c->lock_limit > 0)
			LockTimeout = c->lock_limit;
		applied = direct_apply(cm->direct, cm->mapping, &c->images, &c->set->stale);
	}
	PG_FINALLY();
	{
		LockTimeout = save;
	}
	PG_END_TRY();
	identity_restore(&identity);
	return applied;
}

/* Applies the statement to the mapping's target directly; false: not all of it. */
static bool
apply_directly(Capture *c, CaptureMapping *cm)
{
	const Mapping *m = cm->mapping;
	Identity	identity;
	bool		applied;

	if (!cm->direct->needs_settings)
		return apply_plainly(c, cm);
	identity_become_owner(&identity, m->owner, m->time_zone);
	capture_limit_locks(c);
	PushActiveSnapshot(GetLatestSnapshot());
	applied = direct_apply(cm->direct, m, &c->images, &c->set->stale);
	PopActiveSnapshot();
	identity_restore(&identity);
	return applied;
}

/* Removals of one mapping. */
static void
apply_removals(Capture *c, CaptureMapping *cm)
{
	bool		direct = is_direct(c, cm);

	if (c->event == 'i' || (direct && c->event == 'u') || c->leaves != NULL)
		return;
	record_removals(c, cm);
	if (!direct || !apply_directly(c, cm))
		remove_by_sql(c, cm);
}

/* Upserts of one mapping; of an update that is applied directly, everything. */
static void
apply_upserts(Capture *c, CaptureMapping *cm)
{
	if (c->event == 'd')
	{
		rederive_by_sql(c, cm);
		return;
	}
	if (is_direct(c, cm))
	{
		if (apply_directly(c, cm))
			return;
		if (c->event == 'u')
		{
			record_removals(c, cm);
			remove_by_sql(c, cm);
		}
	}
	if (c->replaces && projection_may_replace(cm->mapping))
		replace_by_sql(c, cm);
	upsert_by_sql(c, cm);
	if (c->event == 'u')
		rederive_by_sql(c, cm);
}

/*
 * Applies the statement to the targets of some mappings: removals in reverse
 * order and then upserts in order, so that a child goes before its parent and
 * comes after it.  Where only a sync can tell, keys become dirty.
 */
void
capture_apply(Capture *c, List *mappings)
{
	for (int i = list_length(mappings) - 1; i >= 0; i--)
	{
		CaptureMapping *cm = list_nth(mappings, i);

		if (cm->queue)
			record_keys(c, cm, capture_touched(c), "queue", NULL, NULL);
		else
			apply_removals(c, cm);
	}
	for (int i = 0; i < list_length(mappings); i++)
	{
		CaptureMapping *cm = list_nth(mappings, i);

		if (!cm->queue)
			apply_upserts(c, cm);
	}
}

