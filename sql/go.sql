-- Go
CREATE FUNCTION @extschema@.migrate_gate(migration text, to_phase text DEFAULT NULL)
	RETURNS TABLE (to_phase text, criterion text, threshold text, measured text, passed boolean)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_gate';
REVOKE ALL ON FUNCTION @extschema@.migrate_gate(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_gate(text, text) IS
	'what each criterion for entering a phase measures now; default: the next phase';

CREATE FUNCTION @extschema@.migrate_cutover(migration text, method text DEFAULT 'swap',
	force boolean DEFAULT false, reason text DEFAULT NULL)
	RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_cutover';
REVOKE ALL ON FUNCTION @extschema@.migrate_cutover(text, text, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_cutover(text, text, boolean, text) IS
	'makes the target the authoritative side; from here its writes are written back; returns the phase';

CREATE FUNCTION @extschema@.migrate_rollback(migration text, reason text DEFAULT NULL)
	RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_rollback';
REVOKE ALL ON FUNCTION @extschema@.migrate_rollback(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_rollback(text, text) IS
	'goes back to the old shape from any phase before cleanup; returns the phase';
