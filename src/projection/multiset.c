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

/* The rows of a side with checksums $1, as (migrate_k, ...).  Each row's checksum is computed once. */
static char *
chosen_rows(const Mapping *m, const char *key, const char *columns, const char *from)
{
	return psprintf("(SELECT * FROM (SELECT %s AS migrate_k%s FROM %s OFFSET 0) AS migrate_x WHERE migrate_k IN (SELECT migrate_k1 FROM %s)) AS migrate_y",
					key, columns, from, ref_key_set(m));
}

/*
 * The rows of one side, as <alias> (migrate_k, ...), that are there more often than on the other:
 * those of one checksum are numbered, and the other side's are counted.  Nothing is joined row by
 * row, as thousands may be alike.
 */
static char *
surplus(const char *rows, const char *other_rows, const char *alias)
{
	return psprintf("(SELECT migrate_z.* FROM (SELECT *, row_number() OVER (PARTITION BY migrate_k) AS migrate_n FROM %s) AS migrate_z "
					"LEFT JOIN (SELECT migrate_k, count(*) AS migrate_n FROM %s GROUP BY migrate_k) AS migrate_o ON migrate_o.migrate_k = migrate_z.migrate_k "
					"WHERE migrate_z.migrate_n > coalesce(migrate_o.migrate_n, 0)) AS %s", rows, other_rows, alias);
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
	StringInfoData values;

	initStringInfo(&values);
	for (int i = 1; i <= list_length(m->columns); i++)
		appendStringInfo(&values, "%smigrate_p.migrate_c%d", i > 1 ? ", " : "", i);
	return list_make2(psprintf("DELETE FROM %s AS " TARGET_ALIAS " USING %s WHERE " TARGET_ALIAS ".tableoid = migrate_h.migrate_table "
							   "AND " TARGET_ALIAS ".ctid = migrate_h.migrate_row", quote_relation(m->target),
							   surplus(chosen_rows(m, target_key, ", " TARGET_ALIAS ".tableoid AS migrate_table, " TARGET_ALIAS ".ctid AS migrate_row", target),
									   chosen_rows(m, source_key, "", source), "migrate_h")),
					  psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", quote_relation(m->target), ref_column_list(m, ""), values.data,
							   surplus(chosen_rows(m, source_key, psprintf(", %s", ref_expression_list(m, true)), source),
									   chosen_rows(m, target_key, "", target), "migrate_p")));
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

/*
 * The way back: what stands for the keys of rows of the old side that the way there, forward, has
 * rejected by keys $1.  Asked of the rows as they are: an image in jsonb has lost what json, or an
 * array's bounds, looked like.
 */
char *
projection_rejected_rows(const Mapping *m, const Mapping *forward)
{
	return psprintf("SELECT DISTINCT migrate_j FROM (SELECT %s AS migrate_k, %s AS migrate_j FROM %s%s OFFSET 0) AS migrate_x "
					"WHERE migrate_k IN (SELECT migrate_k1 FROM %s)", ref_key(forward, KEY_OF_SOURCE, NULL, 0), ref_key_json(m, KEY_OF_TARGET, SOURCE_ALIAS),
					ref_source_rows(forward), ref_where_condition(forward->declared_filter), ref_key_set(forward));
}

/*
 * How many source rows, there and back, would not be what they were?  Each of them would be one
 * more row of the old side.
 */
char *
projection_changed_by_way_back(const Mapping *m, const Mapping *back)
{
	StringInfoData columns;
	ListCell   *lc;

	initStringInfo(&columns);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		appendStringInfo(&columns, ", (%s)::%s AS %s", ref_expression(m, lfirst(lc)), ref_target_type(m, name), quote_identifier(name));
	}
	return psprintf("SELECT count(*) FROM (SELECT %s AS migrate_k%s FROM %s%s OFFSET 0) AS " SOURCE_ALIAS " WHERE %s <> " SOURCE_ALIAS ".migrate_k",
					ref_key(back, KEY_OF_TARGET, SOURCE_ALIAS, 0), columns.data, ref_source_rows(m), ref_where_condition(m->filter),
					ref_key(back, KEY_OF_SOURCE, NULL, 0));
}
