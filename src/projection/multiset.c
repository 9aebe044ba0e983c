/*
 * multiset.c
 *		The statements for rows without keys, which are counted.
 *
 * What stands for the key of such a row is its checksum: see ref_is_multiset.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/projection.h"
#include "projection/reference.h"

/*
 * The rows of a side with checksums $1, as <alias> (migrate_k, migrate_n, ...): those of one
 * checksum are numbered.  Each row's checksum is computed once.
 */
static char *
numbered_rows(const Mapping *m, const char *key, const char *columns, const char *from, const char *alias)
{
	return psprintf("(SELECT *, row_number() OVER (PARTITION BY migrate_k) AS migrate_n FROM (SELECT %s AS migrate_k%s FROM %s OFFSET 0) AS migrate_x "
					"WHERE migrate_k IN (SELECT migrate_k1 FROM %s)) AS %s", key, columns, from, ref_key_set(m), alias);
}

/*
 * Sync of rows without keys: lets the target hold each row, of those with checksums $1, as
 * often as the source does.  First what is too much goes, then what is missing comes.
 */
List *
projection_settle_rows(const Mapping *m)
{
	char	   *source = psprintf("%s%s", ref_source_rows(m), ref_where_condition(m->filter));
	char	   *target = psprintf("%s AS " TARGET_ALIAS "%s", quote_relation(m->target), ref_where_condition(m->scope));
	char	   *source_key = ref_key(m, KEY_OF_SOURCE, NULL, 0);
	char	   *target_key = ref_key(m, KEY_OF_TARGET, TARGET_ALIAS, 0);
	const char *same = "migrate_h.migrate_k = migrate_p.migrate_k AND migrate_h.migrate_n = migrate_p.migrate_n";
	StringInfoData values;

	initStringInfo(&values);
	for (int i = 1; i <= list_length(m->columns); i++)
		appendStringInfo(&values, "%smigrate_p.migrate_c%d", i > 1 ? ", " : "", i);
	return list_make2(psprintf("DELETE FROM %s AS " TARGET_ALIAS " USING %s WHERE " TARGET_ALIAS ".tableoid = migrate_h.migrate_table "
							   "AND " TARGET_ALIAS ".ctid = migrate_h.migrate_row AND NOT EXISTS (SELECT FROM %s WHERE %s)",
							   quote_relation(m->target),
							   numbered_rows(m, target_key, ", " TARGET_ALIAS ".tableoid AS migrate_table, " TARGET_ALIAS ".ctid AS migrate_row",
											 target, "migrate_h"),
							   numbered_rows(m, source_key, "", source, "migrate_p"), same),
					  psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s WHERE %s)",
							   quote_relation(m->target), ref_column_list(m, ""), values.data,
							   numbered_rows(m, source_key, psprintf(", %s", ref_expression_list(m, true)), source, "migrate_p"),
							   numbered_rows(m, target_key, "", target, "migrate_h"), same));
}

/* The numbers of keys whose source rows would be none that the mapping answers for on the other side; NULL if there can be none. */
char *
projection_out_of_scope(const Mapping *m)
{
	StringInfoData columns;
	ListCell   *lc;

	if (m->scope == NULL)
		return NULL;
	initStringInfo(&columns);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		appendStringInfo(&columns, ", %s AS %s", ref_cast_expression(m, name), quote_identifier(name));
	}
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s, (SELECT %s AS migrate_k%s FROM %s%s OFFSET 0) AS " TARGET_ALIAS
					" WHERE " TARGET_ALIAS ".migrate_k = " KEYS_ALIAS ".migrate_k1 AND (%s) IS NOT TRUE", ref_key_set(m), ref_key(m, KEY_OF_SOURCE, NULL, 0), columns.data,
					ref_source_rows(m), ref_where_condition(m->filter), m->scope);
}

/* The keys, of the target, of row images $1, a jsonb[], of the target, which has no key. */
char *
projection_keys_of_images(const Mapping *m)
{
	return psprintf("SELECT DISTINCT %s FROM unnest($1) AS migrate_j CROSS JOIN LATERAL jsonb_populate_record(NULL::%s, migrate_j) AS " TARGET_ALIAS,
					ref_key_json(m, KEY_OF_TARGET, TARGET_ALIAS), quote_relation(m->target));
}
