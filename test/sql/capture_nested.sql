-- Writes within writes: a statement whose functions or triggers write the table again.  How the table of results is made: test/lib/ways.sql.
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
INSERT INTO way.world SELECT 'small', replace(setup, 'repeat(''x'', 3000)', '''x'''), map, 'before complete' FROM way.world;

-- nested writes: a function that the statement calls writes the table again.  Rows that the statement comes to later
-- are the server's error in most of these ways, so only rows that it has passed, or never comes to, are written.
INSERT INTO way.world SELECT 'volatile', setup || $$;
	CREATE FUNCTION w(command text, result text DEFAULT 'w') RETURNS text LANGUAGE plpgsql AS $f$ BEGIN EXECUTE command; RETURN result; END $f$ $$,
	map, modes FROM way.world WHERE world = 'plain';
INSERT INTO way.way (world, name, statement) VALUES
('volatile', 'SET, insert', $$ UPDATE src SET v = w('INSERT INTO src VALUES (' || id + 10 || ', ''nested'')') WHERE id IN (1, 4) $$),
('volatile', 'SET, update of another row', $$ UPDATE src SET v = w('UPDATE src SET v = ''nested'' WHERE id = 5') WHERE id IN (1, 4) $$),
('volatile', 'SET, update of a row passed', $$ UPDATE src SET v = w('UPDATE src SET v = ''nested ' || id || ''' WHERE id < ' || id) $$),
('volatile', 'SET, delete of a row passed', $$ UPDATE src SET v = w('DELETE FROM src WHERE id = ' || id - 1) $$),
('volatile', 'SET, new key for a row passed', $$ UPDATE src SET v = w('UPDATE src SET id = id + 10 WHERE id = ' || id - 1) $$),
('volatile', 'SET, replacement of a row passed', $$ UPDATE src SET v = w('DELETE FROM src WHERE id = ' || id - 1 || '; INSERT INTO src VALUES (' || id - 1 || ', ''nested'')') $$),
('volatile', 'SET, old key of a row passed', $$ UPDATE src SET id = id + 10, v = w('INSERT INTO src SELECT ' || id - 1 || ', ''nested''') WHERE id > 1 $$),
('volatile', 'SET, delete of a row that took a key', $$ UPDATE src SET id = id - 1, v = w('DELETE FROM src WHERE id = ' || id - 2) $$),
('volatile', 'SET, key of a row passed given away', $$ UPDATE src SET id = id - 1, v = w('UPDATE src SET id = -id WHERE id = ' || id - 2) $$),
('volatile', 'SET, row of its own', $$ UPDATE src SET v = w('UPDATE src SET v = ''nested'' WHERE id = ' || id) WHERE id IN (1, 4) $$),
('volatile', 'SET, truncate', $$ UPDATE src SET v = w('TRUNCATE src') WHERE id IN (1, 4) $$),
('volatile', 'WHERE, insert', $$ DELETE FROM src WHERE id IN (1, 4) AND w('INSERT INTO src VALUES (' || id + 10 || ', ''nested'')') = 'w' $$),
('volatile', 'WHERE, update', $$ DELETE FROM src WHERE id IN (1, 4) AND w('UPDATE src SET v = ''nested'' WHERE id = 5') = 'w' $$),
('volatile', 'WHERE, old key of a row passed', $$ DELETE FROM src WHERE id < 4 AND w('INSERT INTO src VALUES (' || id - 1 || ', ''nested'')') = 'w' $$),
('volatile', 'WHERE, own row replaced', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 4) AND w('UPDATE src SET v = ''nested'' WHERE id = ' || id) = 'w' $$),
('volatile', 'RETURNING, insert', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 4) RETURNING w('INSERT INTO src VALUES (' || id + 10 || ', ''nested'')') $$),
('volatile', 'RETURNING, same row', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 4) RETURNING w('UPDATE src SET v = v || ''nested'' WHERE id = ' || id) $$),
('volatile', 'RETURNING, same row deleted', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 4) RETURNING w('DELETE FROM src WHERE id = ' || id) $$),
('volatile', 'RETURNING, same row, new key', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 4) RETURNING w('UPDATE src SET id = id + 10 WHERE id = ' || id) $$),
('volatile', 'RETURNING, insert, same row', $$ INSERT INTO src SELECT i, 'outer' FROM generate_series(6, 8) i RETURNING w('UPDATE src SET v = v || ''nested'' WHERE id = ' || id) $$),
('volatile', 'RETURNING, insert, same row deleted', $$ INSERT INTO src SELECT i, 'outer' FROM generate_series(6, 8) i RETURNING w('DELETE FROM src WHERE id = ' || id) $$),
('volatile', 'RETURNING, insert, new key', $$ INSERT INTO src SELECT i, 'outer' FROM generate_series(6, 8) i RETURNING w('UPDATE src SET id = -id WHERE id = ' || id) $$),
('volatile', 'RETURNING, delete, put back', $$ DELETE FROM src WHERE id IN (1, 4) RETURNING w('INSERT INTO src VALUES (' || id || ', ''nested'')') $$),
('volatile', 'RETURNING, delete, its key taken', $$ DELETE FROM src WHERE id IN (1, 4) RETURNING w('UPDATE src SET id = ' || id || ' WHERE id = ' || id + 1) $$),
('volatile', 'RETURNING, key change, old key taken', $$ UPDATE src SET id = id + 10 WHERE id IN (1, 4) RETURNING w('INSERT INTO src VALUES (' || id - 10 || ', ''nested'')') $$),
('volatile', 'RETURNING, key change, and back', $$ UPDATE src SET id = id + 10 WHERE id IN (1, 4) RETURNING w('UPDATE src SET id = id - 10 WHERE id = ' || id) $$),
('volatile', 'INSERT ... SELECT of a writing function', $$ INSERT INTO src SELECT 6, w('UPDATE src SET v = ''nested'' WHERE id = 4') $$),
('volatile', 'SELECT of writing functions', $$ SELECT w('UPDATE src SET id = id - 1'), w('DELETE FROM src WHERE id = 2'), w('INSERT INTO src VALUES (2, ''nested'')') $$),
('volatile', 'an error in the middle', $$ UPDATE src SET v = w('INSERT INTO src VALUES (' || id || ')') ;; DELETE FROM src WHERE id = 1 $$),
('volatile', 'in a default', $$ ALTER TABLE src ALTER v SET DEFAULT w('UPDATE src SET v = ''nested'' WHERE id = 4') ;; INSERT INTO src (id) VALUES (6), (7) $$);

