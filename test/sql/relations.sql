-- Kinds of relations and names: the whole way of a migration, there and back, for each of them.
-- Each world makes src and tgt, and says how they are mapped, what the application writes ({} is the number of the
-- round, {w} the table that it writes) and how the cutover is done, if there can be one.  Whether both sides are equal is
-- asked without the extension: EXCEPT ALL over what the world says, or the columns that both have.
\set ECHO none
\set QUIET on
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS migrate_ext;
CREATE SCHEMA rel;
CREATE TABLE rel.world (n int GENERATED ALWAYS AS IDENTITY, world text PRIMARY KEY, setup text NOT NULL, method text NOT NULL DEFAULT 'switch',
	map text NOT NULL DEFAULT $$ migrate_map('m', {s}, {t}) $$, source text NOT NULL DEFAULT 'src', target text NOT NULL DEFAULT 'tgt',
	projection text, row_filter text NOT NULL DEFAULT 'true', cutover bool NOT NULL DEFAULT true, writes text NOT NULL DEFAULT $$
		INSERT INTO {w} (id, r, v) SELECT 100 * {} + i, substr('nse', i % 3 + 1, 1), 'new' FROM generate_series(1, 6) i ;;
		UPDATE {w} SET v = v || {} WHERE id % 3 = 0 ;;
		UPDATE {w} SET r = translate(r, 'nse', 'sen') WHERE id % 4 = {} ;;
		UPDATE {w} SET id = id + 1000 * {} WHERE id % 10 = {} ;;
		WITH d AS (DELETE FROM {w} WHERE id % 10 = 5 + {} RETURNING *) INSERT INTO {w} (id, r, v) SELECT id, 'n', 'again' FROM d WHERE id % 20 < 10 ;;
		DELETE FROM {w} WHERE id % 10 = 3 + {}
	$$);
CREATE TABLE rel.result (world text, stage text, rows int, outcome text, at int GENERATED ALWAYS AS IDENTITY);
-- the two sides by OID, as a swap exchanges their names
CREATE TABLE rel.side (s oid, t oid);

-- Writes down how things stand; before the copy: only what the target has and should not.
CREATE PROCEDURE rel.look(world text, stage text, complete bool) LANGUAGE plpgsql AS $$
DECLARE
	source regclass;
	target regclass;
	columns text;
	moved text;
	wrong text;
	n int;
BEGIN
	SELECT s, t INTO source, target FROM rel.side;
	SELECT w.projection, w.row_filter INTO columns, moved FROM rel.world w WHERE w.world = look.world;
	IF columns IS NULL THEN
		SELECT string_agg(format('%I::text', attname), ', ' ORDER BY attname) INTO columns FROM pg_attribute a WHERE attrelid = target AND attnum > 0 AND NOT attisdropped
			AND EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = source AND b.attname = a.attname AND NOT b.attisdropped);
	END IF;
	columns := format('ROW(%s)::text', columns);
	EXECUTE format('SELECT string_agg(w, '' '' ORDER BY w COLLATE "C") FROM (SELECT ''-'' || w AS w FROM (SELECT %1$s AS w FROM %2$s WHERE %4$s EXCEPT ALL SELECT %1$s FROM %3$s) a WHERE $1
		UNION ALL SELECT ''+'' || w FROM (SELECT %1$s AS w FROM %3$s EXCEPT ALL SELECT %1$s FROM %2$s WHERE %4$s) b) d', columns, source, target, moved) INTO wrong USING complete;
	EXECUTE format('SELECT count(*) FROM %s', source) INTO n;
	IF complete THEN
		SELECT concat_ws(', ', wrong, string_agg(DISTINCT concat_ws(' ', 'dirty', key::text, sqlstate, message), ', ')) INTO wrong FROM migrate_ext.dirty_key;
	END IF;
	INSERT INTO rel.result VALUES (world, stage, n, nullif(left(wrong, 100), ''));
END $$;

-- The verification, in words.
CREATE PROCEDURE rel.verify(world text, stage text) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO rel.result SELECT world, stage, source_rows, CASE WHEN missing + extra + different > 0 OR NOT checksum_match THEN
		format('%s missing, %s extra, %s different', missing, extra, different) END FROM migrate_verify('m');
END $$;

CREATE FUNCTION rel.script(w rel.world) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	written text := CASE w.method WHEN 'swap' THEN w.source ELSE w.target END;
	round int;
