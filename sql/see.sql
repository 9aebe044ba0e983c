-- Views: all the arithmetic is here; the functions below only select from them.
CREATE VIEW migrate_ext.mappings AS
	SELECT g.name AS migration, m.mapping_id AS mapping, m.direction, m.source, m.target, m.key,
		m.filter, m.scope, m.capture, m.on_error, m.clears, m.complete, g.owner, m.owner AS runs_as
	FROM migrate_ext.mapping m JOIN migrate_ext.migration g USING (migration_id);
COMMENT ON VIEW migrate_ext.mappings IS 'mappings with the name of their migration';

-- whoever works on a job holds a session lock on it: see worker/launch.c
CREATE VIEW migrate_ext.job_lock AS
	SELECT (l.classid::bigint << 32) + l.objid::bigint AS job_id, l.pid FROM pg_catalog.pg_locks l
	WHERE l.locktype = 'advisory' AND l.objsubid = 77 AND l.granted AND l.mode = 'ShareLock'
		AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());
COMMENT ON VIEW migrate_ext.job_lock IS 'the sessions that work on a job now';

CREATE VIEW migrate_ext.verifications AS
	SELECT g.name AS migration, v.mapping_id AS mapping, m.direction, m.source, m.target, v.verification_id,
		v.method, v.source_rows, v.target_rows, v.filtered, v.rejected, v.deduplicated, v.expanded, v.pending,
		v.missing, v.extra, v.different, v.source_checksum, v.target_checksum, v.pending_checksum, v.checksum_match,
		v.clean, v.snapshot, v.snapshot_lsn, v.started_at, v.elapsed, v.finished, v.ranges, v.position,
		CASE WHEN v.finished THEN 100.0 ELSE least(99.9, round((100 * v.source_rows / nullif(e.rows, 0))::numeric, 1)) END AS percent,
		CASE WHEN v.finished THEN 'done' WHEN j.status IN ('requested', 'running') AND k.workers = 0 THEN 'interrupted'
			WHEN j.status IN ('requested', 'running') AND g.paused THEN 'paused' ELSE coalesce(j.status, 'cancelled') END AS state,
		CASE WHEN NOT v.finished THEN j.throttle_reason END AS throttle_reason,
		(m.direction = 'reverse') = (g.phase IN ('soak', 'done')) AND v.verification_id IS NOT DISTINCT FROM w.newest AS newest,
		(m.direction = 'reverse') = (g.phase IN ('soak', 'done')) AND v.verification_id > coalesce(w.newest, 0) AS newer_part,
		g.owner
	FROM migrate_ext.verification v
	JOIN migrate_ext.mapping m USING (mapping_id)
	JOIN migrate_ext.migration g USING (migration_id)
	LEFT JOIN migrate_ext.job j USING (job_id)
	LEFT JOIN LATERAL (SELECT count(*) AS workers FROM migrate_ext.job_lock l WHERE NOT v.finished AND l.job_id = v.job_id) k ON true
	-- by the statistics; of a partitioned table, those of its partitions
	LEFT JOIN LATERAL (SELECT sum(greatest(c.reltuples, 0)) AS rows FROM pg_catalog.pg_class c WHERE NOT v.finished
		AND (c.oid = m.source OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(m.source) WHERE isleaf))) e ON true
	CROSS JOIN LATERAL (SELECT max(verification_id) AS newest FROM migrate_ext.verification a
		WHERE a.mapping_id = v.mapping_id AND a.method IN ('scan', 'range') AND a.finished) w;
COMMENT ON VIEW migrate_ext.verifications IS
	'all verifications; newest: the last one of all rows of each mapping in the direction in force; newer_part: of some rows, or unfinished, after it';

CREATE VIEW migrate_ext.divergences AS
	SELECT v.migration, d.mapping_id AS mapping, d.divergence_id, d.kind, d.key, d.columns,
		d.source_row, d.target_row, d.found_at, v.owner
	FROM migrate_ext.divergence d JOIN migrate_ext.verifications v USING (verification_id)
	WHERE v.newest OR v.newer_part;
COMMENT ON VIEW migrate_ext.divergences IS 'the keys that the newest verification of each mapping, or one of some rows after it, found different';

