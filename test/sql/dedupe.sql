-- Several source rows with one key of the target: the first in the order of dedupe_by is moved.
CREATE SCHEMA dedupe;
SET search_path = dedupe, public;
CREATE TABLE users (id bigint PRIMARY KEY, email text, name text, seen int, active boolean);
CREATE TABLE people (email text PRIMARY KEY, user_id bigint NOT NULL UNIQUE, name text, whole text);
CREATE FUNCTION describe(users) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1.id || '/' || $1.seen $$;
-- the first that a copy meets is never the one that is moved
INSERT INTO users SELECT i, CASE WHEN i % 3 = 0 THEN 'U' ELSE 'u' END || (i % 70) || '@x', 'n' || i, i % 13, i % 20 <> 0
	FROM generate_series(1, 200) i;
INSERT INTO users VALUES (900, 'alone@x', 'alone', 1, true), (901, 'tie@x', 'second', NULL, true), (899, 'tie@x', 'first', NULL, true),
	(902, 'reject@x', 'left', 1, true), (903, 'reject@x', 'rejected', 9, true);

-- what must be in the target, written by hand
CREATE VIEW wanted AS SELECT DISTINCT ON (lower(email)) lower(email) AS email, id AS user_id, name, describe(users) AS whole
	FROM users WHERE active AND name IS DISTINCT FROM 'rejected' ORDER BY lower(email), seen DESC NULLS LAST, id;
CREATE VIEW wanted_duplicates AS SELECT lower(email) AS email, id FROM users u
	WHERE active AND name IS DISTINCT FROM 'rejected' AND id NOT IN (SELECT user_id FROM wanted);
CREATE VIEW verdict AS SELECT
	(SELECT count(*) FROM ((TABLE wanted EXCEPT TABLE people) UNION ALL (TABLE people EXCEPT TABLE wanted)) x) AS wrong,
	(SELECT count(*) FROM (
		(SELECT email, id FROM wanted_duplicates EXCEPT SELECT key ->> 'email', (source_row ->> 'id')::bigint FROM migrate_rejected('dedupe') WHERE action = 'duplicate')
		UNION ALL (SELECT key ->> 'email', (source_row ->> 'id')::bigint FROM migrate_rejected('dedupe') WHERE action = 'duplicate'
			EXCEPT ALL SELECT email, id FROM wanted_duplicates)) x) AS wrongly_listed,
	(SELECT count(*) FROM wanted_duplicates) AS duplicates;

SELECT migrate_create('dedupe') > 0 AS created;
-- refused
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => '1');
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => 'seen DESC, random()');
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => 'seen USING >');
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => 'seen LIMIT 1');
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => 'seen, nowhere');
SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id"}', dedupe_by => 'seen; DROP TABLE users');
SELECT migrate_map('dedupe', 'users', 'users', '{"name": "lower(email)"}', dedupe_by => 'seen');

SELECT migrate_map('dedupe', 'users', 'people', '{"email": "lower(email)", "user_id": "id", "name": "name", "whole": "describe(src)"}',
	filter => 'active', dedupe_by => 'seen DESC NULLS LAST') AS m \gset
SELECT dedupe_by, dedupe_order FROM migrate_ext.mapping WHERE mapping_id = :m;
SELECT migrate_add_rule('dedupe', :m, 'dedupe_by', 'id = 1');
SELECT migrate_add_rule('dedupe', :m, 'no', $$name = 'rejected'$$) > 0 AS ruled;
SELECT severity, subject, finding FROM migrate_assess('dedupe') WHERE severity <> 'info';
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
TABLE verdict;
SELECT source_rows, target_rows, filtered, rejected, deduplicated, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT line, rows, explained FROM migrate_ledger('dedupe');
SELECT rejected_rows, duplicate_rows FROM migrate_progress('dedupe');
SELECT key, source_row ->> 'id' AS id FROM migrate_rejected('dedupe') WHERE key ->> 'email' = 'tie@x';