BEGIN
	RETURN NEXT 'DROP SCHEMA IF EXISTS rels CASCADE; CREATE SCHEMA rels; SET search_path = rels, public; ' || w.setup;
	RETURN NEXT format('TRUNCATE rel.side; INSERT INTO rel.side VALUES (%L::regclass, %L::regclass)', w.source, w.target);
	RETURN NEXT 'SELECT migrate_create(''m''), migrate_set(''m'', ''sync_interval'', ''0'')';
	RETURN NEXT 'SELECT ' || replace(replace(w.map, '{s}', quote_literal(w.source)), '{t}', quote_literal(w.target));
	RETURN NEXT format('INSERT INTO rel.result SELECT %L, severity, NULL, concat_ws('': '', subject, finding) FROM migrate_assess(''m'') WHERE severity <> ''info'' OR finding ~ ''large|inherit|row sec''', w.world);
	RETURN NEXT format('INSERT INTO rel.result SELECT %L, ''rehearsal'', rows_rejected, nullif(errors, ''[]'') FROM migrate_rehearse(''m'')', w.world);
	RETURN NEXT 'SELECT migrate_start(''m'')';
	FOR round IN 1..CASE WHEN w.cutover THEN 3 ELSE 2 END LOOP
		RETURN QUERY SELECT replace(replace(c, '{w}', CASE round WHEN 3 THEN written ELSE w.source END), '{}', round::text) FROM regexp_split_to_table(w.writes, '\s*;;\s*') c;
		RETURN NEXT 'RESET ALL; SET search_path = rels, public; SET client_min_messages = warning';
		IF round > 1 THEN
			RETURN NEXT 'DO $sync$ BEGIN FOR i IN 1..20 LOOP PERFORM migrate_sync(''m''); '
				'EXIT WHEN NOT EXISTS (SELECT FROM migrate_ext.dirty_key WHERE attempts = 0); PERFORM pg_sleep(0.05); END LOOP; END $sync$';
		ELSE
			RETURN NEXT format('CALL rel.look(%L, ''dual write'', false)', w.world);
			RETURN NEXT 'CALL migrate_run(''m'')';
		END IF;
		RETURN NEXT format('CALL rel.look(%L, %L, true)', w.world, (ARRAY['copied', 'written', 'written back'])[round]);
		RETURN NEXT format('CALL rel.verify(%L, %L)', w.world, (ARRAY['copied, verified', 'verified', 'back verified'])[round]);
		CONTINUE WHEN round <> 2;
		RETURN NEXT format('INSERT INTO rel.result SELECT %L, ''gate'', NULL, criterion || '': '' || measured FROM migrate_gate(''m'') WHERE NOT passed', w.world);
		IF w.cutover THEN
			RETURN NEXT format('SELECT migrate_cutover(''m'', %L)', w.method);
		END IF;
	END LOOP;
	RETURN NEXT 'SELECT migrate_rollback(''m'')';
	IF w.cutover THEN
		RETURN NEXT format('CALL rel.look(%L, ''rolled back'', true)', w.world);
	END IF;
	RETURN NEXT 'SELECT migrate_drop(''m'')';
END $$;

-- The source and its rows, as most worlds have them.
\set source 'CREATE TABLE src (id int PRIMARY KEY, r text, v text); INSERT INTO src SELECT i, substr(''nse'', i % 3 + 1, 1), ''v'' || i FROM generate_series(1, 40) i; '
\set fill 'INSERT INTO src (id, r, v) SELECT i, substr(''nse'', i % 3 + 1, 1), ''v'' || i FROM generate_series(1, 40) i; '

