-- Rows that the target refuses are put aside, and accounted for; rules say which rows are not to be moved.
SET client_min_messages = warning;
CREATE TABLE q_parent (p int PRIMARY KEY);
INSERT INTO q_parent SELECT i FROM generate_series(0, 4) i;
CREATE TABLE q_source (id int PRIMARY KEY, n text, u text, p int, note text, memo text);
CREATE TABLE "q_o'Brien; --" (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), u varchar(8), p int REFERENCES q_parent, note text);
CREATE UNIQUE INDEX ON "q_o'Brien; --" (u);
CREATE TABLE q_second (id int PRIMARY KEY, memo text CHECK (memo <> 'not here'));
INSERT INTO q_source SELECT i, i::text, 'u' || i, i % 5, 'note', 'memo' FROM generate_series(1, 3000) i;
UPDATE q_source SET n = NULL WHERE id = 10;				-- not null
UPDATE q_source SET n = '-1' WHERE id = 11;				-- check
UPDATE q_source SET n = 'eleven' WHERE id = 1000;		-- cast
UPDATE q_source SET u = 'far too long' WHERE id = 1001;	-- length
UPDATE q_source SET u = 'u1500' WHERE id = 1501;		-- unique on another index
UPDATE q_source SET p = 99 WHERE id = 3000;				-- orphan
UPDATE q_source SET memo = 'not here' WHERE id IN (20, 1000);	-- only the second mapping refuses it; both do
VACUUM ANALYZE q_source;
SELECT migrate_create('q') > 0 AS created;
SELECT migrate_map('q', 'q_source', '"q_o''Brien; --"', '{"id": "id", "n": "n::int", "u": "u", "p": "p", "note": "note"}') AS a \gset
SELECT migrate_map('q', 'q_source', 'q_second') AS b \gset
SELECT migrate_start('q');
CALL migrate_run('q');
SELECT state, rejected_rows, flagged_rows, pending_keys, rows_written, error FROM migrate_progress('q');
SELECT mapping = :b AS second, key, action, rule, sqlstate, message, constraint_name, source_row FROM migrate_rejected('q') ORDER BY 1, (key ->> 'id')::int;
SELECT mapping = :b AS second, source_rows, target_rows, rejected, filtered, pending, missing, extra, different, checksum_match FROM migrate_verify('q');
SELECT mapping = :b AS second, line, rows, explained FROM migrate_ledger('q') WHERE rows <> 0;
SELECT count(*), count(*) FILTER (WHERE id IN (10, 11, 1000, 1001, 1501, 3000)) FROM "q_o'Brien; --";
SELECT reason FROM migrate_ext.history WHERE migration = 'q' AND kind = 'alarm';
-- too many for the gate
SELECT criterion, threshold, measured, passed FROM migrate_gate('q', 'soak') WHERE criterion LIKE 'rejected%' ORDER BY 1;
SELECT migrate_set('q', 'max_rejected_rate', '0.01');
SELECT criterion, threshold, measured, passed FROM migrate_gate('q', 'soak') WHERE criterion LIKE 'rejected%' ORDER BY 1;

-- the application mends a row: nothing else is to be done
UPDATE q_source SET n = '10' WHERE id = 10;
SELECT rejected, pending, missing, extra, different, checksum_match FROM migrate_verify('q') LIMIT 1;
-- it changes one that is still refused: that does not hold anything up for long
UPDATE q_source SET note = 'changed' WHERE id = 11;
SELECT migrate_sync('q');
SELECT rejected, pending, missing, extra, different, checksum_match FROM migrate_verify('q') LIMIT 1;
-- it removes one
DELETE FROM q_source WHERE id = 1000;
SELECT rejected, pending, missing, extra, different, checksum_match FROM migrate_verify('q');
-- a cause is mended in the target: those rows are stored, the others stay
ALTER TABLE "q_o'Brien; --" DROP CONSTRAINT "q_o'Brien; --_n_check";
INSERT INTO q_parent VALUES (99);
SELECT migrate_retry_rejected('q');
SELECT mapping = :b AS second, key, sqlstate FROM migrate_rejected('q') ORDER BY 1, (key ->> 'id')::int;
SELECT rejected, pending, missing, extra, different, checksum_match FROM migrate_verify('q');
SELECT migrate_retry_rejected('q');