-- nested writes: the application's triggers.  Each action, in each kind of trigger, for each command; names that sort
-- before and after the triggers of migrate_ext.  The statement writes rows 1, 2 and 4; "this" is the row or, in a statement trigger, row 2.
INSERT INTO way.world SELECT 'triggers', setup || $$;
	CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$
	DECLARE
		this int := CASE WHEN TG_LEVEL = 'STATEMENT' THEN 2 WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
	BEGIN
		IF pg_trigger_depth() = 1 THEN
			EXECUTE TG_ARGV[0] USING this;
		END IF;
		RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	END $f$ $$, map, 'before complete' FROM way.world WHERE world = 'small';
INSERT INTO way.way (world, name, statement)
	SELECT 'triggers', concat_ws(' ', what, timing, lower(level), trigger || ':', action),
		format('CREATE TRIGGER %s %s %s ON src FOR EACH %s EXECUTE FUNCTION act(%L) ;; %s', trigger, timing, command, level, nested, statement)
	FROM (VALUES ('insert', 'insert', $$ INSERT INTO src SELECT i, 'outer' FROM generate_series(6, 8) i $$),
			('update', 'update', $$ UPDATE src SET v = 'outer' WHERE id IN (1, 2, 4) $$),
			('key change', 'update', $$ UPDATE src SET id = id - 1 WHERE id < 5 $$),
			('delete', 'delete', $$ DELETE FROM src WHERE id IN (1, 2, 4) $$)) c(what, command, statement),
		(VALUES ('before', 'ROW', 'a'), ('after', 'ROW', 'a'), ('before', 'STATEMENT', 'z'), ('after', 'STATEMENT', 'a'), ('after', 'STATEMENT', 'z')) t(timing, level, trigger),
		(VALUES (true, 'update this', 'UPDATE src SET v = v || ''+'' WHERE id = $1'), (false, 'update another', 'UPDATE src SET v = v || ''+'' WHERE id = 5 AND $1 > -1'),
			(true, 'delete this', 'DELETE FROM src WHERE id = $1'), (true, 'new key', 'UPDATE src SET id = id + 20 WHERE id = $1'),
			(true, 'replace this', 'WITH d AS (DELETE FROM src WHERE id = $1 RETURNING *) INSERT INTO src SELECT id, v || ''+'' FROM d'),
			(false, 'put in its place', 'INSERT INTO src SELECT $1, ''+'' ON CONFLICT DO NOTHING'), (false, 'insert another', 'INSERT INTO src SELECT $1 + 20, ''+''')) a(after, action, nested)
	WHERE timing = 'after' OR NOT after;