-- partitioned differently: by hash against by range and list, with a default and a second level, other column orders and dropped columns
INSERT INTO rel.world (world, setup) VALUES
('hash to list', $$ CREATE TABLE src (id int PRIMARY KEY, r text, v text) PARTITION BY HASH (id);
	CREATE TABLE src_0 PARTITION OF src FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE src_1 (v text, gone int, id int NOT NULL, r text); ALTER TABLE src_1 DROP gone; ALTER TABLE src ATTACH PARTITION src_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE TABLE tgt (r text, id int, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE tgt_n (gone int, id int NOT NULL, v text, r text NOT NULL); ALTER TABLE tgt_n DROP gone; ALTER TABLE tgt ATTACH PARTITION tgt_n FOR VALUES IN ('n');
	CREATE TABLE tgt_s PARTITION OF tgt FOR VALUES IN ('s') PARTITION BY RANGE (id);
	CREATE TABLE tgt_s1 PARTITION OF tgt_s FOR VALUES FROM (MINVALUE) TO (20); CREATE TABLE tgt_s2 PARTITION OF tgt_s FOR VALUES FROM (20) TO (MAXVALUE);
	CREATE TABLE tgt_rest PARTITION OF tgt DEFAULT; $$ || :'fill'),
('list to range', $$ CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE src_n PARTITION OF src FOR VALUES IN ('n'); CREATE TABLE src_rest PARTITION OF src DEFAULT PARTITION BY HASH (id);
	CREATE TABLE src_rest0 PARTITION OF src_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE src_rest1 PARTITION OF src_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE TABLE tgt (id int PRIMARY KEY, v text, r text) PARTITION BY RANGE (id);
	CREATE TABLE tgt_1 PARTITION OF tgt FOR VALUES FROM (MINVALUE) TO (20); CREATE TABLE tgt_2 PARTITION OF tgt FOR VALUES FROM (20) TO (1000);
	CREATE TABLE tgt_3 PARTITION OF tgt FOR VALUES FROM (1000) TO (MAXVALUE); $$ || :'fill');
INSERT INTO rel.world (world, setup, method) SELECT world || ', swap', setup, 'swap' FROM rel.world WHERE world IN ('hash to list', 'list to range');

-- a key with a column more than the source's, as a table that is to be partitioned has it
INSERT INTO rel.world (world, setup, method) SELECT 'a column more in the key, ' || method, :'source' || 'CREATE TABLE tgt (v text, r text, id int, PRIMARY KEY (r, id))', method FROM unnest('{switch,swap}'::text[]) method;

-- partitions that come and go meanwhile, with their rows
INSERT INTO rel.world (world, setup, writes) SELECT 'attached and detached', $$ CREATE TABLE src (id int, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
	CREATE TABLE src_n PARTITION OF src FOR VALUES IN ('n'); CREATE TABLE src_s PARTITION OF src FOR VALUES IN ('s'); CREATE TABLE src_e PARTITION OF src FOR VALUES IN ('e');
	CREATE TABLE tgt (v text, id int, r text, PRIMARY KEY (r, id)) PARTITION BY LIST (r);
	CREATE TABLE tgt_n PARTITION OF tgt FOR VALUES IN ('n'); CREATE TABLE tgt_s PARTITION OF tgt FOR VALUES IN ('s'); CREATE TABLE tgt_e PARTITION OF tgt FOR VALUES IN ('e'); $$ || :'fill',
	replace($$ DO $do$ BEGIN
		IF {} = 1 THEN ALTER TABLE src DETACH PARTITION src_e; ALTER TABLE src ATTACH PARTITION src_e FOR VALUES IN ('e');
		ELSIF {} = 2 THEN ALTER TABLE src DETACH PARTITION src_s;
			CREATE TABLE src_s2 (v text, gone int, r text NOT NULL, id int NOT NULL); ALTER TABLE src_s2 DROP gone; INSERT INTO src_s2 SELECT 'attached', 's', i FROM generate_series(500, 510) i; ALTER TABLE src ATTACH PARTITION src_s2 FOR VALUES IN ('s');
		ELSE ALTER TABLE tgt DETACH PARTITION tgt_n; CREATE TABLE tgt_n2 (LIKE tgt_n INCLUDING ALL); INSERT INTO tgt_n2 SELECT 'attached', i, 'n' FROM generate_series(600, 610) i; ALTER TABLE tgt ATTACH PARTITION tgt_n2 FOR VALUES IN ('n'); END IF; END $do$ ;; $$, E'\t', ' ') || writes
	FROM rel.world WHERE world = 'list to range';

-- children: of the source, of the target, with rows of their own
INSERT INTO rel.world (world, setup) VALUES
('children of the source', $$ CREATE TABLE src (id int PRIMARY KEY, r text, v text); CREATE TABLE child (more int, PRIMARY KEY (id)) INHERITS (src);
	CREATE TABLE tgt (id int PRIMARY KEY, r text, v text); INSERT INTO child SELECT i, 'n', 'child' FROM generate_series(50, 60) i; $$ || :'fill');
INSERT INTO rel.world (world, setup, map) VALUES
('children of the target', :'source' || $$ CREATE TABLE tgt (id int PRIMARY KEY, r text, v text); CREATE TABLE child (more int) INHERITS (tgt);
	INSERT INTO child SELECT i, 'n', 'child', i FROM generate_series(30, 45) i $$, $$ migrate_map('m', {s}, {t}), migrate_set('m', 'allow_nonempty_target', 'on') $$);

-- unlogged, on either side
INSERT INTO rel.world (world, setup, method) SELECT 'unlogged, ' || method, replace(:'source', 'CREATE TABLE', 'CREATE UNLOGGED TABLE') || 'CREATE UNLOGGED TABLE tgt (v text, r text, id int PRIMARY KEY)', method
	FROM unnest('{switch,swap}'::text[]) method;

-- unique keys that may be null, of the source, which has such rows; they stay where they are
INSERT INTO rel.world (world, setup, map, projection) SELECT world, replace(:'source', 'int PRIMARY KEY', form) || 'INSERT INTO src VALUES (NULL, ''n'', ''no key''); CREATE TABLE tgt (id int PRIMARY KEY, r text, v text)',
	$$ migrate_map('m', {s}, {t}, filter => 'id IS NOT NULL') $$, NULL
	FROM (VALUES ('unique key', 'int UNIQUE'), ('unique nulls not distinct', 'int UNIQUE NULLS NOT DISTINCT')) w(world, form);
UPDATE rel.world SET row_filter = 'id IS NOT NULL' WHERE world LIKE 'unique%';

-- triggers of the target: one that changes the row, one that writes elsewhere, one that cancels
INSERT INTO rel.world (world, setup) VALUES
('trigger that adds', :'source' || $$ CREATE TABLE tgt (id int PRIMARY KEY, r text, v text, stamp text);
	CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.stamp := ''x''; RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT OR UPDATE ON tgt FOR EACH ROW EXECUTE FUNCTION f();
	CREATE TABLE log (id int); CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO rels.log VALUES (coalesce(NEW.id, OLD.id)); RETURN NULL; END';
	CREATE TRIGGER u AFTER INSERT OR UPDATE OR DELETE ON tgt FOR EACH ROW EXECUTE FUNCTION g() $$);
INSERT INTO rel.world (world, cutover, setup) VALUES
('trigger that changes', false, :'source' || $$ CREATE TABLE tgt (id int PRIMARY KEY, r text, v text);
	CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.r := upper(NEW.r); RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT OR UPDATE ON tgt FOR EACH ROW EXECUTE FUNCTION f() $$),
('trigger that cancels', false, :'source' || $$ CREATE TABLE tgt (id int PRIMARY KEY, r text, v text);
	CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON tgt FOR EACH ROW EXECUTE FUNCTION f() $$),
('rule', false, :'source' || $$ CREATE TABLE tgt (id int PRIMARY KEY, r text, v text); CREATE RULE r AS ON DELETE TO tgt DO INSTEAD NOTHING $$);

-- row security, forced, on either side; the owner is no superuser
INSERT INTO rel.world (world, setup, writes) SELECT 'row security of ' || t, replace(:'source', 'src', 'src') || format($$CREATE TABLE tgt (id int PRIMARY KEY, r text, v text);
	ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY; ALTER TABLE %1$s FORCE ROW LEVEL SECURITY; CREATE POLICY p ON %1$s USING (r <> 's');
	ALTER TABLE src OWNER TO rel_owner; ALTER TABLE tgt OWNER TO rel_owner; GRANT ALL ON SCHEMA rels TO rel_owner $$, t), writes FROM rel.world, unnest('{src,tgt}'::text[]) t WHERE world = 'unlogged, switch';
CREATE ROLE rel_owner;

-- names of 63 bytes, and such as ask for trouble, by both methods
INSERT INTO rel.world (world, setup, method, source, target, projection, writes) SELECT 'names, ' || method, format($$
	DROP SCHEMA IF EXISTS %1$I CASCADE; CREATE SCHEMA %1$I; CREATE TABLE %1$I.%2$I (%4$I int CONSTRAINT %5$I PRIMARY KEY, %6$I text DEFAULT 'd', %7$I int); CREATE INDEX %6$I ON %1$I.%2$I (%6$I);
	CREATE TABLE %1$I.%3$I (%6$I text DEFAULT 'd', %7$I int, %4$I int CONSTRAINT %8$I PRIMARY KEY); CREATE INDEX %7$I ON %1$I.%3$I (%7$I, %6$I);
	CREATE VIEW %1$I."v'""" AS SELECT %6$I FROM %1$I.%2$I;
	INSERT INTO %1$I.%2$I (%4$I, %6$I) SELECT i, 'v' || i FROM generate_series(1, 30) i $$, s, names[1], names[2], names[3], names[4], names[5], names[6], names[7]),
	method, format('%I.%I', s, names[1]), format('%I.%I', s, names[2]), format('%I, %I, %I', names[3], names[5], names[6]),
	replace(replace(replace($$ INSERT INTO {w} (k, v, n) SELECT 100 * {} + i, 'new', i FROM generate_series(1, 6) i ;; UPDATE {w} SET v = v || {} WHERE k % 3 = 0 ;;
		UPDATE {w} SET k = k + 1000 * {} WHERE k % 10 = {} ;; DELETE FROM {w} WHERE k % 10 = 3 + {} $$, 'k', quote_ident(names[3])), ' v', ' ' || quote_ident(names[5])), ' n)', ' ' || quote_ident(names[6]) || ')')
	FROM (SELECT 'rel ' || left(repeat('"s''; -- ', 9), 59) AS s, ARRAY(SELECT x || left(repeat(y, 20), 62) FROM unnest('{a,b,c,d,e,f,g}'::text[]) x, unnest(ARRAY['o''Brien; --"']) y ORDER BY x) AS names) n, unnest('{switch,swap}'::text[]) method;
INSERT INTO rel.world (world, setup, method, source, target) SELECT 'long names, ' || method, replace(replace(:'source', 'src', s), '  ', ' ') || format('CREATE TABLE %s (v text, r text, id int PRIMARY KEY)', t), method, s, t
	FROM repeat('s', 63) s, concat(repeat('s', 62), 't') t, unnest('{switch,swap}'::text[]) method;

-- large objects by OID
INSERT INTO rel.world (world, setup) VALUES ('large objects', :'source' || $$ ALTER TABLE src ADD picture oid; UPDATE src SET picture = lo_from_bytea(0, 'x') WHERE id < 3;
	CREATE TABLE tgt (id int PRIMARY KEY, r text, v text, picture oid) $$);

\o /dev/null
SELECT s FROM rel.world w, rel.script(w) WITH ORDINALITY x(s, k) ORDER BY w.n, k \gexec
\o
\set ECHO all
\a
SELECT w.world, r.stage, r.rows, r.outcome FROM rel.result r JOIN rel.world w USING (world) WHERE r.outcome IS NOT NULL ORDER BY r.at;
SELECT world, string_agg(stage || ' ' || rows, ', ' ORDER BY at) AS equal FROM rel.result JOIN rel.world w USING (world) WHERE outcome IS NULL GROUP BY w.n, world ORDER BY w.n;
-- rows without a key that no filter leaves out: they are listed, found missing, and keep the gate shut
DROP SCHEMA rels CASCADE;
CREATE SCHEMA rels;
SET search_path = rels, public;
CREATE TABLE src (id int UNIQUE, v text);
INSERT INTO src SELECT i, 'v' || i FROM generate_series(1, 10) i;
INSERT INTO src VALUES (NULL, 'no key');
CREATE TABLE tgt (id int PRIMARY KEY, v text);
SELECT migrate_create('m') > 0 AS created, migrate_map('m', 'src', 'tgt') > 0 AS mapped, migrate_set('m', 'sync_interval', '0');
SELECT severity, finding FROM migrate_assess('m') WHERE severity <> 'info';
SELECT migrate_start('m');
CALL migrate_run('m');
SELECT key, sqlstate FROM migrate_rejected('m');
SELECT missing, extra, different, pending, checksum_match FROM migrate_verify('m');
DELETE FROM tgt WHERE id = 4;
SELECT missing, extra, different, pending, checksum_match FROM migrate_verify('m');
SELECT migrate_repair('m');
UPDATE src SET v = 'still no key' WHERE id IS NULL;
SELECT key, sqlstate, message FROM migrate_ext.dirty_key ORDER BY dirty_key_id;
SELECT migrate_sync('m');
SELECT missing, extra, different, pending, checksum_match FROM migrate_verify('m');
UPDATE src SET id = 11 WHERE id IS NULL;
SELECT migrate_sync('m');
SELECT missing, extra, different, pending, checksum_match FROM migrate_verify('m');
SELECT bool_and(passed) AS open FROM migrate_gate('m');
SELECT migrate_rollback('m');
SELECT migrate_drop('m');
\set ECHO none
SET client_min_messages = warning;
SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE lomowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) \g /dev/null
DO $$ BEGIN EXECUTE (SELECT coalesce(string_agg(format('DROP SCHEMA %I CASCADE', nspname), ';'), 'SELECT') FROM pg_namespace WHERE nspname LIKE 'rel%'); END $$;
DROP ROLE rel_owner;