CREATE VIEW migrate_ext.rejected_rows AS
	SELECT g.name AS migration, r.mapping_id AS mapping, m.source, m.target, r.rejected_row_id, r.key, r.action, r.rule, r.sqlstate,
		r.message, r.constraint_name, r.row_image, r.rejected_at, g.owner
	FROM migrate_ext.rejected_row r JOIN migrate_ext.mapping m USING (mapping_id) JOIN migrate_ext.migration g USING (migration_id);
COMMENT ON VIEW migrate_ext.rejected_rows IS 'source rows that could not be stored in the target, met a rule, or lost their key to another row';

CREATE VIEW migrate_ext.ledger AS
	SELECT v.migration, v.mapping, l.ordinal, l.line, l.rows,
		l.line <> 'unexplained' OR (l.rows = 0 AND l.checksum = repeat('0', 32)) AS explained, l.checksum, v.owner
	FROM migrate_ext.verifications v
	CROSS JOIN LATERAL (VALUES
		(1, 'source', v.source_rows, NULL),
		(2, 'filtered', -v.filtered, NULL),
		(3, 'expanded', v.expanded, NULL),
		(4, 'rejected', -v.rejected, NULL),
		(5, 'deduplicated', -v.deduplicated, NULL),
		(6, 'expected in target', v.source_rows - v.filtered + v.expanded - v.rejected - v.deduplicated, v.source_checksum),
		(7, 'target', v.target_rows, v.target_checksum),
		(8, 'pending', v.pending, v.pending_checksum),
		(9, 'unexplained', CASE WHEN v.checksum_match THEN 0
			ELSE greatest(v.missing + v.extra + v.different,
				abs(v.source_rows - v.filtered + v.expanded - v.rejected - v.deduplicated - v.target_rows) - v.pending) END,
			@extschema@.migrate_checksum_subtract(@extschema@.migrate_checksum_subtract(v.source_checksum, v.target_checksum), v.pending_checksum))
	) AS l(ordinal, line, rows, checksum)
	WHERE v.newest AND (l.line <> 'expanded' OR v.expanded <> 0);
COMMENT ON VIEW migrate_ext.ledger IS 'every source row accounted for, in rows and in checksums, by the newest verification of each mapping';

CREATE VIEW migrate_ext.source_writes AS
	SELECT m.mapping_id, coalesce(sum(pg_stat_get_tuples_inserted(t.relid) + pg_stat_get_tuples_updated(t.relid)
		+ pg_stat_get_tuples_deleted(t.relid)), 0)::bigint AS writes
	FROM migrate_ext.mapping m CROSS JOIN LATERAL (
		WITH RECURSIVE tree(relid) AS (SELECT m.source::oid UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relid)
		SELECT relid FROM tree) t
	GROUP BY m.mapping_id;
COMMENT ON VIEW migrate_ext.source_writes IS 'rows written to each mapping''s source, its partitions and children, by the server''s statistics';

CREATE VIEW migrate_ext.write_accounts AS
	SELECT g.name AS migration, m.mapping_id AS mapping, m.direction, e.errors, w.writes,
		CASE WHEN e.errors = 0 THEN 0 ELSE e.errors::numeric / greatest(e.errors, w.writes) END AS rate, m.degraded, g.owner
	FROM migrate_ext.mapping m JOIN migrate_ext.migration g USING (migration_id)
	CROSS JOIN LATERAL (SELECT coalesce(sum(keys), 0)::bigint AS errors FROM migrate_ext.write_error WHERE write_error.mapping_id = m.mapping_id) e
	-- statistics that were reset begin at 0
	CROSS JOIN LATERAL (SELECT CASE WHEN s.writes < m.writes_before THEN s.writes ELSE s.writes - m.writes_before END AS writes
		FROM migrate_ext.source_writes s WHERE s.mapping_id = m.mapping_id) w;
COMMENT ON VIEW migrate_ext.write_accounts IS 'how many keys'' dual writes failed, of how many rows written';

CREATE VIEW migrate_ext.write_errors AS
	SELECT g.name AS migration, m.mapping_id AS mapping, m.direction, m.target, e.at, e.sqlstate, e.message, e.keys, e.key, g.owner
	FROM migrate_ext.write_error e JOIN migrate_ext.mapping m USING (mapping_id) JOIN migrate_ext.migration g USING (migration_id);
COMMENT ON VIEW migrate_ext.write_errors IS 'dual writes that failed';