INSERT INTO way.way (world, name, statement) VALUES
('triggers', 'before: other values', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := NEW.v || ''+''; NEW.id := NEW.id + 10; RETURN NEW; END' ;;
	CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; INSERT INTO src VALUES (6, 'new') ;; UPDATE src SET v = 'changed' WHERE id < 3 $$),
('triggers', 'before: no row', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END' ;;
	CREATE TRIGGER zz BEFORE INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; INSERT INTO src VALUES (6, 'new') ;;
	UPDATE src SET v = 'changed' WHERE id < 3 ;; DELETE FROM src WHERE id = 4 $$),
('triggers', 'before: update instead of delete', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN UPDATE src SET v = ''deleted'' WHERE id = OLD.id; RETURN NULL; END' ;;
	CREATE TRIGGER zz BEFORE DELETE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; DELETE FROM src WHERE id < 3 $$),
('triggers', 'after: deeper and deeper', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN UPDATE src SET v = v || ''+'', id = id + 10 WHERE id = NEW.id AND length(v) < 5; RETURN NULL; END' ;;
	CREATE TRIGGER a AFTER UPDATE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; UPDATE src SET v = v || '+' $$),
('triggers', 'after: with transition tables', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN IF pg_trigger_depth() = 1 THEN UPDATE src s SET v = o.v FROM old_rows o WHERE s.id = o.id + 1; DELETE FROM src WHERE id IN (SELECT id - 1 FROM old_rows); END IF; RETURN NULL; END' ;;
	CREATE TRIGGER a AFTER UPDATE ON src REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION f() ;;
	CREATE TRIGGER z AFTER UPDATE ON src REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION f() ;;
	UPDATE src SET v = 'outer' WHERE id IN (2, 4) $$),
('triggers', 'after: two triggers undo each other', $$ CREATE TRIGGER a AFTER DELETE ON src FOR EACH ROW EXECUTE FUNCTION act('INSERT INTO src VALUES ($1, ''a'')') ;;
	CREATE TRIGGER z AFTER DELETE ON src FOR EACH STATEMENT EXECUTE FUNCTION act('DELETE FROM src WHERE v = ''a'' AND id <= $1') ;; DELETE FROM src WHERE id IN (1, 2, 4) $$),
('triggers', 'after: whole table', $$ CREATE TRIGGER a AFTER UPDATE ON src FOR EACH STATEMENT EXECUTE FUNCTION act('UPDATE src SET id = id - 1 WHERE $1 > 0') ;;
	CREATE TRIGGER z AFTER UPDATE ON src FOR EACH STATEMENT EXECUTE FUNCTION act('DELETE FROM src WHERE id < $1') ;; UPDATE src SET v = 'outer', id = id - 1 $$),
