/*
 * transition.c
 *		Keeps rows from being collected that nobody would look at.
 *
 * A trigger with transition tables makes the server copy every old and new
 * row of an UPDATE, before anybody can say what they are for: a fifth of the
 * statement's time.  But which columns an UPDATE sets is known when it starts.
 * Where it sets none that a mapping reads, no row is collected; where it sets
 * none of the key and the filter, the old rows are not.
 *
 * Only for plain tables without a BEFORE ROW trigger, which could change more
 * columns than the UPDATE names, where every trigger that uses the transition
 * tables is ours, and where the session knows the mappings already (from its
 * first statement, or the library is loaded before).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "capture/plan_cache.h"
#include "capture/transition.h"

/* What the mappings of a relation need to see of an UPDATE. */
typedef struct Interest
{
	bool		old_rows;
	bool		new_rows;
} Interest;

static ExecutorStart_hook_type previous_hook = NULL;

/* The trigger function, as this session has met it. */
static Oid	capture_function = InvalidOid;

void
transition_note_function(Oid funcid)
{
	capture_function = funcid;
}

/* Is one of the source columns among those the UPDATE sets? */
static bool
sets_any(const Bitmapset *updated, const Bitmapset *columns)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		if (bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, updated))
			return true;
	}
	return false;
}

/* Adds what one trigger needs; false if that is not known. */
static bool
add_interest(Interest *interest, const Trigger *trigger, Oid relid, const Bitmapset *updated)
{
	CaptureSet *set;
	ListCell   *lc;

	if (trigger->tgfoid != capture_function)
		return false;
	set = plan_cache_peek(strtoll(trigger->tgargs[0], NULL, 10), relid,
						  strcmp(trigger->tgargs[1], "reverse") == 0);
	if (set == NULL)
		return false;
	foreach(lc, set->mappings)
	{
		CaptureMapping *cm = lfirst(lc);
		const DirectPlan *d = cm->direct;

		if (d == NULL || cm->mapping->source != relid || d->reads_generated)
			return false;
		if (sets_any(updated, d->program->reads) || !mapping_is_settled(cm->mapping))
			interest->new_rows = true;
		if (sets_any(updated, d->identifying))
			interest->old_rows = true;
	}
	return true;
}

/* What all triggers of a relation need of an UPDATE; false if that is not known. */
static bool
find_interest(Interest *interest, ResultRelInfo *result, EState *estate)
{
	TriggerDesc *triggers = result->ri_TrigDesc;
	Bitmapset  *updated = ExecGetUpdatedCols(result, estate);

	if (triggers == NULL || triggers->trig_update_before_row)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *t = &triggers->triggers[i];

		if (!TRIGGER_FOR_UPDATE(t->tgtype) || (t->tgoldtable == NULL && t->tgnewtable == NULL))
			continue;
		if (!add_interest(interest, t, RelationGetRelid(result->ri_RelationDesc), updated))
			return false;
	}
	return true;
}

/* Takes back what an UPDATE need not collect. */
static void
trim_collection(ModifyTableState *state)
{
	TransitionCaptureState *capture = state->mt_transition_capture;
	Interest	interest = {false, false};

	if (state->operation != CMD_UPDATE || capture == NULL || state->mt_nrels != 1 ||
		state->rootResultRelInfo != state->resultRelInfo ||
		!find_interest(&interest, state->resultRelInfo, state->ps.state))
		return;
	if (!interest.old_rows)
		capture->tcs_update_old_table = false;
	if (!interest.new_rows)
		capture->tcs_update_new_table = false;
}

static void
start_executor(QueryDesc *query, int flags)
{
	if (previous_hook)
		previous_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if (OidIsValid(capture_function) && query->planstate != NULL &&
		IsA(query->planstate, ModifyTableState))
		trim_collection((ModifyTableState *) query->planstate);
}

void
transition_init(void)
{
	previous_hook = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
}