-- the one that is moved goes; becomes less; leaves the filter; takes another key; another one passes it
DELETE FROM users WHERE id = (SELECT user_id FROM people WHERE email = 'u1@x');
UPDATE users SET seen = -1 WHERE id = (SELECT user_id FROM people WHERE email = 'u2@x');
UPDATE users SET active = false WHERE id = (SELECT user_id FROM people WHERE email = 'u3@x');
UPDATE users SET email = 'U5@X' WHERE id = (SELECT user_id FROM people WHERE email = 'u4@x');
UPDATE users SET seen = 99 WHERE id = (SELECT min(id) FROM wanted_duplicates WHERE email = 'u6@x');
DELETE FROM users WHERE lower(email) = 'u7@x';
INSERT INTO users VALUES (910, 'U8@x', 'new', 50, true), (911, 'other@x', 'new', 50, true), (912, 'OTHER@x', 'newer', 51, true);
-- a row beyond them, and one that meets the rule no more
UPDATE users SET name = 'rejected' WHERE id = 912;
UPDATE users SET name = 'let in' WHERE id = 903;
SELECT source_rows, target_rows, deduplicated, pending > 0 AS pending, missing, extra, different FROM migrate_verify('dedupe');
SELECT migrate_sync('dedupe') > 0 AS synced;
TABLE verdict;
SELECT source_rows, target_rows, filtered, rejected, deduplicated, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');

-- many changes at random, in small transactions
DO $$
BEGIN
	PERFORM setseed(0.5);
	FOR i IN 1..300 LOOP
		CASE (random() * 4)::int
			WHEN 0 THEN DELETE FROM users WHERE id = (random() * 200)::int;
			WHEN 1 THEN UPDATE users SET seen = (random() * 20)::int WHERE id BETWEEN i AND i + 2;
			WHEN 2 THEN UPDATE users SET email = 'u' || (random() * 90)::int || '@x' WHERE id = (random() * 200)::int;
			WHEN 3 THEN INSERT INTO users SELECT 1000 + i, 'u' || (random() * 90)::int || '@x', 'r' || i, (random() * 20)::int, true;
			ELSE UPDATE users SET active = NOT active WHERE id = (random() * 200)::int;
		END CASE;
		IF i % 25 = 0 THEN
			PERFORM migrate_sync('dedupe');
		END IF;
	END LOOP;
	PERFORM migrate_sync('dedupe');
END $$;
SELECT wrong, wrongly_listed, duplicates > 20 AS duplicates FROM verdict;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
-- damage is found, by the sketch and by ranges, and repaired
UPDATE people SET name = 'damaged' WHERE email = 'u10@x';
DELETE FROM people WHERE email = 'alone@x';
INSERT INTO people VALUES ('extra@x', -1, 'extra', '');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT kind, key, columns FROM migrate_divergence('dedupe') ORDER BY 1;
SELECT migrate_repair('dedupe');
SELECT count(*) FROM migrate_ext.dirty_key;
SELECT wrong, wrongly_listed FROM verdict;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT reads > 0 AS read, mismatches FROM migrate_shadow_read('dedupe', 50);

-- after the cutover rows that lost their key stay on the old side, and are no difference
CREATE TABLE before_cutover AS SELECT id FROM wanted_duplicates;
SELECT migrate_cutover('dedupe', 'switch', force => true, reason => 'a row is rejected');
UPDATE people SET name = 'after' WHERE email = 'u11@x';
DELETE FROM people WHERE email = 'u12@x';
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT count(*) AS lost FROM before_cutover WHERE id NOT IN (SELECT id FROM users);
SELECT name FROM users WHERE id = (SELECT user_id FROM people WHERE email = 'u11@x');
-- back, and forth again: the list is that of the rows as they are now
SELECT migrate_rollback('dedupe');
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
SELECT wrong, wrongly_listed FROM verdict;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
TRUNCATE users;
SELECT migrate_sync('dedupe') > 0 AS synced;
SELECT wrong, wrongly_listed, duplicates, (SELECT count(*) FROM people) AS people FROM verdict;
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- no key at all on the source, partitions, a composite key, rows that are the same: whichever is moved
CREATE TABLE log (day date, kind text, n int, note text) PARTITION BY RANGE (day);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE log_2 (note text, n int, kind text, day date);
ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE last_log (month date, kind text, n int, note text, PRIMARY KEY (month, kind));
INSERT INTO log SELECT date '2026-01-01' + i % 59, 'k' || i % 2, i % 2, 'x' || i % 11 FROM generate_series(1, 500) i;
INSERT INTO log SELECT * FROM log LIMIT 100;
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'log', 'last_log', '{"month": "date_trunc(''month'', day)", "kind": "kind", "n": "n", "note": "note"}',
	dedupe_by => 'day DESC, n') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