-- on the way back they are where they were: not an extra row of the old side, and nobody removes them
SELECT migrate_cutover('q', 'switch');
SELECT mapping > :a AS other, source_rows, target_rows, missing, extra, different, checksum_match FROM migrate_verify('q');
TRUNCATE q_second;
SELECT migrate_sync('q') >= 0 AS synced;
SELECT missing, extra, different, checksum_match FROM migrate_verify('q');
SELECT migrate_repair('q');
SELECT id, note, memo FROM q_source WHERE id IN (20, 1001, 1501) ORDER BY id;
SELECT migrate_rollback('q');
SELECT id, note, memo FROM q_source WHERE id IN (20, 1001, 1501) ORDER BY id;
SELECT migrate_drop('q');
SELECT count(*) FROM migrate_ext.rejected_row;

-- more than may be: the job stops, with what it has; called again, it tries those again
TRUNCATE "q_o'Brien; --", q_second, q_source;
INSERT INTO q_source SELECT i, CASE WHEN i % 100 = 0 THEN 'x' || i ELSE i::text END, 'u' || i, i % 5, 'note' FROM generate_series(1, 3000) i;
VACUUM ANALYZE q_source;
SELECT migrate_create('q') > 0 AS created;
SELECT migrate_map('q', 'q_source', '"q_o''Brien; --"', '{"id": "id", "n": "n::int", "u": "u", "p": "p", "note": "note"}') AS a \gset
SELECT migrate_set('q', 'max_rejects', '20');
SELECT migrate_set('q', 'batch_rows', '100');
SELECT migrate_start('q');
\set VERBOSITY terse
CALL migrate_run('q');
SELECT state, rejected_rows BETWEEN 18 AND 20 AS some, error FROM migrate_progress('q');
SELECT error_sqlstate, error_context ~ '^copying blocks \d+ to \d+ of public.q_source$' AS place FROM migrate_ext.job ORDER BY job_id DESC LIMIT 1;
SELECT migrate_retry_rejected('q');
UPDATE q_source SET n = substr(n, 2) WHERE n LIKE 'x%' AND id <= 1500;
CALL migrate_run('q');
SELECT state, rejected_rows, error FROM migrate_progress('q');
SELECT rejected, pending, missing, extra, different, checksum_match FROM migrate_verify('q');
SELECT migrate_rollback('q');
-- none may be: the error is that of the row
TRUNCATE "q_o'Brien; --";
SELECT migrate_set('q', 'max_rejects', '0');
SELECT migrate_start('q');
CALL migrate_run('q');
\set VERBOSITY default
SELECT state, rejected_rows, error FROM migrate_progress('q');
-- what is not the fault of a row is no row's fault
SELECT migrate_set('q', 'max_rejects', '1000');
CREATE FUNCTION q_broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM FROM nowhere; RETURN NEW; END';
CREATE TRIGGER broken BEFORE INSERT ON "q_o'Brien; --" FOR EACH ROW EXECUTE FUNCTION q_broken();
\set VERBOSITY terse
CALL migrate_run('q');
\set VERBOSITY default
SELECT state, rejected_rows FROM migrate_progress('q');
SELECT migrate_rollback('q');
SELECT migrate_drop('q');
DROP TABLE "q_o'Brien; --", q_second, q_source, q_parent;
DROP FUNCTION q_broken;

-- rows that a foreign key of their own table puts in no order
CREATE TABLE q_tree (id int PRIMARY KEY, parent int);
CREATE TABLE q_tree_new (id int PRIMARY KEY, parent int REFERENCES q_tree_new);
INSERT INTO q_tree SELECT i, CASE WHEN i < 2000 THEN i + 1 END FROM generate_series(1, 2000) i;
VACUUM ANALYZE q_tree;
SELECT migrate_create('t') > 0 AS created;
SELECT migrate_map('t', 'q_tree', 'q_tree_new') > 0 AS mapped;
SELECT migrate_set('t', 'batch_rows', '500');
SELECT migrate_start('t');
CALL migrate_run('t');
SELECT state, rejected_rows, pending_keys FROM migrate_progress('t');
SELECT rejected, missing, extra, different, checksum_match FROM migrate_verify('t');
SELECT migrate_rollback('t');
SELECT migrate_drop('t');
DROP TABLE q_tree, q_tree_new;

