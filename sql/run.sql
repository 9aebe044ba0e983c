-- Run
CREATE FUNCTION @extschema@.migrate_start(migration text)
	RETURNS text LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_start';
REVOKE ALL ON FUNCTION @extschema@.migrate_start(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_start(text) IS 'turns the dual writes on; returns the phase';

CREATE FUNCTION @extschema@.migrate_backfill(migration text, workers int DEFAULT NULL,
	batch_size int DEFAULT NULL, run_for interval DEFAULT NULL)
	RETURNS bigint LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_backfill';
REVOKE ALL ON FUNCTION @extschema@.migrate_backfill(text, int, int, interval) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_backfill(text, int, int, interval) IS
	'copies the rows that were there before, in background workers; returns the job''s id as soon as they run; a running, interrupted or complete backfill is reported, resumed or left alone';

CREATE FUNCTION @extschema@.migrate_sync(migration text)
	RETURNS bigint LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_sync';
REVOKE ALL ON FUNCTION @extschema@.migrate_sync(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_sync(text) IS 'settles the keys that are dirty now; returns how many';

CREATE FUNCTION @extschema@.migrate_pause(migration text)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_pause';
REVOKE ALL ON FUNCTION @extschema@.migrate_pause(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_pause(text) IS 'stops the workers after their current batch; dual writes go on';

CREATE FUNCTION @extschema@.migrate_resume(migration text)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_resume';
REVOKE ALL ON FUNCTION @extschema@.migrate_resume(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_resume(text) IS 'lets a paused or interrupted backfill go on';

CREATE PROCEDURE @extschema@.migrate_wait(migration text, timeout interval DEFAULT NULL)
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_wait';
REVOKE ALL ON PROCEDURE @extschema@.migrate_wait(text, interval) FROM PUBLIC;
COMMENT ON PROCEDURE @extschema@.migrate_wait(text, interval) IS
	'waits until the backfill ends; a failure or the timeout is an error';

CREATE PROCEDURE @extschema@.migrate_run(migration text)
	LANGUAGE C AS 'MODULE_PATHNAME', 'migrate_run';
REVOKE ALL ON PROCEDURE @extschema@.migrate_run(text) FROM PUBLIC;
COMMENT ON PROCEDURE @extschema@.migrate_run(text) IS 'does the backfill in this session, committing each batch';

CREATE FUNCTION @extschema@.migrate_retry_rejected(migration text)
	RETURNS bigint LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_retry_rejected';
REVOKE ALL ON FUNCTION @extschema@.migrate_retry_rejected(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_retry_rejected(text) IS
	'tries again to store what was rejected; returns how many rows are not listed any more';
