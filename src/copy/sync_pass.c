/*
 * sync_pass.c
 *		Passes over the dirty keys of a migration: all that are there when it
 *		begins, and no later ones, so that it ends whatever the application does.
 *
 * A worker settles a batch in a transaction and remembers where it is: began
 * it at the front of the queue each time, it would walk over all the rows
 * that it has deleted before.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/dirty_key.h"
#include "copy/sync_pass.h"
#include "projection/lookup.h"
#include "projection/projection.h"

/* Milliseconds between two passes where keys are queued and nothing is set. */
#define QUEUE_INTERVAL_MS 1000

/* Begins at the front of the queue; due_only leaves keys that wait for their next try. */
void
sync_pass_begin(SyncPass *pass, bool due_only)
{
	memset(pass, 0, sizeof(SyncPass));
	pass->stretch.limit = SYNC_BATCH_KEYS;
	pass->stretch.due_only = due_only;
}

/* Moves the pass on to a mapping's queue. */
static void
enter_queue(SyncPass *pass, const Mapping *m)
{
	pass->mapping_id = m->id;
	pass->stretch.after = 0;
	pass->stretch.upto = dirty_key_last(m->id, pass->stretch.due_only);
}

/* Counts a batch; smaller ones where the application is in the way of whole ones. */
static void
count_batch(SyncPass *pass, const SyncResult *result)
{
	int		   *limit = &pass->stretch.limit;

	if (result->settled > 0)
		*limit = Min(SYNC_BATCH_KEYS, *limit * 2);
	else if (result->busy > 0)
		*limit = Max(1, *limit / 2);
	pass->total.settled += result->settled;
	pass->total.failed += result->failed;
	pass->total.busy += result->busy;
	pass->total.parked += result->parked;
	pass->total.expanded += result->expanded;
	pass->total.halted |= result->halted;
}

/*
 * Settles one batch, of the first mapping that has something left; false if
 * none has, or the pass cannot go on.  One call a transaction, with an empty
 * result.
 */
bool
sync_pass_step(const Migration *g, List *mappings, SyncPass *pass, SyncResult *result)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		bool		more;

		if (m->id < pass->mapping_id)
			continue;
		if (m->id > pass->mapping_id)
			enter_queue(pass, m);
		if (pass->stretch.after >= pass->stretch.upto)
			continue;
		more = sync_batch(g, m, &pass->stretch, result);
		count_batch(pass, result);
		if (more || result->halted)
			return more;
		/* what another sync has taken is skipped, and its outcome not known */
		if (dirty_key_any_untried(m->id, pass->stretch.upto))
			pass->total.busy++;
		pass->stretch.after = pass->stretch.upto;
	}
	return false;
}

/* Settles the keys of a mapping that are dirty now; false if that cannot go on. */
static bool
sync_mapping(const Migration *g, const Mapping *m, SyncResult *result)
{
	SyncStretch stretch = {0, 0, SYNC_BATCH_KEYS, false};
	int64		parked = result->parked;

	/* twice, as "every key" is expanded into keys behind the end */
	for (int i = 0; i < 2; i++)
	{
		stretch.upto = dirty_key_last(m->id, false);
		while (stretch.after < stretch.upto && sync_batch(g, m, &stretch, result))
			CHECK_FOR_INTERRUPTS();
		if (result->halted)
			return false;
		if (result->parked > parked)
			stretch.after = 0;
	}
	return true;
}

/* Settles all keys that are dirty now, in the current transaction. */
void
sync_mappings(const Migration *g, List *mappings, SyncResult *result)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		if (!sync_mapping(g, lfirst(lc), result))
			return;
	}
}

/*
 * Setting sync_interval in force for a direction, in milliseconds; 0: off.
 * Where nothing is set, keys that are only queued are settled by themselves, and so is what
 * changes of tables concern that expressions read.
 */
int
sync_interval(const Migration *g, bool reverse)
{
	ListCell   *lc;

	if (setting_is_set(g->settings, "sync_interval"))
		return setting_int(g->settings, "sync_interval");
	foreach(lc, mapping_list(g->id, reverse))
	{
		Mapping    *m = lfirst(lc);

		if (strcmp(m->capture, "none") != 0 && mapping_relation_exists(m->source) &&
			(projection_is_queued(m) || lookup_any(m)))
			return QUEUE_INTERVAL_MS;
	}
	return 0;
}

MIGRATE_FUNCTION(migrate_sync);

/*
 * migrate_sync(migration text) RETURNS bigint: settles the keys that are dirty
 * now; returns how many.  Keys that cannot be settled stay in the queue with
 * their error, keys that others are writing without one.  Locks the source
 * rows of these keys until the transaction ends.
 */
Datum
migrate_sync(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	SyncResult	result = {0};

	if (sync_must_wait(g))
	{
		ereport(NOTICE,
				(errmsg("the backfill of migration \"%s\" is not complete", g->name),
				 errdetail("Its dirty keys are settled when all batches are committed, by the backfill itself.")));
		PG_RETURN_INT64(0);
	}
	sync_mappings(g, mapping_list(g->id, migration_is_switched(g)), &result);
	if (result.halted)
		ereport(NOTICE,
				(errmsg("dirty keys of migration \"%s\" stay in the queue", g->name),
				 errdetail("A backfill has begun, or somebody keeps a table locked."),
				 errhint("Call it again.")));
	if (result.busy > 0)
		ereport(NOTICE,
				(errmsg("%lld dirty keys of migration \"%s\" are being written by others and stay in the queue",
						(long long) result.busy, g->name),
				 errhint("Call it again.")));
	if (result.failed > 0)
		ereport(WARNING,
				(errmsg("%lld dirty keys of migration \"%s\" could not be settled",
						(long long) result.failed, g->name),
				 errhint("Their errors are in migrate_ext.dirty_key.")));
	PG_RETURN_INT64(result.settled);
}
