/*
 * cutover.c
 *		migrate_cutover: changes which side is authoritative.
 *
 * In one transaction, under a lock on both sides: the last dirty keys are
 * settled, the forward triggers go, the reverse ones come, the old side refuses
 * writes.  Method 'switch': names stay; the application is pointed at the target.
 * Method 'swap': the target takes the source's name and place, too.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/job.h"
#include "catalog/mapping.h"
#include "catalog/old_side.h"
#include "catalog/write_error.h"
#include "copy/sync_pass.h"
#include "lifecycle/contract.h"
#include "lifecycle/cutover.h"
#include "lifecycle/gate.h"
#include "lifecycle/lock.h"
#include "lifecycle/phase.h"
#include "lifecycle/stash.h"
#include "lifecycle/swap.h"
#include "projection/lookup.h"
#include "projection/projection.h"

/* Milliseconds between two looks for old snapshots. */
#define SNAPSHOT_POLL_MS 100

/* When the locks were had. */
static TimestampTz locked_at = 0;

/*
 * Locks the relations that carry triggers of ours in ACCESS EXCLUSIVE mode,
 * which removing a trigger takes anyway, and others that are given; with
 * both_sides all sources and targets: from here until the end of the transaction
 * nobody reads or writes them.  The authoritative side comes first: who writes it
 * goes on to the other one.
 */
void
cutover_lock(const Migration *g, bool both_sides, List *others)
{
	List	   *first = NIL;
	List	   *second = NIL;
	ListCell   *lc;

	foreach(lc, both_sides ? mapping_list(g->id, migration_is_switched(g)) : NIL)
	{
		Mapping    *m = lfirst(lc);

		if (mapping_relation_exists(m->source))
			first = list_append_unique_oid(first, m->source);
		if (mapping_relation_exists(m->target))
			second = list_append_unique_oid(second, m->target);
	}
	list_sort(first, list_oid_cmp);
	list_sort(second, list_oid_cmp);
	first = list_concat_unique_oid(first, second);
	first = list_concat_unique_oid(first, trigger_relations(g->id));
	if (both_sides)
		others = list_concat_unique_oid(list_copy(others), lookup_relations(mapping_list(g->id, !migration_is_switched(g))));
	lock_with_others(g, first, list_difference_oid(others, first));
	locked_at = GetCurrentTimestamp();
}

/* How long the locks have been held. */
double
cutover_elapsed_ms(void)
{
	return (GetCurrentTimestamp() - locked_at) / 1000.0;
}

/* Settles what is dirty under the locks; returns how many keys are left. */
int64
cutover_drain(const Migration *g, bool reverse)
{
	SyncResult	result = {0};

	sync_mappings(g, mapping_list(g->id, reverse), &result);
	return dirty_key_count(g->id);
}

/* The sequence of a column, or NULL. */
static char *
sequence_of(SpiScope *scope, Oid relid, const char *column)
{
	spi_run("SELECT pg_get_serial_sequence($1, $2)",
			SPI_ARGS(spi_text(quote_relation(relid)), spi_text(column)));
	return spi_get_text(scope, 0, 1);
}

/* Moves the sequence of one mapped column past every value in use. */
static void
advance_sequence(const Mapping *m, const char *column)
{
	SpiScope	scope;
	char	   *sequence;
	char	   *copied = projection_copied_column(m, column);
	char	   *other = NULL;
	int64		highest = 0;

	spi_open_owner(&scope, m->owner, m->time_zone);
	sequence = sequence_of(&scope, m->target, column);
	if (sequence != NULL)
	{
		spi_run(projection_column_max(m, column), SPI_NO_ARGS);
		highest = spi_get_int8(0, 1);
		if (copied != NULL)
			other = sequence_of(&scope, m->source, copied);
		if (other != NULL)
		{
			/* also past values that were used and deleted */
			spi_run(psprintf("SELECT last_value FROM %s WHERE is_called", other), SPI_NO_ARGS);
			if (SPI_processed > 0)
				highest = Max(highest, spi_get_int8(0, 1));
		}
		spi_run(psprintf("SELECT setval($1::regclass, $2) FROM %s "
						 "WHERE last_value < $2 OR (last_value = $2 AND NOT is_called)", sequence),
				SPI_ARGS(spi_text(sequence), spi_int8(highest)));
	}
	spi_close(&scope);
}

/* Moves the targets' sequences and identities past every value in use. */
void
cutover_advance_sequences(List *mappings)
{
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		ListCell   *column;

		foreach(column, m->columns)
			advance_sequence(m, ((MappingColumn *) lfirst(column))->target);
	}
}

/* "pid 42 (app), ..." of sessions whose snapshot is older than the last copy. */
static char *
old_snapshots(int64 migration_id)
{
	SpiScope	scope;
	char	   *result;

	spi_open_catalog(&scope);
	spi_run("SELECT string_agg(format('pid %s (%s)', pid, "
			"coalesce(nullif(application_name, ''), usename)), ', ') "
			"FROM pg_stat_activity a, (SELECT max(finished_xid) AS x FROM migrate_ext.job "
			"WHERE migration_id = $1 AND kind = 'backfill' AND status = 'done') j "
			"WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() "
			"AND a.backend_type = 'client backend' AND a.backend_xmin IS NOT NULL "
			"AND age(a.backend_xmin) > age(j.x::xid)",
			SPI_ARGS(spi_int8(migration_id)));
	result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result;
}

