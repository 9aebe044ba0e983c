/*
 * dual_write.c
 *		Applies the writes of one side to the other: the capturing trigger.
 *
 * One call per statement, whatever its size.  The target statements run as the
 * mapping's owner, under the latest snapshot (the transaction's own would miss
 * target rows that the backfill has committed since it began), in the
 * application's transaction.
 *
 * With on_error => 'defer' they run in one subtransaction: when they fail it
 * is rolled back, and the statement's keys become dirty keys with the error.
 * With 'abort' the error reaches the application.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/dual_write.h"
#include "capture/plan_cache.h"
#include "capture/transition.h"
#include "catalog/dirty_key.h"
#include "projection/projection.h"

/* Above this many rows a plan is made for the statement, and not kept. */
#define CACHED_PLAN_ROWS 1000

/* Dirty keys are written in pieces of this size. */
#define KEY_CHUNK 5000

/* Fresh snapshots tried when a concurrent batch or sync got in between. */
#define SNAPSHOT_RETRIES 3

/* One call of the trigger. */
typedef struct Capture
{
	TriggerData *trigger;
	CaptureSet *set;
	char		event;			/* i, u, d, t */
	int64		rows;			/* in the larger transition table */
	bool		paired;			/* an update's tables have old and new rows in step */
	bool		alone;			/* no other part of the command wrote the source before */
	bool		current;		/* the rows in the tables are the source rows */
	bool		stale;			/* written to the side that was replaced */
	DirectRows	images;
} Capture;

/* The last command of this session's transaction that wrote a source. */
typedef struct SourceWrite
{
	Oid			source;
	LocalTransactionId lxid;
	CommandId	cid;
} SourceWrite;

static List *source_writes = NIL;

static ApplyFrame *apply_stack = NULL;

/* Marks writes of ours as such; undone by apply_end, also after an error. */
void
apply_begin(ApplyFrame *frame, int64 migration_id, bool reverse)
{
	frame->migration_id = migration_id;
	frame->reverse = reverse;
	frame->previous = apply_stack;
	apply_stack = frame;
}

void
apply_end(ApplyFrame *frame)
{
	apply_stack = frame->previous;
}

/*
 * Is a write of a migration under way in this direction?  Whatever happens in
 * the course of it (triggers of the application, cascades) belongs to it.
 */
static bool
is_applying(int64 migration_id, bool reverse)
{
	for (ApplyFrame *f = apply_stack; f != NULL; f = f->previous)
	{
		if (f->migration_id == migration_id && f->reverse == reverse)
			return true;
	}
	return false;
}

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

/*
 * Runs a list of statements.  Their plans have no parameters, so a kept plan
 * would be one made for the row counts of its first use: for many rows a
 * fresh one is made.
 */
static void
run_statements(CaptureSet *set, CapturePlans *p, int64 rows)
{
	for (int i = 0; i < list_length(p->statements); i++)
	{
		if (rows > CACHED_PLAN_ROWS)
		{
			SPIPlanPtr	plan = prepare(list_nth(p->statements, i));

			run_plan(plan);
			SPI_freeplan(plan);
			continue;
		}
		if (p->plans[i] == NULL)
		{
			SPIPlanPtr	plan = prepare(list_nth(p->statements, i));

			if (SPI_keepplan(plan) != 0)
				elog(ERROR, "could not keep a plan");
			p->plans[i] = plan;
		}
		run_plan(p->plans[i]);
	}
}

/* Builds the statements of a list when they are first needed. */
static void
build(CaptureSet *set, CapturePlans *p, List *(*make) (const Mapping *m), const Mapping *m)
{
	MemoryContext old;

	if (p->built)
		return;
	old = MemoryContextSwitchTo(set->context);
	p->statements = make(m);
	p->plans = palloc0(sizeof(SPIPlanPtr) * Max(list_length(p->statements), 1));
	p->built = true;
	MemoryContextSwitchTo(old);
}

