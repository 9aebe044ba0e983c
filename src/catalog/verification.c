/*
 * verification.c
 *		Rows of migrate_ext.verification.
 */
#include "postgres.h"

#include "utils/pg_lsn.h"

#include "base/spi.h"
#include "catalog/verification.h"

/* The columns that a verification which goes on changes, and their values from $1 on. */
#define RESULT_COLUMNS \
	"source_rows, target_rows, filtered, rejected, deduplicated, pending, missing, extra, different, source_checksum, " \
	"target_checksum, pending_checksum, checksum_match, clean, snapshot, snapshot_lsn, elapsed, finished, position, ranges, range_rows, expanded"
#define RESULT_VALUES \
	"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::pg_snapshot, $16, $17, $18, $19, $20, $21, $22"
#define RESULT_ARGS(v) \
	spi_int8((v)->source_rows), spi_int8((v)->target_rows), spi_int8((v)->filtered), spi_int8((v)->rejected), \
	spi_int8((v)->deduplicated), spi_int8((v)->pending), spi_int8((v)->missing), spi_int8((v)->extra), spi_int8((v)->different), \
	spi_text(checksum_to_string((v)->source_checksum)), spi_text(checksum_to_string((v)->target_checksum)), \
	spi_text(checksum_to_string((v)->pending_checksum)), spi_bool((v)->checksum_match), spi_bool((v)->clean), \
	spi_text((v)->snapshot), spi_datum(PG_LSNOID, LSNGetDatum((v)->lsn), !(v)->has_lsn), \
	spi_datum(INTERVALOID, IntervalPGetDatum(&(v)->elapsed), false), spi_bool((v)->finished), \
	spi_datum(JSONBOID, (v)->position, (v)->position == (Datum) 0), spi_int8((v)->ranges), spi_int8((v)->range_rows), \
	spi_int8((v)->expanded)

/* Stores a verification and sets its id. */
void
verification_insert(Verification *v)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.verification (" RESULT_COLUMNS ", mapping_id, method, started_at, job_id) "
			"VALUES (" RESULT_VALUES ", $23, $24, $25, nullif($26, 0)) RETURNING verification_id",
			SPI_ARGS(RESULT_ARGS(v), spi_int8(v->mapping_id), spi_text(v->method),
					 spi_datum(TIMESTAMPTZOID, TimestampTzGetDatum(v->started_at), false), spi_int8(v->job_id)));
	v->id = spi_get_int8(0, 1);
	spi_close(&scope);
}

/* Stores how far a verification has come. */
void
verification_update(Verification *v)
{
	spi_change("UPDATE migrate_ext.verification SET (" RESULT_COLUMNS ") = (" RESULT_VALUES ") WHERE verification_id = $23",
			   SPI_ARGS(RESULT_ARGS(v), spi_int8(v->id)));
}

#define VERIFICATION_SELECT \
	"SELECT verification_id, mapping_id, " RESULT_COLUMNS ", started_at, method FROM "

/* The last one of a job for each mapping. */
#define LAST_PASS "(SELECT DISTINCT ON (mapping_id) * FROM migrate_ext.verification WHERE job_id = $1 ORDER BY mapping_id, verification_id DESC) AS p "

/* Builds a Verification from row i of the result of a VERIFICATION_SELECT. */
static Verification *
read_row(const SpiScope *scope, uint64 i, int64 job_id)
{
	Verification *v = MemoryContextAllocZero(scope->caller, sizeof(Verification));

	v->job_id = job_id;
	v->id = spi_get_int8(i, 1);
	v->mapping_id = spi_get_int8(i, 2);
	v->source_rows = spi_get_int8(i, 3);
	v->target_rows = spi_get_int8(i, 4);
	v->filtered = spi_get_int8(i, 5);
	v->rejected = spi_get_int8(i, 6);
	v->deduplicated = spi_get_int8(i, 7);
	v->pending = spi_get_int8(i, 8);
	v->missing = spi_get_int8(i, 9);
	v->extra = spi_get_int8(i, 10);
	v->different = spi_get_int8(i, 11);
	v->source_checksum = checksum_from_string(spi_get_text(scope, i, 12));
	v->target_checksum = checksum_from_string(spi_get_text(scope, i, 13));
	v->pending_checksum = checksum_from_string(spi_get_text(scope, i, 14));
	v->checksum_match = spi_get_bool(i, 15);
	v->clean = spi_get_bool(i, 16);
	v->has_lsn = !spi_is_null(i, 18);
	v->lsn = v->has_lsn ? DatumGetLSN(spi_get_datum(i, 18)) : 0;
	v->elapsed = *DatumGetIntervalP(spi_get_datum(i, 19));
	v->finished = spi_get_bool(i, 20);
	v->position = spi_get_copy(scope, i, 21);
	v->ranges = spi_get_int8(i, 22);
	v->range_rows = spi_get_int8(i, 23);
	v->expanded = spi_get_int8(i, 24);
	v->started_at = DatumGetTimestampTz(spi_get_datum(i, 25));
	v->method = spi_get_text(scope, i, 26);
	return v;
}

