-- Cutover by swap: the steps by which a target takes its source's name and place, and how to take each back.
CREATE TABLE migrate_ext.swap_step (
	swap_step_id	bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	migration_id	bigint NOT NULL REFERENCES migrate_ext.migration ON DELETE CASCADE,
	kind			text NOT NULL,
	subject			text NOT NULL,
	statement		text,
	undo			text,
	essential		boolean NOT NULL,
	relation		regclass,
	name			text,
	locked			regclass,
	script			text[],
	done_at			timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrate_ext.swap_step (migration_id);
REVOKE ALL ON migrate_ext.swap_step FROM PUBLIC;
COMMENT ON TABLE migrate_ext.swap_step IS 'what a swap has changed, in order; a rollback undoes it in reverse, and removes the row';
COMMENT ON COLUMN migrate_ext.swap_step.statement IS 'what was run; null: there is only something to undo';
COMMENT ON COLUMN migrate_ext.swap_step.essential IS 'there is no rollback without it; of the others a failure is a warning';
COMMENT ON COLUMN migrate_ext.swap_step.locked IS 'what has to be locked to undo it; if it is gone, there is nothing to undo';
COMMENT ON COLUMN migrate_ext.swap_step.script IS 'of a materialized view: what makes it again, after the cutover and after a rollback, from what has the names then';
COMMENT ON COLUMN migrate_ext.swap_step.relation IS 'of a table: it must keep the name it got, in column name; of a foreign key: the table whose constraint is to be validated';
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.swap_step', '');
SELECT pg_catalog.pg_extension_config_dump('migrate_ext.swap_step_swap_step_id_seq', '');

CREATE FUNCTION migrate_ext.named(mark text, relation oid) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT mark || relation || ';' $$;
REVOKE ALL ON FUNCTION migrate_ext.named(text, oid) FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.named(text, oid) IS
	'stands for the name that the relation has when the statement is run; mark: a random text, so that nothing in a definition can be taken for it';

CREATE FUNCTION migrate_ext.missing_columns(class regclass, object oid, source oid, target oid, same_type boolean) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
	FROM (SELECT DISTINCT refobjsubid FROM pg_depend WHERE classid = class AND objid = object
			AND refclassid = 'pg_class'::regclass AND refobjid = source AND refobjsubid > 0) d
	JOIN pg_attribute a ON a.attrelid = source AND a.attnum = d.refobjsubid
	WHERE NOT EXISTS (SELECT FROM pg_attribute x WHERE x.attrelid = target AND x.attname = a.attname AND NOT x.attisdropped
		AND (NOT same_type OR (x.atttypid, x.atttypmod, x.attcollation) = (a.atttypid, a.atttypmod, a.attcollation)))
$$;
REVOKE ALL ON FUNCTION migrate_ext.missing_columns(regclass, oid, oid, oid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.missing_columns(regclass, oid, oid, oid, boolean) IS
	'columns of source that the object uses and target has not, or not of the same type';

CREATE FUNCTION migrate_ext.acl_items(acl aclitem[], kind "char", owner oid)
	RETURNS TABLE (grantee oid, privilege text, grantable boolean)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT x.grantee, x.privilege_type, bool_or(x.is_grantable)
	FROM aclexplode(coalesce(acl, CASE WHEN kind <> 'c' THEN acldefault(kind, owner) END)) x WHERE x.grantee <> owner GROUP BY 1, 2
$$;
REVOKE ALL ON FUNCTION migrate_ext.acl_items(aclitem[], "char", oid) FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.acl_items(aclitem[], "char", oid) IS 'the privileges of others than the owner';

-- stage 1 is run under the old names, stage 2 exchanges the names, stage 3 is run under the new ones.  Whatever
-- the text of a definition names is resolved when the text is run: by then the name belongs to the other table.
CREATE FUNCTION migrate_ext.swap_plan(mapping bigint, sources oid[], mark text)
	RETURNS TABLE (stage int, kind text, subject text, statement text, undo text, essential boolean,
		relation oid, name text, locked oid, severity text, problem text, script text[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH m AS MATERIALIZED (
	SELECT p.source::oid AS s, p.target::oid AS t, s.relkind AS s_kind, t.relkind AS t_kind,
		s.oid::regclass::text AS s_full, t.oid::regclass::text AS t_full, s.relnamespace AS s_schema, t.relnamespace AS t_schema,
		s.relnamespace <> t.relnamespace AS moves, s.relowner AS s_owner, t.relowner AS t_owner
	FROM migrate_ext.mapping p JOIN pg_class s ON s.oid = p.source JOIN pg_class t ON t.oid = p.target
	WHERE p.mapping_id = $1
),
-- columns that take the place of another: copied as they are, or of the same name
pair AS MATERIALIZED (
	SELECT DISTINCT ON (a.attnum) a.attnum AS s_num, a.attname AS s_name, b.attnum AS t_num, b.attname AS t_name
	FROM m JOIN pg_attribute a ON a.attrelid = m.s AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_attribute b ON b.attrelid = m.t AND b.attnum > 0 AND NOT b.attisdropped
	LEFT JOIN migrate_ext.mapping_column c ON c.mapping_id = $1 AND c.target_column = b.attname AND c.expression = format('src.%I', a.attname)
	WHERE c.mapping_id IS NOT NULL OR a.attname = b.attname
	ORDER BY a.attnum, c.mapping_id IS NULL, b.attnum
),
indexed AS MATERIALIZED (
	SELECT x.of, i.indexrelid AS oid, c.relname AS name,
		CASE WHEN i.indisprimary THEN 'primary' ELSE concat_ws(' ', i.indisunique, i.indisexclusion, k.contype, k.condeferrable, k.condeferred, substr(pg_get_indexdef(c.oid),
			length(format('CREATE %sINDEX %I ON %s%s', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, CASE WHEN r.relkind = 'p' THEN 'ONLY ' END, i.indrelid::regclass)) + 1)) END AS form,
		i.indisreplident, i.indisclustered
	FROM m CROSS JOIN LATERAL (VALUES ('s', m.s), ('t', m.t)) x (of, relid)
	JOIN pg_index i ON i.indrelid = x.relid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class r ON r.oid = x.relid
	LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
),
index_pair AS MATERIALIZED (
	SELECT a.oid AS s, b.oid AS t, a.indisreplident, a.indisclustered
	FROM (SELECT *, row_number() OVER (PARTITION BY form ORDER BY name) AS n FROM indexed WHERE of = 's') a
	JOIN (SELECT *, row_number() OVER (PARTITION BY form ORDER BY name) AS n FROM indexed WHERE of = 't') b USING (form, n)
),
owned AS MATERIALIZED (
	SELECT d.refobjid AS relid, d.refobjsubid AS num, d.objid AS oid, d.deptype
	FROM m JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid IN (m.s, m.t) AND d.refobjsubid > 0
		AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
	JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
),
sequence_pair AS MATERIALIZED (
	SELECT a.oid AS s, b.oid AS t FROM m JOIN owned a ON a.relid = m.s JOIN pair p ON p.s_num = a.num JOIN owned b ON b.relid = m.t AND b.num = p.t_num
),
-- the target's column uses the source's sequence
lent AS MATERIALIZED (
	SELECT o.oid AS sequence, p.s_name, p.t_name
	FROM m JOIN owned o ON o.relid = m.s AND o.deptype = 'a' JOIN pair p ON p.s_num = o.num
	JOIN pg_attrdef f ON f.adrelid = m.t AND f.adnum = p.t_num
	WHERE EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid = o.oid)
		AND NOT EXISTS (SELECT FROM sequence_pair q WHERE q.s = o.oid)
),
-- what is named: the tables, their indexes and sequences
named AS MATERIALIZED (
	SELECT i.of, i.oid, i.name, CASE i.of WHEN 's' THEN p.t ELSE p.s END AS counterpart FROM indexed i LEFT JOIN index_pair p ON i.oid IN (p.s, p.t)
	UNION ALL SELECT CASE o.relid WHEN m.s THEN 's' ELSE 't' END, o.oid, c.relname, CASE o.relid WHEN m.s THEN p.t ELSE p.s END
		FROM m, owned o JOIN pg_class c ON c.oid = o.oid LEFT JOIN sequence_pair p ON o.oid IN (p.s, p.t) WHERE o.oid NOT IN (SELECT sequence FROM lent)
),
family AS MATERIALIZED (
	SELECT x.of, x.oid, c.relname AS name, x.counterpart, o.relname AS other_name,
		CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' ELSE 'INDEX' END AS what, m.moves,
		-- renaming an index is in nobody's way
		CASE WHEN c.relkind IN ('r', 'p', 'S') THEN x.oid END AS locked
	FROM m CROSS JOIN LATERAL (
		SELECT 's' AS of, m.s AS oid, m.t AS counterpart UNION ALL SELECT 't', m.t, m.s
		-- a name that another object of the same side has is not given away
		UNION ALL SELECT n.of, n.oid, CASE WHEN NOT EXISTS (SELECT FROM named y JOIN pg_class p ON p.oid = n.counterpart
				WHERE (y.of = n.of AND y.name = p.relname) OR (y.of <> n.of AND y.name = n.name AND y.oid <> n.counterpart)) OR NOT m.moves THEN n.counterpart END
			FROM named n) x
	JOIN pg_class c ON c.oid = x.oid LEFT JOIN pg_class o ON o.oid = x.counterpart
	WHERE m.moves OR (x.counterpart IS NOT NULL AND c.relname <> o.relname)
),
constrained AS MATERIALIZED (
	SELECT x.of, k.conname, k.contype::text || CASE x.of WHEN 's' THEN pg_get_constraintdef(k.oid)
		ELSE replace(pg_get_constraintdef(k.oid), format('REFERENCES %s(', m.t_full), format('REFERENCES %s(', m.s_full)) END AS form
	FROM m CROSS JOIN LATERAL (VALUES ('s', m.s), ('t', m.t)) x (of, relid)
	JOIN pg_constraint k ON k.conrelid = x.relid AND k.contype IN ('c', 'f', 'n') AND k.coninhcount = 0 AND k.conparentid = 0
		-- from 18 on a NOT NULL has a name, which partitions and children may call otherwise: then it cannot be renamed
		AND NOT (k.contype = 'n' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = x.relid))
),
constraint_pair AS MATERIALIZED (
	SELECT a.conname AS s_name, b.conname AS t_name
	FROM (SELECT *, row_number() OVER (PARTITION BY form ORDER BY conname) AS n FROM constrained WHERE of = 's') a
	JOIN (SELECT *, row_number() OVER (PARTITION BY form ORDER BY conname) AS n FROM constrained WHERE of = 't') b USING (form, n)
	WHERE a.conname <> b.conname AND NOT EXISTS (SELECT FROM constrained x WHERE (x.of = 's' AND x.conname = b.conname) OR (x.of = 't' AND x.conname = a.conname))
),
inbound AS MATERIALIZED (
	SELECT k.oid, k.conname AS name, k.conrelid AS child, k.convalidated, pg_get_constraintdef(k.oid) AS def,
		obj_description(k.oid, 'pg_constraint') AS comment,
		CASE WHEN c.relkind = 'p' AND k.convalidated AND current_setting('server_version_num')::int < 180000
				THEN 'its table is partitioned: it cannot be added without a scan'
			WHEN NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = m.t AND i.indisunique AND i.indisvalid AND i.indimmediate
				AND i.indpred IS NULL AND i.indexprs IS NULL
				AND (SELECT array_agg(attname ORDER BY attname) FROM pg_attribute WHERE attrelid = m.t AND attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
					= (SELECT array_agg(attname ORDER BY attname) FROM pg_attribute WHERE attrelid = m.s AND attnum = ANY (k.confkey)))
				THEN format('%s has no unique key of the same columns', m.t_full) END AS problem
	FROM m JOIN pg_constraint k ON k.confrelid = m.s AND k.contype = 'f' AND k.conparentid = 0 AND k.conrelid <> ALL ($2)
	JOIN pg_class c ON c.oid = k.conrelid
),
rule AS MATERIALIZED (
	SELECT r.rulename AS name, rtrim(pg_get_ruledef(r.oid), ';') AS def, r.ev_enabled, migrate_ext.missing_columns('pg_rewrite', r.oid, m.s, m.t, false) AS missing
	FROM m JOIN pg_rewrite r ON r.ev_class = m.s AND r.rulename <> '_RETURN'
),
statistic AS MATERIALIZED (
	SELECT format('%I.%I', n.nspname, x.stxname) AS name, pg_get_statisticsobjdef(x.oid) AS def, x.stxowner, x.stxstattarget,
		obj_description(x.oid, 'pg_statistic_ext') AS comment, migrate_ext.missing_columns('pg_statistic_ext', x.oid, m.s, m.t, false) AS missing
	FROM m JOIN pg_statistic_ext x ON x.stxrelid = m.s JOIN pg_namespace n ON n.oid = x.stxnamespace
),
published AS MATERIALIZED (
	SELECT p.pubname AS name, concat(' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = m.s AND a.attnum = ANY (r.prattrs::int2[])) || ')', ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')') AS tail,
		nullif(concat_ws('; ', 'it has no column ' || migrate_ext.missing_columns('pg_publication_rel', r.oid, m.s, m.t, false),
			CASE WHEN (p.pubupdate OR p.pubdelete) AND t.relreplident IN ('d', 'n') AND s.relreplident <> 'f'
				AND (t.relreplident = 'n' OR NOT EXISTS (SELECT FROM pg_index WHERE indrelid = m.t AND indisprimary))
				THEN 'it has no replica identity: UPDATE and DELETE would fail' END), '') AS problem
	FROM m JOIN pg_publication_rel r ON r.prrelid = m.s JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class s ON s.oid = m.s JOIN pg_class t ON t.oid = m.t
	WHERE NOT EXISTS (SELECT FROM pg_publication_rel o WHERE o.prpubid = r.prpubid AND o.prrelid = m.t)
),
viewed AS MATERIALIZED (
	SELECT c.oid, c.relkind, c.oid::regclass::text AS name, pg_get_viewdef(c.oid) AS def,
		' WITH (' || array_to_string(c.reloptions, ', ') || ')' AS options,
		migrate_ext.missing_columns('pg_rewrite', r.oid, m.s, m.t, true) AS missing
	FROM m JOIN pg_rewrite r ON EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		AND d.refclassid = 'pg_class'::regclass AND d.refobjid = m.s)
	JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm') AND c.relpersistence <> 't'
),
-- a materialized view is made again beside the old one, takes its place in a moment, and has what it had
stored AS MATERIALIZED (
	SELECT v.oid, v.name, v.missing,
		(SELECT string_agg(DISTINCT r.ev_class::regclass::text, ', ') FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
			WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid AND r.ev_class <> v.oid) AS used_by,
		array_remove(ARRAY[
			concat(format('CREATE MATERIALIZED VIEW %s USING %I', x.beside, a.amname), v.options, ' TABLESPACE ' || quote_ident(t.spcname), ' AS ', rtrim(v.def, ';'), ' WITH NO DATA'),
			format('ALTER MATERIALIZED VIEW %s OWNER TO %I', x.beside, pg_get_userbyid(c.relowner)),
			CASE WHEN c.relispopulated THEN format('REFRESH MATERIALIZED VIEW %s', x.beside) END], NULL)
		|| ARRAY(SELECT format('CREATE %sINDEX %I ON %s%s', CASE WHEN i.indisunique THEN 'UNIQUE ' END, 'migrate_ext_' || i.indexrelid, x.beside,
				substr(pg_get_indexdef(i.indexrelid), length(format('CREATE %sINDEX %I ON %s', CASE WHEN i.indisunique THEN 'UNIQUE ' END, o.relname, v.name)) + 1))
			FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid WHERE i.indrelid = v.oid ORDER BY o.relname)
		|| ARRAY[format('DROP MATERIALIZED VIEW %s', v.name), format('ALTER MATERIALIZED VIEW %s RENAME TO %I', x.beside, c.relname)]
		|| ARRAY(SELECT format('ALTER INDEX %I.%I RENAME TO %I', n.nspname, 'migrate_ext_' || i.indexrelid, o.relname)
			FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid WHERE i.indrelid = v.oid ORDER BY o.relname)
		|| ARRAY(SELECT format('ALTER MATERIALIZED VIEW %s CLUSTER ON %I', v.name, o.relname)
			FROM pg_index i JOIN pg_class o ON o.oid = i.indexrelid WHERE i.indrelid = v.oid AND i.indisclustered)
		|| ARRAY(SELECT format('GRANT %s ON TABLE %s TO %s%s', g.privilege, v.name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
				CASE WHEN g.grantable THEN ' WITH GRANT OPTION' END) FROM migrate_ext.acl_items(c.relacl, 'r', c.relowner) g ORDER BY g.grantee, g.privilege)
		|| ARRAY(SELECT format('COMMENT ON MATERIALIZED VIEW %s IS %L', v.name, obj_description(v.oid, 'pg_class')) WHERE obj_description(v.oid, 'pg_class') IS NOT NULL)
		|| ARRAY(SELECT format('COMMENT ON COLUMN %s.%I IS %L', v.name, b.attname, col_description(v.oid, b.attnum)) FROM pg_attribute b
			WHERE b.attrelid = v.oid AND b.attnum > 0 AND NOT b.attisdropped AND col_description(v.oid, b.attnum) IS NOT NULL ORDER BY b.attnum) AS script
	FROM viewed v JOIN pg_class c ON c.oid = v.oid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
	LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
	CROSS JOIN LATERAL (SELECT format('%I.%I', n.nspname, 'migrate_ext_' || v.oid) AS beside) x
	WHERE v.relkind = 'm'
),
bodied AS MATERIALIZED (
	SELECT p.oid::regprocedure::text AS name, rtrim(pg_get_functiondef(p.oid), E'\n') AS def, migrate_ext.missing_columns('pg_proc', p.oid, m.s, m.t, false) AS missing
	FROM m JOIN pg_proc p ON p.prosqlbody IS NOT NULL AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		AND d.refclassid = 'pg_class'::regclass AND d.refobjid = m.s)
),
policy AS MATERIALIZED (
	SELECT p.polname AS name, migrate_ext.missing_columns('pg_policy', p.oid, m.s, m.t, false) AS missing,
		concat(format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, migrate_ext.named($3, m.t),
			CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			(SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ') FROM unnest(p.polroles) o)),
			' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') AS def
	FROM m JOIN pg_policy p ON p.polrelid = m.s
	WHERE NOT EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = m.t AND o.polname = p.polname)
),
fired AS MATERIALIZED (
	SELECT g.oid, g.tgname AS name, g.tgenabled, pg_get_triggerdef(g.oid) AS def, migrate_ext.missing_columns('pg_trigger', g.oid, m.s, m.t, false) AS missing,
		EXISTS (SELECT FROM pg_trigger o WHERE o.tgrelid = m.t AND o.tgname = g.tgname) AS is_there
	FROM m JOIN pg_trigger g ON g.tgrelid = m.s AND NOT g.tgisinternal AND g.tgparentid = 0
	JOIN pg_proc f ON f.oid = g.tgfoid WHERE f.pronamespace <> 'migrate_ext'::regnamespace
),
granted AS MATERIALIZED (
	SELECT x.what, x.privilege, x.grantable, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS grantee, x.had
	FROM m CROSS JOIN LATERAL (
		SELECT format('%s ON TABLE %s', a.privilege, migrate_ext.named($3, m.t)) AS what, a.*, b.privilege IS NOT NULL AS had
			FROM pg_class s JOIN pg_class t ON t.oid = m.t CROSS JOIN LATERAL migrate_ext.acl_items(s.relacl, 'r', s.relowner) a
			LEFT JOIN LATERAL (SELECT * FROM migrate_ext.acl_items(t.relacl, 'r', t.relowner) o WHERE (o.grantee, o.privilege) = (a.grantee, a.privilege)) b ON true
			WHERE s.oid = m.s AND (b.privilege IS NULL OR (a.grantable AND NOT b.grantable))
		UNION ALL
		SELECT format('%s (%I) ON TABLE %s', a.privilege, p.t_name, migrate_ext.named($3, m.t)), a.*, b.privilege IS NOT NULL
			FROM pair p JOIN pg_attribute s ON s.attrelid = m.s AND s.attnum = p.s_num AND s.attacl IS NOT NULL
			JOIN pg_attribute t ON t.attrelid = m.t AND t.attnum = p.t_num CROSS JOIN LATERAL migrate_ext.acl_items(s.attacl, 'c', m.s_owner) a
			LEFT JOIN LATERAL (SELECT * FROM migrate_ext.acl_items(t.attacl, 'c', m.t_owner) o WHERE (o.grantee, o.privilege) = (a.grantee, a.privilege)) b ON true
			WHERE b.privilege IS NULL OR (a.grantable AND NOT b.grantable)
		UNION ALL
		SELECT format('%s ON SEQUENCE %s', a.privilege, migrate_ext.named($3, p.t)), a.*, b.privilege IS NOT NULL
			FROM sequence_pair p JOIN pg_class s ON s.oid = p.s JOIN pg_class t ON t.oid = p.t CROSS JOIN LATERAL migrate_ext.acl_items(s.relacl, 's', s.relowner) a
			LEFT JOIN LATERAL (SELECT * FROM migrate_ext.acl_items(t.relacl, 's', t.relowner) o WHERE (o.grantee, o.privilege) = (a.grantee, a.privilege)) b ON true
			WHERE b.privilege IS NULL OR (a.grantable AND NOT b.grantable)) x
	WHERE x.grantee <> m.t_owner AND x.grantee <> m.s_owner
),
step AS (
	-- stage 1: out of the source's way
	SELECT 1 AS stage, 1 AS n, 'foreign key' AS kind, format('%I of %s', i.name, i.child::regclass) AS subject, NULL AS statement,
		format('COMMENT ON CONSTRAINT %I ON %s IS %L', i.name, migrate_ext.named($3, i.child), i.comment) AS undo,
		NULL::oid AS relation, NULL::text AS name, NULL::oid AS locked, CASE WHEN i.problem IS NOT NULL THEN 'blocker' END AS severity, i.problem, NULL::text[] AS script
		FROM inbound i WHERE i.comment IS NOT NULL
	UNION ALL SELECT 1, 2, 'foreign key', format('%I of %s', i.name, i.child::regclass), format('ALTER TABLE %s DROP CONSTRAINT %I', migrate_ext.named($3, i.child), i.name),
		format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', migrate_ext.named($3, i.child), i.name, i.def, CASE WHEN i.convalidated THEN ' NOT VALID' END),
		CASE WHEN i.convalidated THEN i.child END, i.name, i.child, CASE WHEN i.problem IS NOT NULL THEN 'blocker' END, i.problem, NULL FROM inbound i
	UNION ALL SELECT 1, 3, 'rule', r.name, NULL, format('ALTER TABLE %s %s RULE %I', migrate_ext.named($3, m.s),
		CASE r.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.name), NULL, NULL, NULL,
		CASE WHEN r.missing IS NOT NULL THEN 'blocker' END, r.missing, NULL FROM m, rule r WHERE r.ev_enabled <> 'O'
	UNION ALL SELECT 1, 4, 'rule', r.name, format('DROP RULE %I ON %s', r.name, migrate_ext.named($3, m.s)), r.def, NULL, NULL, NULL,
		CASE WHEN r.missing IS NOT NULL THEN 'blocker' END, r.missing, NULL FROM m, rule r
	UNION ALL SELECT 1, 5, 'statistics', x.name, NULL, u.undo, NULL, NULL, NULL, CASE WHEN x.missing IS NOT NULL THEN 'blocker' END, x.missing, NULL
		FROM statistic x CROSS JOIN LATERAL (VALUES (format('ALTER STATISTICS %s OWNER TO %I', x.name, pg_get_userbyid(x.stxowner))),
			(format('ALTER STATISTICS %s SET STATISTICS %s', x.name, nullif(x.stxstattarget, -1))),
			(format('COMMENT ON STATISTICS %s IS %L', x.name, x.comment))) u (undo)
		WHERE CASE WHEN u.undo LIKE 'COMMENT%' THEN x.comment IS NOT NULL WHEN u.undo LIKE '%SET STATISTICS%' THEN x.stxstattarget >= 0 ELSE true END
	UNION ALL SELECT 1, 6, 'statistics', x.name, format('DROP STATISTICS %s', x.name), x.def, NULL, NULL, NULL,
		CASE WHEN x.missing IS NOT NULL THEN 'blocker' END, x.missing, NULL FROM statistic x
	UNION ALL SELECT 1, 7, 'publication', p.name, format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.name, migrate_ext.named($3, m.s)),
		format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s', p.name, migrate_ext.named($3, m.s), p.tail), NULL, NULL, NULL,
		CASE WHEN p.problem IS NOT NULL THEN 'blocker' END, p.problem, NULL FROM m, published p
	UNION ALL SELECT 1, 8, 'view', v.name, NULL, format('CREATE OR REPLACE VIEW %s%s AS %s', migrate_ext.named($3, v.oid), v.options, v.def), NULL, NULL, v.oid,
		CASE WHEN v.missing IS NOT NULL THEN 'blocker' END, v.missing, NULL FROM viewed v WHERE v.relkind = 'v'
	UNION ALL SELECT 1, 9, 'function', b.name, NULL, b.def, NULL, NULL, NULL, CASE WHEN b.missing IS NOT NULL THEN 'blocker' END, b.missing, NULL FROM bodied b
	UNION ALL SELECT 1, 10, 'sequence', l.sequence::regclass::text, format('ALTER SEQUENCE %s OWNED BY NONE', migrate_ext.named($3, l.sequence)),
		format('ALTER SEQUENCE %s OWNED BY %s.%I', migrate_ext.named($3, l.sequence), migrate_ext.named($3, m.s), l.s_name), NULL, NULL, l.sequence, NULL, NULL, NULL FROM m, lent l
	-- stage 2: names
	UNION ALL SELECT 2, 1, 'name', f.oid::regclass::text, format('ALTER %s %s RENAME TO %I', f.what, migrate_ext.named($3, f.oid), 'migrate_ext_' || f.oid),
		format('ALTER %s %s RENAME TO %I', f.what, migrate_ext.named($3, f.oid), f.name), NULL, NULL, f.locked, NULL, NULL, NULL FROM family f WHERE f.of = 's' OR f.moves
	UNION ALL SELECT 2, 2, 'schema', m.s_full, format('ALTER TABLE %s SET SCHEMA %I', migrate_ext.named($3, m.s), (SELECT nspname FROM pg_namespace WHERE oid = m.t_schema)),
		format('ALTER TABLE %s SET SCHEMA %I', migrate_ext.named($3, m.s), (SELECT nspname FROM pg_namespace WHERE oid = m.s_schema)), NULL, NULL, NULL, NULL, NULL, NULL FROM m WHERE m.moves
	UNION ALL SELECT 2, 3, 'schema', m.t_full, format('ALTER TABLE %s SET SCHEMA %I', migrate_ext.named($3, m.t), (SELECT nspname FROM pg_namespace WHERE oid = m.s_schema)),
		format('ALTER TABLE %s SET SCHEMA %I', migrate_ext.named($3, m.t), (SELECT nspname FROM pg_namespace WHERE oid = m.t_schema)), NULL, NULL, NULL, NULL, NULL, NULL FROM m WHERE m.moves
	UNION ALL SELECT 2, CASE f.of WHEN 't' THEN 4 ELSE 5 END, 'name', f.oid::regclass::text,
		format('ALTER %s %s RENAME TO %I', f.what, migrate_ext.named($3, f.oid), coalesce(f.other_name, f.name)),
		format('ALTER %s %s RENAME TO %I', f.what, migrate_ext.named($3, f.oid), CASE WHEN f.of = 's' OR f.moves THEN 'migrate_ext_' || f.oid ELSE f.name END),
		CASE WHEN f.what = 'TABLE' THEN f.oid END, CASE WHEN f.what = 'TABLE' THEN f.counterpart::regclass::text END, f.locked, NULL, NULL, NULL FROM family f
	UNION ALL SELECT 2, 6, 'constraint', format('%I of %s', c.s_name, m.s_full), format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', migrate_ext.named($3, x.relid), x.was, x.becomes),
		format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', migrate_ext.named($3, x.relid), x.becomes, x.was), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m, constraint_pair c CROSS JOIN LATERAL (VALUES (m.s, c.s_name, c.t_name), (m.t, c.t_name, c.s_name)) x (relid, was, becomes)
	-- stage 3: into its place
	UNION ALL SELECT 3, 1, 'owner', x.relid::regclass::text, format('ALTER TABLE %s OWNER TO %I', migrate_ext.named($3, x.relid), pg_get_userbyid(x.becomes)),
		format('ALTER TABLE %s OWNER TO %I', migrate_ext.named($3, x.relid), pg_get_userbyid(x.was)), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m CROSS JOIN LATERAL (VALUES (m.s, m.s_owner, m.t_owner), (m.t, m.t_owner, m.s_owner)) x (relid, was, becomes) WHERE m.s_owner <> m.t_owner
	UNION ALL SELECT 3, 2, 'privilege', format('of %s', g.grantee), format('GRANT %s TO %s%s', g.what, g.grantee, CASE WHEN g.grantable THEN ' WITH GRANT OPTION' END),
		format('REVOKE %s%s FROM %s', CASE WHEN g.had THEN 'GRANT OPTION FOR ' END, g.what, g.grantee), NULL, NULL, NULL, NULL, NULL, NULL FROM granted g
	UNION ALL SELECT 3, 3, 'sequence', l.sequence::regclass::text, format('ALTER SEQUENCE %s OWNED BY %s.%I', migrate_ext.named($3, l.sequence), migrate_ext.named($3, m.t), l.t_name),
		format('ALTER SEQUENCE %s OWNED BY NONE', migrate_ext.named($3, l.sequence)), NULL, NULL, NULL, NULL, NULL, NULL FROM m, lent l
	UNION ALL SELECT 3, 4, 'comment', m.s_full, format('COMMENT ON TABLE %s IS %L', migrate_ext.named($3, m.t), obj_description(m.s, 'pg_class')),
		format('COMMENT ON TABLE %s IS NULL', migrate_ext.named($3, m.t)), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m WHERE obj_description(m.s, 'pg_class') IS NOT NULL AND obj_description(m.t, 'pg_class') IS NULL
	UNION ALL SELECT 3, 4, 'comment', format('%s.%I', m.s_full, p.s_name), format('COMMENT ON COLUMN %s.%I IS %L', migrate_ext.named($3, m.t), p.t_name, col_description(m.s, p.s_num)),
		format('COMMENT ON COLUMN %s.%I IS NULL', migrate_ext.named($3, m.t), p.t_name), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m, pair p WHERE col_description(m.s, p.s_num) IS NOT NULL AND col_description(m.t, p.t_num) IS NULL
	UNION ALL SELECT 3, 5, 'storage parameter', split_part(o.o, '=', 1), format('ALTER TABLE %s SET (%s)', migrate_ext.named($3, m.t), o.o),
		format('ALTER TABLE %s RESET (%s)', migrate_ext.named($3, m.t), split_part(o.o, '=', 1)), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m JOIN pg_class s ON s.oid = m.s JOIN pg_class t ON t.oid = m.t LEFT JOIN pg_class sx ON sx.oid = s.reltoastrelid LEFT JOIN pg_class tx ON tx.oid = t.reltoastrelid
		CROSS JOIN LATERAL (SELECT x FROM unnest(s.reloptions) x UNION ALL SELECT 'toast.' || x FROM unnest(sx.reloptions) x WHERE tx.oid IS NOT NULL) o (o)
		WHERE m.s_kind = 'r' AND m.t_kind = 'r' AND NOT EXISTS (SELECT FROM (SELECT unnest(t.reloptions) UNION ALL SELECT 'toast.' || unnest(tx.reloptions)) y (y)
			WHERE split_part(y.y, '=', 1) = split_part(o.o, '=', 1))
	UNION ALL SELECT 3, 5, 'column statistics', format('%s.%I', m.s_full, p.s_name), format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', migrate_ext.named($3, m.t), p.t_name, a.attstattarget),
		format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS -1', migrate_ext.named($3, m.t), p.t_name), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m, pair p JOIN pg_attribute a ON a.attnum = p.s_num JOIN pg_attribute b ON b.attnum = p.t_num
		WHERE a.attrelid = m.s AND b.attrelid = m.t AND a.attstattarget >= 0 AND coalesce(b.attstattarget, -1) < 0
	UNION ALL SELECT 3, 5, 'column statistics', format('%s.%I', m.s_full, p.s_name), format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', migrate_ext.named($3, m.t), p.t_name, array_to_string(a.attoptions, ', ')),
		format('ALTER TABLE %s ALTER COLUMN %I RESET (n_distinct, n_distinct_inherited)', migrate_ext.named($3, m.t), p.t_name), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m, pair p JOIN pg_attribute a ON a.attnum = p.s_num JOIN pg_attribute b ON b.attnum = p.t_num
		WHERE a.attrelid = m.s AND b.attrelid = m.t AND a.attoptions IS NOT NULL AND b.attoptions IS NULL
	UNION ALL SELECT 3, 6, 'replica identity', m.s_full, format('ALTER TABLE %s REPLICA IDENTITY %s', migrate_ext.named($3, m.t),
			CASE s.relreplident WHEN 'f' THEN 'FULL' ELSE format('USING INDEX %I', (SELECT relname FROM pg_class WHERE oid = i.s)) END),
		format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', migrate_ext.named($3, m.t)), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m JOIN pg_class s ON s.oid = m.s JOIN pg_class t ON t.oid = m.t LEFT JOIN index_pair i ON i.indisreplident
		WHERE t.relreplident = 'd' AND (s.relreplident = 'f' OR (s.relreplident = 'i' AND i.s IS NOT NULL))
	UNION ALL SELECT 3, 6, 'cluster', m.s_full, format('ALTER TABLE %s CLUSTER ON %I', migrate_ext.named($3, m.t), (SELECT relname FROM pg_class WHERE oid = i.s)),
		format('ALTER TABLE %s SET WITHOUT CLUSTER', migrate_ext.named($3, m.t)), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m JOIN index_pair i ON i.indisclustered WHERE NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = m.t AND x.indisclustered)
	UNION ALL SELECT 3, 7, 'row security', m.s_full, format('ALTER TABLE %s %s ROW LEVEL SECURITY', migrate_ext.named($3, m.t), x.verb),
		format('ALTER TABLE %s %s ROW LEVEL SECURITY', migrate_ext.named($3, m.t), x.undo), NULL, NULL, NULL, NULL, NULL, NULL
		FROM m JOIN pg_class s ON s.oid = m.s JOIN pg_class t ON t.oid = m.t
		CROSS JOIN LATERAL (VALUES ('ENABLE', 'DISABLE', s.relrowsecurity AND NOT t.relrowsecurity), ('FORCE', 'NO FORCE', s.relforcerowsecurity AND NOT t.relforcerowsecurity)) x (verb, undo, wanted) WHERE x.wanted
	UNION ALL SELECT 3, 8, 'policy', p.name, p.def, format('DROP POLICY %I ON %s', p.name, migrate_ext.named($3, m.t)), NULL, NULL, NULL,
		CASE WHEN p.missing IS NOT NULL THEN 'blocker' END, p.missing, NULL FROM m, policy p
	UNION ALL SELECT 3, 9, 'trigger', f.name, format('ALTER TABLE %s DISABLE TRIGGER %I', migrate_ext.named($3, m.s), f.name),
		format('ALTER TABLE %s %s TRIGGER %I', migrate_ext.named($3, m.s), CASE f.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, f.name),
		NULL, NULL, NULL, NULL, NULL, NULL FROM m, fired f WHERE f.tgenabled <> 'D'
	UNION ALL SELECT 3, 10, 'trigger', f.name, f.def, format('DROP TRIGGER %I ON %s', f.name, migrate_ext.named($3, m.t)), NULL, NULL, NULL,
		CASE WHEN f.missing IS NOT NULL THEN 'blocker' ELSE 'info' END, coalesce(f.missing, ''), NULL FROM m, fired f WHERE NOT f.is_there
	UNION ALL SELECT 3, 11, 'trigger', f.name, format('ALTER TABLE %s %s TRIGGER %I', migrate_ext.named($3, m.t), CASE f.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, f.name), NULL,
		NULL, NULL, NULL, CASE WHEN f.missing IS NOT NULL THEN 'blocker' END, f.missing, NULL FROM m, fired f WHERE NOT f.is_there AND f.tgenabled <> 'O'
	UNION ALL SELECT 3, 12, 'rule', r.name, r.def, format('DROP RULE %I ON %s', r.name, migrate_ext.named($3, m.t)), NULL, NULL, NULL,
		CASE WHEN r.missing IS NOT NULL THEN 'blocker' END, r.missing, NULL FROM m, rule r
	UNION ALL SELECT 3, 13, 'rule', r.name, format('ALTER TABLE %s %s RULE %I', migrate_ext.named($3, m.t), CASE r.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.name), NULL,
		NULL, NULL, NULL, CASE WHEN r.missing IS NOT NULL THEN 'blocker' END, r.missing, NULL FROM m, rule r WHERE r.ev_enabled <> 'O'
	UNION ALL SELECT 3, 14, 'statistics', x.name, x.def, format('DROP STATISTICS %s', x.name), NULL, NULL, NULL,
		CASE WHEN x.missing IS NOT NULL THEN 'blocker' END, x.missing, NULL FROM statistic x
	UNION ALL SELECT 3, 15, 'statistics', x.name, format('ALTER STATISTICS %s OWNER TO %I', x.name, pg_get_userbyid(x.stxowner)), NULL, NULL, NULL, NULL,
		CASE WHEN x.missing IS NOT NULL THEN 'blocker' END, x.missing, NULL FROM statistic x
	UNION ALL SELECT 3, 16, 'publication', p.name, format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s', p.name, migrate_ext.named($3, m.t), p.tail),
		format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.name, migrate_ext.named($3, m.t)), NULL, NULL, NULL, CASE WHEN p.problem IS NOT NULL THEN 'blocker' END, p.problem, NULL FROM m, published p
	UNION ALL SELECT 3, 17, 'foreign key', format('%I of %s', i.name, i.child::regclass),
		format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', migrate_ext.named($3, i.child), i.name, i.def, CASE WHEN i.convalidated THEN ' NOT VALID' END),
		format('ALTER TABLE %s DROP CONSTRAINT %I', migrate_ext.named($3, i.child), i.name), CASE WHEN i.convalidated THEN i.child END, i.name, i.child,
		CASE WHEN i.problem IS NOT NULL THEN 'blocker' END, i.problem, NULL FROM inbound i
	UNION ALL SELECT 3, 18, 'foreign key', format('%I of %s', i.name, i.child::regclass), format('COMMENT ON CONSTRAINT %I ON %s IS %L', i.name, migrate_ext.named($3, i.child), i.comment), NULL,
		NULL, NULL, NULL, CASE WHEN i.problem IS NOT NULL THEN 'blocker' END, i.problem, NULL FROM inbound i WHERE i.comment IS NOT NULL
	UNION ALL SELECT 3, 19, 'view', v.name, format('CREATE OR REPLACE VIEW %s%s AS %s', migrate_ext.named($3, v.oid), v.options, v.def), NULL, NULL, NULL, NULL,
		CASE WHEN v.missing IS NOT NULL THEN 'blocker' END, v.missing, NULL FROM viewed v WHERE v.relkind = 'v'
	UNION ALL SELECT 3, 20, 'function', b.name, b.def, NULL, NULL, NULL, NULL, CASE WHEN b.missing IS NOT NULL THEN 'blocker' END, b.missing, NULL FROM bodied b
	-- what stays with the old side
	UNION ALL SELECT 3, 21, 'materialized view', x.name, NULL, NULL, m.t, NULL, NULL,
		CASE WHEN x.missing IS NOT NULL THEN 'blocker' WHEN x.used_by IS NOT NULL THEN 'warning' ELSE 'info' END,
		coalesce(x.missing, 'it cannot be made again while it is used by ' || x.used_by, 'it is made again after the cutover, by a background worker; until then it reads the old side, which is kept up to date'),
		CASE WHEN x.missing IS NULL AND x.used_by IS NULL THEN x.script END FROM m, stored x
	UNION ALL SELECT 4, 2, 'row type', pg_describe_object(d.classid, d.objid, d.objsubid), NULL, NULL, NULL, NULL, NULL, 'blocker',
		format('it uses the row type of %s, which keeps its columns but not its name', m.s_full), NULL
		FROM m JOIN pg_class s ON s.oid = m.s JOIN pg_type y ON y.oid = s.reltype
		JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (y.oid, y.typarray) AND d.deptype = 'n'
	UNION ALL SELECT 4, 3, 'subscription', u.subname, NULL, NULL, NULL, NULL, NULL, 'blocker', format('it writes to %s by that name, and would not write to %s', m.s_full, m.t_full), NULL
		FROM m JOIN pg_subscription_rel r ON r.srrelid = m.s JOIN pg_subscription u ON u.oid = r.srsubid
	UNION ALL SELECT 4, 4, 'column', format('%s.%I', m.s_full, p.s_name), NULL, NULL, NULL, NULL, NULL, 'warning',
		format('it gets values from a sequence; %s.%I has neither a default nor an identity', m.t_full, p.t_name), NULL
		FROM m JOIN owned o ON o.relid = m.s JOIN pair p ON p.s_num = o.num JOIN pg_attribute a ON a.attrelid = m.t AND a.attnum = p.t_num
		WHERE NOT a.atthasdef AND a.attidentity = ''
	UNION ALL SELECT 4, 5, 'column', format('%s.%I', m.s_full, p.s_name), NULL, NULL, NULL, NULL, NULL, 'warning',
		CASE WHEN b.attidentity = 'a' THEN format('an INSERT may give its value; %s.%I is GENERATED ALWAYS', m.t_full, p.t_name)
			ELSE format('it has a default; %s.%I has none', m.t_full, p.t_name) END, NULL
		FROM m JOIN pair p ON p.s_name = p.t_name JOIN pg_attribute a ON a.attrelid = m.s AND a.attnum = p.s_num JOIN pg_attribute b ON b.attrelid = m.t AND b.attnum = p.t_num
		WHERE (b.attidentity = 'a' AND a.attidentity <> 'a') OR (a.atthasdef AND a.attgenerated = '' AND NOT b.atthasdef AND b.attidentity = ''
			AND NOT EXISTS (SELECT FROM owned o WHERE o.relid = m.s AND o.num = p.s_num))
	UNION ALL SELECT 4, 6, 'columns', m.s_full, NULL, NULL, NULL, NULL, NULL, 'info',
		format('%s does not begin with the same columns: SELECT *, and INSERT without a list of columns, will mean others', m.t_full), NULL
		FROM m CROSS JOIN LATERAL (SELECT array_agg(attname ORDER BY attnum) AS names FROM pg_attribute WHERE attrelid = m.s AND attnum > 0 AND NOT attisdropped) s
		CROSS JOIN LATERAL (SELECT array_agg(attname ORDER BY attnum) AS names FROM pg_attribute WHERE attrelid = m.t AND attnum > 0 AND NOT attisdropped) t
		WHERE t.names[1:cardinality(s.names)] IS DISTINCT FROM s.names
)
SELECT stage, kind, subject, statement, undo, stage = 2 AND kind <> 'constraint', relation, name, locked, severity,
	CASE WHEN problem IS NULL THEN NULL WHEN stage = 4 OR kind IN ('foreign key', 'publication') THEN problem
		WHEN kind = 'materialized view' AND severity <> 'blocker' THEN problem
		WHEN severity = 'info' THEN 'it will fire for writes to the new side: its function must know the new columns'
		ELSE format('%s has not, or not of the same type: %s', (SELECT t_full FROM m), problem) END, script
FROM step ORDER BY stage, n, subject, statement
$$;
REVOKE ALL ON FUNCTION migrate_ext.swap_plan(bigint, oid[], text) FROM PUBLIC;
COMMENT ON FUNCTION migrate_ext.swap_plan(bigint, oid[], text) IS
	'the steps of a cutover by swap for a mapping, in order, with what cannot be moved; sources: of all mappings that are swapped together; mark: see migrate_ext.named';
