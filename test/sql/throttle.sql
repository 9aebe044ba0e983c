-- A copy waits while a signal says so, shows why, and goes on by itself.
SET client_min_messages = warning;
CREATE TABLE th_source (id int PRIMARY KEY, v text);
CREATE TABLE th_target (id int PRIMARY KEY, v text);
INSERT INTO th_source SELECT i, repeat('v', 50) || i FROM generate_series(1, 20000) i;
VACUUM ANALYZE th_source;
CREATE TABLE th_limit (answer text);
-- what the progress says, when it has said it
CREATE FUNCTION th_until(pattern text, OUT reason text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 400 LOOP
		SELECT coalesce(throttle_reason, state) INTO reason FROM migrate_progress('th');
		EXIT WHEN reason LIKE pattern;
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SELECT migrate_create('th') > 0 AS created;
SELECT migrate_map('th', 'th_source', 'th_target') > 0 AS mapped;

-- settings: values, units, defaults
\set VERBOSITY terse
SELECT setting, migrate_set('th', setting, NULL) FROM unnest(ARRAY['max_replica_lag', 'pause_replica_lag', 'max_replica_lag_bytes',
	'replicas', 'max_wal_rate', 'max_lock_waiters', 'max_xmin_age', 'yield_to_wraparound_vacuum', 'max_sessions_per_core',
	'throttle_query', 'run_window', 'sample_interval', 'max_rejects', 'max_rejected_rate']) setting;
SELECT migrate_set('th', 'max_wal_rate', '20MB'), migrate_set('th', 'max_wal_rate', NULL);
SELECT migrate_set('th', 'max_wal_rate', '20 apples');
SELECT migrate_set('th', 'max_wal_rate', '-1');
SELECT migrate_set('th', 'run_window', '22:00-6');
SELECT migrate_set('th', 'run_window', '25:00-06:00');
SELECT migrate_set('th', 'run_window', '22:00-24:01');
SELECT migrate_set('th', 'run_window', '06:00-06:00');
SELECT migrate_set('th', 'run_window', '06:00-06:30 or so');
SELECT migrate_set('th', 'run_window', ' 22:00 - 06:30 ');
SELECT migrate_set('th', 'max_sessions_per_core', 'NaN');
SELECT migrate_set('th', 'max_sessions_per_core', '-1');
\set VERBOSITY default

-- a time of day that it is not, in the migration's time zone
SELECT migrate_set('th', 'time_zone', 'Asia/Kathmandu') IS NOT NULL AS was;
SELECT migrate_set('th', 'run_window', to_char(now() AT TIME ZONE 'Asia/Kathmandu' + interval '2 hours', 'HH24:MI') || '-'
	|| to_char(now() AT TIME ZONE 'Asia/Kathmandu' + interval '4 hours', 'HH24:MI')) IS NOT NULL AS was;
SELECT migrate_start('th');
SELECT migrate_backfill('th', workers => 1, batch_size => 500) > 0 AS job;
SELECT regexp_replace(th_until('outside%'), '\d\d:\d\d', 'hh:mm', 'g');
SELECT rows_written, state, eta IS NULL AS no_eta FROM migrate_progress('th');
SELECT query ~ 'migrate_ext th: waiting: outside of run_window' AS shown FROM pg_stat_activity WHERE backend_type = 'migrate_ext worker' AND datname = current_database();

-- the DBA's query: true, a number, a text, an error; and what lets the copy go on
SELECT migrate_set('th', 'throttle_query', 'SELECT true'), migrate_set('th', 'run_window', '') IS NOT NULL AS was;
SELECT th_until('throttle_query%');
SELECT migrate_set('th', 'throttle_query', 'SELECT count(*) FROM public.th_source');
SELECT th_until('throttle_query returned%');
SELECT migrate_set('th', 'throttle_query', 'SELECT ''too much work'' FROM pg_catalog.pg_class LIMIT 1') IS NOT NULL AS was;
SELECT th_until('%work');
SELECT migrate_set('th', 'throttle_query', 'SELECT 1 / 0') IS NOT NULL AS was;
SELECT th_until('%zero');
SELECT migrate_set('th', 'throttle_query', 'nonsense') IS NOT NULL AS was;
SELECT th_until('%nonsense%');
-- it reads with the rights of the migration's owner, who is the caller here
SELECT migrate_set('th', 'throttle_query', 'SELECT ''as '' || current_user') IS NOT NULL AS was;
SELECT th_until('throttle_query: as%') = 'throttle_query: as ' || current_user AS as_owner;

-- a replica that is not there
SELECT migrate_set('th', 'replicas', 'nobody, "o''Brien; --"'), migrate_set('th', 'throttle_query', NULL) IS NOT NULL AS was;
SELECT th_until('replica%');
SELECT migrate_set('th', 'replicas', '"unfinished');
SELECT th_until('%not a list%');

-- a worker more, a worker less, and other batches, while it runs; a signal over the limit of the machine
SELECT migrate_set('th', 'throttle_query', 'SELECT true');
SELECT migrate_set('th', 'max_sessions_per_core', '0.0001'), migrate_set('th', 'replicas', NULL) IS NOT NULL AS was;
SELECT regexp_replace(th_until('%active sessions%'), '^\d+ (.*) \d+ cores', 'n \1 n cores');
SELECT migrate_set('th', 'workers', '3');
SELECT workers, jsonb_array_length(per_worker) FROM migrate_progress('th');
SELECT migrate_backfill('th', workers => 2, batch_size => 300) > 0 AS job;
DO $$ BEGIN FOR i IN 1 .. 200 LOOP EXIT WHEN (SELECT workers FROM migrate_progress('th')) = 2; PERFORM pg_sleep(0.05); END LOOP; END $$;
SELECT workers FROM migrate_progress('th');
SELECT workers, batch_rows FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1;
SELECT migrate_pause('th');
SELECT th_until('paused');

-- no row: the copy goes on
SELECT migrate_set('th', 'max_sessions_per_core', NULL), migrate_set('th', 'throttle_query', 'SELECT answer FROM public.th_limit');
SELECT migrate_set('th', 'sample_interval', '100ms');
SELECT migrate_resume('th');
CALL migrate_wait('th', '60 s');
SELECT state, rows_written, throttle_reason, ranges_done = ranges_total AS all_ranges FROM migrate_progress('th');
SELECT checksum_match FROM migrate_verify('th');
SELECT max(rows) FROM migrate_ext.sample JOIN migrate_ext.migration USING (migration_id) WHERE name = 'th';
SELECT DISTINCT regexp_replace(throttle_reason, '\d.*', '') FROM migrate_ext.sample JOIN migrate_ext.migration USING (migration_id)
	WHERE name = 'th' AND throttle_reason ~ '^outside' ORDER BY 1;
SELECT migrate_rollback('th');
SELECT migrate_drop('th');
DROP TABLE th_source, th_target, th_limit;
DROP FUNCTION th_until;
