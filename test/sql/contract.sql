-- The end of a migration in place: NOT NULL for what has replaced a column that has it, then the old columns go.
CREATE SCHEMA contract;
SET search_path = contract, public;
\set VERBOSITY terse
CREATE FUNCTION wait_for_worker() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..300 LOOP
		PERFORM FROM migrate_ext.stashed_object WHERE restored_at IS NULL AND error IS NULL;
		IF NOT FOUND THEN
			RETURN 'done';
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
	RETURN 'timed out';
END $$;
CREATE VIEW columns AS SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute
	WHERE attrelid = 'item'::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
CREATE VIEW checks AS SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'item'::text::regclass AND contype = 'c' ORDER BY 1;
CREATE TABLE place (p int PRIMARY KEY);
INSERT INTO place SELECT i FROM generate_series(0, 9) i;
-- cents has one successor; full_name has two; "o'Brien; --" is replaced by a name of 63 bytes
CREATE TABLE item (id int PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0), full_name text NOT NULL, "o'Brien; --" int NOT NULL DEFAULT 7 REFERENCES place,
	price numeric, first text, last text, "c234567890123456789012345678901234567890123456789012345678901x3" bigint, note text);
CREATE INDEX item_cents ON item (cents);
INSERT INTO item (id, cents, full_name) SELECT i, i, 'first' || i || ' last' || i FROM generate_series(1, 500) i;
\set columns '{"price": "cents / 100.0", "first": "split_part(full_name, '' '', 1)", "last": "split_part(full_name, '' '', 2)", "c234567890123456789012345678901234567890123456789012345678901x3": "\\"o''Brien; --\\""}'
\set reverse '{"cents": "(price * 100)::int", "full_name": "first || '' '' || last", "o''Brien; --": "c234567890123456789012345678901234567890123456789012345678901x3"}'
SELECT migrate_create('contract') > 0 AS created;
SELECT migrate_map('contract', 'item', 'item', :'columns', reverse => :'reverse') > 0 AS mapped;
SELECT migrate_set('contract', 'soak_time', '0'), migrate_set('contract', 'retention', '0');
SELECT subject, finding FROM migrate_assess('contract') WHERE subject LIKE '%item.%';
SELECT migrate_start('contract');
CALL migrate_run('contract');
SELECT missing, extra, different, checksum_match FROM migrate_verify('contract');
TABLE checks;
SELECT migrate_cutover('contract', 'switch');
-- at once for what is written now, for the others when a worker has looked at them
SELECT wait_for_worker();
TABLE checks;
TABLE columns;
SELECT kind, subject, statement, undo FROM migrate_ext.swap_step ORDER BY swap_step_id;
UPDATE item SET price = NULL WHERE id = 1;
-- back: as if nothing had been
SELECT migrate_rollback('contract');
TABLE checks;
UPDATE item SET price = NULL WHERE id = 1;
-- again, with a row that has nothing in the new column
SELECT migrate_start('contract');
CALL migrate_run('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT migrate_cutover('contract', 'switch');
SELECT wait_for_worker();
CREATE VIEW reader AS SELECT id, cents FROM item;
SELECT migrate_sign_off('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT criterion, measured, passed FROM migrate_gate('contract', 'done') WHERE criterion LIKE '%item.%' OR NOT passed;
SELECT migrate_cleanup('contract');
DROP VIEW reader;
SELECT migrate_cleanup('contract');
TABLE columns;
TABLE checks;
SELECT detail - 'locked_ms' AS detail FROM migrate_ext.history WHERE migration = 'contract' AND phase = 'done';
INSERT INTO item (id, price, first) VALUES (1000, 1, 'only');
INSERT INTO item (id, first) VALUES (1001, 'none');
SELECT count(*), count(price), sum(price) FROM item;
SELECT migrate_drop('contract');

-- the successor takes the name
DROP TABLE item;
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, n_new bigint, other text NOT NULL, other_new varchar(9));
INSERT INTO item SELECT i, i, NULL, 'o' || i FROM generate_series(1, 100) i;
SELECT migrate_create('contract') > 0 AS created;
SELECT migrate_map('contract', 'item', 'item', '{"n_new": "n", "other_new": "other"}', reverse => '{"n": "n_new::int", "other": "other_new"}') > 0 AS mapped;
SELECT migrate_set('contract', 'soak_time', '0'), migrate_set('contract', 'retention', '0'), migrate_set('contract', 'rename_columns', 'on');
SELECT migrate_start('contract');
CALL migrate_run('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT migrate_cutover('contract', 'switch');
SELECT wait_for_worker();
SELECT migrate_sign_off('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT migrate_cleanup('contract');
TABLE columns;
TABLE checks;
SELECT count(*), sum(n), max(other) FROM item;
SELECT migrate_drop('contract');

-- archived, or kept: no row needs a value there any more.  A null stays: the check is not validated, and the gate closed
DROP TABLE item;
CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, n_new bigint, n_archived int);
INSERT INTO item SELECT i, i FROM generate_series(1, 100) i;
SELECT migrate_create('contract') > 0 AS created;
SELECT migrate_map('contract', 'item', 'item', '{"n_new": "nullif(n, 50)"}', reverse => '{"n": "coalesce(n_new::int, 50)"}') > 0 AS mapped;
SELECT migrate_set('contract', 'soak_time', '0'), migrate_set('contract', 'retention', '0'), migrate_set('contract', 'old_side', 'archive');
SELECT migrate_start('contract');
CALL migrate_run('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT migrate_cutover('contract', 'switch');
SELECT wait_for_worker();
TABLE checks;
SELECT migrate_sign_off('contract');
SELECT checksum_match FROM migrate_verify('contract');
SELECT migrate_cleanup('contract');
SELECT migrate_cleanup('contract', force => true, reason => 'one may be null');
TABLE columns;
TABLE checks;
INSERT INTO item (id, n_new) VALUES (1000, 1);
SELECT migrate_drop('contract');
SET client_min_messages = warning;
DROP SCHEMA contract CASCADE;
