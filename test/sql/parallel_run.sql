-- Both directions at once: applications on the old and on the new side, without echo.
\set SHOW_CONTEXT never
CREATE TABLE pr_old (id int PRIMARY KEY, name text NOT NULL, email text, version int NOT NULL DEFAULT 0);
CREATE TABLE pr_new (user_id int PRIMARY KEY, full_name text NOT NULL CHECK (full_name <> 'forbidden'), mail text, born date);
INSERT INTO pr_old SELECT i, 'name ' || i, i || '@example.org' FROM generate_series(1, 20) i;
SELECT migrate_create('pr') > 0 AS created;
SELECT migrate_map('pr', 'pr_old', 'pr_new',
	columns => '{"user_id": "id", "full_name": "name", "mail": "lower(email)"}',
	reverse => '{"email": "mail"}') > 0 AS mapped;
-- 'ok', or the keys that differ
CREATE FUNCTION pr_differences() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(coalesce(id, user_id)::text, ',' ORDER BY coalesce(id, user_id)), 'ok')
	FROM pr_old FULL JOIN pr_new ON id = user_id
	WHERE (id, name, email) IS DISTINCT FROM (user_id, full_name, mail)
$$;
SELECT migrate_start('pr');
CALL migrate_run('pr');
SELECT missing, extra, different FROM migrate_verify('pr');
SELECT migrate_set('pr', 'stale_writes', 'sometimes');
SELECT migrate_set('pr', 'stale_writes', 'forward');
SELECT migrate_cutover('pr', method => 'switch');

-- writes to either side arrive on the other
UPDATE pr_new SET full_name = 'by new', born = '2000-01-01' WHERE user_id = 1;
UPDATE pr_old SET name = 'by old', version = version + 1 WHERE id = 2;
INSERT INTO pr_old VALUES (21, 'new by old', '21@EXAMPLE.org');
INSERT INTO pr_new VALUES (22, 'new by new', '22@example.org');
DELETE FROM pr_old WHERE id = 3;
DELETE FROM pr_new WHERE user_id = 4;
UPDATE pr_old SET id = 30 WHERE id = 5;
UPDATE pr_new SET user_id = 31 WHERE user_id = 6;
SELECT * FROM pr_old WHERE id IN (1, 2, 3, 4, 5, 6, 21, 22, 30, 31) ORDER BY id;
SELECT * FROM pr_new WHERE user_id IN (1, 2, 3, 4, 5, 6, 21, 22, 30, 31) ORDER BY user_id;

-- each side is written once: no echo, no loop
CREATE VIEW pr_writes AS
	SELECT string_agg(format('%s: %s', relname, n_tup_ins + n_tup_upd + n_tup_del - coalesce(current_setting('pr.' || relname, true), '0')::int), ', ' ORDER BY relname) AS writes,
		count(set_config('pr.' || relname, (n_tup_ins + n_tup_upd + n_tup_del)::text, true))
	FROM pg_stat_xact_user_tables WHERE relname IN ('pr_old', 'pr_new');
BEGIN;
SELECT count >= 0 AS noted FROM pr_writes;
UPDATE pr_old SET name = 'once by old' WHERE id = 7;
SELECT writes FROM pr_writes;
UPDATE pr_new SET full_name = 'once by new', mail = 'A@B' WHERE user_id = 7;
SELECT writes FROM pr_writes;
COMMIT;
DROP VIEW pr_writes;
-- lower(email) is not written back to the side that wrote it
SELECT email FROM pr_old WHERE id = 21;
UPDATE pr_old SET email = '21@example.org' WHERE id = 21;
SELECT pr_differences();

-- the old side's application gets the errors: its rows are no truth to derive anything from later
UPDATE pr_old SET name = 'forbidden' WHERE id = 8;
TRUNCATE pr_old;
SELECT pr_differences(), count(*) AS pending FROM migrate_ext.dirty_key;
-- and the guard of writes survives errors and savepoints
BEGIN;
SAVEPOINT s;
UPDATE pr_old SET name = 'forbidden' WHERE id = 8;
ROLLBACK TO s;
UPDATE pr_old SET name = 'allowed' WHERE id = 8;
UPDATE pr_new SET full_name = 'allowed, too' WHERE user_id = 9;
COMMIT;
DO $$
BEGIN
	UPDATE pr_old SET name = 'forbidden' WHERE id = 10;
EXCEPTION WHEN check_violation THEN
	UPDATE pr_old SET name = 'after the error' WHERE id = 10;
END $$;
SELECT id, name FROM pr_old WHERE id IN (8, 9, 10) ORDER BY id;
SELECT pr_differences();

-- reject, and forward again, while it runs
SELECT migrate_set('pr', 'stale_writes', 'reject');
UPDATE pr_old SET name = 'stale' WHERE id = 11;
UPDATE pr_new SET full_name = 'fresh' WHERE user_id = 11;
SELECT migrate_set('pr', 'stale_writes', NULL);
SELECT migrate_set('pr', 'stale_writes', 'forward');
UPDATE pr_old SET name = 'stale' WHERE id = 11;
SELECT pr_differences();

-- a trigger of the application on the old side belongs to the write that fired it
CREATE TABLE pr_log (id int, name text);
CREATE FUNCTION pr_note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
	INSERT INTO pr_log VALUES (NEW.id, NEW.name);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON pr_old FOR EACH ROW EXECUTE FUNCTION pr_note();
UPDATE pr_new SET full_name = 'noted' WHERE user_id = 12;
UPDATE pr_old SET name = 'noted once' WHERE id = 13;
SELECT * FROM pr_log;
-- nor by SQL, as a BEFORE trigger wants it: what the new side wrote does not come back as lower(email)
CREATE FUNCTION pr_before() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER before BEFORE UPDATE ON pr_old FOR EACH ROW EXECUTE FUNCTION pr_before();
UPDATE pr_new SET mail = 'UPPER@example.org' WHERE user_id = 14;
SELECT mail, email FROM pr_new JOIN pr_old ON id = user_id WHERE id = 14;
UPDATE pr_new SET mail = lower(mail) WHERE user_id = 14;
SELECT pr_differences();
SELECT missing, extra, different FROM migrate_verify('pr');
SELECT migrate_rollback('pr');
UPDATE pr_old SET name = 'alone' WHERE id = 12;
UPDATE pr_new SET full_name = 'alone' WHERE user_id = 13;
SELECT pr_differences();
SELECT migrate_drop('pr');

-- a queued mapping cannot forward
CREATE TABLE pr_queue (LIKE pr_new INCLUDING ALL);
SELECT migrate_create('pq') > 0 AS created;
SELECT migrate_map('pq', 'pr_old', 'pr_queue', columns => '{"user_id": "id", "full_name": "name"}', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('pq', 'stale_writes', 'forward');
SELECT migrate_start('pq');
CALL migrate_run('pq');
SELECT checksum_match FROM migrate_verify('pq');
SELECT migrate_cutover('pq', method => 'switch');
SELECT migrate_rollback('pq');
SELECT migrate_drop('pq');
DROP TABLE pr_old, pr_new, pr_log, pr_queue;
DROP FUNCTION pr_differences(), pr_note(), pr_before();