CREATE VIEW migrate_ext.progress AS
	SELECT g.name AS migration, g.phase,
		CASE WHEN j.job_id IS NULL THEN 'no backfill'
			WHEN j.status NOT IN ('requested', 'running') THEN j.status
			WHEN w.workers = 0 THEN 'interrupted'
			WHEN g.paused THEN 'paused'
			ELSE j.status END AS state,
		j.step, coalesce(r.done, 0) AS blocks_done, coalesce(r.total, 0) AS blocks_total,
		CASE WHEN j.job_id IS NULL THEN NULL WHEN r.total > 0 THEN round(100.0 * r.done / r.total, 1)
			ELSE 100.0 END AS percent,
		coalesce(r.rows, 0) AS rows_written,
		round((r.rows / nullif(extract(epoch FROM coalesce(j.finished_at, clock_timestamp()) - j.started_at), 0))::numeric, 0)
			AS rows_per_second,
		CASE WHEN e.active AND r.done < r.total THEN CASE
			WHEN b.blocks > 0 THEN b.elapsed * ((r.total - r.done)::float8 / b.blocks)
			WHEN r.done > 0 THEN (clock_timestamp() - j.started_at) * ((r.total - r.done)::float8 / r.done) END END AS eta,
		CASE WHEN e.active AND r.done < r.total THEN CASE
			WHEN b.blocks > 0 THEN format('rate of the last %s s', round(extract(epoch FROM b.elapsed)))
			WHEN r.done > 0 THEN 'rate since the start' END END AS eta_basis,
		CASE WHEN e.active THEN round((b.rows / extract(epoch FROM b.elapsed))::numeric, 0) END AS recent_rows_per_second,
		CASE WHEN e.active THEN round((b.blocks * current_setting('block_size')::int / 1048576.0
			/ extract(epoch FROM b.elapsed))::numeric, 1) END AS mb_per_second,
		coalesce(r.ranges_done, 0) AS ranges_done, coalesce(r.ranges, 0) AS ranges_total,
		l.batch_rows, make_interval(secs => l.replica_lag_ms / 1000) AS replica_lag,
		x.rejected AS rejected_rows, x.flagged AS flagged_rows, x.duplicates AS duplicate_rows, p.per_worker,
		w.workers, coalesce(r.batches, 0) AS batches, coalesce(r.retries, 0) AS retries,
		coalesce(d.pending, 0)::bigint AS pending_keys, clock_timestamp() - d.oldest AS oldest_pending,
		j.throttle_reason, coalesce(j.error_message, s.error_message) AS error,
		CASE WHEN s.status IN ('requested', 'running') THEN CASE WHEN sw.workers = 0 THEN 'not running'
				WHEN g.paused THEN 'paused' WHEN s.throttle_reason IS NOT NULL THEN 'waiting' ELSE 'running' END
			WHEN g.phase NOT IN ('planned', 'rolled_back', 'done') AND s.status IS DISTINCT FROM 'stopped'
				AND coalesce((g.settings ->> 'sync_interval')::int, q.sync_interval) > 0 THEN 'not running'
			ELSE 'off' END AS sync_state,
		s.keys_per_second AS sync_rate, a.errors AS write_errors, round(a.rate, 6) AS write_error_rate, j.job_id, j.started_at, j.finished_at, g.owner
	FROM migrate_ext.migration g
	LEFT JOIN LATERAL (SELECT * FROM migrate_ext.job WHERE job.migration_id = g.migration_id
		AND kind = 'backfill' ORDER BY job_id DESC LIMIT 1) j ON true
	LEFT JOIN LATERAL (SELECT * FROM migrate_ext.job WHERE job.migration_id = g.migration_id
		AND kind = 'sync' AND status <> 'cancelled' ORDER BY job_id DESC LIMIT 1) s ON true
	LEFT JOIN LATERAL (SELECT count(*)::int AS workers FROM migrate_ext.job_lock l WHERE l.job_id = j.job_id) w ON true
	LEFT JOIN LATERAL (SELECT count(*)::int AS workers FROM migrate_ext.job_lock l WHERE l.job_id = s.job_id) sw ON true
	LEFT JOIN LATERAL (SELECT CASE WHEN count(*) > 0 THEN 1000 ELSE 0 END AS sync_interval FROM migrate_ext.mapping
		WHERE mapping.migration_id = g.migration_id AND (capture = 'queue' OR degraded OR dedupe_by <> '{}'
			OR EXISTS (SELECT FROM migrate_ext.mapping_column c WHERE c.mapping_id = mapping.mapping_id AND expression LIKE '%SELECT%'))) q ON true
	LEFT JOIN LATERAL (SELECT sum(errors)::bigint AS errors, max(rate) AS rate FROM migrate_ext.write_accounts w
		WHERE w.migration = g.name AND (w.direction = 'reverse') = (g.phase IN ('soak', 'done'))) a ON true
	LEFT JOIN LATERAL (SELECT sum(next_block - first_block)::bigint AS done,
			sum(end_block - first_block)::bigint AS total, sum(rows)::bigint AS rows,
			count(*) AS ranges, count(*) FILTER (WHERE job_range.done) AS ranges_done,
			sum(batches)::bigint AS batches, sum(retries)::bigint AS retries
		FROM migrate_ext.job_range WHERE job_range.job_id = j.job_id) r ON true
	LEFT JOIN LATERAL (SELECT j.status IN ('requested', 'running') AND w.workers > 0 AS active) e ON true
	-- what was done since the oldest sample of the last minute
	LEFT JOIN LATERAL (SELECT clock_timestamp() - s.taken_at AS elapsed, r.rows - s.rows AS rows, r.done - s.blocks AS blocks
		FROM migrate_ext.sample s WHERE s.migration_id = g.migration_id AND s.job_id = j.job_id
			AND s.taken_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() - interval '1 second'
		ORDER BY s.taken_at LIMIT 1) b ON true
	LEFT JOIN LATERAL (SELECT s.batch_rows, s.replica_lag_ms FROM migrate_ext.sample s
		WHERE s.migration_id = g.migration_id AND s.job_id = j.job_id ORDER BY s.taken_at DESC LIMIT 1) l ON true
	LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE action = 'reject') AS rejected, count(*) FILTER (WHERE action = 'flag') AS flagged,
			count(*) FILTER (WHERE action = 'duplicate') AS duplicates
		FROM migrate_ext.rejected_row JOIN migrate_ext.mapping m USING (mapping_id) WHERE m.migration_id = g.migration_id) x ON true
	LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('pid', k.pid, 'doing', a.query, 'wait_event', a.wait_event,
			'rows', k.rows, 'batches', k.batches, 'retries', k.retries, 'last_batch', k.last_batch) ORDER BY k.pid) AS per_worker
		FROM (SELECT o.pid, coalesce(sum(q.rows), 0) AS rows, coalesce(sum(q.batches), 0) AS batches,
				coalesce(sum(q.retries), 0) AS retries, max(q.touched_at) AS last_batch
			FROM migrate_ext.job_lock o LEFT JOIN migrate_ext.job_range q ON q.job_id = o.job_id AND q.worker_pid = o.pid
			WHERE o.job_id = j.job_id GROUP BY o.pid) k
		LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)) p ON true
	-- the queues are read once, however many migrations there are
	LEFT JOIN (SELECT mapping.migration_id, sum(n) AS pending, min(oldest) AS oldest
		FROM (SELECT mapping_id, count(*) AS n, min(dirtied_at) AS oldest FROM migrate_ext.dirty_key GROUP BY 1) k
		JOIN migrate_ext.mapping USING (mapping_id) GROUP BY 1) d ON d.migration_id = g.migration_id;
