-- Dual writes that fail: the account of them, and what happens when there are too many.
\set VERBOSITY terse
CREATE TABLE we_src (id int PRIMARY KEY, v int NOT NULL);
CREATE TABLE we_tgt (id int PRIMARY KEY, v int NOT NULL CHECK (v < 1000));
-- waits until a condition holds, by a query
CREATE PROCEDURE we_until(condition text) LANGUAGE plpgsql AS $$
DECLARE
	done bool;
BEGIN
	FOR i IN 1..300 LOOP
		EXECUTE 'SELECT ' || condition INTO done;
		EXIT WHEN done;
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
	IF NOT done THEN RAISE 'still not: %', condition; END IF;
END $$;
SELECT migrate_create('we') > 0 AS created;
SELECT migrate_map('we', 'we_src', 'we_tgt', reverse => '{"v": "v"}') > 0 AS mapped;
SELECT migrate_set('we', 'min_write_errors', '10');
SELECT migrate_set('we', 'max_write_error_rate', 'much');
SELECT migrate_set('we', 'max_write_error_rate', '1.1');
SELECT migrate_set('we', 'max_write_error_rate', '0.25');
INSERT INTO we_src SELECT i, i FROM generate_series(1, 50) i;
SELECT pg_stat_force_next_flush();
SELECT migrate_start('we');

-- the account: statements, keys, an example, the SQLSTATE
INSERT INTO we_src SELECT i, i FROM generate_series(101, 200) i;
INSERT INTO we_src VALUES (201, 1001);
UPDATE we_src SET v = v + 1000 WHERE id IN (102, 103);
BEGIN;
SAVEPOINT s;
INSERT INTO we_src VALUES (202, 1002);
ROLLBACK TO s;
COMMIT;
SELECT migration, direction, target, sqlstate, message, keys, CASE WHEN keys = 1 THEN key END AS key, at <= now() AS past FROM migrate_ext.write_errors ORDER BY at;
SELECT count(*) FROM we_src WHERE v > 1000;
SELECT pg_stat_force_next_flush();
SELECT direction, errors, writes, round(rate, 3) AS rate, degraded FROM migrate_ext.write_accounts WHERE migration = 'we' ORDER BY 1;
SELECT write_errors, round(write_error_rate, 2) AS rate FROM migrate_progress('we');
-- few errors keep nobody from copying
SELECT criterion, threshold, passed FROM migrate_gate('we', 'backfill');

-- many do: the copy does not begin, and ...
INSERT INTO we_src SELECT i, 2000 FROM generate_series(301, 380) i;
SELECT passed FROM migrate_gate('we', 'backfill');
SELECT migrate_backfill('we');
CALL migrate_run('we');
SELECT phase FROM migrate_status('we');

-- ... dual writes are switched off, by a worker that the application asks for
\set ECHO none
SELECT format('UPDATE we_src SET v = v + 1 WHERE id = %s', 301 + i) FROM generate_series(1, 64) i \gexec
\set ECHO all
CALL we_until('(SELECT degraded FROM migrate_ext.write_accounts WHERE migration = ''we'' AND direction = ''forward'')');
SELECT kind, reason, detail - 'mapping' - 'errors' - 'writes' AS detail, (detail ->> 'errors')::int > 100 AS errors
	FROM migrate_ext.event WHERE migration = 'we' AND kind = 'alarm' AND reason LIKE 'dual writes%';
SELECT next_step FROM migrate_status('we');
TRUNCATE migrate_ext.write_error;
-- what is written now is only queued: nothing can fail, and nothing is lost
INSERT INTO we_src VALUES (401, 9001), (402, 402);
SELECT count(*) FROM migrate_ext.write_error;
SELECT reason, key FROM migrate_ext.dirty_key WHERE key @> '{"id": 401}';
-- the sync worker runs by itself
CALL we_until('(SELECT sync_state = ''running'' FROM migrate_progress(''we''))');
-- it leaves the keys to the backfill until there was one, which does not begin: the cause is still there
UPDATE we_src SET v = v % 1000;
SELECT migrate_resume('we');
SELECT kind, reason FROM migrate_ext.event WHERE migration = 'we' AND kind = 'resumed';
SELECT direction, errors, degraded FROM migrate_ext.write_accounts WHERE migration = 'we' ORDER BY 1;
INSERT INTO we_src VALUES (403, 403);
SELECT * FROM we_tgt WHERE id = 403;
SELECT migrate_backfill('we') > 0 AS started;
SET client_min_messages = warning;
CALL migrate_wait('we', '1 minute');
RESET client_min_messages;
SELECT missing, extra, different, pending FROM migrate_verify('we');

