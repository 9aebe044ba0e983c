-- Every way a row can change, by the statement that changes it.  How the table is made: test/lib/ways.sql.
\getenv inputdir PG_ABS_SRCDIR
\set machine :inputdir '/lib/ways.sql'
\ir :machine

-- five rows in five blocks, so that a copy can stop between them; x and pad are not mapped
INSERT INTO way.world VALUES ('plain', $$
	CREATE TABLE src (id int PRIMARY KEY, v text, n numeric, x int, pad text DEFAULT repeat('x', 3000)) WITH (fillfactor = 10);
	ALTER TABLE src ALTER pad SET STORAGE PLAIN;
	CREATE TABLE tgt (id int PRIMARY KEY, v text, n numeric);
	INSERT INTO src SELECT i, 'v' || i, i, i * 10 FROM generate_series(1, 5) i;
	ANALYZE src;
	CREATE VIEW want AS SELECT (id, v, n)::text AS w FROM src;
	CREATE VIEW state AS SELECT CASE WHEN x = id * 10 AND n::text = id::text THEN id || v ELSE concat(id, v, '/', n, '/', x) END AS w FROM src $$,
	$$ migrate_map('m', 'src', 'tgt') $$, 'before halfway complete reverse');
-- the same, small: for what does not depend on where a row lies
INSERT INTO way.world SELECT 'small', replace(setup, 'repeat(''x'', 3000)', '''x'''), map, 'before complete' FROM way.world;
-- keys that are unique only at the end of a statement
INSERT INTO way.world SELECT 'deferrable', replace(setup, 'src (id int PRIMARY KEY', 'src (id int PRIMARY KEY DEFERRABLE'), map,
	'before halfway complete' FROM way.world WHERE world = 'plain';

-- plain statements
INSERT INTO way.way (world, name, statement) VALUES
('plain', 'insert', $$ INSERT INTO src VALUES (6, 'new') $$),
('plain', 'insert many', $$ INSERT INTO src SELECT i, 'new' FROM generate_series(6, 9) i $$),
('plain', 'insert nulls', $$ INSERT INTO src VALUES (6) $$),
('small', 'insert 1500', $$ INSERT INTO src SELECT i, 'new' FROM generate_series(6, 1505) i $$),
('small', 'change 1500', $$ INSERT INTO src SELECT i, 'new' FROM generate_series(6, 1505) i ;; UPDATE src SET v = id * 2 WHERE id > 2 ;;
	UPDATE src SET id = -id WHERE id % 2 = 0 ;; DELETE FROM src WHERE id > 3 $$),
('plain', 'update', $$ UPDATE src SET v = 'changed' WHERE id = 4 $$),
('plain', 'update many', $$ UPDATE src SET v = v || '!', n = NULL $$),
('plain', 'update none', $$ UPDATE src SET v = 'changed' WHERE id = 7 $$),
('plain', 'update to what it is', $$ UPDATE src SET v = v $$),
('plain', 'update unmapped', $$ UPDATE src SET x = 7 $$),
('plain', 'update 1.0 to 1.00', $$ UPDATE src SET n = n * 1.0 ;; UPDATE src SET n = n * 1.0 $$),
('plain', 'update to null and back', $$ UPDATE src SET v = NULL WHERE id > 1 ;; UPDATE src SET v = 'back' WHERE id = 4 $$),
('plain', 'delete', $$ DELETE FROM src WHERE id IN (1, 4) $$),
('plain', 'delete all', $$ DELETE FROM src $$),
('plain', 'delete and insert', $$ DELETE FROM src WHERE id IN (1, 4) ;; INSERT INTO src VALUES (1, 'again'), (4, 'again') $$),
('plain', 'delete and insert at once', $$ DELETE FROM src WHERE id IN (1, 4); INSERT INTO src VALUES (1, 'again'), (4, 'again') $$),
('plain', 'insert and delete at once', $$ INSERT INTO src VALUES (6, 'new'); DELETE FROM src WHERE id > 3 $$),
('plain', 'key change', $$ UPDATE src SET id = id + 10 WHERE id IN (1, 4) $$),
('plain', 'key change and back', $$ UPDATE src SET id = id + 10 ;; UPDATE src SET id = id - 10 $$),
('plain', 'chain of keys', $$ UPDATE src SET id = id - 1 $$),
('plain', 'chain of keys, twice', $$ UPDATE src SET id = id - 1; UPDATE src SET id = id - 1, v = v || '!' $$),
('deferrable', 'exchange', $$ UPDATE src SET id = 5 - id WHERE id IN (1, 4) $$),
('deferrable', 'rotation', $$ UPDATE src SET id = id % 5 + 1, v = v || '!' $$),
('deferrable', 'chain upward', $$ UPDATE src SET id = id + 1 $$),
('deferrable', 'two of one key, one deleted', $$
	BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO src VALUES (4, 'second'); DELETE FROM src WHERE v = 'v4'; COMMIT $$),
