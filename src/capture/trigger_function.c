/*
 * trigger_function.c
 *		The trigger functions: what was written, and is it for us?
 *
 * One call per statement, whatever its size.
 */
#include "postgres.h"

#include "access/relation.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "capture/apply_frame.h"
#include "capture/dual_write.h"
#include "capture/in_place.h"
#include "capture/lookup_change.h"
#include "capture/transition.h"
#include "capture/trigger.h"
#include "catalog/old_side.h"
#include "projection/projection.h"

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
check_called_as_trigger(FunctionCallInfo fcinfo, const char *name, int arguments)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		((TriggerData *) fcinfo->context)->tg_trigger->tgnargs != arguments)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is called only by the triggers that migrate_start installs", name)));
}

/*
 * Fills in what an AFTER trigger was called for, as a statement trigger or for the
 * apply of logical replication; NULL if there is nothing to do.
 */
static TriggerData *
read_call(FunctionCallInfo fcinfo, const char *name, Capture *c)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	check_called_as_trigger(fcinfo, name, CAPTURE_ARGUMENTS);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		if (!IsLogicalWorker())
			return NULL;
		trigger = as_statement(trigger);
	}
	describe_call(c, trigger);
	return c->event != 't' && c->rows == 0 ? NULL : trigger;
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
	Capture		c;
	TriggerData *trigger = read_call(fcinfo, "migrate_ext.capture", &c);
	ApplyFrame	frame;
	int64		migration_id;
	bool		reverse;

	if (trigger == NULL)
		return PointerGetDatum(NULL);

	transition_note_function(fcinfo->flinfo->fn_oid);
	migration_id = strtoll(trigger->tg_trigger->tgargs[0], NULL, 10);
	reverse = strcmp(trigger->tg_trigger->tgargs[1], "reverse") == 0;
	c.stale = strcmp(trigger->tg_trigger->tgargs[1], "stale") == 0;
	if (apply_is_under_way(migration_id, !reverse))
		return PointerGetDatum(NULL);
	c.set = plan_cache_get(migration_id, RelationGetRelid(trigger->tg_relation), reverse, CAPTURE_SOURCE);
	if (c.set->mappings == NIL)
	{
		plan_cache_release(c.set);
		return PointerGetDatum(NULL);
	}

	source_write_look(&c);
	if (c.stale)
		old_side_note_write(migration_id, RelationGetRelid(trigger->tg_relation));
	apply_begin(&frame, migration_id, reverse);
	PG_TRY();
	{
		if (c.event == 't' && c.stale)
			reject_stale(trigger->tg_relation, "TRUNCATE is not forwarded; truncate the new tables.");
		else if (c.event == 't')
			dual_write_truncate(&c);
		else
			dual_write_rows(&c);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
		plan_cache_release(c.set);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

MIGRATE_FUNCTION(migrate_reject_write);

/*
 * migrate_ext.reject_write(): the BEFORE trigger on the side that is no longer
 * authoritative, and on one that is frozen.  Lets only the extension's own writes
 * pass.  As a row trigger it is there for the apply of logical replication, which
 * then stops with the error: what it would have written is not lost.
 */
Datum
migrate_reject_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	int64		migration_id;
	bool		is_frozen;
	bool		row;

	check_called_as_trigger(fcinfo, "migrate_ext.reject_write", CAPTURE_ARGUMENTS);
	migration_id = strtoll(trigger->tg_trigger->tgargs[0], NULL, 10);
	is_frozen = strcmp(trigger->tg_trigger->tgargs[1], CAPTURE_FROZEN) == 0;
	row = TRIGGER_FIRED_FOR_ROW(trigger->tg_event);
	if (apply_is_under_way(migration_id, MAPPING_REVERSE) ||
		(is_frozen && apply_is_under_way(migration_id, MAPPING_FORWARD)) ||
		(row && !IsLogicalWorker()))
		return PointerGetDatum(!row ? NULL : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
							   trigger->tg_newtuple : trigger->tg_trigtuple);
	if (is_frozen)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot write to \"%s\": it is frozen for a migration", RelationGetRelationName(trigger->tg_relation)),
				 errhint("Try again later: migrate_unfreeze or the cutover ends it.")));
	reject_stale(trigger->tg_relation, "Point this application at the new tables, or call migrate_rollback.");
}

MIGRATE_FUNCTION(migrate_capture_lookup);

/*
 * migrate_ext.capture_lookup(): the AFTER statement trigger on a table that
 * expressions read in subqueries.  Arguments of the trigger: migration id, and
 * lookup or, of the mappings back, lookup_reverse.
 *
 * As an AFTER row trigger it works for logical replication only.
 */
Datum
migrate_capture_lookup(PG_FUNCTION_ARGS)
{
	Capture		c;
	TriggerData *trigger = read_call(fcinfo, "migrate_ext.capture_lookup", &c);

	if (trigger == NULL)
		return PointerGetDatum(NULL);
	c.set = plan_cache_get(strtoll(trigger->tg_trigger->tgargs[0], NULL, 10), RelationGetRelid(trigger->tg_relation),
						   strcmp(trigger->tg_trigger->tgargs[1], CAPTURE_LOOKUP_REVERSE) == 0, CAPTURE_LOOKUP);
	PG_TRY();
	{
		lookup_change_record(&c);
	}
	PG_FINALLY();
	{
		plan_cache_release(c.set);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}

MIGRATE_FUNCTION(migrate_set_columns);

/*
 * migrate_ext.set_columns(): the BEFORE row trigger of mappings in place.
 * Arguments of the trigger: migration id, forward or reverse, and what becomes
 * of writes to the columns that follow after a cutover (reject or forward).
 */
Datum
migrate_set_columns(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CaptureSet *set;
	HeapTuple	volatile result = NULL;

	check_called_as_trigger(fcinfo, "migrate_ext.set_columns", CAPTURE_ARGUMENTS + 1);
	set = plan_cache_get(strtoll(trigger->tg_trigger->tgargs[0], NULL, 10),
						 RelationGetRelid(trigger->tg_relation),
						 strcmp(trigger->tg_trigger->tgargs[1], CAPTURE_REVERSE) == 0, CAPTURE_IN_PLACE);
	PG_TRY();
	{
		result = in_place_apply(set, trigger);
	}
	PG_FINALLY();
	{
		plan_cache_release(set);
	}
	PG_END_TRY();
	return PointerGetDatum(result);
}