COMMENT ON VIEW migrate_ext.progress IS 'the newest backfill of each migration, and its dirty queue';

CREATE VIEW migrate_ext.status AS
	SELECT g.name AS migration, g.phase, p.state,
		(SELECT count(*) FROM migrate_ext.mapping m
			WHERE m.migration_id = g.migration_id AND m.direction = 'forward') AS mappings,
		p.pending_keys,
		(SELECT CASE WHEN count(*) = 0 THEN 'never'
				WHEN bool_or(v.started_at <= g.changed_at) THEN 'out of date'
				WHEN bool_and(v.clean) THEN 'clean' ELSE 'not clean' END
			FROM migrate_ext.verifications v WHERE v.migration = g.name AND v.newest) AS last_verification,
		CASE g.phase
			WHEN 'planned' THEN 'migrate_map, migrate_assess, then migrate_start'
			WHEN 'dual_write' THEN 'migrate_backfill'
			WHEN 'backfill' THEN CASE
				WHEN p.state IN ('failed', 'interrupted', 'stopped') THEN 'migrate_backfill (it goes on where it stopped)'
				WHEN p.state = 'no backfill' THEN 'migrate_backfill'
				WHEN p.state = 'paused' THEN 'migrate_resume'
				WHEN p.state = 'done' AND p.pending_keys > 0 THEN 'migrate_sync, then migrate_verify'
				WHEN p.state = 'done' THEN 'migrate_verify'
				ELSE 'wait: CALL migrate_wait' END
			WHEN 'shadow' THEN 'migrate_cutover'
			WHEN 'soak' THEN CASE WHEN g.signed_off_at IS NULL THEN 'watch, migrate_verify, migrate_sign_off' ELSE 'migrate_cleanup when its gate is open: there is no way back from it' END || '; migrate_rollback goes back'
			WHEN 'rolled_back' THEN 'migrate_start again, or migrate_drop'
			WHEN 'done' THEN 'migrate_drop' END
			|| CASE WHEN EXISTS (SELECT FROM migrate_ext.stashed_object o WHERE o.migration_id = g.migration_id AND o.restored_at IS NULL) AND g.phase IN ('soak', 'rolled_back')
				THEN '; indexes or foreign keys are not all back: migrate_resume, unless a worker is at it' ELSE '' END
			|| CASE WHEN g.frozen THEN '; writes are frozen: go on to the cutover, or migrate_unfreeze' ELSE '' END
			|| CASE p.sync_state WHEN 'not running' THEN '; migrate_resume starts the lost sync worker' ELSE '' END
			|| CASE WHEN EXISTS (SELECT FROM migrate_ext.mapping m WHERE m.migration_id = g.migration_id AND m.degraded)
				THEN '; dual writes failed too often (view migrate_ext.write_errors): mend the cause, then migrate_resume' ELSE '' END AS next_step,
		g.phase_since, g.owner
	FROM migrate_ext.migration g JOIN migrate_ext.progress p ON p.migration = g.name;