SELECT source_rows, target_rows, deduplicated, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
DELETE FROM log WHERE (day, kind) IN (SELECT max(day), kind FROM log GROUP BY kind, date_trunc('month', day));
SELECT migrate_sync('dedupe') > 0 AS synced;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT count(*) AS wrong FROM (SELECT DISTINCT ON (date_trunc('month', day), kind) kind, day, n FROM log ORDER BY date_trunc('month', day), kind, day DESC, n) w
	FULL JOIN last_log t ON t.kind = w.kind AND t.month = date_trunc('month', w.day)::date WHERE t.n IS DISTINCT FROM w.n;
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');
-- rows that lose come and go with a partition: the list follows where nothing else changes
TRUNCATE log;
INSERT INTO log VALUES ('2026-01-01', 'a', 1), ('2026-02-01', 'a', 2), ('2026-01-01', 'b', 3), ('2026-01-02', 'b', 4), ('2026-02-02', 'b', 5);
CREATE TABLE first_log (kind text PRIMARY KEY, n int);
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'log', 'first_log', '{"kind": "kind", "n": "n"}', dedupe_by => 'day') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
CREATE VIEW listed AS SELECT string_agg(key ->> 'kind' || (source_row ->> 'n'), ' ' ORDER BY source_row ->> 'n') AS lost, (SELECT string_agg(kind || n, ' ' ORDER BY n) FROM first_log) AS moved
	FROM migrate_rejected('dedupe') WHERE action = 'duplicate';
TABLE listed;
SET client_min_messages = warning;
ALTER TABLE log DETACH PARTITION log_2;
SELECT migrate_sync('dedupe');
TABLE listed;
ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT migrate_sync('dedupe');
TABLE listed;
RESET client_min_messages;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- a copy that is stopped halfway: what is written, or moved to other places, before it goes on
CREATE TABLE visit (id int PRIMARY KEY, who int, note text);
CREATE TABLE visitor (who int PRIMARY KEY, id int, note text) WITH (autovacuum_enabled = off);
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the copy stops here' USING ERRCODE = 'object_not_in_prerequisite_state'; END $$;
CREATE VIEW wanted_visitors AS SELECT DISTINCT ON (who) who, id, note FROM visit WHERE who IS NOT NULL ORDER BY who, id % 3, id;
CREATE VIEW visit_verdict AS SELECT
	(SELECT count(*) FROM ((TABLE wanted_visitors EXCEPT TABLE visitor) UNION ALL (TABLE visitor EXCEPT TABLE wanted_visitors)) x) AS wrong,
	(SELECT count(*) FROM ((SELECT id FROM visit WHERE who IS NOT NULL EXCEPT SELECT id FROM wanted_visitors) EXCEPT ALL
		SELECT (source_row ->> 'id')::int FROM migrate_rejected('dedupe') WHERE action = 'duplicate') x) AS not_listed,
	(SELECT count(*) FROM (SELECT (source_row ->> 'id')::int FROM migrate_rejected('dedupe') WHERE action = 'duplicate' EXCEPT ALL
		(SELECT id FROM visit WHERE who IS NOT NULL EXCEPT SELECT id FROM wanted_visitors)) x) AS wrongly_listed,
	(SELECT count(*) FROM migrate_ext.job_duplicate) AS noted;
