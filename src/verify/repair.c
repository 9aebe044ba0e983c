/*
 * repair.c
 *		migrate_repair: mends divergences through dirty keys.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/divergence.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/old_side.h"
#include "catalog/migration.h"
#include "copy/sync_pass.h"
#include "verify/verify.h"

/*
 * Compares the keys that were repaired, which a verification had found.  It does
 * not open a gate: a repaired key is not a verified key.
 */
static void
verify_repaired(const Migration *g, List *mappings, List *keys)
{
	CompareOptions options;
	int64		differing = 0;
	ListCell   *lc;
	ListCell   *lk;

	verify_options(g, &options);
	PushActiveSnapshot(GetLatestSnapshot());
	forboth(lc, mappings, lk, keys)
	{
		Comparison	c;

		if (lfirst(lk) == NULL)
			continue;
		compare_keys(lfirst(lc), &options, lfirst(lk), "keys", &c);
		verify_store(&c);
		differing += c.totals.missing + c.totals.extra + c.totals.different;
	}
	PopActiveSnapshot();
	if (differing > 0)
		ereport(WARNING,
				(errmsg("%lld of the repaired keys of migration \"%s\" differ still", (long long) differing, g->name),
				 errhint("migrate_divergence lists them.")));
}

MIGRATE_FUNCTION(migrate_repair);

/*
 * migrate_repair(migration text) RETURNS bigint: how many keys were settled.
 *
 * The keys that the newest verification found different become dirty keys and
 * are derived again from the authoritative side, and compared once more.  A
 * repaired key is not a verified key: a gate asks for a verification after this.
 */
Datum
migrate_repair(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	List	   *mappings = mapping_list(g->id, migration_is_switched(g));
	SyncResult	result = {0};
	int64		marked = 0;
	List	   *keys = NIL;
	ListCell   *lc;

	if (strcmp(g->phase, "planned") == 0 || strcmp(g->phase, "rolled_back") == 0 ||
		strcmp(g->phase, "done") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot call migrate_repair for migration \"%s\" in phase \"%s\"",
						g->name, g->phase),
				 errhint("Without dual writes a repaired row would not stay right.")));
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		keys = lappend(keys, divergence_read_keys(m->id));
		marked += divergence_mark_dirty(m->id);
	}
	migration_mark_changed(g->id);
	if (sync_must_wait(g))
		ereport(NOTICE,
				(errmsg("%lld keys are settled when the backfill of migration \"%s\" ends",
						(long long) marked, g->name)));
	else
	{
		old_side_look(g);
		sync_mappings(g, mappings, &result);
		verify_repaired(g, mappings, keys);
		old_side_skip(g);
	}
	event_record(g, "repaired", NULL,
				 psprintf("{\"marked\": %lld, \"settled\": %lld, \"failed\": %lld}",
						  (long long) marked, (long long) result.settled, (long long) result.failed), NULL);
	if (result.failed > 0)
		ereport(WARNING,
				(errmsg("%lld dirty keys of migration \"%s\" could not be settled",
						(long long) result.failed, g->name),
				 errhint("Their errors are in migrate_ext.dirty_key.")));
	PG_RETURN_INT64(result.settled);
}
