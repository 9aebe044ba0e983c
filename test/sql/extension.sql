-- Installation: where things go, what is documented, what is public, what goes with the extension.
CREATE EXTENSION migrate_ext;
SELECT extname, extversion FROM pg_extension WHERE extname = 'migrate_ext';

-- every member object has a comment
SELECT pg_describe_object(d.classid, d.objid, 0) AS undocumented
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'migrate_ext')
	AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass)
	AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('S', 'i'))
	AND NOT EXISTS (SELECT FROM pg_description x WHERE x.classoid = d.classid AND x.objoid = d.objid AND x.objsubid = 0);

-- what PUBLIC may execute: pure functions of their arguments
SELECT p.oid::regprocedure
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'migrate_ext')
	AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- none runs with its owner's rights by declaration; what is not C has a fixed search_path
SELECT p.oid::regprocedure
FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_language l ON l.oid = p.prolang
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'migrate_ext')
	AND p.prokind <> 'a' AND (p.prosecdef OR (l.lanname <> 'c' AND p.proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}'));

-- the state tables are nobody's but the owner's
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'migrate_ext' AND c.relacl IS NOT NULL
	AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0);

-- DROP EXTENSION takes the triggers of a started migration along, and leaves the tables
CREATE TABLE ext_source (id int PRIMARY KEY, v text);
CREATE TABLE ext_target (id int PRIMARY KEY, v text);
SELECT migrate_create('drop_me') IS NOT NULL AS created;
SELECT migrate_map('drop_me', 'ext_source', 'ext_target') IS NOT NULL AS mapped;
SELECT migrate_start('drop_me');
SELECT tgname ~ '^migrate_ext_\d+_forward_' AS ours, count(*) FROM pg_trigger
	WHERE tgrelid = 'ext_source'::regclass GROUP BY 1;
INSERT INTO ext_source VALUES (1, 'a');
DROP EXTENSION migrate_ext;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ext_source'::regclass;
INSERT INTO ext_source VALUES (2, 'b');
TABLE ext_source;
TABLE ext_target;
DROP TABLE ext_source, ext_target;

-- a squatted schema is an error, another schema for the functions is not
CREATE SCHEMA migrate_ext;
\set VERBOSITY terse
CREATE EXTENSION migrate_ext;
\set VERBOSITY default
DROP SCHEMA migrate_ext;
CREATE SCHEMA elsewhere;
CREATE EXTENSION migrate_ext SCHEMA elsewhere;
SELECT elsewhere.migrate_create('e') IS NOT NULL AS created;
CREATE TABLE ext_source (id int PRIMARY KEY);
CREATE TABLE ext_target (id int PRIMARY KEY);
SELECT elsewhere.migrate_map('e', 'ext_source', 'ext_target') IS NOT NULL AS mapped;
SELECT missing, extra, different, checksum_match FROM elsewhere.migrate_verify('e');
DROP EXTENSION migrate_ext;
DROP SCHEMA elsewhere;
DROP TABLE ext_source, ext_target;

-- for the tests that follow
CREATE EXTENSION migrate_ext;

-- each state table has a key: a publication FOR ALL TABLES must not keep us from changing it
SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'migrate_ext'::regnamespace AND relkind = 'r'
	AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary);
