-- Trigger functions: only the extension's own triggers use them.
CREATE FUNCTION migrate_ext.capture() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_capture';
REVOKE ALL ON FUNCTION migrate_ext.capture() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.capture() IS 'dual write: applies a statement''s rows to the other side';

CREATE FUNCTION migrate_ext.reject_write() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_reject_write';
REVOKE ALL ON FUNCTION migrate_ext.reject_write() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.reject_write() IS 'rejects writes to the side that a cutover replaced, or that is frozen';

CREATE FUNCTION migrate_ext.capture_lookup() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_capture_lookup';
REVOKE ALL ON FUNCTION migrate_ext.capture_lookup() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.capture_lookup() IS 'notes changes of tables that expressions read: the keys that they concern become dirty';

CREATE FUNCTION migrate_ext.set_columns() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_set_columns';
REVOKE ALL ON FUNCTION migrate_ext.set_columns() FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.set_columns() IS 'in place: sets the columns of one shape of a row from those of the other';

-- Define
CREATE FUNCTION @extschema@.migrate_create(migration text, description text DEFAULT NULL)
	RETURNS bigint LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_create';
REVOKE ALL ON FUNCTION @extschema@.migrate_create(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_create(text, text) IS
	'creates a migration, owned by the current role; returns its id';

CREATE FUNCTION @extschema@.migrate_map(
	migration text, source regclass, target regclass, columns jsonb DEFAULT NULL,
	key text[] DEFAULT NULL, filter text DEFAULT NULL, dedupe_by text DEFAULT NULL,
	reverse jsonb DEFAULT NULL, capture text DEFAULT 'trigger', on_error text DEFAULT 'defer')
	RETURNS bigint LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_map';
REVOKE ALL ON FUNCTION @extschema@.migrate_map(text, regclass, regclass, jsonb, text[], text, text, jsonb, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_map(text, regclass, regclass, jsonb, text[], text, text, jsonb, text, text) IS
	'maps source rows to target rows: expressions by target column, key, filter, and the way back; returns the mapping''s id';

CREATE FUNCTION @extschema@.migrate_lookup(migration text, mapping bigint, VARIADIC key "any")
	RETURNS text LANGUAGE C STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'migrate_lookup';
COMMENT ON FUNCTION @extschema@.migrate_lookup(text, bigint, "any") IS
	'the new key that a mapping has given to an old one; in migrate_map, where the mapping is null: of the mapping itself';

-- Of the way back, and of the rows that are a mapping's own.
CREATE FUNCTION migrate_ext.unmap_key(mapping bigint, new_key text, part int)
	RETURNS text LANGUAGE C STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'migrate_unmap_key';
COMMENT ON FUNCTION migrate_ext.unmap_key(bigint, text, int) IS 'a column of the old key that a new one was given to';

CREATE FUNCTION migrate_ext.key_belongs(mapping bigint, new_key text)
	RETURNS boolean LANGUAGE C STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'migrate_key_belongs';
COMMENT ON FUNCTION migrate_ext.key_belongs(bigint, text) IS
	'was the new key given by the mapping, or by another one with the same target? null: by none';

CREATE FUNCTION @extschema@.migrate_unmap(migration text, mapping bigint)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_unmap';
REVOKE ALL ON FUNCTION @extschema@.migrate_unmap(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_unmap(text, bigint) IS 'removes a mapping before its migration has started';

CREATE FUNCTION @extschema@.migrate_set(migration text, setting text, value text)
	RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_set';
REVOKE ALL ON FUNCTION @extschema@.migrate_set(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_set(text, text, text) IS
	'changes a setting live; null goes back to the default; returns the value before';

CREATE FUNCTION @extschema@.migrate_drop(migration text)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_drop';
REVOKE ALL ON FUNCTION @extschema@.migrate_drop(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_drop(text) IS 'forgets a migration that is planned, rolled back or done; its events stay';

CREATE FUNCTION @extschema@.migrate_add_rule(migration text, mapping bigint, rule text, condition text,
	action text DEFAULT 'reject')
	RETURNS bigint LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_add_rule';
REVOKE ALL ON FUNCTION @extschema@.migrate_add_rule(text, bigint, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_add_rule(text, bigint, text, text, text) IS
	'source rows that meet the condition are not moved (reject), or only listed (flag); returns the rule''s id';

CREATE FUNCTION @extschema@.migrate_add_check(migration text, name text, query text)
	RETURNS bigint LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_add_check';
REVOKE ALL ON FUNCTION @extschema@.migrate_add_check(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_add_check(text, text, text) IS
	'a query that must return no row before the gates into shadow and soak open; replaces one of that name; returns its id';

-- Plan
CREATE FUNCTION @extschema@.migrate_assess(migration text)
	RETURNS TABLE (severity text, subject text, finding text, advice text)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_assess';
REVOKE ALL ON FUNCTION @extschema@.migrate_assess(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_assess(text) IS
	'what will bite, before it does; a blocker keeps migrate_start from starting';

CREATE FUNCTION @extschema@.migrate_rehearse(migration text, sample_rows bigint DEFAULT 10000)
	RETURNS TABLE (mapping bigint, rows_tried bigint, rows_ok bigint, rows_rejected bigint, rows_per_second float8,
		estimated_duration interval, estimated_size bigint, errors jsonb)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_rehearse';
REVOKE ALL ON FUNCTION @extschema@.migrate_rehearse(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_rehearse(text, bigint) IS
	'tries a sample of rows, and the swap with its checks, for real, and takes all back; the row without a mapping is the swap''s';
