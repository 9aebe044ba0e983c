-- What a dual write keeps for the session follows changes of all it is made of.
CREATE DOMAIN pc_domain AS text;
CREATE FUNCTION pc_suffix(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || ''-a''';
CREATE TABLE pc_source (id int PRIMARY KEY, v text, w text);
CREATE TABLE pc_target (id int PRIMARY KEY, v pc_domain, w text);
SELECT migrate_create('pc') > 0 AS created;
SELECT migrate_map('pc', 'pc_source', 'pc_target', '{"id": "id", "v": "v", "w": "pc_suffix(w)"}') > 0 AS mapped;
SELECT migrate_start('pc');
INSERT INTO pc_source VALUES (1, 'a', 'w');

-- a domain that had no checks, and whose casts the planner had dropped
ALTER DOMAIN pc_domain ADD CHECK (value <> 'b');
INSERT INTO pc_source VALUES (2, 'b', 'w');
-- a function that the planner had inlined
CREATE OR REPLACE FUNCTION pc_suffix(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || ''-b''';
INSERT INTO pc_source VALUES (3, 'c', 'w');
-- columns and defaults of the target
ALTER TABLE pc_target ADD COLUMN z int DEFAULT 5;
INSERT INTO pc_source VALUES (4, 'c', 'w');
ALTER TABLE pc_target ADD CHECK (z > 0), ALTER z SET DEFAULT -1;
INSERT INTO pc_source VALUES (5, 'c', 'w');
ALTER TABLE pc_target ALTER z SET DEFAULT 7, ALTER w TYPE varchar(3);
INSERT INTO pc_source VALUES (6, 'c', 'w');
ALTER TABLE pc_target ALTER w TYPE varchar(2);
INSERT INTO pc_source VALUES (7, 'c', 'w');
ALTER TABLE pc_target ALTER w TYPE text, ADD COLUMN doubled text GENERATED ALWAYS AS (w || w) STORED;
INSERT INTO pc_source VALUES (8, 'c', 'w');
-- triggers of the target that fire once a statement
CREATE TABLE pc_log (what text);
CREATE FUNCTION pc_note() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
	INSERT INTO pc_log VALUES (TG_OP || ' ' || TG_LEVEL);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON pc_target FOR EACH STATEMENT EXECUTE FUNCTION pc_note();
CREATE TRIGGER note_row AFTER INSERT OR UPDATE ON pc_target FOR EACH ROW EXECUTE FUNCTION pc_note();
UPDATE pc_source SET v = 'd' WHERE id IN (3, 4);
SELECT what, count(*) FROM pc_log GROUP BY 1 ORDER BY 1;
DROP TRIGGER note ON pc_target;
UPDATE pc_source SET v = 'e' WHERE id IN (3, 4);
SELECT what, count(*) FROM pc_log GROUP BY 1 ORDER BY 1;
DROP TRIGGER note_row ON pc_target;
-- row-level security of the target does not apply to its owner
ALTER TABLE pc_target ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON pc_target USING (false);
UPDATE pc_source SET v = 'f' WHERE id = 4;
ALTER TABLE pc_target DISABLE ROW LEVEL SECURITY;
-- the key's index
ALTER TABLE pc_target ADD CONSTRAINT other UNIQUE (id), DROP CONSTRAINT pc_target_pkey;
UPDATE pc_source SET v = 'g' WHERE id = 4;
ALTER EVENT TRIGGER migrate_ext_ddl_command_end DISABLE;
ALTER TABLE pc_target DROP CONSTRAINT other;
UPDATE pc_source SET v = 'h' WHERE id = 6;
ALTER TABLE pc_target ADD PRIMARY KEY (id);
ALTER EVENT TRIGGER migrate_ext_ddl_command_end ENABLE;
UPDATE pc_source SET v = 'i' WHERE id = 8;
-- a column that is read
ALTER TABLE pc_source ALTER v TYPE varchar(1);
UPDATE pc_source SET v = 'j' WHERE id = 1;

SELECT * FROM pc_target ORDER BY id;
SELECT key, sqlstate, message FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
UPDATE pc_source SET v = 'k' WHERE id = 2;
CALL migrate_run('pc');
SELECT * FROM pc_target ORDER BY id;
SELECT missing, extra, different, pending FROM migrate_verify('pc');
-- an update that sets nothing a mapping reads, in a session that knows the mapping, and one whose
-- trigger sets more than the statement names
ALTER TABLE pc_source ADD COLUMN unmapped int;
UPDATE pc_source SET unmapped = 1;
UPDATE pc_source SET unmapped = 2;
CREATE FUNCTION pc_also() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.v := 'z';
	IF NEW.id = 6 THEN
		NEW.id := 60;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER also BEFORE UPDATE ON pc_source FOR EACH ROW EXECUTE FUNCTION pc_also();
UPDATE pc_source SET unmapped = 3 WHERE id IN (5, 6);
DROP TRIGGER also ON pc_source;
UPDATE pc_source SET unmapped = 4;
SELECT id, v FROM pc_target WHERE id IN (5, 6, 60) ORDER BY id;
SELECT missing, extra, different, pending FROM migrate_verify('pc');
SELECT migrate_rollback('pc');
SELECT migrate_drop('pc');
DROP TABLE pc_source, pc_target, pc_log;
DROP DOMAIN pc_domain;
DROP FUNCTION pc_suffix, pc_note, pc_also;
