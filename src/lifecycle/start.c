/*
 * start.c
 *		migrate_start: turns the dual writes on.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/mapping.h"
#include "catalog/rejected_row.h"
#include "catalog/write_error.h"
#include "lifecycle/assess.h"
#include "lifecycle/gate.h"
#include "lifecycle/lock.h"
#include "lifecycle/phase.h"
#include "lifecycle/stash.h"
#include "projection/lookup.h"

MIGRATE_FUNCTION(migrate_start);

/*
 * migrate_start(migration text) RETURNS text: the phase.
 *
 * Locks the sources, and tables that expressions read, in SHARE ROW EXCLUSIVE mode until the transaction ends, so
 * that every transaction that writes them afterwards finds the triggers, and
 * every one before is committed when the backfill reads.  Where indexes or foreign
 * keys of empty targets are put off, those are locked in ACCESS EXCLUSIVE mode.
 */
Datum
migrate_start(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	List	   *mappings;
	List	   *sources = NIL;
	List	   *exclusive = NIL;
	ListCell   *lc;
	Oid			target;
	bool		has_rows;

	phase_require(g, "migrate_start", PHASES("planned", "rolled_back"));
	gate_pass(g, "dual_write", NULL, false, NULL);
	mappings = mapping_list(g->id, MAPPING_FORWARD);
	foreach(lc, mappings)
		sources = list_append_unique_oid(sources, ((Mapping *) lfirst(lc))->source);
	sources = list_concat_unique_oid(sources, lookup_relations(mappings));
	if (!assess_target_has_rows(g, &target))
		exclusive = stash_list_relations(g);
	lock_relations(g, sources, ShareRowExclusiveLock, exclusive);

	mapping_set_complete(g->id, MAPPING_FORWARD, false);
	dirty_key_delete_all(g->id, MAPPING_FORWARD);
	dirty_key_delete_all(g->id, MAPPING_REVERSE);
	has_rows = assess_target_has_rows(g, &target);
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		/* what is there may be old: the copy never overwrites, the sync does */
		if (has_rows && !mapping_is_in_place(m))
			dirty_key_add_every(m->id, "reconcile", NULL);
	}
	if (!has_rows && exclusive != NIL)
		stash_targets(g);
	rejected_row_delete_all(g->id);
	write_error_reset(g->id);
	migration_mark_changed(g->id);
	phase_move(g, "dual_write", NULL, NULL);
	trigger_follow(g);
	sync_wanted_hook(g, MAPPING_FORWARD);
	PG_RETURN_TEXT_P(cstring_to_text(g->phase));
}
