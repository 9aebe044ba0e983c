-- Values of another unique index of the target, exchanged between rows: one row after the other clashes.
\set VERBOSITY terse
CREATE TABLE ex_src (id int PRIMARY KEY, code text CONSTRAINT ex_code UNIQUE DEFERRABLE, v int, old_only text);
CREATE TABLE ex_tgt (id int PRIMARY KEY, code text UNIQUE, v int, new_only text DEFAULT 'default',
	twice int GENERATED ALWAYS AS (v * 2) STORED);
INSERT INTO ex_src SELECT i, 'c' || i, 0, 'old ' || i FROM generate_series(1, 10) i;
SELECT migrate_create('ex') > 0 AS created;
SELECT migrate_map('ex', 'ex_src', 'ex_tgt', '{"id": "id", "code": "code", "v": "v"}', filter => 'v < 100') > 0 AS mapped;
SELECT migrate_set('ex', 'sync_interval', '0');
SELECT migrate_start('ex');
CALL migrate_run('ex');
UPDATE ex_tgt SET new_only = 'new ' || id;

-- in one statement: done at once, and the columns that are not mapped stay
UPDATE ex_src SET v = id, code = 'c' || id % 10 + 1;
UPDATE ex_src SET code = CASE id WHEN 1 THEN 'c3' WHEN 2 THEN 'c2' END, v = v + id * 99 WHERE id IN (1, 2);
SELECT count(*) AS pending FROM migrate_ext.dirty_key;
SELECT missing, extra, different FROM migrate_verify('ex');
TABLE ex_tgt ORDER BY id;
-- in several: left to a sync
BEGIN;
SET CONSTRAINTS ex_code DEFERRED;
UPDATE ex_src SET code = 'c5' WHERE id = 5;
UPDATE ex_src SET code = 'c6' WHERE id = 4;
UPDATE ex_src SET code = 'c8' WHERE id = 8;
UPDATE ex_src SET code = 'c9' WHERE id = 7;
COMMIT;
SELECT key, reason, sqlstate FROM migrate_ext.dirty_key ORDER BY 1;
SELECT migrate_sync('ex');
SELECT missing, extra, different, pending FROM migrate_verify('ex');
SELECT * FROM ex_tgt WHERE id IN (4, 5, 7, 8) ORDER BY id;
-- on the way back the columns of the old side that are not mapped stay, too
SELECT migrate_cutover('ex', 'switch', force => true, reason => 'test');
ALTER TABLE ex_tgt DROP CONSTRAINT ex_tgt_code_key, ADD CONSTRAINT ex_tgt_code UNIQUE (code) DEFERRABLE;
ALTER TABLE ex_src DROP CONSTRAINT ex_code, ADD UNIQUE (code);
UPDATE ex_tgt SET code = CASE id WHEN 6 THEN 'c10' ELSE 'c7' END WHERE id IN (6, 9);
SELECT count(*) AS pending FROM migrate_ext.dirty_key;
SELECT * FROM ex_src WHERE id IN (6, 9) ORDER BY id;
BEGIN;
SET CONSTRAINTS ex_tgt_code DEFERRED;
UPDATE ex_tgt SET code = 'c7' WHERE id = 6;
UPDATE ex_tgt SET code = 'c10' WHERE id = 9;
COMMIT;
SELECT count(*) AS pending FROM migrate_ext.dirty_key;
SELECT migrate_sync('ex');
SELECT * FROM ex_src WHERE id IN (6, 9) ORDER BY id;
SELECT missing, extra, different, pending FROM migrate_verify('ex');
SELECT migrate_rollback('ex');
SELECT migrate_drop('ex');

-- a circle that is longer than a batch; the sync takes rows that are in the way of others away
CREATE TABLE ring_src (id int PRIMARY KEY, code text CONSTRAINT ring_code UNIQUE DEFERRABLE);
CREATE TABLE ring_tgt (id int PRIMARY KEY, code text UNIQUE);
INSERT INTO ring_src SELECT i, 'c' || i FROM generate_series(1, 1200) i;
SELECT migrate_create('ring') > 0 AS created;
SELECT migrate_map('ring', 'ring_src', 'ring_tgt', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('ring', 'sync_interval', '0');
SELECT migrate_start('ring');
CALL migrate_run('ring');
UPDATE ring_src SET code = 'c' || id % 1200 + 1;
SELECT migrate_sync('ring');
SELECT missing, extra, different, pending FROM migrate_verify('ring');
-- a sync worker does it, too
UPDATE ring_src SET code = 'c' || (id + 17) % 1200 + 1;
SELECT migrate_set('ring', 'sync_interval', '50ms');
DO $$
BEGIN
	FOR i IN 1..300 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.dirty_key);
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SELECT missing, extra, different, pending FROM migrate_verify('ring');
SELECT count(*) FROM migrate_ext.event WHERE migration = 'ring' AND kind = 'alarm';
SELECT migrate_set('ring', 'sync_interval', '0');