INSERT INTO visit SELECT i, i % 1000, CASE WHEN i = 1500 THEN 'stop' ELSE 'n' || i END FROM generate_series(1, 3000) i;
-- these have no key to lose
INSERT INTO visit VALUES (5001, NULL, 'nobody'), (5002, NULL, 'nobody');
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'visit', 'visitor', dedupe_by => 'id % 3') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set, migrate_set('dedupe', 'batch_rows', '100..100') IS NOT NULL AS batch;
SELECT migrate_start('dedupe');
CREATE TRIGGER stop BEFORE INSERT ON visitor FOR EACH ROW WHEN (NEW.note = 'stop') EXECUTE FUNCTION stop();
\set VERBOSITY terse
CALL migrate_run('dedupe');
\set VERBOSITY default
SELECT step FROM migrate_progress('dedupe');
SELECT count(*) BETWEEN 200 AND 800 AS halfway, count(*) FILTER (WHERE NOT EXISTS (SELECT FROM wanted_visitors w WHERE w.id = v.id)) AS of_losers FROM visitor v;
SELECT count(*) AS noted FROM migrate_ext.job_duplicate;
-- a row that is moved goes; a row that loses goes, and a new one takes its place
DELETE FROM visit WHERE id = (SELECT id FROM wanted_visitors WHERE who = 700);
DELETE FROM visit WHERE who = 800 AND id NOT IN (SELECT id FROM wanted_visitors);
VACUUM visit;
INSERT INTO visit VALUES (6001, 6001, 'in its place'), (6002, 6002, 'in its place');
DROP TRIGGER stop ON visitor;
CALL migrate_run('dedupe');
TABLE visit_verdict;
SELECT key, sqlstate FROM migrate_rejected('dedupe') WHERE action = 'reject';
SELECT migrate_rollback('dedupe');
-- once more, given up and begun anew, and all rows get other places
DELETE FROM visit WHERE who IS NULL;
TRUNCATE visitor;
CREATE TRIGGER stop BEFORE INSERT ON visitor FOR EACH ROW WHEN (NEW.note = 'stop') EXECUTE FUNCTION stop();
SELECT migrate_start('dedupe');
\set VERBOSITY terse
CALL migrate_run('dedupe');
SELECT migrate_rollback('dedupe');
TRUNCATE visitor;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
\set VERBOSITY default
DELETE FROM visit WHERE id IN (1, 2, 3);
VACUUM FULL visit;
DROP TRIGGER stop ON visitor;
CALL migrate_run('dedupe');
TABLE visit_verdict;
-- and with nothing in the way, by several workers
SELECT migrate_rollback('dedupe');
TRUNCATE visitor;
SELECT migrate_start('dedupe');
SET client_min_messages = warning;
SELECT migrate_backfill('dedupe', workers => 3) > 0 AS job;
CALL migrate_wait('dedupe', '60 s');
RESET client_min_messages;
TABLE visit_verdict;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- where no index finds the rows of a key the whole source is read for a batch of keys: it has more of them
CREATE TABLE wide (id int PRIMARY KEY, who int, pad text);
ALTER TABLE wide ALTER COLUMN pad SET STORAGE PLAIN;
INSERT INTO wide SELECT i, i, repeat('x', 7000) FROM generate_series(1, 4200) i;
CREATE TABLE narrow (who int PRIMARY KEY, id int);
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'wide', 'narrow', dedupe_by => 'id') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
CREATE TABLE statements (n serial);
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO dedupe.statements DEFAULT VALUES; RETURN NULL; END $$;
CREATE TRIGGER count_statement AFTER INSERT ON narrow FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
UPDATE wide SET id = -id WHERE id <= 1400;
SELECT migrate_sync('dedupe');
SELECT count(*) AS batches FROM statements;
CREATE INDEX ON wide (who);
ANALYZE wide;
UPDATE wide SET id = -id WHERE id < 0;
SELECT migrate_sync('dedupe');
SELECT count(*) - 1 AS batches FROM statements;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- keys that are equal and not the same
CREATE TABLE price (id int PRIMARY KEY, amount numeric);
CREATE TABLE amount (amount numeric PRIMARY KEY, id int);
INSERT INTO price VALUES (1, 1.0), (2, 1.00), (3, 1.000), (4, 2);
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'price', 'amount', dedupe_by => 'id DESC') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
INSERT INTO price VALUES (5, 1);
SELECT migrate_sync('dedupe');
TABLE amount;
SELECT key, source_row FROM migrate_rejected('dedupe') ORDER BY source_row;
DELETE FROM price WHERE id IN (3, 5);
SELECT migrate_sync('dedupe');
TABLE amount;
SELECT key, source_row FROM migrate_rejected('dedupe') ORDER BY source_row;
SELECT deduplicated, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SET client_min_messages = warning;
SELECT count(*) FROM migrate_verify('dedupe', 'range');
CALL migrate_wait('dedupe', '60 s');
RESET client_min_messages;
SELECT source_rows, deduplicated, target_rows, checksum_match FROM migrate_ext.verifications WHERE migration = 'dedupe' AND method = 'range';
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- keys that the migration gives itself: rows that nobody has seen yet have none to lose
CREATE TABLE guest (id int PRIMARY KEY, code text, v text);
CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text, v text);
INSERT INTO guest SELECT i, 'c' || i % 10, 'v' || i FROM generate_series(1, 100) i;
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'guest', 'person', columns => $${"id": "migrate_lookup('dedupe', NULL, code)", "code": "code", "v": "v"}$$, dedupe_by => 'id DESC') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
SELECT string_agg(v, ' ' ORDER BY v) AS moved FROM person;
SELECT count(*) AS listed FROM migrate_rejected('dedupe') WHERE action = 'duplicate';
SELECT source_rows, deduplicated, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- children of a source: its primary key does not tell their rows from its own, and they have columns that it has not
CREATE TABLE message (id int PRIMARY KEY, who int, note text);
CREATE TABLE mail (subject text) INHERITS (message);
CREATE TABLE latest (who int PRIMARY KEY, id int, note text);
INSERT INTO message SELECT i, i % 100, 'p' || i FROM generate_series(1, 3000) i;
INSERT INTO mail SELECT i, i % 100, 'c' || i, 'hello' FROM generate_series(1, 3000) i;
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'message', 'latest', dedupe_by => 'id % 5') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
SELECT count(*), count(DISTINCT source_row), count(*) FILTER (WHERE source_row ? 'subject') AS with_more FROM migrate_rejected('dedupe') WHERE action = 'duplicate';
UPDATE message SET note = note || '!' WHERE who < 50 AND id > 2000;
SELECT migrate_sync('dedupe');
SELECT count(*), count(DISTINCT source_row), count(*) FILTER (WHERE source_row ? 'subject') AS with_more FROM migrate_rejected('dedupe') WHERE action = 'duplicate';
SELECT source_rows, deduplicated, target_rows, pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- a key of the target that finds more equal than the source's column does
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE word (id int PRIMARY KEY, a text UNIQUE);
CREATE TABLE any_word (a text COLLATE ci PRIMARY KEY, id int);
INSERT INTO word VALUES (1, 'xa'), (2, 'XA'), (3, 'y');
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'word', 'any_word', dedupe_by => 'id') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
INSERT INTO word VALUES (4, 'Xa'), (5, 'Y');
DELETE FROM word WHERE id = 3;
SELECT migrate_sync('dedupe');
SELECT * FROM any_word ORDER BY id;
SELECT source_row FROM migrate_rejected('dedupe') ORDER BY source_row;
DELETE FROM word WHERE id = 1;
SELECT migrate_sync('dedupe');
SELECT * FROM any_word ORDER BY id;
SELECT source_row FROM migrate_rejected('dedupe') ORDER BY source_row;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');