('plain', 'to a block already passed', $$ DELETE FROM src WHERE id = 1 ;; CALL way.let_vacuum() ;; VACUUM src ;; UPDATE src SET pad = repeat('y', 5200) WHERE id = 5 ;;
	DO 'BEGIN ASSERT (SELECT (ctid::text::point)[0] FROM src WHERE id = 5) = 0; END' $$),
('plain', 'row comparison', $$ UPDATE src s SET v = o.v FROM src o WHERE o.id = s.id % 5 + 1 $$),
('plain', 'delete using', $$ DELETE FROM src s USING src o WHERE o.id = s.id + 3 $$),
('plain', 'current of', $$ BEGIN; DECLARE c CURSOR FOR SELECT * FROM src WHERE id > 1 ORDER BY id FOR UPDATE; FETCH 3 FROM c;
	UPDATE src SET v = 'here' WHERE CURRENT OF c; FETCH c; DELETE FROM src WHERE CURRENT OF c; COMMIT $$),
('plain', 'prepared', $$ PREPARE p(int, text) AS UPDATE src SET v = $2 WHERE id = $1; EXECUTE p(1, 'a'); EXECUTE p(4, 'b'); DEALLOCATE p $$),
('plain', 'copy', $$ COPY src (id, v) FROM PROGRAM 'printf "6\tsix\n7\tseven\n"' $$),
('plain', 'copy where', $$ COPY src (id, v) FROM PROGRAM 'printf "6\tsix\n7\tseven\n"' WHERE id = 7 $$);

-- ON CONFLICT, MERGE
INSERT INTO way.way (world, name, statement) VALUES
('plain', 'conflict, nothing', $$ INSERT INTO src VALUES (4, 'x'), (6, 'six') ON CONFLICT DO NOTHING $$),
('plain', 'conflict, update', $$ INSERT INTO src VALUES (1, 'x'), (4, 'x'), (6, 'six') ON CONFLICT (id) DO UPDATE SET v = 'upserted' $$),
('plain', 'conflict, update where', $$ INSERT INTO src VALUES (1, 'x'), (4, 'x'), (6, 'six') ON CONFLICT (id) DO UPDATE SET v = 'upserted' WHERE src.id = 4 $$),
('plain', 'conflict, key change', $$ INSERT INTO src VALUES (4, 'x') ON CONFLICT (id) DO UPDATE SET id = 40 $$),
('plain', 'conflict, freed key taken', $$ INSERT INTO src VALUES (4, 'x'), (4, 'takes it') ON CONFLICT (id) DO UPDATE SET id = 40 $$),
('plain', 'conflict, new key moved away', $$ INSERT INTO src VALUES (4, 'x'), (1, 'x'), (4, 'takes it'), (1, 'takes it') ON CONFLICT (id) DO UPDATE SET id = src.id + 40 $$),
('plain', 'merge, all', $$ MERGE INTO src s USING (VALUES (1), (2), (4), (6)) q(id) ON s.id = q.id WHEN MATCHED AND q.id = 1 THEN DELETE
	WHEN MATCHED AND q.id = 2 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT (id, v) VALUES (q.id, 'merged') $$),
('plain', 'merge, delete and insert one key', $$ MERGE INTO src s USING (VALUES (4, 0), (99, 4)) q(id, new) ON s.id = q.id
	WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, v) VALUES (q.new, 'merged') $$),