('triggers', 'after: an error caught', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $d$
	BEGIN
		IF pg_trigger_depth() = 1 THEN
			UPDATE src SET id = NEW.id + 20 WHERE id = NEW.id;
			DELETE FROM src WHERE id > 20;
			INSERT INTO src VALUES (5, 'fails');
		END IF;
		RETURN NULL;
	EXCEPTION WHEN unique_violation THEN RETURN NULL;
	END $d$ ;; CREATE TRIGGER a AFTER UPDATE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; UPDATE src SET v = 'outer' WHERE id IN (1, 4) $$),
('triggers', 'after: an error not caught', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN DELETE FROM src WHERE id = NEW.id - 1; INSERT INTO src VALUES (5); RETURN NULL; END' ;;
	CREATE TRIGGER a AFTER UPDATE ON src FOR EACH ROW EXECUTE FUNCTION f() ;; UPDATE src SET v = 'outer' WHERE id IN (2, 4) ;; DELETE FROM src WHERE id = 2 $$),
('triggers', 'at commit: same row', $$ CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN UPDATE src SET v = v || ''+'', id = id + 10 WHERE id = NEW.id AND id < 10; RETURN NULL; END' ;;
	CREATE CONSTRAINT TRIGGER a AFTER INSERT OR UPDATE ON src DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f() ;;
	BEGIN; UPDATE src SET v = 'outer' WHERE id IN (1, 4); INSERT INTO src VALUES (6, 'new'); DELETE FROM src WHERE id = 4; COMMIT $$);

-- The first of two targets has a trigger that writes the source again, while the rows are applied: the second gets what is
-- there then.  ("!" is that trigger's doing.)
INSERT INTO way.world VALUES ('a target writes the source', $$
	CREATE TABLE src (id int PRIMARY KEY, v text);
	CREATE TABLE tgt (id int PRIMARY KEY, v text);
	CREATE TABLE tgt2 (id int PRIMARY KEY, v text);
	CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql SET search_path = ways AS
		'BEGIN UPDATE src SET v = v || ''!'' WHERE id = NEW.id AND v NOT LIKE ''%!''; RETURN NULL; END';
	CREATE TRIGGER back AFTER INSERT OR UPDATE ON tgt FOR EACH ROW EXECUTE FUNCTION back();
	INSERT INTO src SELECT i, 'v' || i || '!' FROM generate_series(1, 5) i;
	CREATE VIEW want AS SELECT (n, id, v)::text AS w FROM src, generate_series(1, 2) n;
	CREATE VIEW have AS SELECT (1, id, v)::text AS w FROM tgt UNION ALL SELECT (2, id, v)::text FROM tgt2;
	CREATE VIEW state AS SELECT (id, rtrim(v, '!'))::text AS w FROM src $$,
	$$ migrate_map('m', 'src', 'tgt'), migrate_map('m', 'src', 'tgt2') $$, 'before complete');
INSERT INTO way.way (world, name, statement) VALUES
('a target writes the source', 'insert', $$ INSERT INTO src VALUES (6, 'new'), (7, 'new') $$),
('a target writes the source', 'update', $$ UPDATE src SET v = 'changed' WHERE id > 2 $$),
('a target writes the source', 'key change', $$ UPDATE src SET id = id + 10, v = 'moved' WHERE id > 2 $$),
('a target writes the source', 'upsert', $$ INSERT INTO src VALUES (1, 'x'), (6, 'new') ON CONFLICT (id) DO UPDATE SET v = 'upserted' $$);

\o /dev/null
\set ECHO none
SELECT command FROM way.scripts \gexec
\set ECHO all
\o
\a
SELECT world, name, source, equal, wrong FROM way.report;
