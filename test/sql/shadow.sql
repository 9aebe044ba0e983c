-- Shadow reads, the share of reads that goes to the target, and what both mean at the gate.
CREATE TABLE sh_a (id int PRIMARY KEY, name text, n numeric(10, 2));
CREATE TABLE sh_b (key int PRIMARY KEY, name text, n numeric(10, 2));
INSERT INTO sh_a SELECT i, 'name ' || i, i FROM generate_series(1, 3000) i;
SELECT migrate_create('sh') > 0 AS created;
SELECT migrate_map('sh', 'sh_a', 'sh_b', '{"key": "id", "name": "upper(name)", "n": "n"}', filter => 'id % 10 > 0', reverse => '{"id": "key", "name": "lower(name)"}') > 0 AS mapped;
-- before the copy everything is missing
SELECT reads > 600 AS enough, mismatches = reads AS missing FROM migrate_shadow_read('sh');
SELECT migrate_start('sh');
CALL migrate_run('sh');
SELECT reads BETWEEN 700 AND 1000 AS enough, mismatches, source_p50 > 0 AND source_p50 <= source_p99 AND target_p50 > 0 AND target_p50 <= target_p99 AS times FROM migrate_shadow_read('sh');
SELECT reads BETWEEN 1 AND 12 AS few FROM migrate_shadow_read('sh', 10);
SELECT array_length(source_ms, 1), source_ms[1] <= source_ms[51] AND source_ms[51] <= source_ms[101] AS sorted, newest FROM migrate_ext.shadow_reads WHERE migration = 'sh' ORDER BY shadow_read_id;
-- rows that were written last are among those that are read
INSERT INTO sh_a SELECT i, 'late', i FROM generate_series(10001, 10100) i;
SET session_replication_role = replica;
UPDATE sh_b SET name = 'wrong' WHERE key > 10000;
RESET session_replication_role;
SELECT mismatches FROM migrate_shadow_read('sh', 1000);
SELECT array_length(mismatching_keys, 1), mismatching_keys[1] ? 'key' AS key FROM migrate_ext.shadow_reads WHERE newest AND migration = 'sh';
SELECT missing, extra, different FROM migrate_verify('sh');
SELECT criterion, threshold, measured LIKE '90 of % reads' AS measured, passed FROM migrate_gate('sh', 'soak') WHERE criterion LIKE 'shadow reads%mismatches';
SELECT migrate_repair('sh');
SELECT missing, extra, different FROM migrate_verify('sh');
-- a repair makes an earlier shadow read worthless
SELECT count(*) FROM migrate_gate('sh', 'soak') WHERE criterion LIKE 'shadow reads%';
SELECT mismatches FROM migrate_shadow_read('sh', 100);
SELECT criterion, threshold, measured LIKE '% ms, the source''s is % ms' AS measured FROM migrate_gate('sh', 'soak') WHERE criterion LIKE 'shadow reads%percentile';
-- a slow new side closes the gate
CREATE FUNCTION sh_slow() RETURNS void LANGUAGE sql AS $$
	UPDATE migrate_ext.shadow_read SET target_ms[100] = source_ms[100] * 1.2 + 1 WHERE shadow_read_id = (SELECT max(shadow_read_id) FROM migrate_ext.shadow_read) $$;
SELECT sh_slow();
SELECT criterion, passed FROM migrate_gate('sh', 'soak') WHERE criterion LIKE 'shadow reads%';
SELECT migrate_set('sh', 'max_p99_ratio', '1000');
SELECT criterion, passed FROM migrate_gate('sh', 'soak') WHERE criterion LIKE 'shadow reads%';