('plain', 'merge, key change and freed key', $$ MERGE INTO src s USING (VALUES (4, 40), (99, 4)) q(id, new) ON s.id = q.id
	WHEN MATCHED THEN UPDATE SET id = q.new WHEN NOT MATCHED THEN INSERT (id, v) VALUES (q.new, 'merged') $$),
('plain', 'merge, key of a deleted row', $$ MERGE INTO src s USING (VALUES (1, 0), (4, 1), (99, 4)) q(id, new) ON s.id = q.id
	WHEN MATCHED AND q.new = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET id = q.new WHEN NOT MATCHED THEN INSERT (id, v) VALUES (q.new, 'merged') $$);

-- TRUNCATE names no row: its keys are settled later
INSERT INTO way.way (world, name, statement, expect) VALUES
('plain', 'truncate', $$ TRUNCATE src $$, 'later'),
('plain', 'truncate and insert', $$ TRUNCATE src ;; INSERT INTO src VALUES (4, 'new'), (6, 'new') $$, 'later'),
('plain', 'truncate and insert at once', $$ TRUNCATE src; INSERT INTO src VALUES (4, 'new'), (6, 'new') $$, 'later'),
('plain', 'insert and truncate', $$ INSERT INTO src VALUES (6, 'new'); UPDATE src SET v = 'changed'; TRUNCATE src; INSERT INTO src VALUES (2, 'new') $$, 'later');

-- nor can one statement tell what the target row is while two source rows have its key
INSERT INTO way.way (world, name, statement, expect) VALUES
('deferrable', 'two of one key for a while', $$
	BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE src SET id = 4 WHERE id = 1; UPDATE src SET id = 1 WHERE v = 'v4'; COMMIT $$, 'later');

-- transactions
INSERT INTO way.way (world, name, statement) VALUES
('plain', 'rollback', $$ BEGIN; UPDATE src SET id = id - 1; DELETE FROM src WHERE id = 1; TRUNCATE src; INSERT INTO src VALUES (7); ROLLBACK $$),
('plain', 'rollback to', $$ BEGIN; UPDATE src SET v = 'kept' WHERE id = 4; SAVEPOINT s; UPDATE src SET id = id + 10; DELETE FROM src; ROLLBACK TO s;
	UPDATE src SET id = 40 WHERE id = 4; SAVEPOINT s2; INSERT INTO src VALUES (4, 'kept'); RELEASE s2; COMMIT $$),
('plain', 'rollback to, truncate', $$ BEGIN; SAVEPOINT s; TRUNCATE src; ROLLBACK TO s; DELETE FROM src WHERE id = 1; COMMIT $$),
('plain', 'failed statement', $$ UPDATE src SET id = 1 WHERE id > 2 ;; DELETE FROM src WHERE id = 1 $$),
('plain', 'exception blocks', $$ DO $d$
	BEGIN
		UPDATE src SET v = 'kept' WHERE id IN (1, 4);
		BEGIN
			DELETE FROM src;
			BEGIN
				INSERT INTO src VALUES (1, 'undone');
				INSERT INTO src VALUES (1, 'fails');
			EXCEPTION WHEN unique_violation THEN INSERT INTO src VALUES (9, 'undone');
			END;
			RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN UPDATE src SET id = 10 WHERE id = 1;
		END;
	END $d$ $$),
('plain', 'error in a nested statement', $$ CREATE FUNCTION f(i int) RETURNS text LANGUAGE plpgsql AS $d$
	BEGIN
		UPDATE src SET id = 60 WHERE id = 5;
		UPDATE src SET id = 1 WHERE id = 60;
		RETURN 'written';
	EXCEPTION WHEN unique_violation THEN RETURN 'caught';
	END $d$ ;; UPDATE src SET v = f(id) WHERE id IN (2, 4) $$),
('plain', 'procedure that commits', $$ CREATE PROCEDURE p() LANGUAGE plpgsql AS $d$
	BEGIN
		UPDATE src SET v = 'first' WHERE id = 1; COMMIT;
		DELETE FROM src WHERE id = 2; ROLLBACK;
		UPDATE src SET id = 40 WHERE id = 4; COMMIT;
	END $d$ ;; CALL p() $$);

