/*
 * section.c
 *		The sections that every form of the report has.
 */
#include "postgres.h"

#include "report/section.h"

const Section report_sections[] =
{
	{"Status", "status",
	"SELECT phase, phase_since, state, mappings, pending_keys, last_verification, next_step "
	"FROM migrate_ext.status WHERE migration = $1"},
	{"Mappings", "mappings",
	"SELECT mapping, direction, source, target, key, filter, capture, on_error, complete "
	"FROM migrate_ext.mappings WHERE migration = $1 ORDER BY mapping"},
	{"Progress", "progress",
	"SELECT state, step, blocks_done, blocks_total, percent, rows_written, rows_per_second, eta, "
	"batches, retries, rejected_rows, flagged_rows, duplicate_rows, throttle_reason, error FROM migrate_ext.progress WHERE migration = $1"},
	/* the newest rehearsal of rows beside the newest copy that came to its end, and what is in the target now */
	{"Rehearsal and run", "rehearsal",
	"SELECT r.mapping, m.target, e.at AS rehearsed_at, r.rows_tried, r.rows_rejected, round(sum(r.estimated_seconds) OVER (), 1) AS estimated_seconds, "
	"round(extract(epoch FROM j.finished_at - j.started_at), 1) AS seconds, r.estimated_bytes, "
	"(SELECT sum(pg_total_relation_size(t.relid)) FROM (SELECT m.target::oid UNION SELECT relid FROM pg_partition_tree(m.target)) t (relid)) AS bytes, "
	"v.rejected AS rejected "
	"FROM (SELECT at, detail FROM migrate_ext.history WHERE migration = $1 AND kind = 'rehearsed' AND detail ? 'mappings' ORDER BY event_id DESC LIMIT 1) e "
	"CROSS JOIN LATERAL jsonb_to_recordset(e.detail -> 'mappings') AS r (mapping bigint, rows_tried bigint, rows_rejected bigint, "
	"estimated_seconds numeric, estimated_bytes numeric) "
	"JOIN migrate_ext.mappings m ON m.mapping = r.mapping "
	"LEFT JOIN LATERAL (SELECT b.started_at, b.finished_at FROM migrate_ext.job b JOIN migrate_ext.migration g USING (migration_id) "
	"WHERE g.name = $1 AND b.kind = 'backfill' AND b.status = 'done' AND b.started_at > e.at ORDER BY b.job_id DESC LIMIT 1) j ON true "
	"LEFT JOIN migrate_ext.verifications v ON v.mapping = r.mapping AND v.newest ORDER BY 1"},
	{"Verification", "verification",
	"SELECT mapping, target, started_at, source_rows, target_rows, filtered, expanded, rejected, deduplicated, "
	"pending, missing, extra, different, checksum_match, elapsed "
	"FROM migrate_ext.verifications WHERE migration = $1 AND newest ORDER BY mapping"},
	{"Shadow reads", "shadow_reads",
	"SELECT mapping, target, read_at, reads, mismatches, round(source_p50::numeric, 4) AS source_p50_ms, round(source_p99::numeric, 4) AS source_p99_ms, "
	"round(target_p50::numeric, 4) AS target_p50_ms, round(target_p99::numeric, 4) AS target_p99_ms "
	"FROM migrate_ext.shadow_reads WHERE migration = $1 AND newest ORDER BY mapping"},
	{"Ledger", "ledger",
	"SELECT mapping, line, rows, explained, checksum FROM migrate_ext.ledger WHERE migration = $1 "
	"ORDER BY mapping, ordinal"},
	{"Divergences", "divergences",
	"SELECT mapping, kind, key, columns, source_row, target_row, found_at "
	"FROM migrate_ext.divergences WHERE migration = $1 ORDER BY mapping, divergence_id"},
	{"Rejected rows", "rejected",
	"SELECT mapping, action, rule, sqlstate, constraint_name, count(*) AS rows, min(key::text) AS for_example "
	"FROM migrate_ext.rejected_rows WHERE migration = $1 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"},
	{"Rules and checks", "rules",
	"SELECT 'rule' AS kind, name, action, condition AS text FROM migrate_ext.mapping_rule r JOIN migrate_ext.mappings m "
	"ON m.mapping = r.mapping_id WHERE m.migration = $1 UNION ALL "
	"SELECT 'check', c.name, NULL, query FROM migrate_ext.custom_check c JOIN migrate_ext.migration g USING (migration_id) "
	"WHERE g.name = $1 ORDER BY 1 DESC, 2"},
	{"Steps of the swap", "swap",
	"SELECT kind, subject, statement, undo FROM migrate_ext.swap_step s JOIN migrate_ext.migration g USING (migration_id) "
	"WHERE g.name = $1 AND (statement IS NOT NULL OR undo IS NOT NULL) ORDER BY swap_step_id"},
	{"Use of the old side", "old_side_use",
	"SELECT at, kind, relation, detail FROM migrate_ext.old_side_use u JOIN migrate_ext.migration g USING (migration_id) "
	"WHERE g.name = $1 ORDER BY at"},
	{"Gates", "gates",
	"SELECT checked_at, to_phase, criterion, threshold, measured, passed "
	"FROM migrate_ext.gates WHERE migration = $1 ORDER BY gate_result_id"},
	{"History", "history",
	"SELECT at, who, kind, phase, detail, reason FROM migrate_ext.history "
	"WHERE migration = $1 ORDER BY event_id"},
};

const int	report_nsections = lengthof(report_sections);
