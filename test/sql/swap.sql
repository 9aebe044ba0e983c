-- Cutover by swap: what cannot be moved, and what is said about it.  What can is compared by dumps in test/t/022_swap.pl.
CREATE TABLE sp_users (id serial PRIMARY KEY, name text, age int);
CREATE TABLE sp_new (id int PRIMARY KEY, name text, age bigint);
INSERT INTO sp_users (name, age) SELECT 'n' || i, i FROM generate_series(1, 10) i;
CREATE VIEW sp_ages AS SELECT id, age FROM sp_users;
CREATE VIEW sp_names AS SELECT id, name FROM sp_users;
CREATE TABLE sp_refers (user_id int REFERENCES sp_users, name text);
ALTER TABLE sp_users ADD CONSTRAINT sp_key UNIQUE (name);
ALTER TABLE sp_refers ADD CONSTRAINT sp_by_name FOREIGN KEY (name) REFERENCES sp_users (name);
CREATE FUNCTION sp_full(sp_users) RETURNS text LANGUAGE sql AS 'SELECT $1.name';
CREATE FUNCTION sp_note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER sp_note BEFORE INSERT ON sp_users FOR EACH ROW EXECUTE FUNCTION sp_note();
CREATE MATERIALIZED VIEW sp_mat AS SELECT count(*) AS n FROM sp_users;
SELECT migrate_create('sp') > 0 AS created;
SELECT migrate_map('sp', 'sp_users', 'sp_new') > 0 AS mapped;
SELECT severity, subject, finding, regexp_replace(advice, 'VIEW .*', 'VIEW ...') AS advice FROM migrate_assess('sp') WHERE subject LIKE 'cutover%';
-- it keeps nobody from starting
SELECT migrate_start('sp');
CALL migrate_run('sp');
SELECT missing, extra, different, checksum_match FROM migrate_verify('sp');
SELECT criterion, threshold, measured FROM migrate_gate('sp') WHERE NOT passed;
SELECT migrate_cutover('sp');
-- with force it stays where it is
SELECT migrate_cutover('sp', force => true, reason => 'the report is rewritten next week');
SELECT detail ->> 'method' AS method, reason FROM migrate_ext.history WHERE migration = 'sp' ORDER BY event_id DESC LIMIT 1;
SELECT pg_get_viewdef('sp_ages') LIKE '%sp_new%' AS stays, pg_get_viewdef('sp_names') LIKE '%sp_users%' AS goes_over;
SELECT conname, confrelid::regclass FROM pg_constraint WHERE conrelid = 'sp_refers'::regclass AND contype = 'f' ORDER BY 1;
INSERT INTO sp_users VALUES (11, 'n11', 11);
SELECT * FROM sp_ages WHERE id = 11;
INSERT INTO sp_refers VALUES (11, 'n11');
\set VERBOSITY terse
INSERT INTO sp_new (name) VALUES ('stale');
\set VERBOSITY default
SELECT kind, subject, essential FROM migrate_ext.swap_step WHERE kind IN ('view', 'foreign key', 'name') ORDER BY swap_step_id;
SELECT migrate_rollback('sp');
SELECT * FROM sp_users WHERE id = 11;
SELECT conname, confrelid::regclass FROM pg_constraint WHERE conrelid = 'sp_refers'::regclass AND contype = 'f' ORDER BY 1;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sp_users'::regclass AND NOT tgisinternal AND tgenabled = 'O';

-- one that a table of ours would have to be renamed for is told before anything else
SELECT migrate_create('sp2') > 0 AS created;
CREATE TABLE sp_merged (id int PRIMARY KEY, name text);
CREATE TABLE sp_other (id int PRIMARY KEY, name text);
SELECT migrate_map('sp2', 'sp_other', 'sp_merged', filter => 'id < 10') > 0 AS mapped;
SELECT migrate_map('sp2', 'sp_refers', 'sp_merged', '{"id": "user_id", "name": "name"}', filter => 'user_id >= 10') > 0 AS mapped;
SELECT severity, subject, finding, advice FROM migrate_assess('sp2') WHERE subject LIKE 'cutover%';
SELECT migrate_cutover('sp2');
-- nothing is left behind that waits to be validated
DO $$ BEGIN
	FOR i IN 1..100 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.stashed_object WHERE restored_at IS NULL);
		PERFORM pg_sleep(0.1);
	END LOOP; END $$;
SELECT count(*) FROM migrate_ext.stashed_object WHERE restored_at IS NULL;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'sp_refers'::regclass AND contype = 'f' ORDER BY 1;
SELECT migrate_drop('sp');
SELECT migrate_drop('sp2');
DROP TABLE sp_users, sp_new, sp_refers, sp_merged, sp_other CASCADE;

-- a table that belongs to somebody else since it was mapped is neither swapped nor dropped
CREATE ROLE sp_owner;
CREATE ROLE sp_other;
GRANT ALL ON SCHEMA public TO sp_owner, sp_other;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO sp_owner;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO sp_owner;
SET ROLE sp_owner;
CREATE TABLE sp_mine (id int PRIMARY KEY);
CREATE TABLE sp_mine_new (id int PRIMARY KEY);
SELECT migrate_create('sp3') > 0 AS created;
SELECT migrate_map('sp3', 'sp_mine', 'sp_mine_new') > 0 AS mapped;
SELECT migrate_start('sp3');
CALL migrate_run('sp3');
SELECT checksum_match FROM migrate_verify('sp3');
RESET ROLE;
ALTER TABLE sp_mine OWNER TO sp_other;
SET ROLE sp_owner;
\set VERBOSITY terse
SELECT migrate_cutover('sp3', force => true, reason => 'test');
SELECT mapping IS NULL AS swap, errors -> 0 ->> 'message' AS error FROM migrate_rehearse('sp3') WHERE mapping IS NULL;
RESET ROLE;
ALTER TABLE sp_mine OWNER TO sp_owner;
SET ROLE sp_owner;
SELECT migrate_cutover('sp3');
RESET ROLE;
ALTER TABLE sp_mine_new OWNER TO sp_other;
SET ROLE sp_owner;
SELECT migrate_cleanup('sp3', true, 'test');
RESET ROLE;
\set VERBOSITY default
SELECT migrate_rollback('sp3');
SELECT migrate_drop('sp3');
DROP TABLE sp_mine, sp_mine_new;
REVOKE ALL ON SCHEMA public FROM sp_owner, sp_other;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM sp_owner;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA public FROM sp_owner;
DROP ROLE sp_owner, sp_other;
