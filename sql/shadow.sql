-- Shadow reads: both read paths, compared and timed.
CREATE TABLE migrate_ext.shadow_read (
	shadow_read_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	reads			bigint NOT NULL,
	mismatches		bigint NOT NULL,
	source_ms		float8[] NOT NULL,
	target_ms		float8[] NOT NULL,
	mismatching_keys jsonb[] NOT NULL,
	read_at			timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrate_ext.shadow_read (mapping_id, shadow_read_id);
REVOKE ALL ON migrate_ext.shadow_read FROM PUBLIC;
COMMENT ON TABLE migrate_ext.shadow_read IS 'reads of single keys on both sides, one after the other in one snapshot';
COMMENT ON COLUMN migrate_ext.shadow_read.source_ms IS '101 quantiles of the time of a read in milliseconds: the first is the minimum, the 51st the median, the last the maximum';
COMMENT ON COLUMN migrate_ext.shadow_read.mismatching_keys IS 'the first of them';

CREATE VIEW migrate_ext.shadow_reads AS
	SELECT g.name AS migration, s.mapping_id AS mapping, m.source, m.target, s.shadow_read_id, s.read_at, s.reads, s.mismatches,
		s.source_ms[51] AS source_p50, s.source_ms[100] AS source_p99, s.target_ms[51] AS target_p50, s.target_ms[100] AS target_p99,
		s.source_ms, s.target_ms, s.mismatching_keys,
		s.shadow_read_id = max(s.shadow_read_id) OVER (PARTITION BY s.mapping_id) AS newest, g.owner
	FROM migrate_ext.shadow_read s JOIN migrate_ext.mapping m USING (mapping_id) JOIN migrate_ext.migration g USING (migration_id);
REVOKE ALL ON migrate_ext.shadow_reads FROM PUBLIC;
COMMENT ON VIEW migrate_ext.shadow_reads IS 'shadow reads: how many were different, and the median and 99th percentile of both read paths in milliseconds';
