/*
 * assess_dependents.c
 *		What depends on two tables, and would be different with the other one.
 *
 * What a swap would move, or could not, is found in its plan: see assess_swap.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_query.h"
#include "lifecycle/swap.h"
#include "projection/lookup.h"
#include "projection/projection.h"

/*
 * Parameters: $1 source, $2 target, $3 the mapping's owner, $4 and $5 the names of columns that
 * are copied and of their copies, $6 is a cutover by swap impossible, $7 the target's columns
 * that are mapped, $8 tables that expressions read, $9 the targets of the migration.
 */
#define SOURCE "$1::oid::regclass"
#define TARGET "$2::oid::regclass"
#define PAIRS "unnest($4, $5) p (s, t) JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = p.s JOIN pg_attribute b ON b.attrelid = $2 AND b.attname = p.t "
#define TREE(table) "(SELECT " table "::oid AS relid UNION SELECT relid FROM pg_partition_tree(" table "))"
#define ACTIONS(k) "concat_ws(', ', 'ON DELETE ' || CASE " k ".confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END, " \
	"'ON UPDATE ' || CASE " k ".confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' END)"
#define HAS_ACTION(k) "(" k ".confdeltype IN ('c', 'n', 'd') OR " k ".confupdtype IN ('c', 'n', 'd'))"
#define PUBLISHED(table) "(SELECT DISTINCT p.oid, p.pubname, p.pubupdate, p.pubdelete, c.oid AS relid FROM pg_publication p JOIN pg_publication_tables v ON v.pubname = p.pubname " \
	"JOIN pg_namespace n ON n.nspname = v.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.tablename WHERE c.oid IN (SELECT relid FROM " TREE(table) " x))"

