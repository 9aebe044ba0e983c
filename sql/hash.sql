-- Checksums.  Pure functions of their arguments, so they stay executable by everybody.
CREATE FUNCTION migrate_ext.checksum_accum(internal, VARIADIC "any") RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'migrate_checksum_accum';
COMMENT ON FUNCTION migrate_ext.checksum_accum(internal, VARIADIC "any") IS 'transition function of migrate_checksum';
CREATE FUNCTION migrate_ext.checksum_combine(internal, internal) RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_combine';
COMMENT ON FUNCTION migrate_ext.checksum_combine(internal, internal) IS 'combine function of migrate_checksum';
CREATE FUNCTION migrate_ext.checksum_serialize(internal) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_serialize';
COMMENT ON FUNCTION migrate_ext.checksum_serialize(internal) IS 'serialization function of migrate_checksum';
CREATE FUNCTION migrate_ext.checksum_deserialize(bytea, internal) RETURNS internal
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_deserialize';
COMMENT ON FUNCTION migrate_ext.checksum_deserialize(bytea, internal) IS 'deserialization function of migrate_checksum';
CREATE FUNCTION migrate_ext.checksum_final(internal) RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_final';
COMMENT ON FUNCTION migrate_ext.checksum_final(internal) IS 'final function of migrate_checksum';

CREATE AGGREGATE @extschema@.migrate_checksum(VARIADIC "any") (
	SFUNC = migrate_ext.checksum_accum, STYPE = internal, SSPACE = 64,
	FINALFUNC = migrate_ext.checksum_final, COMBINEFUNC = migrate_ext.checksum_combine,
	SERIALFUNC = migrate_ext.checksum_serialize, DESERIALFUNC = migrate_ext.checksum_deserialize,
	PARALLEL = SAFE);
COMMENT ON AGGREGATE @extschema@.migrate_checksum(VARIADIC "any") IS
	'order-independent checksum of rows: 32 hexadecimal digits, the sum mod 2^128 of the rows'' XXH3-128 hashes';

CREATE FUNCTION @extschema@.migrate_row_checksum(VARIADIC "any") RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'migrate_row_checksum';
COMMENT ON FUNCTION @extschema@.migrate_row_checksum(VARIADIC "any") IS 'one row''s share of migrate_checksum';
CREATE FUNCTION @extschema@.migrate_checksum_add(text, text) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_add';
COMMENT ON FUNCTION @extschema@.migrate_checksum_add(text, text) IS 'the checksum of two sets of rows together';
CREATE FUNCTION @extschema@.migrate_checksum_subtract(text, text) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_checksum_subtract';
COMMENT ON FUNCTION @extschema@.migrate_checksum_subtract(text, text) IS 'the checksum of the first set of rows without the second';
CREATE FUNCTION migrate_ext.identical("any", "any") RETURNS boolean
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'migrate_identical';
COMMENT ON FUNCTION migrate_ext.identical("any", "any") IS
	'do two values show the same? nulls are identical; 1.0 and 1.00 are not';
