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

CREATE FUNCTION @extschema@.migrate_freeze(migration text)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_freeze';
REVOKE ALL ON FUNCTION @extschema@.migrate_freeze(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_freeze(text) IS
	'writes to the authoritative side are errors until migrate_unfreeze, a cutover or a rollback; what is dirty is settled';

CREATE FUNCTION @extschema@.migrate_unfreeze(migration text)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_unfreeze';
REVOKE ALL ON FUNCTION @extschema@.migrate_unfreeze(text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_unfreeze(text) IS 'lets writes in again';

CREATE FUNCTION @extschema@.migrate_sign_off(migration text, note text DEFAULT NULL)
	RETURNS void LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_sign_off';
REVOKE ALL ON FUNCTION @extschema@.migrate_sign_off(text, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_sign_off(text, text) IS 'approves of the new side, after a cutover; migrate_cleanup asks for it';

CREATE FUNCTION @extschema@.migrate_cleanup(migration text, force boolean DEFAULT false, reason text DEFAULT NULL)
	RETURNS text LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'migrate_cleanup';
REVOKE ALL ON FUNCTION @extschema@.migrate_cleanup(text, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_cleanup(text, boolean, text) IS
	'ends a migration for good: drops, archives or keeps the old side, as setting old_side says; there is no way back; returns the phase';

CREATE FUNCTION @extschema@.migrate_ramp(migration text, percent numeric)
	RETURNS void LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'migrate_ramp';
REVOKE ALL ON FUNCTION @extschema@.migrate_ramp(text, numeric) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_ramp(text, numeric) IS
	'the share of keys that migrate_route sends to the target from now on; 0: none';

CREATE FUNCTION @extschema@.migrate_route(migration text, key anyelement)
	RETURNS text LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'migrate_route';
REVOKE ALL ON FUNCTION @extschema@.migrate_route(text, anyelement) FROM PUBLIC;
COMMENT ON FUNCTION @extschema@.migrate_route(text, anyelement) IS
	'where the application shall read this key: source or target; stable, and a key that is at the target stays there when the share grows';
