-- DDL while dual writes are on: what is harmless works, what would break a migration is an error, what moves rows
-- past all triggers is noticed.
\set VERBOSITY terse
CREATE SCHEMA dd;
CREATE SCHEMA dd_fun;
SET search_path = dd, public;
CREATE FUNCTION dd_fun.slug(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
CREATE TYPE dd_fun.mood AS ENUM ('sad', 'ok');
CREATE TABLE kind_name (kind int PRIMARY KEY, name text);
CREATE TABLE src (id int PRIMARY KEY, v text, kind int, m dd_fun.mood, plain text, unmapped text);
CREATE TABLE tgt (id int PRIMARY KEY, slug text, kind_name text, m text, plain varchar(20), extra int DEFAULT 1);
INSERT INTO kind_name VALUES (1, 'one');
INSERT INTO src SELECT i, 'V' || i, 1, 'ok', 'p' || i FROM generate_series(1, 5) i;
SELECT migrate_create('dd') > 0 AS created;
SELECT migrate_map('dd', 'src', 'tgt', $$ {"id": "id", "slug": "dd_fun.slug(v)", "plain": "plain", "m": "CASE m WHEN 'ok' THEN 'fine' ELSE m::text END",
	"kind_name": "(SELECT name FROM kind_name k WHERE k.kind = src.kind)"} $$) > 0 AS mapped;
SELECT migrate_set('dd', 'sync_interval', '0') IS NOT NULL AS set;
-- nothing is started: nobody is in the way
ALTER TABLE src RENAME v TO w;
ALTER TABLE src RENAME w TO v;
SELECT migrate_start('dd');
CALL migrate_run('dd');
CREATE FUNCTION wrong() RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT coalesce(s.id, t.id) FROM src s FULL JOIN tgt t USING (id)
		WHERE (lower(s.v), CASE s.m WHEN 'ok' THEN 'fine' ELSE s.m::text END, s.plain) IS DISTINCT FROM (t.slug, t.m, t.plain);
END $$;

-- errors
ALTER TABLE src RENAME v TO w;
ALTER TABLE src DROP COLUMN kind;
ALTER TABLE src DROP COLUMN kind CASCADE;
ALTER TABLE tgt RENAME slug TO handle;
ALTER TABLE tgt DROP COLUMN plain;
ALTER TABLE tgt DROP CONSTRAINT tgt_pkey;
ALTER TABLE tgt ALTER extra SET NOT NULL, ALTER extra DROP DEFAULT;
ALTER TABLE tgt ALTER plain TYPE point USING NULL;
ALTER TABLE kind_name RENAME name TO title;
ALTER TABLE kind_name RENAME TO kind_title;
ALTER FUNCTION dd_fun.slug(text) RENAME TO slugs;
ALTER SCHEMA dd_fun RENAME TO dd_functions;
ALTER TYPE dd_fun.mood RENAME TO moods;
DROP FUNCTION dd_fun.slug(text);
DROP TABLE kind_name;
DROP TABLE src;
DROP TABLE tgt;
DROP SCHEMA dd_fun CASCADE;
CREATE RULE r AS ON INSERT TO tgt DO ALSO NOTHING;
CREATE TABLE parent (id int, v text, kind int, m dd_fun.mood, plain text, unmapped text);
ALTER TABLE src INHERIT parent;
ALTER TABLE src DISABLE TRIGGER ALL;
ALTER TABLE src ENABLE TRIGGER ALL;
DO $$
DECLARE t name;
BEGIN
	SELECT tgname INTO t FROM pg_trigger WHERE tgrelid = 'src'::regclass AND tgname LIKE '%update';
	EXECUTE format('DROP TRIGGER %I ON src', t);
END $$;
DO $$
DECLARE t name;
BEGIN
	SELECT tgname INTO t FROM pg_trigger WHERE tgrelid = 'src'::regclass AND tgname LIKE '%update';
	EXECUTE format('ALTER TRIGGER %I ON src RENAME TO mine', t);
END $$;
\set VERBOSITY default
ALTER TABLE src RENAME v TO w;
\set VERBOSITY terse

-- harmless
ALTER TABLE src ADD COLUMN more text DEFAULT 'x', DROP COLUMN unmapped;
ALTER TABLE tgt ADD COLUMN more text NOT NULL DEFAULT 'y', DROP COLUMN extra;
CREATE INDEX ON src (v);
CREATE INDEX ON tgt (slug);
ALTER TABLE src SET (fillfactor = 80), ALTER v SET NOT NULL;
COMMENT ON TABLE src IS 'commented';
CREATE OR REPLACE FUNCTION dd_fun.slug(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t || '''')';
CREATE TEMP TABLE t (a int);
ALTER TABLE t ADD b int;
DROP TABLE t;
ALTER TABLE tgt RENAME TO target;
ALTER TABLE target SET SCHEMA public;
ALTER TABLE public.target SET SCHEMA dd;
ALTER TABLE target RENAME TO tgt;
CREATE ROLE dd_other;
GRANT CREATE, USAGE ON SCHEMA dd TO dd_other;
SET ROLE dd_other;
CREATE TABLE others (a int PRIMARY KEY);
ALTER TABLE others ADD b int;
DROP TABLE others;
RESET ROLE;
UPDATE src SET v = 'After', m = 'sad' WHERE id = 1;
SELECT * FROM wrong();
SELECT count(*) AS dirty FROM migrate_ext.dirty_key;
-- locks on the tables are not kept for looking at them
BEGIN;
CREATE TABLE unrelated (a int);
ALTER TABLE unrelated ADD b int;
SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN ('src'::regclass, 'tgt'::regclass);
ROLLBACK;

-- rows get new values past all triggers
ALTER TABLE src ALTER v TYPE varchar(3) USING left(v, 3);
SELECT key, reason FROM migrate_ext.dirty_key;
SELECT migrate_sync('dd');
SELECT * FROM wrong();
ALTER TABLE tgt ALTER slug TYPE varchar(30) USING slug || '!';
SELECT count(*) AS wrong FROM wrong();
SELECT migrate_sync('dd') > 0 AS settled;
SELECT * FROM wrong();
SELECT kind, reason FROM migrate_ext.history WHERE migration = 'dd' AND kind = 'ddl' ORDER BY event_id;

-- a mapping that was broken meanwhile does not make other commands fail, and comes back
ALTER EVENT TRIGGER migrate_ext_ddl_command_end DISABLE;
ALTER TABLE tgt RENAME slug TO handle;
ALTER EVENT TRIGGER migrate_ext_ddl_command_end ENABLE;
ALTER TABLE parent ADD more int;
UPDATE src SET v = 'xyz' WHERE id = 2;
SELECT key, reason, sqlstate FROM migrate_ext.dirty_key;
ALTER TABLE tgt RENAME handle TO slug;
SELECT migrate_sync('dd');
SELECT * FROM wrong();
ALTER TABLE tgt RENAME slug TO handle;
SELECT migrate_rollback('dd'), migrate_drop('dd');
ALTER TABLE src RENAME v TO w;
DROP TABLE src, tgt CASCADE;

-- partitions come and go, under their root and under a partition
CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE src_a PARTITION OF src FOR VALUES IN ('a') PARTITION BY RANGE (id);
CREATE TABLE src_a1 PARTITION OF src_a FOR VALUES FROM (0) TO (100);
CREATE TABLE tgt (id int, r text, v text, PRIMARY KEY (r, id));
INSERT INTO src SELECT i, 'a', 'v' || i FROM generate_series(1, 5) i;
CREATE VIEW wrong AS (TABLE src EXCEPT ALL TABLE tgt) UNION ALL (TABLE tgt EXCEPT ALL TABLE src);
CREATE VIEW triggers AS SELECT tgrelid::regclass AS rel, count(*) FROM pg_trigger
	WHERE tgfoid::regproc::text LIKE 'migrate_ext.%' AND tgrelid::regclass::text NOT LIKE 'pg%' GROUP BY 1 ORDER BY 1;
SELECT migrate_create('dd') > 0 AS created, migrate_map('dd', 'src', 'tgt') > 0 AS mapped, migrate_start('dd');
CALL migrate_run('dd');
CREATE TABLE src_b PARTITION OF src FOR VALUES IN ('b');
INSERT INTO src_b VALUES (1, 'b', 'direct');
CREATE TABLE src_a2 PARTITION OF src_a FOR VALUES FROM (100) TO (200);
COPY src_a2 FROM STDIN;
101	a	direct
\.
SELECT * FROM wrong;
SELECT count(*) AS dirty FROM migrate_ext.dirty_key;
CREATE TABLE src_c (v text, r text NOT NULL, id int NOT NULL);
INSERT INTO src_c VALUES ('brought', 'c', 1);
ALTER TABLE src ATTACH PARTITION src_c FOR VALUES IN ('c');
INSERT INTO src_c VALUES ('direct', 'c', 2);
SELECT key, reason FROM migrate_ext.dirty_key;
SELECT migrate_sync('dd');
SELECT * FROM wrong;
SELECT * FROM triggers;
ALTER TABLE src DETACH PARTITION src_b;
INSERT INTO src_b VALUES (2, 'b', 'no concern of ours');
SELECT migrate_sync('dd');
SELECT * FROM wrong;
ALTER TABLE src DETACH PARTITION src_c CONCURRENTLY;
SELECT migrate_sync('dd');
SELECT * FROM wrong;
DROP TABLE src_a2;
SELECT migrate_sync('dd');
SELECT * FROM wrong;
SELECT * FROM triggers;
ALTER TABLE src ATTACH PARTITION src_b FOR VALUES IN ('b');
BEGIN;
CREATE TABLE src_d PARTITION OF src FOR VALUES IN ('d');
DROP TABLE src_d;
ROLLBACK;
SELECT migrate_sync('dd');
SELECT missing, extra, different FROM migrate_verify('dd');
-- the same after the cutover: the old side is guarded, also where it is new
SELECT migrate_cutover('dd', 'switch');
CREATE TABLE src_e PARTITION OF src FOR VALUES IN ('e');
INSERT INTO src_e VALUES (1, 'e', 'late');
INSERT INTO tgt VALUES (2, 'e', 'written back');
SELECT * FROM src_e;
SELECT migrate_rollback('dd'), migrate_drop('dd');
SELECT * FROM triggers;
DROP TABLE src, tgt CASCADE;

-- children, in place
CREATE TABLE src (id int PRIMARY KEY, a text, b text);
SELECT migrate_create('dd') > 0 AS created, migrate_map('dd', 'src', 'src', '{"b": "upper(a)"}') > 0 AS mapped, migrate_start('dd');
CREATE TABLE child () INHERITS (src);
CREATE TABLE later (id int NOT NULL, a text, b text);
INSERT INTO later VALUES (2, 'later');
ALTER TABLE later INHERIT src;
INSERT INTO child VALUES (1, 'child');
INSERT INTO later VALUES (3, 'later still');
SELECT * FROM src ORDER BY id;
SELECT migrate_sync('dd');
SELECT * FROM src ORDER BY id;
ALTER TABLE later NO INHERIT src;
SELECT * FROM triggers;

-- the extension goes with all it installed, and comes back
DROP EXTENSION migrate_ext;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE '%migrate_ext%';
SELECT evtname FROM pg_event_trigger;
ALTER TABLE src DROP COLUMN b;
CREATE EXTENSION migrate_ext SCHEMA public;
DROP SCHEMA dd, dd_fun CASCADE;
DROP ROLE dd_other;
