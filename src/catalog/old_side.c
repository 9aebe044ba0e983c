/*
 * old_side.c
 *		Rows of migrate_ext.old_side and old_side_use: who still uses what was replaced.
 *
 * Reads fire no trigger.  They are seen from the server's statistics: what they
 * say beyond the point up to which they were looked at, and beyond what the
 * extension itself does there.  It writes rows back, by their key, each with some
 * lookups; and it compares both sides.  What comes while it compares cannot be told from
 * its own, and is passed over.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/spi.h"
#include "catalog/old_side.h"

/* At most so many lookups by key are ours for a row that is written back. */
#define LOOKUPS_PER_ROW "3"

/* A session notes forwarded writes to one table after the other once in so many milliseconds. */
#define NOTE_EVERY_MS 60000

/* When the statistics of this database began. */
#define RESET_AT "pg_stat_get_db_stat_reset_time((SELECT oid FROM pg_database WHERE datname = current_database()))"

/* Before a cutover there is no old side; nothing is noted where nothing can be written. */
static bool
is_watched(const Migration *g)
{
	return migration_is_switched(g) && !XactReadOnly && !RecoveryInProgress();
}

/* Statistics as they are now, in one transaction after the other. */
static void
refresh_statistics(void)
{
	spi_run("SELECT pg_stat_clear_snapshot()", SPI_NO_ARGS);
}

/* What was used until now was not the old side, or was the extension's doing. */
void
old_side_skip(const Migration *g)
{
	SpiScope	scope;

	if (!is_watched(g))
		return;
	spi_open_catalog(&scope);
	refresh_statistics();
	spi_run("INSERT INTO migrate_ext.old_side (mapping_id, seq_scans, index_scans, key_scans, rows_written, reset_at) "
			"SELECT mapping_id, seq_scans + own_seq_scans, index_scans + own_index_scans, key_scans + own_key_scans, rows_written, " RESET_AT
			" FROM migrate_ext.old_side_counters WHERE migration_id = $1 "
			"ON CONFLICT (mapping_id) DO UPDATE SET seq_scans = excluded.seq_scans, index_scans = excluded.index_scans, "
			"key_scans = excluded.key_scans, rows_written = excluded.rows_written, reset_at = excluded.reset_at, marked_at = clock_timestamp()",
			SPI_ARGS(spi_int8(g->id)));
	spi_close(&scope);
}

/* A cutover: what was the source is old from now on. */
void
old_side_begin(const Migration *g)
{
	spi_change("DELETE FROM migrate_ext.old_side_use WHERE migration_id = $1", SPI_ARGS(spi_int8(g->id)));
	old_side_skip(g);
}

/*
 * Notes reads that the statistics show.  A mark may be ahead of them: it has what
 * its session had not reported yet.  Statistics that were reset begin at 0.
 */
void
old_side_look(const Migration *g)
{
	SpiScope	scope;

	if (!is_watched(g))
		return;
	spi_open_catalog(&scope);
	refresh_statistics();
	spi_run("WITH mark AS (SELECT mapping_id, " RESET_AT " AS now_reset_at, "
			"CASE WHEN reset_at IS NOT DISTINCT FROM " RESET_AT " THEN 1 ELSE 0 END AS same, seq_scans, index_scans, key_scans, rows_written "
			"FROM migrate_ext.old_side WHERE mapping_id IN (SELECT mapping_id FROM migrate_ext.mapping WHERE migration_id = $1) FOR NO KEY UPDATE SKIP LOCKED), "
			"more AS (SELECT c.*, m.now_reset_at, m.same, c.seq_scans - m.same * m.seq_scans AS seq, c.index_scans - m.same * m.index_scans AS other, "
			"c.key_scans - m.same * m.key_scans - " LOOKUPS_PER_ROW " * greatest(c.rows_written - m.same * m.rows_written, 0) AS by_key "
			"FROM mark m JOIN migrate_ext.old_side_counters c USING (mapping_id)), "
			"noted AS (INSERT INTO migrate_ext.old_side_use (migration_id, kind, relation, detail) "
			"SELECT migration_id, 'read', source, format('%s sequential scans, %s index scans', greatest(seq, 0), greatest(other, 0) + greatest(by_key, 0)) "
			"FROM more WHERE seq > 0 OR other > 0 OR by_key > 0) "
			"UPDATE migrate_ext.old_side o SET seq_scans = greatest(o.seq_scans * m.same, m.seq_scans), "
			"index_scans = greatest(o.index_scans * m.same, m.index_scans), key_scans = greatest(o.key_scans * m.same, m.key_scans), "
			"rows_written = greatest(o.rows_written * m.same, m.rows_written), reset_at = m.now_reset_at, marked_at = clock_timestamp() "
			"FROM more m WHERE m.mapping_id = o.mapping_id",
			SPI_ARGS(spi_int8(g->id)));
	spi_close(&scope);
}

/* Notes a write to the old side that was forwarded. */
void
old_side_note_write(int64 migration_id, Oid relid)
{
	static int64 noted_migration = 0;
	static Oid	noted_relation = InvalidOid;
	static TimestampTz noted_at = 0;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (noted_migration == migration_id && noted_relation == relid &&
		!TimestampDifferenceExceeds(noted_at, now, NOTE_EVERY_MS))
		return;
	spi_change("INSERT INTO migrate_ext.old_side_use (migration_id, kind, relation, detail) VALUES ($1, 'write', $2, $3)",
			   SPI_ARGS(spi_int8(migration_id), spi_oid(REGCLASSOID, relid),
						spi_text(psprintf("pid %d (%s)", MyProcPid, GetUserNameFromId(GetSessionUserId(), true)))));
	noted_migration = migration_id;
	noted_relation = relid;
	noted_at = now;
}

/* "2026-11-21 ...: 3 sequential scans ...": the last use within so many seconds; NULL if there was none. */
char *
old_side_last_use(int64 migration_id, Oid relid, const char *kind, int seconds)
{
	SpiScope	scope;
	char	   *result = NULL;

	spi_open_catalog(&scope);
	if (spi_run("SELECT format('%s: %s', date_trunc('second', at), detail) FROM migrate_ext.old_side_use "
				"WHERE migration_id = $1 AND relation = $2 AND kind = $3 AND at > clock_timestamp() - make_interval(secs => $4) "
				"ORDER BY at DESC LIMIT 1",
				SPI_ARGS(spi_int8(migration_id), spi_oid(REGCLASSOID, relid), spi_text(kind), spi_int8(seconds))) > 0)
		result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result;
}
