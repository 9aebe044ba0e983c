/*
 * rollback.c
 *		migrate_rollback: back to the old shape, from every phase.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/cutover.h"
#include "lifecycle/phase.h"
#include "lifecycle/stash.h"
#include "lifecycle/swap.h"

/*
 * After a cutover: everything written to the new side must have arrived on the
 * old one.  A reason lets go of what cannot be written back.
 */
static int64
settle_writes_back(const Migration *g, const char *reason)
{
	int64		left = cutover_drain(g, MAPPING_REVERSE);
	char	   *key = "";
	char	   *message = "";

	if (left == 0)
		return 0;
	(void) dirty_key_first_error(g->id, &key, &message);
	if (reason == NULL || reason[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%lld keys written since the cutover cannot be written back",
						(long long) left),
				 errdetail("For example %s: %s", key, message),
				 errhint("Mend them (migrate_ext.dirty_key lists all), or give a reason to roll back without them.")));
	return left;
}

MIGRATE_FUNCTION(migrate_rollback);

/*
 * migrate_rollback(migration text, reason text) RETURNS text: the phase.
 *
 * Before a cutover the source was never touched: the triggers go, the target
 * keeps its rows.  After it, all writes made since are on the old side, too.
 * Locks the tables with triggers, and after a cutover both sides, in ACCESS
 * EXCLUSIVE mode for that moment.
 */
Datum
migrate_rollback(PG_FUNCTION_ARGS)
{
	Migration  *g;
	char	   *reason = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	List	   *steps;
	char	   *lost = NULL;
	int64		left = 0;
	int			failed;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	phase_require(g, "migrate_rollback",
				  PHASES("planned", "dual_write", "backfill", "shadow", "soak"));
	job_cancel_all(g->id);
	steps = swap_step_list(g->id);
	cutover_lock(g, migration_is_switched(g), swap_locked(steps));
	if (migration_is_switched(g))
	{
		left = settle_writes_back(g, reason);
		lost = assess_not_written_back(g);
		cutover_advance_sequences(mapping_list(g->id, MAPPING_REVERSE));
	}
	trigger_remove_all(g);
	failed = swap_undo(g, steps);
	dirty_key_delete_all(g->id, MAPPING_FORWARD);
	dirty_key_delete_all(g->id, MAPPING_REVERSE);
	migration_set_paused(g->id, false);
	stash_rebuild_hook(g);
	migration_mark_changed(g->id);
	phase_move(g, "rolled_back",
			   psprintf("{\"from\": \"%s\", \"keys_not_written_back\": %lld, \"columns_not_written_back\": %s, \"steps_not_taken_back\": %d, \"locked_ms\": %.1f}",
						g->phase, (long long) left, lost ? event_json_string(lost) : "null", failed, cutover_elapsed_ms()), reason);
	if (steps != NIL)
		swap_warn_about_dependents(g);
	PG_RETURN_TEXT_P(cstring_to_text(g->phase));
}
