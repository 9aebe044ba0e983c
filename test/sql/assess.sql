-- What migrate_assess finds beyond what a start and a swap need: each once, and nothing of a clean pair.
CREATE TABLE as_source (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE as_target (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO as_source SELECT i, 'name ' || i FROM generate_series(1, 20) i;
SELECT migrate_create('clean') > 0 AS created;
SELECT migrate_map('clean', 'as_source', 'as_target') > 0 AS mapped;
SELECT severity, subject, finding, advice FROM migrate_assess('clean') WHERE subject ~ '^(public|cutover)' OR finding ~ 'looked';
SELECT migrate_drop('clean');

-- values that are too long, out of range, of another form, rounded, missing
CREATE TABLE as_parent (id int PRIMARY KEY);
CREATE TABLE as_raw (id int PRIMARY KEY, code text, age text, amount numeric, big bigint, at timestamptz, note text, grp int, parent int, kind text, bits bit(4), ratio float8);
CREATE TABLE as_new (id int PRIMARY KEY, code varchar(5), age int, amount numeric(6,2), big int, at date, note text NOT NULL, grp int, parent int REFERENCES as_parent,
	kind text CHECK (kind IN ('a', 'b')), bits bit varying(2), ratio float4, state text NOT NULL DEFAULT 'new' CHECK (state <> kind), stamp timestamptz DEFAULT clock_timestamp() CHECK (stamp > '2000-01-01'),
	double int GENERATED ALWAYS AS (id * 2) STORED CHECK (double > 0), UNIQUE (grp), CHECK (amount < 100));
-- of what is computed when a row is stored nothing is said
ALTER TABLE as_new ADD CONSTRAINT as_new_row CHECK (as_new.* IS NULL OR id > 0);
CREATE UNIQUE INDEX as_new_lower ON as_new (lower(code), (coalesce(kind, 'b'))) WHERE kind = 'a';
CREATE UNIQUE INDEX as_new_nulls ON as_new (note) NULLS NOT DISTINCT;
INSERT INTO as_parent VALUES (1);
INSERT INTO as_raw SELECT i, 'c' || i, i::text, i, i, '2024-01-01 UTC', 'note ' || i, i, 1, 'a', B'0000', i FROM generate_series(1, 40) i;
SELECT migrate_create('as') > 0 AS created;
SELECT migrate_set('as', 'time_zone', 'UTC') IS NOT NULL AS set;
SELECT migrate_map('as', 'as_raw', 'as_new', '{"id": "id", "code": "code", "age": "age::int", "amount": "amount", "big": "big", "at": "at", "note": "note", "grp": "grp",
	"parent": "parent", "kind": "kind", "bits": "bits", "ratio": "ratio"}') > 0 AS mapped;
CREATE VIEW as_data AS SELECT severity, subject, finding, advice FROM migrate_assess('as')
	WHERE subject ~ '^public.as_(raw|new)' AND finding !~ '^(this mapping|rows inserted|foreign key|no expression)' AND subject !~ '^cutover';
-- nothing is wrong: but that bit(4) is longer, and that a date says less than a time
SELECT severity, subject, finding FROM as_data;
UPDATE as_raw SET bits = NULL;
UPDATE as_raw SET code = 'too long' WHERE id IN (1, 2);
UPDATE as_raw SET code = 'ok      ' WHERE id = 3;
UPDATE as_raw SET amount = 1.005 WHERE id = 5;
UPDATE as_raw SET amount = 100 WHERE id = 6;
UPDATE as_raw SET at = '2024-01-01 12:00 UTC' WHERE id = 7;
UPDATE as_raw SET note = NULL WHERE id IN (8, 9);
UPDATE as_raw SET grp = 1 WHERE id IN (10, 11);
UPDATE as_raw SET grp = NULL WHERE id IN (12, 13);
UPDATE as_raw SET parent = 2 WHERE id = 14;
UPDATE as_raw SET parent = NULL WHERE id = 15;
UPDATE as_raw SET kind = 'c' WHERE id = 16;
UPDATE as_raw SET kind = 'new' WHERE id = 17;
UPDATE as_raw SET kind = NULL WHERE id = 18;
UPDATE as_raw SET code = 'C20' WHERE id = 19;
UPDATE as_raw SET ratio = 0.1 WHERE id = 20;
SELECT * FROM as_data;
-- values that cannot be had at all: what is asked of the other columns is still looked at
UPDATE as_raw SET age = 'young' WHERE id IN (21, 22, 23);
UPDATE as_raw SET big = 3000000000 WHERE id = 24;
UPDATE as_raw SET amount = 100000 WHERE id = 25;
SELECT severity, subject, finding FROM as_data;
SELECT migrate_set('as', 'store_values', 'on');
SELECT finding FROM as_data WHERE finding LIKE '%cannot be had%';
SELECT migrate_set('as', 'store_values', 'off');
-- more than anybody wants to count
INSERT INTO as_raw SELECT i, 'c', 'old', 1, 1, '2024-01-01 UTC', 'note ' || i, i, 1, 'b', NULL, 1 FROM generate_series(101, 1200) i;
SELECT finding FROM as_data WHERE subject = 'public.as_new.age';
-- a large table is sampled: of one that is said to be large a part is seen
ANALYZE as_raw;
UPDATE pg_class SET reltuples = 2000000 WHERE oid = 'as_raw'::regclass;
SELECT finding ~ '^(at least )?[0-9]+ of a sample of [0-9]+ values' AS sampled FROM as_data WHERE subject = 'public.as_new.age';
UPDATE pg_class SET reltuples = -1 WHERE oid = 'as_raw'::regclass;
SELECT count(*) FROM as_new;
-- once it has begun the rows are nobody's concern here
DELETE FROM as_raw;
SELECT migrate_start('as');
INSERT INTO as_raw (id) VALUES (1);
SELECT severity, subject, finding FROM as_data;
SELECT migrate_rollback('as');
SELECT migrate_drop('as');
DROP VIEW as_data;

-- a filter that fails; keys that are several rows'; keys that cannot be had; rows that are deduplicated
CREATE TABLE as_many (id int PRIMARY KEY, code text, v text);
CREATE TABLE as_one (code int PRIMARY KEY, v text CHECK (v <> 'v9'));
INSERT INTO as_many SELECT i, i / 2, 'v' || i FROM generate_series(1, 9) i;
SELECT migrate_create('ak') > 0 AS created;
SELECT migrate_map('ak', 'as_many', 'as_one', '{"code": "code::int", "v": "v"}', filter => '10 / (id - 3) <> 77') > 0 AS mapped;
CREATE VIEW as_data AS SELECT severity, subject, finding, advice FROM migrate_assess('ak') WHERE finding ~ '^(at least )?[0-9]+ of|looked';
SELECT * FROM as_data;
SELECT migrate_drop('ak');
SELECT migrate_create('ak') > 0 AS created;
SELECT migrate_map('ak', 'as_many', 'as_one', '{"code": "code::int", "v": "v"}') > 0 AS mapped;
SELECT * FROM as_data;
UPDATE as_many SET code = 'x' WHERE id = 4;
SELECT * FROM as_data;
SELECT migrate_drop('ak');
SELECT migrate_create('ak') > 0 AS created;
SELECT migrate_map('ak', 'as_many', 'as_one', '{"code": "code::int", "v": "v"}', dedupe_by => 'id') > 0 AS mapped;
SELECT * FROM as_data;
UPDATE as_many SET code = '4' WHERE id = 4;
SELECT * FROM as_data;
SELECT migrate_drop('ak');
DROP VIEW as_data;

-- in place, and partitions
CREATE TABLE as_place (id int PRIMARY KEY, a text, b int, c int NOT NULL DEFAULT 1, UNIQUE (b), CHECK (b > 0));
INSERT INTO as_place SELECT i, CASE i WHEN 3 THEN 'x' WHEN 4 THEN '-4' WHEN 6 THEN '5' ELSE i::text END FROM generate_series(1, 6) i;
SELECT migrate_create('ap') > 0 AS created;
SELECT migrate_map('ap', 'as_place', 'as_place', '{"b": "a::int"}') > 0 AS mapped;
SELECT severity, subject, finding FROM migrate_assess('ap') WHERE finding ~ '[0-9]+ of|looked';
UPDATE as_place SET a = '3' WHERE id = 3;
SELECT severity, subject, finding FROM migrate_assess('ap') WHERE finding ~ '[0-9]+ of|looked';
UPDATE as_place SET a = NULL;
SELECT severity, subject, finding FROM migrate_assess('ap') WHERE finding ~ '[0-9]+ of|looked';
SELECT migrate_drop('ap');
CREATE TABLE as_parts (id int, name text NOT NULL, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT migrate_create('ar') > 0 AS created;
SELECT migrate_map('ar', 'as_source', 'as_parts') > 0 AS mapped;
CREATE VIEW as_data AS SELECT severity, subject, finding, advice FROM migrate_assess('ar') WHERE finding ~ '^(at least )?[0-9]+ of|looked';
SELECT * FROM as_data;
CREATE TABLE as_parts_1 PARTITION OF as_parts FOR VALUES FROM (1) TO (11);
CREATE TABLE as_parts_2 PARTITION OF as_parts FOR VALUES FROM (11) TO (20) PARTITION BY RANGE (id);
SELECT * FROM as_data;
CREATE TABLE as_parts_3 PARTITION OF as_parts DEFAULT;
SELECT * FROM as_data;
CREATE TABLE as_parts_4 PARTITION OF as_parts_2 DEFAULT;
SELECT * FROM as_data;
SELECT migrate_drop('ar');
DROP VIEW as_data;

-- what depends on the tables: one of each
CREATE ROLE as_owner;
CREATE ROLE as_reader;
CREATE COLLATION as_nd (provider = icu, locale = 'und', deterministic = false);
CREATE TABLE as_up (id int PRIMARY KEY);
CREATE TABLE as_up2 (id int PRIMARY KEY);
CREATE UNLOGGED TABLE as_old (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, up int REFERENCES as_up ON DELETE CASCADE ON UPDATE SET NULL, name text COLLATE "C", nd text, picture oid, made date DEFAULT '2024-01-01');
CREATE TABLE as_old_child () INHERITS (as_old);
CREATE TABLE as_down (id int PRIMARY KEY);
CREATE UNLOGGED TABLE as_next (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, up int REFERENCES as_up2 ON DELETE SET NULL, name text COLLATE "POSIX", nd text COLLATE as_nd, picture oid, made date, extra int,
	EXCLUDE USING btree (extra WITH =));
CREATE UNLOGGED TABLE as_next_child () INHERITS (as_next);
CREATE UNLOGGED TABLE as_next2 (id bigint PRIMARY KEY, name text COLLATE "C");
CREATE UNLOGGED TABLE as_ref (next int REFERENCES as_next ON DELETE CASCADE, old bigint REFERENCES as_old ON DELETE CASCADE);
SELECT setval('as_old_id_seq', 3000000000);
ALTER TABLE as_old ENABLE ROW LEVEL SECURITY;
CREATE POLICY as_policy ON as_old USING (true);
GRANT SELECT, INSERT ON as_old TO as_reader;
GRANT UPDATE (name) ON as_old TO as_reader;
CREATE RULE as_rule AS ON DELETE TO as_old DO ALSO NOTIFY as_old;
CREATE VIEW as_view AS SELECT id FROM as_old;
CREATE FUNCTION as_function() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM AS_OLD';
CREATE FUNCTION as_other() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM as_old_child';
SELECT migrate_create('ad') > 0 AS created;
SELECT migrate_map('ad', 'as_old', 'as_next', '{"id": "id", "up": "up", "name": "name", "nd": "nd", "picture": "picture", "made": "made"}') > 0 AS mapped;
CREATE VIEW as_found AS SELECT severity, subject, finding, advice FROM migrate_assess('ad') WHERE subject ~ '^public\.as_(old|next|ref)' AND finding !~ '^(this mapping|rows inserted|[0-9]+ of)';
SELECT severity, subject, finding FROM as_found;
-- where a swap makes no sense there is more that it would have done
SELECT migrate_map('ad', 'as_old', 'as_next2') > 0 AS mapped;
SELECT severity, subject, finding FROM as_found WHERE subject = 'public.as_old' OR subject LIKE 'public.as_next.%';
SELECT subject, advice FROM as_found WHERE subject LIKE 'public.as_next%';
SELECT migrate_drop('ad');
DROP VIEW as_found, as_view;
DROP TABLE as_ref, as_next2, as_next_child, as_next, as_old_child, as_old, as_up, as_up2, as_down;
DROP FUNCTION as_function, as_other;
DROP COLLATION as_nd;
DROP ROLE as_reader;

-- publications; row security of another's table
CREATE TABLE as_pub (id int PRIMARY KEY, v text);
CREATE TABLE as_sub (id int NOT NULL, v text);
INSERT INTO as_pub VALUES (1, 'secret');
ALTER TABLE as_sub ADD FOREIGN KEY (id) REFERENCES as_source;
CREATE UNIQUE INDEX ON as_sub (id);
CREATE TABLE as_lookup (id int PRIMARY KEY, v text);
SET client_min_messages = error;
CREATE PUBLICATION as_publication FOR TABLE as_pub;
CREATE PUBLICATION as_publication2 FOR TABLE as_sub;
RESET client_min_messages;
GRANT ALL ON SCHEMA public TO as_owner;
ALTER TABLE as_pub OWNER TO as_owner;
ALTER TABLE as_sub OWNER TO as_owner;
ALTER TABLE as_lookup ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON as_lookup TO as_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO as_owner;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA public TO as_owner;
-- as somebody who is no superuser: what he may not see is left out
SET ROLE as_owner;
SELECT migrate_create('ao') > 0 AS created;
SELECT migrate_map('ao', 'as_pub', 'as_sub', '{"id": "id", "v": "(SELECT l.v FROM as_lookup l WHERE l.id = src.id)"}', key => '{id}') > 0 AS mapped;
SELECT severity, subject, finding, advice FROM migrate_assess('ao') WHERE subject ~ '^(public|rows)' AND finding !~ '^(this mapping|rows inserted|expressions)';
SELECT count(*) FROM migrate_assess('ao') WHERE finding LIKE 'could not be looked at%' AND subject !~ '^public';
RESET ROLE;
ALTER TABLE as_lookup DISABLE ROW LEVEL SECURITY;
ALTER TABLE as_sub REPLICA IDENTITY FULL;
SELECT severity, subject, finding, advice FROM migrate_assess('ao') WHERE subject ~ '^(public|rows)' AND finding !~ '^(this mapping|rows inserted|expressions)';

-- the environment: what a test can bring about
CREATE VIEW as_found AS SELECT severity, subject, finding, advice FROM migrate_assess('ao')
	WHERE subject IN ('session_replication_role', 'default_transaction_read_only', 'statement_timeout', 'temp_file_limit', 'duration', 'event trigger as_event', 'replication slot as_slot') OR finding ~ '^(autovacuum is off for it|session [0-9]+ holds)';
SELECT * FROM as_found;
SET session_replication_role = replica;
SELECT * FROM as_found;
RESET session_replication_role;
SET default_transaction_read_only = on;
SELECT * FROM as_found;
RESET default_transaction_read_only;
ALTER ROLE as_owner SET statement_timeout = '1min';
ALTER ROLE as_owner SET default_transaction_read_only = on;
ALTER ROLE as_owner SET session_replication_role = replica;
ALTER ROLE as_owner SET temp_file_limit = '1GB';
SELECT * FROM as_found;
ALTER ROLE as_owner RESET ALL;
ALTER ROLE as_owner SET statement_timeout = '0ms';
SELECT * FROM as_found;
ALTER TABLE as_sub SET (autovacuum_enabled = off);
SELECT * FROM as_found;
ALTER TABLE as_sub RESET (autovacuum_enabled);
BEGIN;
LOCK TABLE as_pub IN SHARE MODE;
SELECT severity, subject, regexp_replace(finding, '[0-9]+', 'n') AS finding, advice FROM as_found;
ROLLBACK;
CREATE FUNCTION as_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER as_event ON ddl_command_end EXECUTE FUNCTION as_event();
SELECT * FROM as_found;
DROP EVENT TRIGGER as_event;
SELECT count(*) FROM pg_create_physical_replication_slot('as_slot', true);
SELECT severity, subject, finding LIKE 'nobody reads it%' AS found, advice FROM as_found;
SELECT pg_drop_replication_slot('as_slot');
SELECT migrate_set('ao', 'workers', '64');
SELECT count(*) > 0 OR current_setting('max_worker_processes')::int >= 64 AS found FROM migrate_assess('ao') WHERE subject = 'max_worker_processes';
SELECT migrate_set('ao', 'workers', NULL);
-- an estimate of a rehearsal, as long as nothing is changed
INSERT INTO migrate_ext.event (migration_id, migration, who, kind, detail) SELECT migration_id, name, 'me', 'rehearsed', '{"passed": true, "estimated_seconds": 7300}' FROM migrate_ext.migration WHERE name = 'ao';
SELECT * FROM as_found;
-- what cannot be looked at is no error
CREATE TABLE as_check (id int PRIMARY KEY, v text);
CREATE FUNCTION as_fails(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE ''no: %'', $1; END';
SELECT migrate_drop('ao');
ALTER TABLE as_check ADD CHECK (as_fails(v));
SELECT migrate_create('af') > 0 AS created;
SELECT migrate_map('af', 'as_pub', 'as_check') > 0 AS mapped;
SELECT severity, subject, finding, advice FROM migrate_assess('af') WHERE finding ~ 'looked';
SELECT migrate_drop('af');
DROP VIEW as_found;
SET client_min_messages = error;
DROP PUBLICATION as_publication, as_publication2;
RESET client_min_messages;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM as_owner;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA public FROM as_owner;
DROP TABLE as_check, as_pub, as_sub, as_lookup, as_parts, as_place, as_one, as_many, as_new, as_raw, as_parent, as_target, as_source;
DROP FUNCTION as_fails, as_event;
DROP OWNED BY as_owner;
DROP ROLE as_owner;
