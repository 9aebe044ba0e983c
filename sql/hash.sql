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
CREATE FUNCTION migrate_ext.canonical_identical("any", "any") RETURNS boolean
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'migrate_canonical_identical';
COMMENT ON FUNCTION migrate_ext.canonical_identical("any", "any") IS
	'do two values show the same in canonical form? 1.0 and 1.00 do, 0 and -0, and character(n) with and without blanks at its end';
CREATE FUNCTION migrate_ext.canonical_row_checksum(VARIADIC "any") RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'migrate_canonical_row_checksum';
COMMENT ON FUNCTION migrate_ext.canonical_row_checksum(VARIADIC "any") IS 'checksum of a row in canonical form';

-- Difference sketches
CREATE FUNCTION migrate_ext.sketch_accum(internal, int, int, VARIADIC "any") RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 8 AS 'MODULE_PATHNAME', 'migrate_sketch_accum';
COMMENT ON FUNCTION migrate_ext.sketch_accum(internal, int, int, VARIADIC "any") IS 'transition function of migrate_ext.sketch';
CREATE FUNCTION migrate_ext.sketch_combine(internal, internal) RETURNS internal
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_combine';
COMMENT ON FUNCTION migrate_ext.sketch_combine(internal, internal) IS 'combine function of migrate_ext.sketch';
CREATE FUNCTION migrate_ext.sketch_serialize(internal) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_serialize';
COMMENT ON FUNCTION migrate_ext.sketch_serialize(internal) IS 'serialization function of migrate_ext.sketch';
CREATE FUNCTION migrate_ext.sketch_deserialize(bytea, internal) RETURNS internal
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_deserialize';
COMMENT ON FUNCTION migrate_ext.sketch_deserialize(bytea, internal) IS 'deserialization function of migrate_ext.sketch';
CREATE FUNCTION migrate_ext.sketch_final(internal) RETURNS bytea
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_final';
COMMENT ON FUNCTION migrate_ext.sketch_final(internal) IS 'final function of migrate_ext.sketch';

CREATE AGGREGATE migrate_ext.sketch(cells int, nkeys int, VARIADIC "any") (
	SFUNC = migrate_ext.sketch_accum, STYPE = internal, SSPACE = 200000,
	FINALFUNC = migrate_ext.sketch_final, COMBINEFUNC = migrate_ext.sketch_combine,
	SERIALFUNC = migrate_ext.sketch_serialize, DESERIALFUNC = migrate_ext.sketch_deserialize,
	PARALLEL = SAFE);
COMMENT ON AGGREGATE migrate_ext.sketch(int, int, VARIADIC "any") IS
	'difference sketch of rows: after the number of cells and of key columns the key columns, then all columns';
CREATE FUNCTION migrate_ext.sketch_checksum(bytea) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_checksum';
COMMENT ON FUNCTION migrate_ext.sketch_checksum(bytea) IS 'the checksum of a sketch''s rows, as migrate_checksum gives it';
CREATE FUNCTION migrate_ext.sketch_decode(bytea, bytea) RETURNS bigint[]
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_sketch_decode';
COMMENT ON FUNCTION migrate_ext.sketch_decode(bytea, bytea) IS
	'the keys (integers, or their hashes) of the rows that one of two sketches has and the other has not; null: too many to tell';
CREATE FUNCTION migrate_ext.key_hash(VARIADIC "any") RETURNS bigint
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 3 AS 'MODULE_PATHNAME', 'migrate_key_hash';
COMMENT ON FUNCTION migrate_ext.key_hash(VARIADIC "any") IS 'the number that stands for a key in a sketch: an integer itself, a hash of all else';
