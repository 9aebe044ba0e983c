/*
 * comparison.c
 *		The statements that compare the two sides of a mapping.
 *
 * Both sides are brought to the target columns' types and typmods first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* More arguments than this do not fit into a function call: use a row. */
#define MAX_CHECKSUM_ARGS 90

/* The call of the aggregate for a list of n values. */
char *
projection_checksum_call(const char *values, int n)
{
	return psprintf(n > MAX_CHECKSUM_ARGS ? "%s.migrate_checksum(ROW(%s))" : "%s.migrate_checksum(%s)",
					quote_extension_schema(), values);
}

/* Both conditions, where there are any. */
static const char *
both(const char *a, const char *b)
{
	return a == NULL ? b : b == NULL ? a : psprintf("(%s) AND (%s)", a, b);
}

/* Joins a set of keys to rows, so that LEFT_OUT tells those that are not in it. */
static char *
join_keys(const Mapping *m, const char *rows, KeyForm form, const char *alias)
{
	return psprintf("%s LEFT JOIN %s ON %s", rows, ref_key_set(m), ref_keys_equal(m, form, alias, KEY_OF_SET, KEYS_ALIAS));
}

#define LEFT_OUT KEYS_ALIAS ".migrate_n IS NULL"

/* count and checksum of a list of values over some rows, and how many more are accepted */
static char *
checksum_select(const Mapping *m, const char *values, const char *from, const char *filter, const char *accepted)
{
	const char *f = filter ? psprintf(" FILTER (WHERE %s)", filter) : "";

	return psprintf("SELECT count(*), count(*)%s, %s%s, %s FROM %s", f,
					projection_checksum_call(values, list_length(m->columns)), f,
					accepted == NULL ? "0::bigint" :
					psprintf("count(*) FILTER (WHERE (%s) AND (%s) IS NOT TRUE)", accepted, filter), from);
}

/* The expressions, cast to the target columns' types and typmods. */
static char *
cast_expression_list(const Mapping *m, bool named)
{
	StringInfoData buf;
	int			i = 0;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		appendStringInfo(&buf, "%s(%s)::%s", i++ ? ", " : "", c->expression,
						 ref_target_type(m, c->target));
		if (named)
			appendStringInfo(&buf, " AS migrate_c%d", i);
	}
	return buf.data;
}

/*
 * Verify: rows, rows that pass the filter, the checksum of their projection, and
 * rows that would pass if they were not rejected.
 */
char *
projection_source_checksum(const Mapping *m, bool without)
{
	char	   *rows = ref_source_rows(m);
	const char *accepted = m->declared_filter ? m->declared_filter : "true";

	without = without && !m->reverse;
	if (!without && (m->filter == NULL || strcmp(m->filter, accepted) == 0))
		accepted = NULL;		/* nothing is rejected */
	return checksum_select(m, cast_expression_list(m, false),
						   without ? join_keys(m, rows, KEY_OF_SOURCE, NULL) : rows,
						   both(m->filter, without ? LEFT_OUT : NULL), accepted);
}

/* Verify: rows, rows in scope, and their checksum. */
char *
projection_target_checksum(const Mapping *m, bool without)
{
	char	   *rows = psprintf("%s AS " TARGET_ALIAS, quote_relation(m->target));

	without = without && m->reverse;
	return checksum_select(m, ref_column_list(m, TARGET_ALIAS "."),
						   without ? join_keys(m, rows, KEY_OF_TARGET, TARGET_ALIAS) : rows,
						   both(m->scope, without ? LEFT_OUT : NULL), NULL);
}