/* Reads the keys of a statement as the owner, adds them as dirty keys. */
static void
record_keys(Capture *c, const Mapping *m, TransitionKeys which, const char *reason,
			const DirtyKeyError *error)
{
	SPIPlanPtr	plan = prepare(projection_transition_keys(m, which));
	Portal		portal = NULL;
	Identity	identity;

	for (;;)
	{
		Datum	   *keys;
		uint64		n;

		identity_become_owner(&identity, m->owner, m->time_zone);
		if (portal == NULL)
			portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
		SPI_cursor_fetch(portal, true, KEY_CHUNK);
		identity_restore(&identity);

		n = SPI_processed;
		if (n == 0)
			break;
		keys = palloc(sizeof(Datum) * n);
		for (uint64 i = 0; i < n; i++)
			keys[i] = spi_get_datum(i, 1);
		dirty_key_add(m->id, construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT),
					  reason, error);
		pfree(keys);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_freeplan(plan);
}

/* All keys that the statement touched. */
static TransitionKeys
touched_keys(const Capture *c)
{
	return c->event == 'i' ? KEYS_NEW : c->event == 'd' ? KEYS_OLD : KEYS_BOTH;
}

/*
 * While the copy is under way, keys whose row is removed also become dirty: a
 * batch that is not committed yet may bring the row back, and only a look
 * after the barrier can tell.
 */
static void
record_removals(Capture *c, const Mapping *m)
{
	if (!m->complete && !m->reverse)
		record_keys(c, m, c->event == 'd' ? KEYS_OLD : KEYS_GONE, "delete", NULL);
}

/* First half of a mapping's work: what is no longer there. */
static void
remove_by_sql(Capture *c, CaptureMapping *cm)
{
	Mapping    *m = cm->mapping;
	Identity	identity;

	identity_become_owner(&identity, m->owner, m->time_zone);
	build(c->set, &cm->removal, projection_delete_old, m);
	run_statements(c->set, &cm->removal, c->rows);
	identity_restore(&identity);
}

/* Second half: what is there now. */
static void
upsert_by_sql(Capture *c, CaptureMapping *cm)
{
	Mapping    *m = cm->mapping;
	Identity	identity;

	identity_become_owner(&identity, m->owner, m->time_zone);
	build(c->set, &cm->upsert, projection_upsert_new, m);
	run_statements(c->set, &cm->upsert, c->rows);
	identity_restore(&identity);
}