-- views, rules, functions, triggers of other tables
INSERT INTO way.way (world, name, statement) VALUES
('plain', 'view', $$ CREATE VIEW o AS SELECT id AS key, v FROM src WHERE id <> 3 WITH CHECK OPTION ;; INSERT INTO o VALUES (6, 'new') ;;
	UPDATE o SET v = 'by view' ;; DELETE FROM o WHERE key = 1 ;; UPDATE o SET key = 40 WHERE key = 4 $$),
('plain', 'view, instead of', $$ CREATE VIEW o AS SELECT id, v FROM src ;; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $d$
	BEGIN
		IF TG_OP <> 'INSERT' THEN DELETE FROM src WHERE id = OLD.id; END IF;
		IF TG_OP <> 'DELETE' THEN INSERT INTO src VALUES (NEW.id, NEW.v); END IF;
		RETURN coalesce(NEW, OLD);
	END $d$ ;; CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON o FOR EACH ROW EXECUTE FUNCTION f() ;;
	INSERT INTO o VALUES (6, 'new') ;; UPDATE o SET v = 'by trigger' WHERE id > 2 ;; DELETE FROM o WHERE id = 1 ;; UPDATE o SET id = 40 WHERE id = 4 $$),
('plain', 'rule, instead', $$ CREATE VIEW o AS SELECT id, v FROM src ;; CREATE RULE r AS ON UPDATE TO o DO INSTEAD UPDATE src SET v = NEW.v, id = NEW.id WHERE id = OLD.id ;;
	CREATE RULE d AS ON DELETE TO o DO INSTEAD (DELETE FROM src WHERE id = OLD.id; UPDATE src SET v = 'by rule' WHERE id = 2) ;;
	UPDATE o SET v = 'by rule', id = 40 WHERE id = 4 ;; DELETE FROM o WHERE id = 1 $$),
('plain', 'rule, also, of another table', $$ CREATE TABLE o (id int, v text) ;; CREATE RULE r AS ON INSERT TO o DO ALSO UPDATE src SET v = NEW.v WHERE id = NEW.id ;;
	INSERT INTO o SELECT i, 'by rule' FROM generate_series(2, 4) i $$),
('plain', 'plpgsql', $$ CREATE FUNCTION f(i int) RETURNS void LANGUAGE plpgsql AS $d$
	BEGIN
		INSERT INTO src VALUES (i, 'new'); UPDATE src SET v = 'changed' WHERE id = i - 4; EXECUTE 'DELETE FROM src WHERE id = $1' USING i - 5;
	END $d$ ;; SELECT f(i) FROM generate_series(6, 8) i $$),
('plain', 'sql function', $$ CREATE FUNCTION f(i int) RETURNS bigint LANGUAGE sql AS $d$
	DELETE FROM src WHERE id = i; INSERT INTO src VALUES (i, 'again'); UPDATE src SET id = -i WHERE id = i; SELECT count(*) FROM src $d$ ;;
	SELECT f(i) FROM generate_series(2, 4) i $$),