static const AssessQuery queries[] = {
	{"values of columns by themselves", true,
		"SELECT 'info', format('%s.%I', " TARGET ", b.attname), format('%s.%I gets values by itself; it has neither a default nor an identity', " SOURCE ", a.attname), "
		"'Give it a default before the application inserts into the new table.' "
		"FROM " PAIRS "WHERE $6 AND ((a.atthasdef AND a.attgenerated = '') OR a.attidentity <> '') AND NOT b.atthasdef AND b.attidentity = '' ORDER BY b.attnum"},
	{"sequences", true,
		"SELECT 'warning', format('%s.%I', " TARGET ", b.attname), format('its sequence ends at %s, and that of %s.%I has come to %s', y.seqmax, " SOURCE ", a.attname, v.last_value), "
		"'ALTER SEQUENCE ... AS bigint, or a higher MAXVALUE: the cutover moves it to where the source''s is.' "
		"FROM " PAIRS "JOIN pg_sequence x ON x.seqrelid = pg_get_serial_sequence(" SOURCE "::text, p.s)::regclass JOIN pg_class c ON c.oid = x.seqrelid "
		"JOIN pg_sequences v ON v.sequencename = c.relname AND v.schemaname = c.relnamespace::regnamespace::name "
		"JOIN pg_sequence y ON y.seqrelid = pg_get_serial_sequence(" TARGET "::text, p.t)::regclass WHERE v.last_value >= y.seqmax ORDER BY b.attnum"},
	{"foreign keys of the source", false,
		"SELECT 'info', " SOURCE "::text, format('foreign key %I passes on to it what happens to a row of %s: %s', k.conname, k.confrelid::regclass, " ACTIONS("k") "), "
		"'Nothing to do: what is done to its rows by that is captured. A DELETE of many rows there is as many dual writes.' "
		"FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 AND " HAS_ACTION("k") " ORDER BY k.conname"},
	{"foreign keys of the target", true,
		"SELECT 'warning', " TARGET "::text, format('foreign key %I passes on to it what happens to a row of %s, and %s has none that does the same: %s', k.conname, "
		"k.confrelid::regclass, " SOURCE ", " ACTIONS("k") "), 'Rows change that the source does not know of. Create it with NO ACTION, and change that after the cutover.' "
		"FROM pg_constraint k WHERE k.conrelid = $2 AND k.contype = 'f' AND k.conparentid = 0 AND k.confrelid <> $2 AND " HAS_ACTION("k") " "
		"AND k.confrelid <> ALL ($9) "
		"AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = $1 AND o.contype = 'f' AND (o.confrelid, o.confdeltype, o.confupdtype) = (k.confrelid, k.confdeltype, k.confupdtype)) "
		"ORDER BY k.conname"},
	{"foreign keys to the source", true,
		"SELECT 'info', " SOURCE "::text, format('foreign key %I of %s names it%s', k.conname, k.conrelid::regclass, ': ' || nullif(" ACTIONS("k") ", '')), "
		"'It goes on naming it after a cutover by switch: point it at the new table before the cleanup.' "
		"FROM pg_constraint k WHERE $6 AND k.confrelid = $1 AND k.conrelid <> $1 AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname, k.conrelid"},
	{"foreign keys to the target", true,
		"SELECT 'warning', " TARGET "::text, format('foreign key %I of %s passes on what a dual write does to it: %s', k.conname, k.conrelid::regclass, " ACTIONS("k") "), "
		"'Rows of that table go, or change, with rows of the source. Create it with NO ACTION, and change that after the cutover.' "
		"FROM pg_constraint k WHERE k.confrelid = $2 AND k.conrelid <> $2 AND k.contype = 'f' AND k.conparentid = 0 AND " HAS_ACTION("k") " ORDER BY k.conname, k.conrelid"},
	{"collations", true,
		"SELECT CASE WHEN x.collisdeterministic = y.collisdeterministic THEN 'info' ELSE 'warning' END, format('%s.%I', " TARGET ", b.attname), "
		"format('its collation is %I, that of %s.%I is %I%s', y.collname, " SOURCE ", a.attname, x.collname, "
		"CASE WHEN x.collisdeterministic <> y.collisdeterministic THEN ': values that are equal in one may be two in the other' END), "
		"'ORDER BY, ranges and indexes on it follow another order; what is unique may be another thing. Make sure that the application expects it.' "
		"FROM " PAIRS "JOIN pg_collation x ON x.oid = a.attcollation JOIN pg_collation y ON y.oid = b.attcollation WHERE a.attcollation <> b.attcollation ORDER BY b.attnum"},
	{"row security of tables that are read", false,
		"SELECT 'warning', c.oid::regclass::text, format('its row security applies to role %I, as which the mapping runs: whatever reads or writes it fails', pg_get_userbyid($3)), "
		"'ALTER ROLE ... BYPASSRLS, or make that role the owner of the table.' "
		"FROM pg_class c JOIN pg_roles r ON r.oid = $3 WHERE c.oid = ANY (ARRAY[$1, $2] || $8) AND c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls "
		"AND NOT pg_has_role($3, c.relowner, 'USAGE') ORDER BY 2"},
	{"row security", true,
		"SELECT CASE WHEN $6 THEN 'warning' ELSE 'info' END, " TARGET "::text, format('%s has row security, with %s policies; it has none', " SOURCE ", "
		"(SELECT count(*) FROM pg_policy WHERE polrelid = $1)), 'A cutover by swap brings it along. For method switch enable it, and create the policies, before the application reads the new table.' "
		"FROM pg_class s JOIN pg_class t ON t.oid = $2 WHERE s.oid = $1 AND s.relrowsecurity AND NOT t.relrowsecurity"},
	{"privileges", true,
		"SELECT 'info', " TARGET "::text, format('privileges on %s that it does not give: %s', " SOURCE ", string_agg(format('%s to %s', x.what, "
		"CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee)::text END), ', ' ORDER BY x.grantee = 0, pg_get_userbyid(x.grantee), x.what)), "
		"'A cutover by swap grants them. For method switch grant them before the application uses the new table.' "
		"FROM (SELECT g.grantee, g.privilege_type AS what FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g WHERE c.oid = $1 AND g.grantee NOT IN (c.relowner, (SELECT relowner FROM pg_class WHERE oid = $2)) "
		"EXCEPT SELECT g.grantee, g.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g WHERE c.oid = $2 "
		"UNION ALL SELECT g.grantee, format('%s (%I)', g.privilege_type, b.attname) FROM " PAIRS "CROSS JOIN LATERAL aclexplode(a.attacl) g "
		"WHERE NOT EXISTS (SELECT FROM aclexplode(b.attacl) o WHERE (o.grantee, o.privilege_type) = (g.grantee, g.privilege_type)) "
		"AND g.grantee <> (SELECT relowner FROM pg_class WHERE oid = $2)) x HAVING count(*) > 0"},
	{"columns without writers", true,
		"SELECT 'info', " TARGET "::text, format('no expression gives a value to: %s', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)), "
		"'They get their defaults, or null. Give them an expression in \"columns\" if the source knows their values.' "
		"FROM pg_attribute a WHERE a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> ALL ($7) "
		"AND (NOT a.attnotnull OR a.atthasdef OR a.attidentity <> '') HAVING count(*) > 0"},
	{"large objects", false,
		"SELECT 'info', format('%s.%I', " SOURCE ", a.attname), format('it is of type %s: where it names large objects, those stay as they are', format_type(a.atttypid, NULL)), "
		"'The copy names the same ones: nobody (vacuumlo, lo_manage) may remove them with rows of the old side.' "
		"FROM " PAIRS "JOIN pg_type t ON t.oid = a.atttypid WHERE t.oid = 'oid'::regtype OR t.typname = 'lo' ORDER BY a.attnum"},
	{"persistence", false,
		"SELECT 'warning', c.oid::regclass::text, 'it is unlogged: a crash empties it', "
		"CASE c.oid WHEN $1 THEN 'A verification then finds all rows of the target too many. ALTER TABLE ... SET LOGGED, or cut over before you rely on it.' "
		"ELSE 'The copy does not notice that. ALTER TABLE ... SET LOGGED, before the start where it is large.' END "
		"FROM pg_class c WHERE c.oid IN ($1, $2) AND c.relpersistence = 'u' ORDER BY 2"},
	{"inheritance", true,
		"SELECT CASE c.oid WHEN $1 THEN 'info' ELSE 'warning' END, c.oid::regclass::text, format('tables inherit from it: %s', string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid::regclass::text)), "
		"CASE c.oid WHEN $1 THEN 'Their rows are moved with its own, into one table.' ELSE 'Their rows count as its own, and no unique index is theirs, too. Detach them with NO INHERIT.' END "
		"FROM pg_class c JOIN pg_inherits i ON i.inhparent = c.oid WHERE c.oid IN ($1, $2) AND c.relkind = 'r' GROUP BY c.oid ORDER BY 2"},
	{"exclusion constraints", false,
		"SELECT 'info', " TARGET "::text, format('exclusion constraint %I was not tried on the rows', k.conname), "
		"'migrate_rehearse tries it on a sample. Rows that it refuses are rejected.' "
		"FROM pg_constraint k JOIN pg_index i ON i.indexrelid = k.conindid WHERE k.conrelid = $2 AND i.indisexclusion ORDER BY k.conname"},
	{"rules", true,
		"SELECT 'info', " SOURCE "::text, format('rule %I: what it makes of a statement is captured, not the statement', r.rulename), "
		"'Nothing to do where it writes to this table; what it writes elsewhere is not moved.' "
		"FROM pg_rewrite r WHERE r.ev_class = $1 AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D' ORDER BY r.rulename"},
	{"views", true,
		"SELECT 'info', " SOURCE "::text, format('it is read by: %s', string_agg(DISTINCT format('%s %s', CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.oid::regclass), ', ')), "
		"'They go on reading it after a cutover by switch: make them again on the new table before the cleanup.' "
		"FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm') "
		"WHERE $6 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 HAVING count(*) > 0"},
	{"functions", true,
		"SELECT 'info', " SOURCE "::text, format('functions name it: %s%s', string_agg(x.name, ', ' ORDER BY x.name) FILTER (WHERE x.n <= 10), ' and ' || nullif(greatest(count(*) - 10, 0), 0) || ' more'), "
		"'Nobody knows what a function reads before it runs: see that they mean the right table, and know its columns, after the cutover.' "
		"FROM (SELECT p.oid::regprocedure::text AS name, row_number() OVER (ORDER BY p.oid::regprocedure::text) AS n FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace "
		"WHERE s.nspname NOT IN ('pg_catalog', 'information_schema', 'migrate_ext') AND s.nspname NOT LIKE 'pg\\_%' "
		"AND p.prosrc ~* ('\\m' || (SELECT regexp_replace(relname, '([^[:alnum:]_])', '\\\\\\1', 'g') FROM pg_class WHERE oid = $1) || '\\M') "
		"AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')) x HAVING count(*) > 0"},
	{"replica identity", false,
		"SELECT 'warning', c.oid::regclass::text, format('publication %I sends its rows, and it has no replica identity: UPDATE and DELETE fail', p.pubname), "
		"'Give it a primary key, or ALTER TABLE ... REPLICA IDENTITY.' "
		"FROM " PUBLISHED("$2") " p JOIN pg_class c ON c.oid = p.relid LEFT JOIN pg_index i ON i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END "
		"WHERE (p.pubupdate OR p.pubdelete) AND c.relreplident <> 'f' AND i.indexrelid IS NULL ORDER BY 2, p.pubname"},
	{"publications", true,
		"SELECT 'info', x.name, x.finding, x.advice FROM ("
		"SELECT " TARGET "::text AS name, format('publication %I sends its rows: subscribers get the copied ones, too', p.pubname) AS finding, "
		"'A subscriber that moves the same rows by itself gets them twice: take it out of the publication until the cutover.' AS advice FROM " PUBLISHED("$2") " p "
		"UNION SELECT " SOURCE "::text, format('publication %I sends its rows, and not those of %s', p.pubname, " TARGET "), "
		"'A cutover by swap adds the new table where it is listed. Make it known to the subscribers, and ALTER SUBSCRIPTION ... REFRESH PUBLICATION.' "
		"FROM " PUBLISHED("$1") " p WHERE p.oid NOT IN (SELECT q.oid FROM " PUBLISHED("$2") " q)) x ORDER BY 2, 3"},
	{"subscriptions", true,
		"SELECT CASE r.srrelid WHEN $1 THEN 'info' ELSE 'warning' END, r.srrelid::regclass::text, format('subscription %I writes it', u.subname), "
		"CASE r.srrelid WHEN $1 THEN 'Nothing to do before the cutover: its writes are captured.' ELSE 'Rows come that the source does not know of: drop it from the subscription''s publication.' END "
		"FROM pg_subscription_rel r JOIN pg_subscription u ON u.oid = r.srsubid WHERE r.srrelid IN ($1, $2) ORDER BY 2, u.subname"},
};