COMMENT ON VIEW migrate_ext.status IS 'one line per migration, and what to do next';

CREATE VIEW migrate_ext.gates AS
	SELECT g.name AS migration, r.gate_result_id, r.checked_at, r.to_phase, r.criterion, r.threshold,
		r.measured, r.passed, g.owner
	FROM migrate_ext.gate_result r JOIN migrate_ext.migration g USING (migration_id);
COMMENT ON VIEW migrate_ext.gates IS 'what each gate measured when it was passed';

CREATE VIEW migrate_ext.history AS
	SELECT event_id, migration, at, who, kind, phase, detail, reason FROM migrate_ext.event;
COMMENT ON VIEW migrate_ext.history IS 'the audit trail: who did what, when, and why';

CREATE VIEW migrate_ext.metrics AS
	WITH g AS MATERIALIZED (SELECT p.*, m.phase_since, m.ramp, m.frozen, m.phase AS m_phase
			FROM migrate_ext.progress p JOIN migrate_ext.migration m ON m.name = p.migration),
	v AS MATERIALIZED (SELECT * FROM migrate_ext.verifications WHERE newest)
	SELECT x.name, jsonb_strip_nulls(jsonb_build_object('migration', x.migration, 'mapping', x.mapping, 'phase', x.phase, 'side', x.side)) AS labels, x.value
	FROM (
		SELECT m.name, g.migration, NULL::bigint AS mapping, m.phase, NULL::text AS side, m.value::float8 AS value
		FROM g CROSS JOIN LATERAL (VALUES
			('migrate_ext_phase', g.m_phase, 1),
			('migrate_ext_phase_seconds', g.m_phase, extract(epoch FROM clock_timestamp() - g.phase_since)),
			('migrate_ext_frozen', NULL, g.frozen::int),
			('migrate_ext_ramp_percent', NULL, g.ramp),
			('migrate_ext_pending_keys', NULL, g.pending_keys),
			('migrate_ext_oldest_pending_seconds', NULL, extract(epoch FROM g.oldest_pending)),
			('migrate_ext_backfill_percent', NULL, g.percent),
			('migrate_ext_backfill_rows_total', NULL, g.rows_written),
			('migrate_ext_backfill_rows_per_second', NULL, g.recent_rows_per_second),
			('migrate_ext_backfill_workers', NULL, g.workers),
			('migrate_ext_backfill_throttled', NULL, (g.throttle_reason IS NOT NULL)::int),
			('migrate_ext_replica_lag_seconds', NULL, extract(epoch FROM g.replica_lag)),
			('migrate_ext_write_errors_total', NULL, g.write_errors),
			('migrate_ext_write_error_rate', NULL, g.write_error_rate),
			('migrate_ext_rejected_rows', NULL, g.rejected_rows)) m (name, phase, value)
		UNION ALL
		SELECT m.name, v.migration, v.mapping, NULL, m.side, m.value
		FROM v CROSS JOIN LATERAL (VALUES
			('migrate_ext_verified_rows', 'source', v.source_rows),
			('migrate_ext_verified_rows', 'target', v.target_rows),
			('migrate_ext_divergences', NULL, v.missing + v.extra + v.different),
			('migrate_ext_verification_clean', NULL, v.clean::int),
			('migrate_ext_verification_age_seconds', NULL, extract(epoch FROM clock_timestamp() - v.started_at))) m (name, side, value)
		UNION ALL
		SELECT m.name, s.migration, s.mapping, NULL, m.side, m.value
		FROM migrate_ext.shadow_reads s CROSS JOIN LATERAL (VALUES
			('migrate_ext_shadow_mismatch_rate', NULL, s.mismatches / nullif(s.reads, 0)::float8),
			('migrate_ext_shadow_p99_seconds', 'source', s.source_p99 / 1000),
			('migrate_ext_shadow_p99_seconds', 'target', s.target_p99 / 1000)) m (name, side, value)
		WHERE s.newest) x
	WHERE x.value IS NOT NULL;