-- later the sync worker settles what is queued, as soon as the cause is mended
SELECT migrate_set('we', 'max_write_error_rate', '0');
\set ECHO none
SELECT format('UPDATE we_src SET v = v + 1000 WHERE id = %s', i) FROM generate_series(101, 190) i \gexec
\set ECHO all
CALL we_until('(SELECT degraded FROM migrate_ext.write_accounts WHERE migration = ''we'' AND direction = ''forward'')');
INSERT INTO we_src VALUES (404, 404);
CALL we_until('(SELECT count(*) = 1 FROM we_tgt WHERE id = 404)');
ALTER TABLE we_tgt DROP CONSTRAINT we_tgt_v_check;
SELECT migrate_sync('we') >= 0 AS settled;
CALL we_until('(SELECT pending_keys = 0 FROM migrate_progress(''we''))');
SELECT migrate_resume('we');
SELECT missing, extra, different, pending FROM migrate_verify('we');

-- after the cutover there is only the alarm: the old side follows as closely as it can
SELECT migrate_cutover('we', 'switch');
ALTER TABLE we_src ADD CONSTRAINT small CHECK (v < 5000);
SELECT migrate_set('we', 'sync_interval', '100ms');
INSERT INTO we_tgt SELECT i, 6000 FROM generate_series(501, 520) i;
CALL we_until('(SELECT degraded FROM migrate_ext.write_accounts WHERE migration = ''we'' AND direction = ''reverse'')');
SELECT reason FROM migrate_ext.event WHERE migration = 'we' AND kind = 'alarm' AND reason LIKE 'dual writes%' ORDER BY event_id DESC LIMIT 1;
INSERT INTO we_tgt VALUES (521, 521);
SELECT * FROM we_src WHERE id = 521;
ALTER TABLE we_src DROP CONSTRAINT small;
CALL we_until('(SELECT migrate_sync(''we'') IS NOT NULL AND count(*) = 20 FROM we_src WHERE v = 6000)');
SELECT migrate_resume('we');
SELECT direction, errors, degraded FROM migrate_ext.write_accounts WHERE migration = 'we' ORDER BY 1;
SELECT migrate_rollback('we');
SELECT migrate_drop('we');
SELECT count(*) FROM migrate_ext.write_error;

-- in place: errors are accounted, too
CREATE TABLE we_ip (id int PRIMARY KEY, v int, w int CHECK (w < 100));
SELECT migrate_create('we_ip') > 0 AS created;
SELECT migrate_map('we_ip', 'we_ip', 'we_ip', '{"w": "v"}') > 0 AS mapped;
SELECT migrate_set('we_ip', 'min_write_errors', '1');
SELECT migrate_set('we_ip', 'sync_interval', '100ms');
SELECT migrate_start('we_ip');
SELECT migrate_backfill('we_ip') > 0 AS started;
SET client_min_messages = warning;
CALL migrate_wait('we_ip', '1 minute');
RESET client_min_messages;
INSERT INTO we_ip VALUES (1, 500), (2, 2);
CALL we_until('(SELECT degraded FROM migrate_ext.write_accounts WHERE migration = ''we_ip'' AND direction = ''forward'')');
SELECT sqlstate, keys, key FROM migrate_ext.write_errors WHERE migration = 'we_ip';
INSERT INTO we_ip VALUES (3, 3);
TABLE we_ip ORDER BY id;
SELECT migrate_rollback('we_ip');
SELECT migrate_drop('we_ip');
DROP PROCEDURE we_until;