-- where writes are queued some keys are pending at any moment: the cutover settles them, if it may
CREATE TABLE q (id int PRIMARY KEY, v text);
CREATE TABLE q_new (id int PRIMARY KEY, v varchar(9));
INSERT INTO q SELECT i, 'v' || i FROM generate_series(1, 100) i;
SELECT migrate_create('dedupe') > 0 AS created;
SELECT migrate_map('dedupe', 'q', 'q_new', capture => 'queue') > 0 AS mapped;
SELECT migrate_set('dedupe', 'sync_interval', '0') IS NOT NULL AS set;
SELECT migrate_start('dedupe');
CALL migrate_run('dedupe');
UPDATE q SET v = 'changed' WHERE id <= 3;
INSERT INTO q VALUES (101, 'new');
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT criterion, threshold, measured, passed FROM migrate_gate('dedupe', 'soak') WHERE criterion ~ '^(dirty|verif)';
SELECT migrate_cutover('dedupe', 'switch');
SELECT migrate_set('dedupe', 'max_pending_keys', '3');
SELECT criterion, threshold, measured, passed FROM migrate_gate('dedupe', 'soak') WHERE criterion ~ '^(dirty|verif)';
SELECT migrate_set('dedupe', 'max_pending_keys', '4');
-- not one that stands for any key, for which the cutover would read both tables; not one that cannot be settled, nor a difference
INSERT INTO migrate_ext.dirty_key (mapping_id, reason) SELECT mapping_id, 'reconcile' FROM migrate_ext.mapping WHERE direction = 'forward';
SELECT migrate_set('dedupe', 'max_pending_keys', '5');
SELECT criterion, threshold, measured, passed FROM migrate_gate('dedupe', 'soak') WHERE criterion ~ '^dirty';
SELECT migrate_set('dedupe', 'max_pending_keys', '4');
DELETE FROM migrate_ext.dirty_key WHERE key IS NULL;
UPDATE q SET v = 'far too long for it' WHERE id = 3;
SELECT migrate_sync('dedupe');
UPDATE q SET v = 'again' WHERE id = 1;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT criterion, threshold, measured, passed FROM migrate_gate('dedupe', 'soak') WHERE criterion ~ '^(dirty|verif)';
UPDATE q SET v = 'fits' WHERE id = 3;
SELECT migrate_sync('dedupe');
UPDATE q SET v = 'again' WHERE id = 2;
UPDATE q_new SET v = 'damage' WHERE id = 50;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT criterion, measured, passed FROM migrate_gate('dedupe', 'soak') WHERE criterion ~ '^(dirty|verif)';
UPDATE q_new SET v = 'v50' WHERE id = 50;
SELECT pending, missing, extra, different, checksum_match FROM migrate_verify('dedupe');
SELECT migrate_cutover('dedupe', 'switch');
SELECT * FROM q EXCEPT SELECT * FROM q_new;
SELECT migrate_rollback('dedupe');
SELECT migrate_drop('dedupe');
SET client_min_messages = warning;
DROP SCHEMA dedupe CASCADE;
