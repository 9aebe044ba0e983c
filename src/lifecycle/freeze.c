/*
 * freeze.c
 *		migrate_freeze: nobody writes the authoritative side, for a while.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "capture/trigger.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "lifecycle/cutover.h"
#include "lifecycle/lock.h"
#include "lifecycle/phase.h"

MIGRATE_FUNCTION(migrate_freeze);
MIGRATE_FUNCTION(migrate_unfreeze);

/*
 * migrate_freeze(migration text): writes to the authoritative side are errors
 * from now on; what is dirty is settled.
 *
 * Locks that side in SHARE ROW EXCLUSIVE mode until the transaction ends: it waits
 * for those who write now, under cutover_lock_timeout.
 */
Datum
migrate_freeze(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	bool		reverse;
	List	   *relids = NIL;
	int64		left;
	ListCell   *lc;

	phase_require(g, "migrate_freeze", PHASES("dual_write", "backfill", "shadow", "soak"));
	if (g->frozen)
		PG_RETURN_VOID();
	reverse = migration_is_switched(g);
	foreach(lc, mapping_list(g->id, reverse))
	{
		relids = list_append_unique_oid(relids, ((Mapping *) lfirst(lc))->source);
		if (reverse)			/* the old side may forward writes */
			relids = list_append_unique_oid(relids, ((Mapping *) lfirst(lc))->target);
	}
	lock_relations(g, relids, ShareRowExclusiveLock, NIL);
	g->frozen = true;
	migration_set_frozen(g->id, true);
	trigger_follow(g);
	left = cutover_drain(g, reverse);
	event_record(g, "frozen", NULL, psprintf("{\"pending_keys\": %lld}", (long long) left), NULL);
	PG_RETURN_VOID();
}

/*
 * migrate_unfreeze(migration text): writes are let in again.  Locks that side in
 * ACCESS EXCLUSIVE mode for a moment.
 */
Datum
migrate_unfreeze(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (!g->frozen)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("migration \"%s\" is not frozen", g->name),
				 errhint("A cutover and a rollback end a freeze, too.")));
	cutover_lock(g, false, NIL);
	g->frozen = false;
	migration_set_frozen(g->id, false);
	trigger_follow(g);
	event_record(g, "unfrozen", NULL, NULL, NULL);
	PG_RETURN_VOID();
}
