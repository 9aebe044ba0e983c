/*
 * retry.c
 *		migrate_retry_rejected: tries again to store what was rejected.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/rejected_row.h"
#include "copy/quarantine.h"
#include "copy/sync.h"
#include "copy/sync_pass.h"
#include "lifecycle/phase.h"

MIGRATE_FUNCTION(migrate_retry_rejected);

/* Asks for all rejected rows of a mapping to be settled again. */
static void
mark_dirty(const Mapping *m)
{
	ArrayType  *keys;

	PushActiveSnapshot(GetLatestSnapshot());
	keys = rejected_row_read_keys(m->id, NULL);
	PopActiveSnapshot();
	if (keys != NULL)
		(void) dirty_key_add(m->id, keys, "repair", NULL);
}

/*
 * migrate_retry_rejected(migration text) RETURNS bigint: how many rows are not
 * on the lists any more.
 *
 * What could not be stored is derived again from the source, with its rows
 * locked until the transaction ends; rows that do not meet a rule any more are
 * taken off its list.
 */
Datum
migrate_retry_rejected(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	List	   *mappings = mapping_list(g->id, MAPPING_FORWARD);
	SyncResult	result = {0};
	int64		gone = 0;
	ListCell   *lc;

	phase_require(g, "migrate_retry_rejected", PHASES("dual_write", "backfill", "shadow"));
	if (sync_must_wait(g))
	{
		ereport(NOTICE,
				(errmsg("the backfill of migration \"%s\" is not complete", g->name),
				 errdetail("Rejected rows are tried again when it has ended, or where it failed, when migrate_backfill is called again.")));
		PG_RETURN_INT64(0);
	}
	foreach(lc, mappings)
	{
		gone += rejected_row_count(((Mapping *) lfirst(lc))->id);
		mark_dirty(lfirst(lc));
	}
	sync_mappings(g, mappings, &result);
	foreach(lc, mappings)
	{
		quarantine_review(lfirst(lc));
		gone -= rejected_row_count(((Mapping *) lfirst(lc))->id);
	}
	if (gone > 0)
		migration_mark_changed(g->id);
	event_record(g, "retried", NULL, psprintf("{\"gone\": %lld}", (long long) gone), NULL);
	if (result.busy > 0)
		ereport(NOTICE,
				(errmsg("%lld keys of migration \"%s\" are being written by others and stay in the queue",
						(long long) result.busy, g->name),
				 errhint("Call migrate_sync.")));
	PG_RETURN_INT64(gone);
}
