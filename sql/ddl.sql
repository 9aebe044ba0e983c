-- DDL on the tables of a migration; last, so that they do not see the rest of this script
CREATE FUNCTION migrate_ext.ddl_command_start() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_ddl_command_start';
REVOKE ALL ON FUNCTION migrate_ext.ddl_command_start() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.ddl_command_start() IS 'notes which migrations are broken before a command';

CREATE FUNCTION migrate_ext.ddl_command_end() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_ddl_command_end';
REVOKE ALL ON FUNCTION migrate_ext.ddl_command_end() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.ddl_command_end() IS 'rejects DDL that would break a migration; its triggers follow the tables';

CREATE FUNCTION migrate_ext.ddl_sql_drop() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_ddl_sql_drop';
REVOKE ALL ON FUNCTION migrate_ext.ddl_sql_drop() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.ddl_sql_drop() IS 'notes rows that go with a table, and keeps the triggers of a migration from being dropped';

CREATE FUNCTION migrate_ext.ddl_table_rewrite() RETURNS event_trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_ddl_table_rewrite';
REVOKE ALL ON FUNCTION migrate_ext.ddl_table_rewrite() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.ddl_table_rewrite() IS 'notes rows that ALTER TABLE gives new values';

CREATE EVENT TRIGGER migrate_ext_ddl_command_start ON ddl_command_start
	WHEN TAG IN ('ALTER AGGREGATE', 'ALTER COLLATION', 'ALTER DOMAIN', 'ALTER FOREIGN TABLE',
		'ALTER FUNCTION', 'ALTER INDEX', 'ALTER OPERATOR', 'ALTER ROUTINE', 'ALTER SCHEMA', 'ALTER TABLE', 'ALTER TRIGGER',
		'ALTER TYPE', 'ALTER VIEW', 'CREATE FOREIGN TABLE', 'CREATE FUNCTION', 'CREATE RULE', 'CREATE SCHEMA', 'CREATE TABLE',
		'DROP AGGREGATE', 'DROP CAST', 'DROP COLLATION', 'DROP DOMAIN', 'DROP EXTENSION', 'DROP FOREIGN TABLE', 'DROP FUNCTION',
		'DROP INDEX', 'DROP OPERATOR', 'DROP OWNED', 'DROP ROUTINE', 'DROP SCHEMA', 'DROP TABLE', 'DROP TRIGGER', 'DROP TYPE',
		'DROP VIEW')
	EXECUTE FUNCTION migrate_ext.ddl_command_start();
COMMENT ON EVENT TRIGGER migrate_ext_ddl_command_start IS 'notes which migrations are broken before a command';

CREATE EVENT TRIGGER migrate_ext_ddl_command_end ON ddl_command_end
	WHEN TAG IN ('ALTER AGGREGATE', 'ALTER COLLATION', 'ALTER DOMAIN', 'ALTER FOREIGN TABLE',
		'ALTER FUNCTION', 'ALTER INDEX', 'ALTER OPERATOR', 'ALTER ROUTINE', 'ALTER SCHEMA', 'ALTER TABLE', 'ALTER TRIGGER',
		'ALTER TYPE', 'ALTER VIEW', 'CREATE FOREIGN TABLE', 'CREATE FUNCTION', 'CREATE RULE', 'CREATE SCHEMA', 'CREATE TABLE',
		'DROP AGGREGATE', 'DROP CAST', 'DROP COLLATION', 'DROP DOMAIN', 'DROP EXTENSION', 'DROP FOREIGN TABLE', 'DROP FUNCTION',
		'DROP INDEX', 'DROP OPERATOR', 'DROP OWNED', 'DROP ROUTINE', 'DROP SCHEMA', 'DROP TABLE', 'DROP TRIGGER', 'DROP TYPE',
		'DROP VIEW')
	EXECUTE FUNCTION migrate_ext.ddl_command_end();
COMMENT ON EVENT TRIGGER migrate_ext_ddl_command_end IS 'rejects DDL that would break a migration; its triggers follow the tables';

CREATE EVENT TRIGGER migrate_ext_sql_drop ON sql_drop EXECUTE FUNCTION migrate_ext.ddl_sql_drop();
COMMENT ON EVENT TRIGGER migrate_ext_sql_drop IS 'notes rows that go with a table, and keeps the triggers of a migration from being dropped';

CREATE EVENT TRIGGER migrate_ext_table_rewrite ON table_rewrite EXECUTE FUNCTION migrate_ext.ddl_table_rewrite();
COMMENT ON EVENT TRIGGER migrate_ext_table_rewrite IS 'notes rows that ALTER TABLE gives new values';