-- routes: stable, monotone, near to the share that was asked for, not the same keys for each migration
SELECT phase FROM migrate_status('sh');
SELECT DISTINCT migrate_route('sh', i) FROM generate_series(1, 100) i;
SELECT migrate_ramp('sh', 10);
CREATE TEMP TABLE at10 AS SELECT i FROM generate_series(1, 10000) i WHERE migrate_route('sh', i) = 'target';
SELECT count(*) BETWEEN 900 AND 1100 AS about FROM at10;
SELECT bool_and(migrate_route('sh', i::bigint) = 'target' AND migrate_route('sh', i::smallint) = 'target') AS same FROM at10;
SELECT migrate_ramp('sh', 50);
SELECT count(*) FROM at10 WHERE migrate_route('sh', i) = 'source';
SELECT count(*) BETWEEN 4800 AND 5200 AS about FROM generate_series(1, 10000) i WHERE migrate_route('sh', i) = 'target';
SELECT count(*) BETWEEN 4800 AND 5200 AS about FROM generate_series(1, 10000) i WHERE migrate_route('sh', 'k' || i) = 'target';
-- the same in parallel workers, which know nothing yet
CREATE FUNCTION sh_parallel() RETURNS TABLE (parallel boolean) LANGUAGE plpgsql AS $$
DECLARE
	line text;
	sql text := 'SELECT count(*) FROM sh_a WHERE migrate_route(''sh'', id) = ''target''';
	n bigint;
	m bigint;
BEGIN
	EXECUTE sql INTO n;
	SET LOCAL parallel_setup_cost = 0;
	SET LOCAL parallel_tuple_cost = 0;
	SET LOCAL min_parallel_table_scan_size = 0;
	SET LOCAL max_parallel_workers_per_gather = 2;
	SET LOCAL parallel_leader_participation = off;
	parallel := false;
	FOR line IN EXECUTE 'EXPLAIN ' || sql LOOP
		parallel := parallel OR line LIKE '%Parallel Seq Scan%';
	END LOOP;
	EXECUTE sql INTO m;
	IF n <> m OR n = 0 THEN
		RAISE 'parallel workers route otherwise: % and %', n, m;
	END IF;
	RETURN NEXT;
END $$;
SELECT * FROM sh_parallel();
DROP FUNCTION sh_parallel();
SELECT migrate_ramp('sh', 0.01);
SELECT count(*) BETWEEN 1 AND 30 AS few FROM generate_series(1, 100000) i WHERE migrate_route('sh', i) = 'target';
-- back at once, also within a transaction that has asked before
SELECT migrate_ramp('sh', 100);
BEGIN;
SELECT migrate_route('sh', 1);
SELECT migrate_ramp('sh', 0);
SELECT migrate_route('sh', 1);
ROLLBACK;
SELECT migrate_route('sh', 1), migrate_route('sh', NULL::int);
\set VERBOSITY terse
SELECT migrate_ramp('sh', 101);
SELECT migrate_ramp('sh', -1);
SELECT migrate_ramp('sh', 'NaN');
SELECT migrate_route('nope', 1);
SELECT migrate_route('sh', '(1,1)'::point);
SELECT migrate_shadow_read('sh', 0);
SELECT migrate_shadow_read(NULL);
-- the name changes at a swap: reads must not be on their way then
SELECT migrate_cutover('sh');
\set VERBOSITY default
SELECT migrate_cutover('sh', 'switch');
SELECT DISTINCT migrate_route('sh', i) FROM generate_series(1, 100) i;
SELECT mismatches FROM migrate_shadow_read('sh', 100);
-- which is no use of the old side, when it is reported, too
\c
SELECT pg_sleep(0.5);
SELECT measured FROM migrate_gate('sh', 'done') WHERE criterion LIKE 'reads of%';
SELECT migrate_rollback('sh');
SELECT DISTINCT migrate_route('sh', i) FROM generate_series(1, 100) i;
\set VERBOSITY terse
SELECT migrate_ramp('sh', 5);
\set VERBOSITY default
SELECT kind, detail FROM migrate_ext.history WHERE migration = 'sh' AND kind = 'ramp' ORDER BY event_id;
-- an application's role needs EXECUTE on migrate_route, and nothing else
CREATE ROLE sh_app;
SET ROLE sh_app;
SELECT migrate_route('sh', 1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION migrate_route(text, anyelement) TO sh_app;
SET ROLE sh_app;
SELECT migrate_route('sh', 1);
RESET ROLE;
REVOKE ALL ON FUNCTION migrate_route(text, anyelement) FROM sh_app;
DROP ROLE sh_app;
SELECT migrate_drop('sh');
\set VERBOSITY terse
SELECT migrate_route('sh', 1);
DROP FUNCTION sh_slow();
DROP TABLE sh_a, sh_b;