/*
 * Waits for snapshots from before the end of the copy: such a transaction
 * would see the target without the rows copied since.
 */
static void
wait_for_old_snapshots(const Migration *g)
{
	int			timeout = setting_int(g->settings, "cutover_lock_timeout") *
		setting_int(g->settings, "cutover_attempts");
	char	   *who;

	for (int waited = 0; (who = old_snapshots(g->id)) != NULL; waited += SNAPSHOT_POLL_MS)
	{
		if (waited >= timeout)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("transactions older than the backfill of migration \"%s\" are still open", g->name),
					 errdetail("They would not see all rows of the target: %s.", who),
					 errhint("Try again when they have ended.")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 SNAPSHOT_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Raises where a write to the old side is to be forwarded, and could only be queued. */
static void
check_can_forward(const Migration *g)
{
	ListCell   *lc;

	if (strcmp(setting_text(g->settings, "stale_writes"), "forward") != 0)
		return;
	foreach(lc, mapping_select(mapping_list(g->id, MAPPING_FORWARD), false))
	{
		Mapping    *m = lfirst(lc);
		Mapping    *back = mapping_find_reverse(m->id);

		/* a row of the new side that waits in the queue would be overwritten by what the old side says */
		if (projection_is_queued(m) || (back != NULL && projection_is_queued(back)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("writes to %s cannot be forwarded: they would only be queued",
							name_relation(m->source)),
					 errhint("Set stale_writes to reject.")));
	}
}

/* Applies a changed stale_writes where the old side is watched already. */
void
cutover_change_stale_writes(const Migration *g)
{
	if (!migration_is_switched(g))
		return;
	cutover_lock(g, true, NIL);
	check_can_forward(g);
	trigger_follow(g);
}

/* Raises for a method that is none, or cannot be used here. */
static void
check_method(const Migration *g, const char *method)
{
	char	   *obstacle;

	if (strcmp(method, "switch") == 0)
		return;
	if (strcmp(method, "swap") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cutover method \"%s\"", method),
				 errhint("It is swap or switch.")));
	obstacle = swap_obstacle(g);
	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("migration \"%s\" cannot be cut over by swap", g->name),
				 errdetail("%s.", obstacle),
				 errhint("Use method => 'switch', and point the application at the new tables.")));
}

/* The planner shall know the new side when all queries come to it at once: analyzes what never was. */
static void
analyze_targets(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_select(mapping_list(g->id, MAPPING_FORWARD), false))
	{
		Mapping    *m = lfirst(lc);
		SpiScope	scope;

		spi_open_catalog(&scope);
		if (spi_run("SELECT FROM pg_statistic WHERE starelid = $1 LIMIT 1", SPI_ARGS(spi_oid(OIDOID, m->target))) == 0)
			spi_run(psprintf("ANALYZE (SKIP_LOCKED) %s", quote_relation(m->target)), SPI_NO_ARGS);
		spi_close(&scope);
	}
}

/* Raises for dirty keys that are left. */
static void
check_drained(const Migration *g, int64 left)
{
	if (left > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%lld dirty keys of migration \"%s\" could not be settled",
						(long long) left, g->name),
				 errhint("Their errors are in migrate_ext.dirty_key.")));
}

MIGRATE_FUNCTION(migrate_cutover);

/*
 * migrate_cutover(migration text, method text, force boolean, reason text)
 * RETURNS text: the phase.
 *
 * Analyzes a target that never was.  Locks both sides in ACCESS EXCLUSIVE mode for the moment of the cutover; a swap
 * also tables with foreign keys to the source, views of it and sequences.
 */
Datum
migrate_cutover(PG_FUNCTION_ARGS)
{
	Migration  *g;
	bool		force = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	char	   *reason = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	char	   *method;
	List	   *steps;
	int			taken;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration and method must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_method(g, method);
	phase_require(g, "migrate_cutover", PHASES("backfill", "shadow"));
	gate_pass(g, "soak", method, force, reason);
	if (job_find_open(g->id, "backfill") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the backfill of migration \"%s\" is not complete", g->name),
				 errhint("Not even force cuts over to a target that has not got all rows.")));
	wait_for_old_snapshots(g);
	sync_wanted_hook(g, MAPPING_REVERSE);	/* before anybody waits for the locks */
	analyze_targets(g);
	steps = list_concat(strcmp(method, "swap") == 0 ? swap_prepare(g) : NIL, contract_steps(g));

	cutover_lock(g, true, swap_locked(steps));
	check_drained(g, cutover_drain(g, MAPPING_FORWARD));
	check_can_forward(g);
	write_error_reset(g->id);
	cutover_advance_sequences(mapping_list(g->id, MAPPING_FORWARD));
	g->cutover_method = method;
	phase_enter(g, "soak");
	taken = swap_do(g, steps);
	old_side_begin(g);
	trigger_follow(g);
	event_record(g, "phase", "soak", psprintf("{\"method\": \"%s\", \"swap_steps\": %d, \"locked_ms\": %.1f}",
											  method, taken, cutover_elapsed_ms()), reason);
	stash_rebuild_hook(g);
	PG_RETURN_TEXT_P(cstring_to_text(g->phase));
}