-- rules
CREATE TABLE q_rows (id int PRIMARY KEY, kind text, v int);
CREATE TABLE q_rows_new (id int PRIMARY KEY, kind text, v int);
INSERT INTO q_rows SELECT i, CASE i % 10 WHEN 0 THEN 'test' WHEN 1 THEN NULL ELSE 'real' END, i FROM generate_series(1, 1000) i;
SELECT migrate_create('r') > 0 AS created;
SELECT migrate_map('r', 'q_rows', 'q_rows_new', filter => 'id > 100') AS m \gset
SELECT migrate_add_rule('r', :m, 'no "test"; rows', $$kind = 'test'$$) > 0 AS rule;
SELECT migrate_add_rule('r', :m, 'large', 'src.v > 995', 'flag') > 0 AS rule;
\set VERBOSITY terse
SELECT migrate_add_rule('r', :m, 'large', 'v > 1');
SELECT migrate_add_rule('r', :m, 'x', 'nonsense > 1');
SELECT migrate_add_rule('r', :m, 'x', 'v + 1');
SELECT migrate_add_rule('r', :m, 'x', 'random() > 0.5');
SELECT migrate_add_rule('r', :m, 'x', 'v > 1', 'drop');
SELECT migrate_add_rule('r', :m, '', 'v > 1');
SELECT migrate_add_rule('r', :m, 'x', NULL);
SELECT migrate_add_rule('r', 0, 'x', 'v > 1');
SELECT migrate_add_rule('nope', :m, 'x', 'v > 1');
\set VERBOSITY default
SELECT migrate_start('r');
CALL migrate_run('r');
SELECT rejected_rows, flagged_rows FROM migrate_progress('r');
SELECT action, rule, count(*), min((key ->> 'id')::int), bool_and(source_row ->> 'v' = key ->> 'id') FROM migrate_rejected('r') GROUP BY 1, 2 ORDER BY 1;
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('r');
SELECT migrate_report('r') ~ '\| rule \| no "test"; rows \| reject \|' AS rule, migrate_report('r') ~ '\| flag \| large \|  \|  \| 5 \|' AS listed;
-- rows enter a rule and leave it
UPDATE q_rows SET kind = 'test' WHERE id = 999;
UPDATE q_rows SET kind = 'real' WHERE id IN (990, 1000);
INSERT INTO q_rows VALUES (2000, 'test', 1);
SELECT id, kind FROM q_rows_new WHERE id > 985 AND id % 10 IN (0, 9) ORDER BY id;
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('r');
SELECT migrate_retry_rejected('r');
SELECT action, count(*) FROM migrate_rejected('r') GROUP BY 1 ORDER BY 1;
-- one that comes later is followed, too
SELECT migrate_add_rule('r', :m, 'odd', 'id % 2 = 1 AND id < 200') > 0 AS rule;
SELECT migrate_sync('r') > 0 AS settled;
SELECT source_rows, target_rows, filtered, rejected, missing, extra, different, checksum_match FROM migrate_verify('r');
SELECT count(*) FROM migrate_rejected('r') WHERE rule = 'odd';
-- the way back answers only for what went forward
SELECT migrate_set('r', 'max_rejected_rate', '1');
SELECT passed FROM migrate_gate('r', 'soak') WHERE criterion LIKE 'rejected%';
SELECT checksum_match FROM migrate_verify('r');
SELECT migrate_cutover('r', 'switch');
SELECT target_rows, missing, extra, different, checksum_match FROM migrate_verify('r');
UPDATE q_rows_new SET v = -1 WHERE id = 152;
SELECT v FROM q_rows WHERE id IN (152, 150) ORDER BY id;
\set VERBOSITY terse
SELECT migrate_add_rule('r', :m, 'late', 'v > 1');
\set VERBOSITY default
SELECT migrate_rollback('r');
SELECT count(*) FROM q_rows;
SELECT migrate_drop('r');
DROP TABLE q_rows, q_rows_new;

-- in place there is no place without the row
CREATE TABLE q_place (id int PRIMARY KEY, old text, new int);
INSERT INTO q_place VALUES (1, '1'), (2, 'two');
SELECT migrate_create('p') > 0 AS created;
SELECT migrate_map('p', 'q_place', 'q_place', '{"new": "old::int"}') AS m \gset
\set VERBOSITY terse
SELECT migrate_add_rule('p', :m, 'x', $$old = 'two'$$);
SELECT migrate_start('p');
CALL migrate_run('p');
\set VERBOSITY default
SELECT migrate_rollback('p');
SELECT migrate_drop('p');
DROP TABLE q_place;
