-- The public surface: names, arguments and results that scripts outside rely on.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS migrate_ext;
SELECT plan(99);

CREATE TEMP TABLE surface (name text, args text, result text);
INSERT INTO surface VALUES
	('migrate_create', 'migration text, description text DEFAULT NULL::text', 'bigint'),
	('migrate_map', 'migration text, source regclass, target regclass, columns jsonb DEFAULT NULL::jsonb, key text[] DEFAULT NULL::text[], filter text DEFAULT NULL::text, dedupe_by text DEFAULT NULL::text, reverse jsonb DEFAULT NULL::jsonb, capture text DEFAULT ''trigger''::text, on_error text DEFAULT ''defer''::text', 'bigint'),
	('migrate_unmap', 'migration text, mapping bigint', 'void'),
	('migrate_lookup', 'migration text, mapping bigint, VARIADIC key "any"', 'text'),
	('migrate_add_rule', 'migration text, mapping bigint, rule text, condition text, action text DEFAULT ''reject''::text', 'bigint'),
	('migrate_add_check', 'migration text, name text, query text', 'bigint'),
	('migrate_compare', 'source regclass, target regclass, key text[] DEFAULT NULL::text[], columns jsonb DEFAULT NULL::jsonb, filter text DEFAULT NULL::text, max_rows bigint DEFAULT 1000, show_values boolean DEFAULT false, equality text DEFAULT ''strict''::text', 'TABLE(kind text, key jsonb, columns text[], source_row jsonb, target_row jsonb)'),
	('migrate_compare_aggregates', 'source regclass, target regclass, columns jsonb DEFAULT NULL::jsonb, group_by text[] DEFAULT NULL::text[], filter text DEFAULT NULL::text', 'TABLE(group_key jsonb, column_name text, measure text, source_value text, target_value text, matches boolean)'),
	('migrate_check', 'migration text', 'TABLE(mapping bigint, kind text, name text, columns text[], violations bigint, passed boolean)'),
	('migrate_retry_rejected', 'migration text', 'bigint'),
	('migrate_set', 'migration text, setting text, value text', 'text'),
	('migrate_drop', 'migration text', 'void'),
	('migrate_assess', 'migration text', 'TABLE(severity text, subject text, finding text, advice text)'),
	('migrate_profile', 'relation regclass, sample_percent double precision DEFAULT 100', 'TABLE(column_name name, data_type text, rows bigint, nulls bigint, empties bigint, distinct_values bigint, min text, max text, avg_width double precision, top_values jsonb, patterns jsonb, anomalies jsonb)'),
	('migrate_start', 'migration text', 'text'),
	('migrate_backfill', 'migration text, workers integer DEFAULT NULL::integer, batch_size integer DEFAULT NULL::integer, run_for interval DEFAULT NULL::interval', 'bigint'),
	('migrate_sync', 'migration text', 'bigint'),
	('migrate_pause', 'migration text', 'void'),
	('migrate_resume', 'migration text', 'void'),
	('migrate_table_checksum', 'relation regclass, columns text[] DEFAULT NULL::text[], filter text DEFAULT NULL::text', 'TABLE(rows bigint, checksum text)'),
	('migrate_verify', 'migration text, method text DEFAULT ''scan''::text, sample_rows bigint DEFAULT NULL::bigint', 'TABLE(mapping bigint, source_rows bigint, target_rows bigint, filtered bigint, rejected bigint, deduplicated bigint, pending bigint, missing bigint, extra bigint, different bigint, checksum_match boolean, snapshot_lsn pg_lsn, elapsed interval, expanded bigint)'),
	('migrate_divergence', 'migration text', 'TABLE(mapping bigint, kind text, key jsonb, columns text[], source_row jsonb, target_row jsonb, found_at timestamp with time zone)'),
	('migrate_repair', 'migration text', 'bigint'),
	('migrate_ledger', 'migration text', 'TABLE(mapping bigint, line text, rows bigint, explained boolean, checksum text)'),
	('migrate_gate', 'migration text, to_phase text DEFAULT NULL::text', 'TABLE(to_phase text, criterion text, threshold text, measured text, passed boolean)'),
	('migrate_cutover', 'migration text, method text DEFAULT ''swap''::text, force boolean DEFAULT false, reason text DEFAULT NULL::text', 'text'),
	('migrate_rollback', 'migration text, reason text DEFAULT NULL::text', 'text'),
	('migrate_ramp', 'migration text, percent numeric', 'void'),
	('migrate_route', 'migration text, key anyelement', 'text'),
	('migrate_shadow_read', 'migration text, sample_rows bigint DEFAULT 1000', 'TABLE(mapping bigint, reads bigint, mismatches bigint, source_p50 double precision, source_p99 double precision, target_p50 double precision, target_p99 double precision)'),
	('migrate_runbook', 'migration text', 'text'),
	('migrate_rehearse', 'migration text, sample_rows bigint DEFAULT 10000', 'TABLE(mapping bigint, rows_tried bigint, rows_ok bigint, rows_rejected bigint, rows_per_second double precision, estimated_duration interval, estimated_size bigint, errors jsonb)'),
	('migrate_freeze', 'migration text', 'void'),
	('migrate_unfreeze', 'migration text', 'void'),
	('migrate_sign_off', 'migration text, note text DEFAULT NULL::text', 'void'),
	('migrate_cleanup', 'migration text, force boolean DEFAULT false, reason text DEFAULT NULL::text', 'text'),
	('migrate_report', 'migration text, format text DEFAULT ''markdown''::text', 'text');