COMMENT ON VIEW migrate_ext.metrics IS 'a row per gauge, for exporters: name, labels, value; seconds, rows, percent or 0 and 1';

REVOKE ALL ON migrate_ext.metrics, migrate_ext.rejected_rows, migrate_ext.mappings, migrate_ext.verifications, migrate_ext.divergences, migrate_ext.ledger,
	migrate_ext.source_writes, migrate_ext.write_accounts, migrate_ext.write_errors, migrate_ext.job_lock, migrate_ext.progress, migrate_ext.status, migrate_ext.gates, migrate_ext.history FROM PUBLIC;

-- See
CREATE FUNCTION @extschema@.migrate_status(migration text DEFAULT NULL)
	RETURNS TABLE (migration text, phase text, state text, mappings bigint, pending_keys bigint,
		last_verification text, next_step text, phase_since timestamptz)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_status';
REVOKE ALL ON FUNCTION @extschema@.migrate_status(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_status(text) IS 'one line per migration, and what to do next';

CREATE FUNCTION @extschema@.migrate_progress(migration text DEFAULT NULL)
	RETURNS TABLE (migration text, phase text, state text, step text, blocks_done bigint,
		blocks_total bigint, percent numeric, rows_written bigint, rows_per_second numeric, eta interval,
		workers int, batches bigint, retries bigint, pending_keys bigint, oldest_pending interval,
		throttle_reason text, error text, sync_state text, sync_rate float8,
		write_errors bigint, write_error_rate numeric, recent_rows_per_second numeric, mb_per_second numeric,
		eta_basis text, ranges_done bigint, ranges_total bigint, batch_rows bigint, replica_lag interval,
		rejected_rows bigint, flagged_rows bigint, per_worker jsonb, duplicate_rows bigint)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_progress';
REVOKE ALL ON FUNCTION @extschema@.migrate_progress(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_progress(text) IS 'how far the backfill is, and what is pending';

CREATE FUNCTION @extschema@.migrate_rejected(migration text)
	RETURNS TABLE (mapping bigint, key jsonb, action text, rule text, sqlstate text, message text, constraint_name text,
		source_row jsonb, rejected_at timestamptz)
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'migrate_rejected';
REVOKE ALL ON FUNCTION @extschema@.migrate_rejected(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_rejected(text) IS
	'source rows that could not be stored in the target, met a rule, or lost their key to another row (dedupe_by)';

CREATE FUNCTION @extschema@.migrate_report(migration text, format text DEFAULT 'markdown')
	RETURNS text LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_report';
REVOKE ALL ON FUNCTION @extschema@.migrate_report(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_report(text, text) IS 'everything about a migration in one document: markdown, json or html';

CREATE FUNCTION @extschema@.migrate_runbook(migration text)
	RETURNS text LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_runbook';
REVOKE ALL ON FUNCTION @extschema@.migrate_runbook(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_runbook(text) IS
	'the steps of a migration with its commands, the next gate as it is now, what was measured, and the way back from each: markdown';
