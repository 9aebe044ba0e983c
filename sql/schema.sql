-- The state of all migrations.  A plain CREATE SCHEMA: a squatted one is an error.
CREATE SCHEMA migrate_ext;
REVOKE ALL ON SCHEMA migrate_ext FROM PUBLIC;
-- Names in generated statements (migrate_ext.identical) must resolve for the owners of mapped tables.
GRANT USAGE ON SCHEMA migrate_ext TO PUBLIC;
COMMENT ON SCHEMA migrate_ext IS 'migrate_ext: state of migrations between table shapes';

CREATE TABLE migrate_ext.migration (
	migration_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name			text NOT NULL UNIQUE CHECK (name <> ''),
	description		text,
	owner			regrole NOT NULL,
	phase			text NOT NULL DEFAULT 'planned' CHECK (phase IN
					('planned', 'dual_write', 'backfill', 'shadow', 'soak', 'done', 'rolled_back')),
	phase_since		timestamptz NOT NULL DEFAULT now(),
	cutover_method	text CHECK (cutover_method IN ('swap', 'switch')),
	paused			boolean NOT NULL DEFAULT false,
	frozen			boolean NOT NULL DEFAULT false,
	ramp			numeric NOT NULL DEFAULT 0 CHECK (ramp BETWEEN 0 AND 100),
	signed_off_at	timestamptz,
	signed_off_by	text,
	settings		jsonb NOT NULL DEFAULT '{}',
	changed_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	created_at		timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE migrate_ext.migration IS 'one row per migration: a set of mappings that move together';
COMMENT ON COLUMN migrate_ext.migration.ramp IS 'percentage of keys that migrate_route sends to the target';
COMMENT ON COLUMN migrate_ext.migration.frozen IS 'nobody writes the authoritative side: migrate_freeze';
COMMENT ON COLUMN migrate_ext.migration.signed_off_at IS 'since the cutover: somebody has approved of the new side';
COMMENT ON COLUMN migrate_ext.migration.changed_at IS 'last change of a mapping or repair of a row: a verification must be newer';

CREATE TABLE migrate_ext.mapping (
	mapping_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	direction		text NOT NULL DEFAULT 'forward' CHECK (direction IN ('forward', 'reverse')),
	reverse_of		bigint REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	source			regclass NOT NULL,
	target			regclass NOT NULL,
	key				text[] NOT NULL,
	filter			text,
	scope			text,
	dedupe_by		text[] NOT NULL DEFAULT '{}',
	dedupe_order	text[] NOT NULL DEFAULT '{}' CHECK (cardinality(dedupe_order) = cardinality(dedupe_by)),
	capture			text NOT NULL DEFAULT 'trigger' CHECK (capture IN ('trigger', 'queue', 'watermark', 'logical', 'none')),
	on_error		text NOT NULL DEFAULT 'defer' CHECK (on_error IN ('defer', 'abort')),
	clears			boolean NOT NULL DEFAULT false,
	whole_row		boolean NOT NULL DEFAULT false,
	complete		boolean NOT NULL DEFAULT false,
	degraded		boolean NOT NULL DEFAULT false,
	writes_before	bigint NOT NULL DEFAULT 0,
	owner			regrole NOT NULL,
	CHECK ((direction = 'reverse') = (reverse_of IS NOT NULL))
);
CREATE INDEX ON migrate_ext.mapping (migration_id, mapping_id);
COMMENT ON COLUMN migrate_ext.mapping.key IS 'target columns that identify a row; none: rows are told apart by all they hold, and counted';
COMMENT ON TABLE migrate_ext.mapping IS 'a projection from source rows to target rows, with a key; the reverse direction is a mapping of its own';
COMMENT ON COLUMN migrate_ext.mapping.filter IS 'condition over the source row (src)';
COMMENT ON COLUMN migrate_ext.mapping.scope IS 'condition over the target row: which of the target''s rows this mapping answers for';
COMMENT ON COLUMN migrate_ext.mapping.dedupe_by IS 'expressions over the source row: of several rows with one key the first in their order is moved';
COMMENT ON COLUMN migrate_ext.mapping.dedupe_order IS 'the direction of each, such as DESC NULLS LAST';
COMMENT ON COLUMN migrate_ext.mapping.clears IS 'the target row belongs to another mapping: where this one has no row, its columns are set to null and the row stays';
COMMENT ON COLUMN migrate_ext.mapping.whole_row IS 'an expression uses the source row as a value';
COMMENT ON COLUMN migrate_ext.mapping.complete IS 'every source row has been copied: deletes need no dirty key any more';
COMMENT ON COLUMN migrate_ext.mapping.degraded IS 'its dual writes failed too often: keys are only queued, until migrate_resume; in place, and on the way back, only the alarm was raised';
COMMENT ON COLUMN migrate_ext.mapping.writes_before IS 'rows written to the source when errors began to be counted, by the server''s statistics';
COMMENT ON COLUMN migrate_ext.mapping.owner IS 'the role the mapping''s statements run as';

CREATE TABLE migrate_ext.mapping_column (
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	ordinal			int NOT NULL,
	target_column	text NOT NULL,
	expression		text NOT NULL,
	constant		boolean NOT NULL DEFAULT false,
	is_set			boolean NOT NULL DEFAULT false,
	map				bigint,
	made_of			text[] NOT NULL DEFAULT '{}',
	part			int NOT NULL DEFAULT 0,
	parts			int NOT NULL DEFAULT 0,
	PRIMARY KEY (mapping_id, ordinal),
	UNIQUE (mapping_id, target_column)
);
COMMENT ON TABLE migrate_ext.mapping_column IS 'a target column and the expression over the source row that gives its value, with every name qualified';

COMMENT ON COLUMN migrate_ext.mapping_column.is_set IS 'the expression gives several values for one source row, or none';
COMMENT ON COLUMN migrate_ext.mapping_column.map IS 'the mapping whose key map stands between the column and source columns';
COMMENT ON COLUMN migrate_ext.mapping_column.made_of IS 'these: those of the old key or, on the way back, the new one';
COMMENT ON COLUMN migrate_ext.mapping_column.part IS 'on the way back: which column of the old key it is, of as many as parts says';

CREATE TABLE migrate_ext.job (
	job_id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	kind			text NOT NULL CHECK (kind IN ('backfill', 'sync', 'verify')),
	status			text NOT NULL DEFAULT 'requested' CHECK (status IN
					('requested', 'running', 'stopped', 'failed', 'cancelled', 'done')),
	step			text CHECK (step IN ('duplicates', 'copy', 'barrier', 'drain', 'index')),
	workers			int NOT NULL CHECK (workers >= 0),
	batch_rows		int CHECK (batch_rows > 0),
	run_until		timestamptz,
	requested_by	regrole NOT NULL,
	requested_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	started_at		timestamptz,
	finished_at		timestamptz,
	finished_xid	xid8,
	keys_settled	bigint NOT NULL DEFAULT 0,
	keys_per_second	float8,
	throttle_reason	text,
	lag_paused		boolean NOT NULL DEFAULT false,
	halvings		int NOT NULL DEFAULT 0,
	resumptions		int NOT NULL DEFAULT 0,
	resumed_at		bigint,
	error_sqlstate	text,
	error_message	text,
	error_context	text
);
CREATE UNIQUE INDEX job_one_open ON migrate_ext.job (migration_id, kind)
	WHERE status NOT IN ('cancelled', 'done');
COMMENT ON TABLE migrate_ext.job IS 'one backfill, sync or verify run';
COMMENT ON COLUMN migrate_ext.job.keys_per_second IS 'of a sync: keys settled in the last interval, per second';
COMMENT ON COLUMN migrate_ext.job.lag_paused IS 'a replica was more than pause_replica_lag behind, and is not below max_replica_lag yet';
COMMENT ON COLUMN migrate_ext.job.halvings IS 'how often that was so: each time batches are half as large';
COMMENT ON COLUMN migrate_ext.job.resumptions IS 'by the supervisor, since the job last came forward';
COMMENT ON COLUMN migrate_ext.job.resumed_at IS 'blocks done at the last of them';
COMMENT ON COLUMN migrate_ext.job.finished_xid IS 'last transaction of the job: snapshots older than it do not see all copied rows';

CREATE TABLE migrate_ext.job_range (
	job_id			bigint NOT NULL REFERENCES migrate_ext.job ON DELETE CASCADE,
	range_no		int NOT NULL,
	stage			int NOT NULL DEFAULT 0,
	source			regclass NOT NULL,
	relation		regclass NOT NULL,
	filenode		oid NOT NULL,
	key_column		text,
	key_base		bigint,
	key_blocks		bigint,
	first_block		bigint NOT NULL CHECK (first_block >= 0),
	end_block		bigint NOT NULL CHECK (end_block >= first_block),
	next_block		bigint NOT NULL,
	done			boolean NOT NULL DEFAULT false,
	rows			bigint NOT NULL DEFAULT 0,
	batches			bigint NOT NULL DEFAULT 0,
	retries			bigint NOT NULL DEFAULT 0,
	batch_blocks	int,
	worker_pid		int,
	touched_at		timestamptz,
	PRIMARY KEY (job_id, range_no),
	CHECK (next_block BETWEEN first_block AND end_block)
) WITH (fillfactor = 50);
CREATE INDEX job_range_open ON migrate_ext.job_range (job_id, stage, range_no) WHERE NOT done;
COMMENT ON TABLE migrate_ext.job_range IS 'a range of heap blocks of a leaf relation; next_block moves on in the transaction that copied the rows before it';
COMMENT ON COLUMN migrate_ext.job_range.key_column IS 'of a relation without blocks: block n is the keys from key_base + 80 n on; empty: all rows are one block';
COMMENT ON COLUMN migrate_ext.job_range.stage IS 'copied when all lower ones are: foreign keys of the targets name rows of theirs';

-- Without foreign key, which would be checked row by row: what ends a job empties it.
CREATE TABLE migrate_ext.job_duplicate (
	job_id			bigint NOT NULL,
	mapping_id		bigint NOT NULL,
	relation		regclass NOT NULL,
	tid				tid NOT NULL,
	PRIMARY KEY (job_id, mapping_id, relation, tid)
);
COMMENT ON TABLE migrate_ext.job_duplicate IS 'a source row that a backfill does not copy, as another row of its key is moved; emptied when all is copied, or the job is cancelled';

-- Applications write this table and write_error: a foreign key would look for the mapping with the snapshot of a
-- REPEATABLE READ transaction, which may be older than the mapping.
CREATE TABLE migrate_ext.dirty_key (
	dirty_key_id	bigint GENERATED ALWAYS AS IDENTITY,
	mapping_id		bigint NOT NULL,
	key				jsonb,
	reason			text NOT NULL CHECK (reason IN ('delete', 'error', 'queue', 'truncate', 'reconcile', 'repair', 'duplicate', 'lookup')),
	lookup			jsonb,
	barrier			xid8,
	sqlstate		text,
	message			text,
	constraint_name	text,
	attempts		int NOT NULL DEFAULT 0,
	retry_at		timestamptz,
	dirtied_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (mapping_id, dirty_key_id)
);
COMMENT ON TABLE migrate_ext.dirty_key IS 'the target''s state for this key may be wrong: re-derive it from the source; append-only, so that no writer ever waits for another here';
COMMENT ON COLUMN migrate_ext.dirty_key.key IS 'target key columns and values, or "row" and a checksum where rows have no key; null: any key may be wrong, compare all of them';
COMMENT ON COLUMN migrate_ext.dirty_key.lookup IS 'a row of a table that expressions read has changed: relation, columns that are compared, their values';
COMMENT ON COLUMN migrate_ext.dirty_key.barrier IS 'of such a row: those who began before it may have read what was there before the change, and must have ended';
COMMENT ON COLUMN migrate_ext.dirty_key.retry_at IS 'settling it has failed: the sync worker does not try again before';

CREATE TABLE migrate_ext.write_error (
	write_error_id	bigint GENERATED ALWAYS AS IDENTITY,
	mapping_id		bigint NOT NULL,
	at				timestamptz NOT NULL DEFAULT clock_timestamp(),
	sqlstate		text NOT NULL,
	message			text NOT NULL,
	keys			bigint NOT NULL,
	key				jsonb,
	PRIMARY KEY (mapping_id, write_error_id)
);
COMMENT ON TABLE migrate_ext.write_error IS 'dual writes that failed since migrate_start, the cutover or migrate_resume after a switch-off; append-only, one row a statement';
COMMENT ON COLUMN migrate_ext.write_error.keys IS 'how many keys the statement touched';
COMMENT ON COLUMN migrate_ext.write_error.key IS 'one of them';

CREATE TABLE migrate_ext.rejected_row (
	rejected_row_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	key				jsonb,
	sqlstate		text,
	message			text,
	constraint_name	text,
	rule			text,
	action			text NOT NULL DEFAULT 'reject' CHECK (action IN ('reject', 'flag', 'duplicate')),
	row_image		jsonb,
	rejected_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	CHECK ((rule IS NULL) = (message IS NOT NULL))
);
CREATE INDEX ON migrate_ext.rejected_row (mapping_id);
CREATE INDEX rejected_row_failed ON migrate_ext.rejected_row (mapping_id) WHERE rule IS NULL;
-- keys may be longer than a btree takes
CREATE INDEX ON migrate_ext.rejected_row USING hash (key);
COMMENT ON TABLE migrate_ext.rejected_row IS 'source rows that could not be stored in the target, met a rule, or lost their key to another row, with the reason';
COMMENT ON COLUMN migrate_ext.rejected_row.key IS 'target key columns and values; null: they could not be derived';
COMMENT ON COLUMN migrate_ext.rejected_row.action IS 'reject: the row is not in the target; flag: it is; duplicate: another row of its key is';
COMMENT ON COLUMN migrate_ext.rejected_row.row_image IS 'the source row as it was';

CREATE TABLE migrate_ext.mapping_rule (
	mapping_rule_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	name			text NOT NULL CHECK (name <> ''),
	condition		text NOT NULL,
	scope			text NOT NULL,
	action			text NOT NULL CHECK (action IN ('reject', 'flag')),
	whole_row		boolean NOT NULL,
	UNIQUE (mapping_id, name)
);
COMMENT ON TABLE migrate_ext.mapping_rule IS 'condition over the source row: rows that meet it are left out of the target, or only listed';
COMMENT ON COLUMN migrate_ext.mapping_rule.scope IS 'the same condition over the row as a target, for the way back';
COMMENT ON COLUMN migrate_ext.mapping_rule.whole_row IS 'the condition uses the source row as a value';

CREATE TABLE migrate_ext.verification (
	verification_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	method			text NOT NULL CHECK (method IN ('scan', 'range', 'sample', 'keys')),
	job_id			bigint REFERENCES migrate_ext.job ON DELETE SET NULL,
	source_rows		bigint NOT NULL,
	target_rows		bigint NOT NULL,
	filtered		bigint NOT NULL,
	rejected		bigint NOT NULL,
	deduplicated	bigint NOT NULL,
	expanded		bigint NOT NULL DEFAULT 0,
	pending			bigint NOT NULL,
	missing			bigint NOT NULL,
	extra			bigint NOT NULL,
	different		bigint NOT NULL,
	source_checksum	text NOT NULL,
	target_checksum	text NOT NULL,
	pending_checksum text NOT NULL,
	checksum_match	boolean NOT NULL,
	clean			boolean NOT NULL,
	snapshot		pg_snapshot NOT NULL,
	snapshot_lsn	pg_lsn,
	started_at		timestamptz NOT NULL,
	elapsed			interval NOT NULL,
	finished		boolean NOT NULL,
	position		jsonb,
	ranges			bigint NOT NULL,
	range_rows		bigint NOT NULL
);
CREATE INDEX ON migrate_ext.verification (mapping_id, verification_id);
CREATE INDEX ON migrate_ext.verification (job_id, verification_id);
CREATE INDEX verification_open ON migrate_ext.verification (job_id, verification_id) WHERE NOT finished;
COMMENT ON TABLE migrate_ext.verification IS 'result of comparing a mapping''s source with its target, in one snapshot or, by ranges of keys, in one each';
COMMENT ON COLUMN migrate_ext.verification.method IS 'scan: all rows in one snapshot; range: all rows, a range of keys at a time; sample: random rows; keys: those that were repaired';
COMMENT ON COLUMN migrate_ext.verification.expanded IS 'how many more rows the source rows become than they are';
COMMENT ON COLUMN migrate_ext.verification.snapshot IS 'of method range, that of the last range';
COMMENT ON COLUMN migrate_ext.verification.position IS 'the last key that method range has compared';
COMMENT ON COLUMN migrate_ext.verification.range_rows IS 'size of its next range';
COMMENT ON COLUMN migrate_ext.verification.pending_checksum IS 'checksum of the source''s rows of the pending keys, without that of the target''s';
COMMENT ON COLUMN migrate_ext.verification.clean IS 'nothing missing, extra, different or pending, and the checksums agree';

CREATE TABLE migrate_ext.divergence (
	divergence_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	verification_id	bigint NOT NULL REFERENCES migrate_ext.verification ON DELETE CASCADE,
	mapping_id		bigint NOT NULL REFERENCES migrate_ext.mapping ON DELETE CASCADE,
	kind			text NOT NULL CHECK (kind IN ('missing', 'extra', 'different')),
	key				jsonb,
	columns			text[],
	source_row		jsonb,
	target_row		jsonb,
	found_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrate_ext.divergence (verification_id);
CREATE INDEX ON migrate_ext.divergence (mapping_id);
COMMENT ON TABLE migrate_ext.divergence IS 'a key whose target row is not the projection of its source row';
COMMENT ON COLUMN migrate_ext.divergence.source_row IS 'values, stored only where setting store_values is on';

CREATE TABLE migrate_ext.custom_check (
	custom_check_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	name			text NOT NULL,
	query			text NOT NULL,
	UNIQUE (migration_id, name)
);
COMMENT ON TABLE migrate_ext.custom_check IS 'a query of the DBA that must return no row';

CREATE TABLE migrate_ext.gate_result (
	gate_result_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	to_phase		text NOT NULL,
	criterion		text NOT NULL,
	threshold		text NOT NULL,
	measured		text NOT NULL,
	passed			boolean NOT NULL,
	checked_at		timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrate_ext.gate_result (migration_id);
COMMENT ON TABLE migrate_ext.gate_result IS 'what each criterion of a gate measured when a phase was entered';

-- Written by applications: without a foreign key, as dirty_key.
CREATE TABLE migrate_ext.key_map (
	mapping_id		bigint NOT NULL,
	source_key		text COLLATE "C" NOT NULL,
	target_key		text COLLATE "C" NOT NULL,
	PRIMARY KEY (mapping_id, source_key),
	CONSTRAINT key_map_target_key UNIQUE (mapping_id, target_key)
);
COMMENT ON TABLE migrate_ext.key_map IS 'new keys given to old ones; rows are added once, and never changed';
COMMENT ON COLUMN migrate_ext.key_map.source_key IS 'the old key as text; of several columns a JSON array of texts';

CREATE TABLE migrate_ext.stashed_object (
	stashed_object_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	kind			text NOT NULL CHECK (kind IN ('index', 'foreign key', 'validation', 'materialized view')),
	relation		regclass NOT NULL,
	name			text NOT NULL,
	definition		text NOT NULL,
	tablespace		text NOT NULL DEFAULT '',
	settings		text[] NOT NULL DEFAULT '{}',
	stashed_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	restored_at		timestamptz,
	sqlstate		text,
	error			text
);
CREATE INDEX ON migrate_ext.stashed_object (migration_id);
COMMENT ON TABLE migrate_ext.stashed_object IS 'definition of an index or constraint that is put off until the copy is done';
COMMENT ON COLUMN migrate_ext.stashed_object.settings IS 'statements that give it its comment and such';
COMMENT ON COLUMN migrate_ext.stashed_object.error IS 'why it could not be rebuilt';

CREATE TABLE migrate_ext.sample (
	sample_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	taken_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	job_id			bigint REFERENCES migrate_ext.job ON DELETE CASCADE,
	rows			bigint NOT NULL,
	blocks			bigint NOT NULL,
	batch_rows		bigint NOT NULL,
	batch_ms		double precision NOT NULL,
	pending			bigint NOT NULL,
	replica_lag_ms	double precision,
	throttle_reason	text
);
CREATE INDEX ON migrate_ext.sample (migration_id, taken_at);
COMMENT ON TABLE migrate_ext.sample IS 'time series of a copy, a row every sample_interval: rows and blocks so far, last batch, lag, throttle reason';
COMMENT ON COLUMN migrate_ext.sample.pending IS 'dirty keys, counted up to 100000';

CREATE TABLE migrate_ext.event (
	event_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint,
	migration		text NOT NULL,
	at				timestamptz NOT NULL DEFAULT clock_timestamp(),
	who				text NOT NULL,
	kind			text NOT NULL,
	phase			text,
	detail			jsonb,
	reason			text
);
CREATE INDEX ON migrate_ext.event (migration, event_id);
COMMENT ON TABLE migrate_ext.event IS 'append-only audit: who did what, when, and what was measured; outlives the migration';

REVOKE ALL ON ALL TABLES IN SCHEMA migrate_ext FROM PUBLIC;

-- What defines a migration, and what it owes, goes with a dump; runs and their results do not.
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.migration', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.migration_migration_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.mapping', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.mapping_mapping_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.mapping_column', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.mapping_rule', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.mapping_rule_mapping_rule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.dirty_key', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.dirty_key_dirty_key_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.rejected_row', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.rejected_row_rejected_row_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.custom_check', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.custom_check_custom_check_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.key_map', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.stashed_object', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.stashed_object_stashed_object_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.event', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.event_event_id_seq', '');
