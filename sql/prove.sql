-- Prove
CREATE FUNCTION @extschema@.migrate_table_checksum(relation regclass, columns text[] DEFAULT NULL,
	filter text DEFAULT NULL)
	RETURNS TABLE (rows bigint, checksum text)
	LANGUAGE C STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'migrate_table_checksum';
REVOKE ALL ON FUNCTION @extschema@.migrate_table_checksum(regclass, text[], text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_table_checksum(regclass, text[], text) IS
	'count and order-independent checksum of a table''s rows; columns default to all, by name';

CREATE FUNCTION @extschema@.migrate_verify(migration text, method text DEFAULT 'scan',
	sample_rows bigint DEFAULT NULL)
	RETURNS TABLE (mapping bigint, source_rows bigint, target_rows bigint, filtered bigint,
		rejected bigint, deduplicated bigint, pending bigint, missing bigint, extra bigint,
		different bigint, checksum_match boolean, snapshot_lsn pg_lsn, elapsed interval, expanded bigint)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_verify';
REVOKE ALL ON FUNCTION @extschema@.migrate_verify(text, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_verify(text, text, bigint) IS
	'compares both sides in one snapshot; stores the result and the keys that differ';

CREATE FUNCTION @extschema@.migrate_compare(source regclass, target regclass, key text[] DEFAULT NULL,
	columns jsonb DEFAULT NULL, filter text DEFAULT NULL, max_rows bigint DEFAULT 1000,
	show_values boolean DEFAULT false, equality text DEFAULT 'strict')
	RETURNS TABLE (kind text, key jsonb, columns text[], source_row jsonb, target_row jsonb)
	LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'migrate_compare';
REVOKE ALL ON FUNCTION @extschema@.migrate_compare(regclass, regclass, text[], jsonb, text, bigint, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_compare(regclass, regclass, text[], jsonb, text, bigint, boolean, text) IS
	'differences of any two tables in one snapshot: by key, or as multisets; no migration needed';

CREATE FUNCTION @extschema@.migrate_compare_aggregates(source regclass, target regclass, columns jsonb DEFAULT NULL,
	group_by text[] DEFAULT NULL, filter text DEFAULT NULL)
	RETURNS TABLE (group_key jsonb, column_name text, measure text, source_value text, target_value text, matches boolean)
	LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'migrate_compare_aggregates';
REVOKE ALL ON FUNCTION @extschema@.migrate_compare_aggregates(regclass, regclass, jsonb, text[], text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_compare_aggregates(regclass, regclass, jsonb, text[], text) IS
	'counts, nulls, minima, maxima and sums of any two tables, by column and by group; no migration needed';

CREATE FUNCTION @extschema@.migrate_check(migration text)
	RETURNS TABLE (mapping bigint, kind text, name text, columns text[], violations bigint, passed boolean)
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_check';
REVOKE ALL ON FUNCTION @extschema@.migrate_check(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_check(text) IS
	'what the targets should fulfil though nothing enforces it (not null, unique, foreign keys), and the checks of migrate_add_check';

CREATE FUNCTION @extschema@.migrate_shadow_read(migration text, sample_rows bigint DEFAULT 1000)
	RETURNS TABLE (mapping bigint, reads bigint, mismatches bigint, source_p50 float8, source_p99 float8, target_p50 float8, target_p99 float8)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_shadow_read';
REVOKE ALL ON FUNCTION @extschema@.migrate_shadow_read(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_shadow_read(text, bigint) IS
	'reads random and recently written keys on both sides, one by one: how many differ, and how long each side takes, in milliseconds';

CREATE FUNCTION @extschema@.migrate_divergence(migration text)
	RETURNS TABLE (mapping bigint, kind text, key jsonb, columns text[], source_row jsonb,
		target_row jsonb, found_at timestamptz)
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'migrate_divergence';
REVOKE ALL ON FUNCTION @extschema@.migrate_divergence(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_divergence(text) IS 'the differences that the newest verification found';

CREATE FUNCTION @extschema@.migrate_repair(migration text)
	RETURNS bigint LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_repair';
REVOKE ALL ON FUNCTION @extschema@.migrate_repair(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_repair(text) IS
	'derives the differing keys again from the authoritative side; returns how many were settled';

CREATE FUNCTION @extschema@.migrate_ledger(migration text)
	RETURNS TABLE (mapping bigint, line text, rows bigint, explained boolean, checksum text)
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'migrate_ledger';
REVOKE ALL ON FUNCTION @extschema@.migrate_ledger(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_ledger(text) IS
	'accounts for every source row, by the newest verification: source - filtered + expanded - rejected - deduplicated = target';
