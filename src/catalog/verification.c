/*
 * verification.c
 *		Rows of migrate_ext.verification.
 */
#include "postgres.h"

#include "utils/pg_lsn.h"

#include "base/spi.h"
#include "catalog/verification.h"

/* Stores a verification and sets its id. */
void
verification_insert(Verification *v)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.verification (mapping_id, method, source_rows, target_rows, "
			"filtered, rejected, deduplicated, pending, missing, extra, different, source_checksum, "
			"target_checksum, pending_checksum, checksum_match, clean, snapshot, snapshot_lsn, started_at, elapsed) "
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
			"$16, $17::pg_snapshot, $18, $19, $20) RETURNING verification_id",
			SPI_ARGS(spi_int8(v->mapping_id), spi_text(v->method), spi_int8(v->source_rows),
					 spi_int8(v->target_rows), spi_int8(v->filtered), spi_int8(v->rejected),
					 spi_int8(v->deduplicated), spi_int8(v->pending), spi_int8(v->missing),
					 spi_int8(v->extra), spi_int8(v->different), spi_text(checksum_to_string(v->source_checksum)),
					 spi_text(checksum_to_string(v->target_checksum)),
					 spi_text(checksum_to_string(v->pending_checksum)), spi_bool(v->checksum_match),
					 spi_bool(v->clean), spi_text(v->snapshot),
					 spi_datum(PG_LSNOID, LSNGetDatum(v->lsn), !v->has_lsn),
					 spi_datum(TIMESTAMPTZOID, TimestampTzGetDatum(v->started_at), false),
					 spi_datum(INTERVALOID, IntervalPGetDatum(&v->elapsed), false)));
	v->id = spi_get_int8(0, 1);
	spi_close(&scope);
}

/*
 * Is the newest whole-table verification of a mapping clean, and newer than
 * the last change of a mapping or repair?  A repaired key is not a verified
 * key.  measured says what was found.
 */
bool
verification_last_is_clean(int64 mapping_id, char **measured)
{
	SpiScope	scope;
	bool		clean = false;

	spi_open_catalog(&scope);
	if (spi_run("SELECT v.clean AND v.started_at > g.changed_at, "
				"CASE WHEN v.started_at <= g.changed_at THEN 'older than the last change or repair' "
				"WHEN v.clean THEN 'clean' ELSE format("
				"'%s missing, %s extra, %s different, %s pending', missing, extra, different, pending) END "
				"FROM migrate_ext.verification v JOIN migrate_ext.mapping m USING (mapping_id) "
				"JOIN migrate_ext.migration g USING (migration_id) "
				"WHERE v.mapping_id = $1 AND v.method <> 'sample' "
				"ORDER BY v.verification_id DESC LIMIT 1",
				SPI_ARGS(spi_int8(mapping_id))) > 0)
	{
		clean = spi_get_bool(0, 1);
		*measured = spi_get_text(&scope, 0, 2);
	}
	else
		*measured = MemoryContextStrdup(scope.caller, "never verified");
	spi_close(&scope);
	return clean;
}

/* Is the share of rejected rows that a mapping's newest verification counted at most this?  None counted: yes. */
bool
verification_last_rejected(int64 mapping_id, double most, char **measured)
{
	SpiScope	scope;
	bool		passed = true;

	spi_open_catalog(&scope);
	if (spi_run("SELECT rejected <= $2 * (source_rows - filtered), format('%s of %s rows', rejected, source_rows - filtered) "
				"FROM migrate_ext.verification WHERE mapping_id = $1 AND method <> 'sample' "
				"ORDER BY verification_id DESC LIMIT 1",
				SPI_ARGS(spi_int8(mapping_id), spi_datum(FLOAT8OID, Float8GetDatum(most), false))) > 0)
	{
		passed = spi_get_bool(0, 1);
		*measured = spi_get_text(&scope, 0, 2);
	}
	else
		*measured = MemoryContextStrdup(scope.caller, "never verified");
	spi_close(&scope);
	return passed;
}