('plain', 'after row trigger of another table', $$ CREATE TABLE o (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $d$
	BEGIN UPDATE src SET v = v || '!', id = id + 10 WHERE id = NEW.id; DELETE FROM src WHERE id = NEW.id - 1; RETURN NULL; END $d$ ;;
	CREATE TRIGGER t AFTER INSERT ON o FOR EACH ROW EXECUTE FUNCTION f() ;; INSERT INTO o VALUES (4), (2) $$),
('plain', 'before statement trigger of another', $$ CREATE TABLE o (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $d$
	BEGIN UPDATE src SET id = id - 1; RETURN NULL; END $d$ ;;
	CREATE TRIGGER t BEFORE INSERT OR UPDATE ON o FOR EACH STATEMENT EXECUTE FUNCTION f() ;; INSERT INTO o VALUES (4), (2) ;; UPDATE o SET id = 1 $$),
('plain', 'constraint trigger at commit', $$ CREATE TABLE o (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $d$
	BEGIN UPDATE src SET v = 'at commit' WHERE id = NEW.id; DELETE FROM src WHERE id = NEW.id - 1; RETURN NULL; END $d$ ;;
	CREATE CONSTRAINT TRIGGER t AFTER INSERT ON o DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f() ;; INSERT INTO o VALUES (4), (2) $$);

-- writable CTEs: two writes with one snapshot
INSERT INTO way.way (world, name, statement) VALUES
('plain', 'insert + insert', $$ WITH a AS (INSERT INTO src VALUES (6, 'a') RETURNING *) INSERT INTO src SELECT 7, v FROM a $$),
('plain', 'insert + update', $$ WITH a AS (INSERT INTO src VALUES (6, 'a') RETURNING *) UPDATE src SET v = a.v FROM a WHERE src.id IN (1, 4) $$),
('plain', 'insert + delete', $$ WITH a AS (INSERT INTO src VALUES (6, 'a') RETURNING *) DELETE FROM src USING a WHERE src.id IN (1, 4) $$),
('plain', 'update + insert', $$ WITH a AS (UPDATE src SET v = 'a' WHERE id = 4 RETURNING *) INSERT INTO src SELECT id + 10, v FROM a $$),
('plain', 'update + update', $$ WITH a AS (UPDATE src SET v = 'a' WHERE id = 4 RETURNING *) UPDATE src SET v = 'b' FROM a WHERE src.id < 3 $$),
('plain', 'update + update of one row', $$ WITH a AS (UPDATE src SET v = 'a' WHERE id = 4 RETURNING *) UPDATE src SET v = 'b' FROM a WHERE src.id = 4 $$),
('plain', 'update + delete', $$ WITH a AS (UPDATE src SET v = 'a' WHERE id = 4 RETURNING *) DELETE FROM src USING a WHERE src.id < 3 $$),
('plain', 'update + delete of one row', $$ WITH a AS (UPDATE src SET v = 'a' WHERE id = 4 RETURNING *) DELETE FROM src USING a WHERE src.id = 4 $$),
('plain', 'delete + insert', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) INSERT INTO src SELECT id + 10, v FROM a $$),
('plain', 'delete + insert of one key', $$ WITH a AS (DELETE FROM src WHERE id IN (1, 4) RETURNING *) INSERT INTO src SELECT id, v || '!' FROM a $$),
('plain', 'delete + update', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) UPDATE src SET v = 'b' FROM a WHERE src.id < 3 $$),
('plain', 'delete + key change to its key', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) UPDATE src SET id = 4 FROM a WHERE src.id = 1 $$),
('plain', 'delete + update of one row', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) UPDATE src SET v = 'b' FROM a WHERE src.id = 4 $$),
('plain', 'delete + delete', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) DELETE FROM src USING a WHERE src.id < 3 $$),
('plain', 'key change + insert of the key', $$ WITH a AS (UPDATE src SET id = 40 WHERE id = 4 RETURNING *) INSERT INTO src SELECT 4, v || '!' FROM a $$),
('plain', 'key change + key change', $$ WITH a AS (UPDATE src SET id = 40 WHERE id = 4 RETURNING *) UPDATE src SET id = 4 FROM a WHERE src.id = 1 $$),
('plain', 'key change + delete', $$ WITH a AS (UPDATE src SET id = 40 WHERE id = 4 RETURNING *) DELETE FROM src USING a WHERE src.id = 1 $$),
('plain', 'key change + update', $$ WITH a AS (UPDATE src SET id = 40 WHERE id = 4 RETURNING *) UPDATE src SET v = a.v FROM a WHERE src.id = 1 $$),
('plain', 'insert + key change', $$ WITH a AS (INSERT INTO src VALUES (6, 'a') RETURNING *) UPDATE src SET id = 60 FROM a WHERE src.id = 4 $$),
('plain', 'all at once', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *), b AS (INSERT INTO src SELECT 4, v || '!' FROM a RETURNING *),
	c AS (UPDATE src SET id = 10 FROM b WHERE src.id = 1 RETURNING src.*), d AS (INSERT INTO src SELECT 1, v || '!' FROM c)
	UPDATE src SET v = 'b' WHERE id IN (2, 5) $$),
('plain', 'conflict + delete', $$ WITH a AS (DELETE FROM src WHERE id = 4 RETURNING *) INSERT INTO src SELECT i, v || '!' FROM a, unnest('{1,4}'::int[]) i
	ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v $$);

\o /dev/null
\set ECHO none
SELECT command FROM way.scripts \gexec
\set ECHO all
\o
\a
SELECT world, name, source, equal, wrong FROM way.report;