SELECT is(pg_get_function_arguments(p.oid), s.args, s.name || ': arguments')
	FROM surface s LEFT JOIN pg_proc p ON p.proname = s.name ORDER BY s.name;
SELECT is(pg_get_function_result(p.oid), s.result, s.name || ': result')
	FROM surface s LEFT JOIN pg_proc p ON p.proname = s.name ORDER BY s.name;
SELECT is(pg_get_function_arguments(oid), 'migration text DEFAULT NULL::text', proname || ': arguments')
	FROM pg_proc WHERE proname IN ('migrate_status', 'migrate_progress') ORDER BY proname;
SELECT is(prokind::text || ' ' || pg_get_function_arguments(oid), a, proname || ': a procedure')
	FROM pg_proc JOIN (VALUES ('migrate_wait', 'p IN migration text, IN timeout interval DEFAULT NULL::interval'),
		('migrate_run', 'p IN migration text')) v(n, a) ON n = proname ORDER BY proname;
SELECT is(prokind::text || ' ' || proparallel::text || ' ' || provolatile::text || ' ' || pg_get_function_arguments(oid) || ' ' || pg_get_function_result(oid),
	'a s i VARIADIC "any" text', 'migrate_checksum: a parallel safe, immutable aggregate') FROM pg_proc WHERE proname = 'migrate_checksum';

-- state tables: keys, and no type that pg_upgrade refuses
SELECT has_pk('migrate_ext', t, t || ' has a primary key') FROM unnest(ARRAY['migration', 'mapping', 'mapping_column', 'job',
	'job_range', 'job_duplicate', 'dirty_key', 'rejected_row', 'verification', 'divergence', 'custom_check', 'gate_result', 'key_map',
	'stashed_object', 'write_error', 'mapping_rule', 'event']) t;
SELECT is_empty($$ SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace = 'migrate_ext'::regnamespace AND c.relkind = 'r' AND a.atttypid IN ('regproc'::regtype,
	'regprocedure'::regtype, 'regoper'::regtype, 'regoperator'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype,
	'regnamespace'::regtype, 'regcollation'::regtype) $$, 'no column of a type that pg_upgrade refuses');
SELECT set_eq($$ SELECT unnest(extconfig)::regclass::text FROM pg_extension WHERE extname = 'migrate_ext' $$,
	ARRAY['migrate_ext.migration', 'migrate_ext.migration_migration_id_seq', 'migrate_ext.mapping', 'migrate_ext.mapping_mapping_id_seq',
		'migrate_ext.mapping_column', 'migrate_ext.mapping_rule', 'migrate_ext.mapping_rule_mapping_rule_id_seq', 'migrate_ext.dirty_key', 'migrate_ext.dirty_key_dirty_key_id_seq', 'migrate_ext.rejected_row',
		'migrate_ext.rejected_row_rejected_row_id_seq', 'migrate_ext.custom_check', 'migrate_ext.custom_check_custom_check_id_seq',
		'migrate_ext.key_map', 'migrate_ext.stashed_object', 'migrate_ext.stashed_object_stashed_object_id_seq', 'migrate_ext.swap_step', 'migrate_ext.swap_step_swap_step_id_seq', 'migrate_ext.event',
		'migrate_ext.event_event_id_seq'], 'what defines a migration is dumped');
SELECT set_eq($$ SELECT relname::text FROM pg_class WHERE relnamespace = 'migrate_ext'::regnamespace AND relkind = 'v' $$,
	ARRAY['mappings', 'rejected_rows', 'verifications', 'divergences', 'ledger', 'source_writes', 'write_accounts', 'write_errors', 'progress', 'status', 'gates', 'history', 'job_lock', 'old_side_counters', 'shadow_reads', 'metrics'], 'the views');
SELECT * FROM finish();
ROLLBACK;