/* Finds out whether a mapping's target can be written directly. */
static DirectPlan *
plan_directly(Capture *c, CaptureMapping *cm)
{
	if (!cm->planned)
	{
		Identity	identity;

		identity_become_owner(&identity, cm->mapping->owner, cm->mapping->time_zone);
		cm->direct = direct_plan(cm->mapping, c->set->relid, c->set->context);
		cm->planned = true;
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
	switch (c->event)
	{
		case 'i':
			return true;
		case 'u':
			return c->paired;
		default:
			return c->alone && d->removes;
	}
}

/* Applies the statement to the mapping's target directly; false: not all of it. */
static bool
apply_directly(Capture *c, CaptureMapping *cm)
{
	const Mapping *m = cm->mapping;
	Identity	identity;
	bool		applied;

	if (cm->direct->needs_settings)
	{
		identity_become_owner(&identity, m->owner, m->time_zone);
		PushActiveSnapshot(GetLatestSnapshot());
	}
	else
		identity_become_role(&identity, m->owner);
	applied = direct_apply(cm->direct, m, &c->images, &c->set->stale);
	if (cm->direct->needs_settings)
		PopActiveSnapshot();
	identity_restore(&identity);
	return applied;
}

/* Removals of one mapping. */
static void
apply_removals(Capture *c, CaptureMapping *cm)
{
	bool		direct = is_direct(c, cm);

	if (c->event == 'i' || (direct && c->event == 'u'))
		return;
	record_removals(c, cm->mapping);
	if (!direct || !apply_directly(c, cm))
		remove_by_sql(c, cm);
}

/* Upserts of one mapping; of an update that is applied directly, everything. */
static void
apply_upserts(Capture *c, CaptureMapping *cm)
{
	if (c->event == 'd')
		return;
	if (is_direct(c, cm))
	{
		if (apply_directly(c, cm))
			return;
		if (c->event == 'u')
		{
			record_removals(c, cm->mapping);
			remove_by_sql(c, cm);
		}
	}
	upsert_by_sql(c, cm);
}

/*
 * Applies the statement to the targets of some mappings: removals in reverse
 * order and then upserts in order, so that a child goes before its parent and
 * comes after it.  Where only a sync can tell, keys become dirty.
 */
static void
apply(Capture *c, List *mappings)
{
	for (int i = list_length(mappings) - 1; i >= 0; i--)
	{
		CaptureMapping *cm = list_nth(mappings, i);

		if (cm->queue)
			record_keys(c, cm->mapping, touched_keys(c), "queue", NULL);
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

/* The last write to a mapping's source in this transaction; NULL if none. */
static SourceWrite *
find_source_write(Oid source)
{
	ListCell   *lc;

	foreach(lc, source_writes)
	{
		SourceWrite *w = lfirst(lc);

		if (w->source == source)
			return w->lxid == MY_LXID ? w : NULL;
	}
	return NULL;
}

/* Notes that a command has written the source. */
static void
note_source_write(Oid source, CommandId cid)
{
	SourceWrite *found = NULL;
	ListCell   *lc;

	foreach(lc, source_writes)
	{
		if (((SourceWrite *) lfirst(lc))->source == source)
			found = lfirst(lc);
	}
	if (found == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		found = palloc0(sizeof(SourceWrite));
		found->source = source;
		source_writes = lappend(source_writes, found);
		MemoryContextSwitchTo(old);
	}
	found->cid = found->lxid == MY_LXID ? Max(found->cid, cid) : cid;
	found->lxid = MY_LXID;
}

/*
 * Tells whether the rows in the transition tables are the source rows as they
 * are now, and notes the statement.
 *
 * A nested statement (in a trigger of the application, in a function that the
 * statement calls) may have changed them again.  It ran under a later command
 * number than this one, and its own capture was before this one.  Parts of one
 * command have the same number: they touch no row twice, but one may take a key
 * that another has given up.  What a foreign key cascades runs under a number
 * of its own and is captured under this one's: then nothing at all may have
 * run in between.
 */
static void
look_at_command(Capture *c)
{
	CommandId	cid = GetActiveSnapshot()->curcid;
	ListCell   *lc;

	c->alone = true;
	c->current = c->set->users == 1 &&
		(!c->set->cascades || GetCurrentCommandId(false) == cid);
	foreach(lc, c->set->mappings)
	{
		Oid			source = ((CaptureMapping *) lfirst(lc))->mapping->source;
		SourceWrite *last = find_source_write(source);

		if (last != NULL && last->cid > cid)
			c->current = false;
		if (last != NULL && last->cid == cid)
			c->alone = false;
	}
	foreach(lc, c->set->mappings)
		note_source_write(((CaptureMapping *) lfirst(lc))->mapping->source, cid);
}

/* Has something written the source while its rows were applied? */
static bool
was_interfered_with(const Capture *c)
{
	CommandId	cid = GetActiveSnapshot()->curcid;
	ListCell   *lc;

	foreach(lc, c->set->mappings)
	{
		SourceWrite *last = find_source_write(((CaptureMapping *) lfirst(lc))->mapping->source);

		if (last != NULL && last->cid > cid)
			return true;
	}
	return false;
}

/* Runs work with SPI and the transition tables at hand. */
static void
open_spi(Capture *c)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_register_trigger_data(c->trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register transition tables");
}

/* Work for subxact_try: apply the statement to some mappings. */
typedef struct ApplyWork
{
	Capture    *capture;
	List	   *mappings;
} ApplyWork;

static void
work_apply(void *arg)
{
	ApplyWork  *w = arg;
	Capture    *c = w->capture;

	open_spi(c);
	apply(c, w->mappings);
	if (c->current && was_interfered_with(c))
	{
		c->current = false;
		apply(c, w->mappings);
	}
	SPI_finish();
}

/* Work for subxact_try: record the statement's keys with an error. */
typedef struct RecordWork
{
	Capture    *capture;
	Mapping    *mapping;
	DirtyKeyError why;
} RecordWork;

static void
work_record(void *arg)
{
	RecordWork *w = arg;

	open_spi(w->capture);
	record_keys(w->capture, w->mapping, touched_keys(w->capture), "error", &w->why);
	SPI_finish();
}

/* Did a concurrent batch or sync commit between our snapshot and our write? */
static bool
is_snapshot_race(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE && IsolationUsesXactSnapshot();
}

/*
 * Limits how long the application waits for a lock on the target.  It may wait
 * for another session that waits for a row of its own: the dual write leaves
 * that circle, for the dirty queue, before anybody's deadlock_timeout ends.
 */
static void
limit_lock_wait(const Capture *c, List *mappings)
{
	int			limit = Max(1, DeadlockTimeout / 2);
	ListCell   *lc;

	foreach(lc, mappings)
	{
		const Mapping *m = ((CaptureMapping *) lfirst(lc))->mapping;

		if (c->stale || strcmp(m->on_error, "abort") == 0)
			return;				/* the application asked to wait */
		limit = Min(limit, m->lock_timeout);
	}
	if (LockTimeout > 0 && LockTimeout <= limit)
		return;
	(void) set_config_option("lock_timeout", psprintf("%d", limit), PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Applies a statement in a subtransaction; NULL or the error.  Where a fresh
 * snapshot or another way is all it needs, it is tried again.
 */
static ErrorData *
try_apply(Capture *c, List *mappings)
{
	ApplyWork	work = {c, mappings};
	ApplyFrame *frames = apply_stack;
	ErrorData  *error = NULL;
	int			level = NewGUCNestLevel();

	limit_lock_wait(c, mappings);
	for (int i = 0; i < SNAPSHOT_RETRIES; i++)
	{
		bool		again = c->current;

		error = subxact_try(work_apply, &work);
		apply_stack = frames;
		if (error == NULL || !(again || is_snapshot_race(error)))
			break;

		/* what failed directly is given to SQL, which knows more ways */
		c->current = false;
	}
	AtEOXact_GUC(true, level);
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
	RecordWork	work = {c, cm->mapping, {error_sqlstate(cause), cause->message}};

	/* the side that was replaced is no truth to derive anything from later */
	if (c->stale || strcmp(cm->mapping->on_error, "abort") == 0)
		ReThrowError(cause);
	if (subxact_try(work_record, &work) != NULL)
		dirty_key_add_every(cm->mapping->id, "error", &work.why);
}

/* Applies a statement, all mappings at once and, if that fails, one by one. */
static void
capture_rows(Capture *c)
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

static MIGRATE_NORETURN void
reject_stale(Relation relation, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot write to \"%s\": it was replaced by a migration",
					RelationGetRelationName(relation)),
			 errdetail("After the cutover the new side takes the writes, and is copied back here."),
			 errhint("%s", hint)));
}

/* TRUNCATE names no rows: any key may be wrong now. */
static void
capture_truncate(const Capture *c)
{
	ListCell   *lc;

	if (c->stale)
		reject_stale(c->trigger->tg_relation, "TRUNCATE is not forwarded; truncate the new tables.");
	foreach(lc, c->set->mappings)
		dirty_key_add_every(((CaptureMapping *) lfirst(lc))->mapping->id, "truncate", NULL);
}

/* Fills in what the trigger was called for. */
static void
describe_call(Capture *c, TriggerData *trigger)
{
	int64		old_rows = 0;
	int64		new_rows = 0;

	memset(c, 0, sizeof(Capture));
	c->trigger = trigger;
	c->event = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? 'i' :
		TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? 'u' :
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? 'd' : 't';
	if (trigger->tg_oldtable != NULL)
		old_rows = tuplestore_tuple_count(trigger->tg_oldtable);
	if (trigger->tg_newtable != NULL)
		new_rows = tuplestore_tuple_count(trigger->tg_newtable);
	c->rows = Max(old_rows, new_rows);
	c->images = (DirectRows) {trigger->tg_relation, trigger->tg_oldtable, trigger->tg_newtable};

	/* no old rows were collected: the update leaves key and filter alone */
	if (c->event == 'u' && old_rows == 0)
		c->images.old_rows = NULL;
	c->paired = old_rows == new_rows || c->images.old_rows == NULL;
}

/*
 * A row trigger's call as that of a statement that touched this row.  Such a
 * trigger is there for the apply of logical replication, which fires no
 * statement triggers.
 */
static TriggerData *
as_statement(const TriggerData *row)
{
	TriggerData *statement = palloc(sizeof(TriggerData));
	Trigger    *trigger = palloc(sizeof(Trigger));
	TupleTableSlot *old_row = TRIGGER_FIRED_BY_INSERT(row->tg_event) ? NULL : row->tg_trigslot;
	TupleTableSlot *new_row = TRIGGER_FIRED_BY_INSERT(row->tg_event) ? row->tg_trigslot :
		TRIGGER_FIRED_BY_UPDATE(row->tg_event) ? row->tg_newslot : NULL;

	*statement = *row;
	*trigger = *row->tg_trigger;
	statement->tg_event &= ~TRIGGER_EVENT_ROW;
	statement->tg_trigger = trigger;
	if (old_row != NULL)
	{
		statement->tg_oldtable = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_puttupleslot(statement->tg_oldtable, old_row);
		trigger->tgoldtable = OLD_TABLE;
	}
	if (new_row != NULL)
	{
		statement->tg_newtable = tuplestore_begin_heap(true, false, work_mem);
		tuplestore_puttupleslot(statement->tg_newtable, new_row);
		trigger->tgnewtable = NEW_TABLE;
	}
	return statement;
}

static void
check_called_as_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		((TriggerData *) fcinfo->context)->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is called only by the triggers that migrate_start installs", name)));
}

MIGRATE_FUNCTION(migrate_capture);

/*
 * migrate_ext.capture(): the AFTER statement trigger on the authoritative
 * side.  Arguments of the trigger: migration id, and forward, reverse or stale
 * (forward, but from the side that was replaced).
 *
 * What the other direction's write does to this side is not captured: it came
 * from there.
 *
 * As an AFTER row trigger it works for logical replication only.
 */
Datum
migrate_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Capture		c;
	ApplyFrame	frame;
	int64		migration_id;
	bool		reverse;

	check_called_as_trigger(fcinfo, "migrate_ext.capture");
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		if (!IsLogicalWorker())
			return PointerGetDatum(NULL);
		trigger = as_statement(trigger);
	}
	describe_call(&c, trigger);
	if (c.event != 't' && c.rows == 0)
		return PointerGetDatum(NULL);

	transition_note_function(fcinfo->flinfo->fn_oid);
	migration_id = strtoll(trigger->tg_trigger->tgargs[0], NULL, 10);
	reverse = strcmp(trigger->tg_trigger->tgargs[1], "reverse") == 0;
	c.stale = strcmp(trigger->tg_trigger->tgargs[1], "stale") == 0;
	if (is_applying(migration_id, !reverse))
		return PointerGetDatum(NULL);
	c.set = plan_cache_get(migration_id, RelationGetRelid(trigger->tg_relation), reverse);
	if (c.set->mappings == NIL)
	{
		plan_cache_release(c.set);
		return PointerGetDatum(NULL);
	}

	look_at_command(&c);
	apply_begin(&frame, migration_id, reverse);
	PG_TRY();
	{
		if (c.event == 't')
			capture_truncate(&c);
		else
			capture_rows(&c);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
		plan_cache_release(c.set);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

MIGRATE_FUNCTION(migrate_reject_stale_write);

/*
 * migrate_ext.reject_stale_write(): the BEFORE trigger on the side that is no
 * longer authoritative.  Lets only the extension's own writes pass.  As a row
 * trigger it is there for the apply of logical replication, which then stops
 * with the error: what it would have written is not lost.
 */
Datum
migrate_reject_stale_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		row;

	check_called_as_trigger(fcinfo, "migrate_ext.reject_stale_write");
	row = TRIGGER_FIRED_FOR_ROW(trigger->tg_event);
	if (is_applying(strtoll(trigger->tg_trigger->tgargs[0], NULL, 10), MAPPING_REVERSE) ||
		(row && !IsLogicalWorker()))
		return PointerGetDatum(!row ? NULL : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
							   trigger->tg_newtuple : trigger->tg_trigtuple);
	reject_stale(trigger->tg_relation, "Point this application at the new tables, or call migrate_rollback.");
}

void
dual_write_init(void)
{
	plan_cache_init();
	transition_init();
}