/* One side of the comparison, its columns named migrate_c1, ... */
static void
append_sides(StringInfo buf, const Mapping *m, bool without)
{
	char	   *sources = ref_source_rows(m);
	char	   *targets = psprintf("%s AS " TARGET_ALIAS, quote_relation(m->target));
	const char *filter = m->filter;
	const char *scope = m->scope;
	ListCell   *lc;
	int			i = 0;

	if (without && !m->reverse)
	{
		sources = join_keys(m, sources, KEY_OF_SOURCE, NULL);
		filter = both(filter, LEFT_OUT);
	}
	else if (without)
	{
		targets = join_keys(m, targets, KEY_OF_TARGET, TARGET_ALIAS);
		scope = both(scope, LEFT_OUT);
	}
	appendStringInfo(buf, "(SELECT %s FROM %s%s) AS s FULL JOIN (SELECT ",
					 cast_expression_list(m, true), sources, ref_where_condition(filter));
	foreach(lc, m->columns)
		appendStringInfo(buf, "%s" TARGET_ALIAS ".%s AS migrate_c%d", i ? ", " : "",
						 quote_identifier(((MappingColumn *) lfirst(lc))->target), i + 1), i++;
	appendStringInfo(buf, " FROM %s%s) AS t ON ", targets, ref_where_condition(scope));
}

/* The row of one side as jsonb, or null where the side has none. */
static char *
side_json(const Mapping *m, const char *alias, const char *test)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	appendStringInfo(&buf, "CASE WHEN %s THEN jsonb_object(ARRAY[", test);
	foreach(lc, m->columns)
		appendStringInfo(&buf, "%s%s", i++ ? ", " : "",
						 quote_literal_cstr(((MappingColumn *) lfirst(lc))->target));
	appendStringInfoString(&buf, "]::text[], ARRAY[");
	for (i = 1; i <= list_length(m->columns); i++)
		appendStringInfo(&buf, "%s%s.migrate_c%d::text", i > 1 ? ", " : "", alias, i);
	appendStringInfoString(&buf, "]::text[]) END");
	return buf.data;
}

/*
 * Verify: the rows that differ, as (kind, key, columns, source row, target
 * row); the two rows are null unless values is set.
 */
char *
projection_compare(const Mapping *m, bool values, bool without)
{
	StringInfoData buf;
	StringInfoData join;
	StringInfoData same;
	StringInfoData columns;
	StringInfoData key;
	int			first_key = 0;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&join);
	initStringInfo(&same);
	initStringInfo(&columns);
	initStringInfo(&key);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;
		Oid			type = getBaseType(get_atttype(m->target, ref_target_attnum(m, name)));

		i++;
		appendStringInfo(&same, "%smigrate_ext.identical(s.migrate_c%d, t.migrate_c%d)",
						 i > 1 ? " AND " : "", i, i);
		appendStringInfo(&columns, "%sCASE WHEN NOT migrate_ext.identical(s.migrate_c%d, t.migrate_c%d) "
						 "THEN %s END", i > 1 ? ", " : "", i, i, quote_literal_cstr(name));
		if (!ref_is_key(m, name))
			continue;
		first_key = first_key ? first_key : i;
		appendStringInfo(&join, "%ss.migrate_c%d %s t.migrate_c%d", join.len ? " AND " : "", i,
						 ref_key_operator(m, name), i);
		appendStringInfo(&key, "%s%s, coalesce(s.migrate_c%d, t.migrate_c%d)%s", key.len ? ", " : "",
						 quote_literal_cstr(name), i, i,
						 type == INT2OID || type == INT4OID || type == INT8OID ? "" : "::text");
	}

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT CASE WHEN t.migrate_c%d IS NULL THEN 'missing' "
					 "WHEN s.migrate_c%d IS NULL THEN 'extra' ELSE 'different' END, "
					 "jsonb_build_object(%s), CASE WHEN s.migrate_c%d IS NOT NULL AND "
					 "t.migrate_c%d IS NOT NULL THEN array_remove(ARRAY[%s]::text[], NULL) END, ",
					 first_key, first_key, key.data, first_key, first_key, columns.data);
	if (values)
		appendStringInfo(&buf, "%s, %s FROM ",
						 side_json(m, "s", psprintf("s.migrate_c%d IS NOT NULL", first_key)),
						 side_json(m, "t", psprintf("t.migrate_c%d IS NOT NULL", first_key)));
	else
		appendStringInfoString(&buf, "NULL::jsonb, NULL::jsonb FROM ");
	append_sides(&buf, m, without);
	appendStringInfo(&buf, "%s WHERE s.migrate_c%d IS NULL OR t.migrate_c%d IS NULL OR NOT (%s)",
					 join.data, first_key, first_key, same.data);
	return buf.data;
}
