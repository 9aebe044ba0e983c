-- Is the side that a cutover replaced still in use?
CREATE TABLE migrate_ext.old_side (
	mapping_id		bigint PRIMARY KEY REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	seq_scans		bigint NOT NULL,
	index_scans		bigint NOT NULL,
	key_scans		bigint NOT NULL,
	rows_written	bigint NOT NULL,
	reset_at		timestamptz,
	marked_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE ALL ON migrate_ext.old_side FROM PUBLIC;
COMMENT ON TABLE migrate_ext.old_side IS 'the server''s statistics of the old side up to which its use has been looked at, or was the extension''s own';
COMMENT ON COLUMN migrate_ext.old_side.reset_at IS 'when the statistics began';
COMMENT ON COLUMN migrate_ext.old_side.key_scans IS 'of the index by which rows are written back';

-- Applications write this table, as they do dirty_key: no foreign key.
CREATE TABLE migrate_ext.old_side_use (
	old_side_use_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL,
	at				timestamptz NOT NULL DEFAULT clock_timestamp(),
	kind			text NOT NULL CHECK (kind IN ('read', 'write')),
	relation		regclass NOT NULL,
	detail			text NOT NULL
);
CREATE INDEX ON migrate_ext.old_side_use (migration_id, at);
REVOKE ALL ON migrate_ext.old_side_use FROM PUBLIC;
COMMENT ON TABLE migrate_ext.old_side_use IS 'uses of the old side since the cutover: reads by the server''s statistics, when they were noticed; forwarded writes, of a session at most one a minute';

CREATE VIEW migrate_ext.old_side_counters AS
	SELECT m.migration_id, m.mapping_id, m.source, coalesce(sum(pg_stat_get_numscans(t.relid)), 0)::bigint AS seq_scans,
		coalesce(sum(i.other), 0)::bigint AS index_scans, coalesce(sum(i.by_key), 0)::bigint AS key_scans,
		coalesce(sum(pg_stat_get_tuples_inserted(t.relid) + pg_stat_get_tuples_updated(t.relid) + pg_stat_get_tuples_deleted(t.relid)), 0)::bigint AS rows_written,
		coalesce(sum(pg_stat_get_xact_numscans(t.relid)), 0)::bigint AS own_seq_scans,
		coalesce(sum(i.own_other), 0)::bigint AS own_index_scans, coalesce(sum(i.own_by_key), 0)::bigint AS own_key_scans
	FROM migrate_ext.mapping m LEFT JOIN migrate_ext.mapping r ON r.reverse_of = m.mapping_id
	CROSS JOIN LATERAL (
		WITH RECURSIVE tree(relid) AS (SELECT m.source::oid UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relid)
		SELECT relid FROM tree) t
	CROSS JOIN LATERAL (SELECT sum(pg_stat_get_numscans(x.indexrelid)) FILTER (WHERE k.is_key) AS by_key,
			sum(pg_stat_get_numscans(x.indexrelid)) FILTER (WHERE NOT k.is_key) AS other,
			sum(pg_stat_get_xact_numscans(x.indexrelid)) FILTER (WHERE k.is_key) AS own_by_key,
			sum(pg_stat_get_xact_numscans(x.indexrelid)) FILTER (WHERE NOT k.is_key) AS own_other
		FROM pg_index x CROSS JOIN LATERAL (SELECT x.indisunique AND r.key <@ array_agg(a.attname::text) AND r.key @> array_agg(a.attname::text) AS is_key
			FROM pg_attribute a WHERE a.attrelid = x.indrelid AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1])) k
		WHERE x.indrelid = t.relid) i
	WHERE m.direction = 'forward' AND m.source <> m.target
	GROUP BY m.mapping_id;
REVOKE ALL ON migrate_ext.old_side_counters FROM PUBLIC;
COMMENT ON VIEW migrate_ext.old_side_counters IS 'the server''s statistics of each mapping''s source, its partitions and children; own: of this transaction, not among the others yet';
