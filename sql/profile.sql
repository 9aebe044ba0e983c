-- Plan: what the data are like
CREATE FUNCTION @extschema@.migrate_profile(relation regclass, sample_percent float8 DEFAULT 100)
	RETURNS TABLE (column_name name, data_type text, rows bigint, nulls bigint, empties bigint,
		distinct_values bigint, min text, max text, avg_width float8, top_values jsonb, patterns jsonb,
		anomalies jsonb)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_profile';
REVOKE ALL ON FUNCTION @extschema@.migrate_profile(regclass, float8) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_profile(regclass, float8) IS
	'what is in each column of a table, foreign table or view, from one pass over the rows or a random share of the blocks: counts, extremes, frequent values and patterns, and what stands out';
