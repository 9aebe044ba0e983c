/*
 * see.c
 *		Functions that show the extension's state to the owners of migrations.
 *
 * They read views of schema migrate_ext, which has all the arithmetic, with the
 * rights of the extension's owner, and return only what belongs to migrations
 * of the caller.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/migration.h"

/* Returns the rows of "<sql>", which has parameters name and role. */
static Datum
show(FunctionCallInfo fcinfo, const char *sql)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			caller = GetUserId();
	SpiScope	scope;
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	if (name != NULL)
		(void) migration_get(name); /* raises for one that is unknown or not the caller's */
	spi_open_catalog(&scope);
	n = spi_run(sql, SPI_ARGS(spi_text(name), spi_oid(OIDOID, caller)));
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
	spi_close(&scope);
	return (Datum) 0;
}

#define OF_CALLER "WHERE (migration = $1 OR $1 IS NULL) AND pg_has_role($2, owner, 'USAGE') "

MIGRATE_FUNCTION(migrate_status);
MIGRATE_FUNCTION(migrate_progress);
MIGRATE_FUNCTION(migrate_divergence);
MIGRATE_FUNCTION(migrate_ledger);
MIGRATE_FUNCTION(migrate_rejected);

/* migrate_status(migration text): one line per migration, and what to do next. */
Datum
migrate_status(PG_FUNCTION_ARGS)
{
	return show(fcinfo, "SELECT migration, phase, state, mappings, pending_keys, last_verification, "
				"next_step, phase_since FROM migrate_ext.status " OF_CALLER "ORDER BY migration");
}

/* migrate_progress(migration text): how far the backfill is. */
Datum
migrate_progress(PG_FUNCTION_ARGS)
{
	return show(fcinfo, "SELECT migration, phase, state, step, blocks_done, blocks_total, percent, "
				"rows_written, rows_per_second, eta, workers, batches, retries, pending_keys, "
				"oldest_pending, throttle_reason, error, sync_state, sync_rate, write_errors, write_error_rate, "
				"recent_rows_per_second, mb_per_second, eta_basis, ranges_done, ranges_total, batch_rows, replica_lag, "
				"rejected_rows, flagged_rows, per_worker, duplicate_rows FROM migrate_ext.progress " OF_CALLER
				"ORDER BY migration");
}

/* migrate_divergence(migration text): what the newest verification found. */
Datum
migrate_divergence(PG_FUNCTION_ARGS)
{
	return show(fcinfo, "SELECT mapping, kind, key, columns, source_row, target_row, found_at "
				"FROM migrate_ext.divergences " OF_CALLER "ORDER BY mapping, divergence_id");
}

/* migrate_rejected(migration text): rows that could not be stored, or met a rule. */
Datum
migrate_rejected(PG_FUNCTION_ARGS)
{
	return show(fcinfo, "SELECT mapping, key, action, rule, sqlstate, message, constraint_name, row_image, rejected_at "
				"FROM migrate_ext.rejected_rows " OF_CALLER "ORDER BY mapping, rejected_row_id");
}

/* migrate_ledger(migration text): every source row accounted for. */
Datum
migrate_ledger(PG_FUNCTION_ARGS)
{
	return show(fcinfo, "SELECT mapping, line, rows, explained, checksum FROM migrate_ext.ledger " OF_CALLER
				"ORDER BY mapping, ordinal");
}