/* The first verification of a job that has not finished, as far as it has come; NULL if there is none. */
Verification *
verification_find_open(int64 job_id)
{
	SpiScope	scope;
	Verification *v = NULL;

	spi_open_catalog(&scope);
	if (spi_run(VERIFICATION_SELECT "migrate_ext.verification WHERE job_id = $1 AND NOT finished ORDER BY verification_id LIMIT 1", SPI_ARGS(spi_int8(job_id))) > 0)
		v = read_row(&scope, 0, job_id);
	spi_close(&scope);
	return v;
}

/* The verifications of a job's last pass. */
List *
verification_list(int64 job_id)
{
	SpiScope	scope;
	List	   *list = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run(VERIFICATION_SELECT LAST_PASS "ORDER BY verification_id", SPI_ARGS(spi_int8(job_id)));
	for (uint64 i = 0; i < n; i++)
	{
		Verification *v = read_row(&scope, i, job_id);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		list = lappend(list, v);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return list;
}

/* How far a job's last pass has come. */
void
verification_sum(int64 job_id, int64 *ranges, int64 *rows, int64 *differing)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("SELECT coalesce(sum(ranges), 0)::bigint, coalesce(sum(source_rows), 0)::bigint, "
			"coalesce(sum(missing + extra + different), 0)::bigint FROM " LAST_PASS,
			SPI_ARGS(spi_int8(job_id)));
	*ranges = spi_get_int8(0, 1);
	*rows = spi_get_int8(0, 2);
	*differing = spi_get_int8(0, 3);
	spi_close(&scope);
}

/* Did a job's last pass end clean?  If not, how many keys differ? */
bool
verification_pass_is_clean(int64 job_id, int64 *differing)
{
	SpiScope	scope;
	bool		clean;

	spi_open_catalog(&scope);
	spi_run("SELECT coalesce(bool_and(finished AND clean), false), coalesce(sum(missing + extra + different), 0)::bigint FROM " LAST_PASS,
			SPI_ARGS(spi_int8(job_id)));
	clean = spi_get_bool(0, 1);
	*differing = spi_get_int8(0, 2);
	spi_close(&scope);
	return clean;
}

/* When a job's last pass began; long ago if there was none. */
TimestampTz
verification_last_start(int64 job_id)
{
	SpiScope	scope;
	TimestampTz start = 0;

	spi_open_catalog(&scope);
	if (spi_run("SELECT started_at FROM migrate_ext.verification WHERE job_id = $1 ORDER BY verification_id DESC LIMIT 1",
				SPI_ARGS(spi_int8(job_id))) > 0)
		start = DatumGetTimestampTz(spi_get_datum(0, 1));
	spi_close(&scope);
	return start;
}

/* Forgets what a job has not finished. */
void
verification_delete_open(int64 job_id)
{
	spi_change("DELETE FROM migrate_ext.verification WHERE job_id = $1 AND NOT finished", SPI_ARGS(spi_int8(job_id)));
}

/* Verifications of all rows that came to their end. */
#define IS_WHOLE "method IN ('scan', 'range') AND finished"

/*
 * Is the newest verification of all of a mapping's rows, or that of all in one
 * snapshot, clean, or but for some pending keys at most, and newer than the last change of a
 * mapping or repair?  A repaired key is not a verified key.  measured says what was found.
 */
bool
verification_last_is_clean(int64 mapping_id, bool in_one_snapshot, int64 most_pending, char **measured)
{
	SpiScope	scope;
	bool		clean = false;

	spi_open_catalog(&scope);
	if (spi_run("SELECT (v.clean OR (v.pending BETWEEN 1 AND $3 AND v.missing + v.extra + v.different = 0)) AND v.started_at > g.changed_at, "
				"CASE WHEN v.started_at <= g.changed_at THEN 'older than the last change or repair' "
				"WHEN v.clean THEN 'clean' ELSE format("
				"'%s missing, %s extra, %s different, %s pending', missing, extra, different, pending) END "
				"FROM migrate_ext.verification v JOIN migrate_ext.mapping m USING (mapping_id) "
				"JOIN migrate_ext.migration g USING (migration_id) "
				"WHERE v.mapping_id = $1 AND " IS_WHOLE " AND (v.method = 'scan' OR NOT $2) "
				"ORDER BY v.verification_id DESC LIMIT 1",
				SPI_ARGS(spi_int8(mapping_id), spi_bool(in_one_snapshot), spi_int8(most_pending))) > 0)
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
	if (spi_run("SELECT rejected <= $2 * (source_rows - filtered + expanded), format('%s of %s rows', rejected, source_rows - filtered + expanded) "
				"FROM migrate_ext.verification WHERE mapping_id = $1 AND " IS_WHOLE " "
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