-- a value that two source rows have: they wait in the queue until it is mended
ALTER TABLE ring_src DROP CONSTRAINT ring_code;
UPDATE ring_src SET code = 'c1' WHERE id IN (1, 2);
SELECT migrate_sync('ring');
SELECT count(*) FROM ring_tgt WHERE id IN (1, 2);
SELECT sqlstate FROM migrate_ext.dirty_key;
SELECT missing, extra, different, pending FROM migrate_verify('ring');
UPDATE ring_src SET code = 'c1' || id WHERE id IN (1, 2);
UPDATE ring_src SET code = 'd' || id;
SELECT migrate_sync('ring');
SELECT missing, extra, different, pending FROM migrate_verify('ring');

-- rows of another table that follow a deleted one: nothing is taken away for a moment, and none of them is lost
CREATE TABLE ring_child (id int REFERENCES ring_tgt ON DELETE CASCADE);
INSERT INTO ring_child VALUES (1), (2), (3);
UPDATE ring_src SET code = CASE id WHEN 1 THEN 'd2' ELSE 'd1' END WHERE id IN (1, 2);
SELECT migrate_sync('ring');
SELECT count(*) FROM ring_child;
SELECT migrate_sync('ring');
DELETE FROM ring_child;
ALTER TABLE ring_child DROP CONSTRAINT ring_child_id_fkey;
SELECT migrate_sync('ring');
SELECT missing, extra, different, pending FROM migrate_verify('ring');
SELECT migrate_rollback('ring');
SELECT migrate_drop('ring');
DROP TABLE ex_src, ex_tgt, ring_src, ring_tgt, ring_child;

-- A key that two rows have while a deferrable constraint allows it: what one of them leaves, the other one has.
CREATE TABLE tw_src (id int, v text, shown bool DEFAULT true, PRIMARY KEY (id) DEFERRABLE);
CREATE TABLE tw_tgt (id int PRIMARY KEY, v text);
CREATE TABLE tw_part (LIKE tw_tgt INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE tw_part_p PARTITION OF tw_part DEFAULT;
INSERT INTO tw_src VALUES (1, 'x'), (2, 'z'), (3, 'p');
SELECT migrate_create('tw') > 0 AS created;
SELECT migrate_map('tw', 'tw_src', 'tw_tgt', filter => 'shown') > 0 AS mapped;
SELECT migrate_map('tw', 'tw_src', 'tw_part', filter => 'shown') > 0 AS mapped;
SELECT migrate_start('tw');
CALL migrate_run('tw');
CREATE FUNCTION tw_check() RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN EXISTS ((SELECT id, v FROM tw_src WHERE shown EXCEPT ALL TABLE tw_tgt) UNION ALL (TABLE tw_tgt EXCEPT ALL SELECT id, v FROM tw_src WHERE shown)
		UNION ALL (TABLE tw_part EXCEPT ALL TABLE tw_tgt) UNION ALL (TABLE tw_tgt EXCEPT ALL TABLE tw_part)) THEN 'wrong' ELSE 'ok' END $$;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO tw_src VALUES (1, 'y');
DELETE FROM tw_src WHERE v = 'y';
COMMIT;
SELECT tw_check(), count(*) FROM migrate_ext.dirty_key;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE tw_src SET id = 1, v = 'w' WHERE id = 2;
UPDATE tw_src SET id = 2 WHERE v = 'w';
COMMIT;
SELECT tw_check(), count(*) FROM migrate_ext.dirty_key;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE tw_src SET id = 1, v = 'q' WHERE id = 2;
UPDATE tw_src SET id = 2, v = 'moved' WHERE v = 'x';
COMMIT;
SELECT tw_check(), count(*) FROM migrate_ext.dirty_key;
-- one of the two does not pass the filter
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO tw_src VALUES (3, 'hidden', false);
UPDATE tw_src SET v = 'hidden still' WHERE v = 'hidden';
DELETE FROM tw_src WHERE v = 'hidden still';
INSERT INTO tw_src VALUES (3, 'shown');
UPDATE tw_src SET shown = false WHERE v = 'shown';
UPDATE tw_src SET id = 4 WHERE v = 'shown';
COMMIT;
SELECT tw_check(), count(*) FROM migrate_ext.dirty_key;
SELECT missing, extra, different, pending FROM migrate_verify('tw');
SELECT migrate_rollback('tw');
SELECT migrate_drop('tw');
DROP FUNCTION tw_check();
DROP TABLE tw_src, tw_tgt, tw_part;