/* The names of columns that are copied, and of their copies. */
static void
list_pairs(const Mapping *m, List **from, List **to, List **mapped)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		char	   *name = ((MappingColumn *) lfirst(lc))->target;
		char	   *copied = projection_copied_column(m, name);

		*mapped = lappend(*mapped, name);
		if (copied == NULL)
			continue;
		*from = lappend(*from, copied);
		*to = lappend(*to, name);
	}
}

/* What depends on the tables of a migration. */
void
assess_dependents(List **findings, const Migration *g)
{
	bool		no_swap = swap_obstacle(g) != NULL;
	List	   *targets = NIL;
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
		targets = lappend_oid(targets, ((Mapping *) lfirst(lc))->target);
	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);
		List	   *from = NIL;
		List	   *to = NIL;
		List	   *mapped = NIL;
		List	   *read = NIL;
		ListCell   *lk;

		list_pairs(m, &from, &to, &mapped);
		foreach(lk, mapping_is_in_place(m) ? NIL : lookup_list(m))
			read = lappend_oid(read, ((Lookup *) lfirst(lk))->relation);
		for (int i = 0; i < lengthof(queries); i++)
		{
			if (!queries[i].two_sides || !mapping_is_in_place(m))
				assess_ask(findings, &queries[i],
						   SPI_ARGS(spi_oid(OIDOID, m->source), spi_oid(OIDOID, m->target), spi_oid(OIDOID, m->owner), spi_texts(from), spi_texts(to),
									spi_bool(no_swap), spi_texts(mapped), spi_oids(read), spi_oids(targets)));
		}
	}
}
