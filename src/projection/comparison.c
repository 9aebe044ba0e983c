/*
 * comparison.c
 *		The statements that compare the two sides of a mapping.
 *
 * Both sides are brought to the target columns' types and typmods first.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Of so many columns rows are chosen that stand out. */
#define MAX_STRATA_COLUMNS 100

/* The call of the aggregate for a list of n values. */
char *
projection_checksum_call(const char *values, int n)
{
	return psprintf(n > REF_MAX_ARGUMENTS ? "%s.migrate_checksum(ROW(%s))" : "%s.migrate_checksum(%s)",
					quote_extension_schema(), values);
}

/* Both conditions, where there are any. */
static const char *
both(const char *a, const char *b)
{
	return a == NULL ? b : b == NULL ? a : psprintf("(%s) AND (%s)", a, b);
}

/* The rows of a side, named as everywhere. */
static char *
side_rows(const Mapping *m, KeyForm form)
{
	return form == KEY_OF_SOURCE ? ref_source_rows(m) : psprintf("%s AS " TARGET_ALIAS, quote_relation(m->target));
}

/* The same of a random share of its blocks; 0: of all. */
static char *
sampled_rows(const Mapping *m, KeyForm form, double percent)
{
	return form == KEY_OF_SOURCE ? ref_expanded_rows(m, ref_sampled_rows(m, percent, false)) :
		percent > 0 ? psprintf("%s TABLESAMPLE SYSTEM (%g)", side_rows(m, form), percent) : side_rows(m, form);
}

/* Joins a set of keys to rows, so that LEFT_OUT tells those that are not in it. */
static char *
join_keys(const Mapping *m, const char *rows, KeyForm form, const char *alias)
{
	return psprintf("%s LEFT JOIN %s ON %s", rows, ref_key_set(m), ref_keys_equal(m, form, alias, KEY_OF_SET, KEYS_ALIAS));
}

#define LEFT_OUT KEYS_ALIAS ".migrate_n IS NULL"

/*
 * Has a side rows of keys that are left out?  The old side has, where the new one has refused
 * them; the new side has of a row that was refused in part.
 */
static bool
is_left_out(const Mapping *m, KeyForm side)
{
	return side == KEY_OF_SOURCE ? !m->reverse || ref_dedupes(m) : m->reverse;
}

/* The call of the sketch's aggregate: keys, and the same values as the checksum's. */
static char *
sketch_call(const Mapping *m, int cells, const char *keys, const char *values)
{
	return psprintf(list_length(m->columns) + ref_key_length(m) > REF_MAX_ARGUMENTS ?
					"migrate_ext.sketch(%d, %d, %s, ROW(%s))" : "migrate_ext.sketch(%d, %d, %s, %s)",
					cells, ref_key_length(m), keys, values);
}

/*
 * count and an aggregate over some rows, and how many more are accepted: the
 * checksum or, with cells, the sketch
 */
static char *
checksum_select(const Mapping *m, int cells, KeyForm side, const char *values, const char *from, const char *filter,
				const char *accepted, const char *span)
{
	const char *f = filter ? psprintf(" FILTER (WHERE %s)", filter) : "";
	const char *call = cells > 0 ? sketch_call(m, cells, ref_key_list(m, side, TARGET_ALIAS), values) :
		projection_checksum_call(values, list_length(m->columns));

	return psprintf("SELECT count(*), count(*)%s, %s%s, %s, 0::bigint, 0::bigint FROM %s%s", f, call, f,
					accepted == NULL ? "0::bigint" :
					psprintf("count(*) FILTER (WHERE (%s) AND (%s) IS NOT TRUE)", accepted, filter), from,
					ref_where_condition(span));
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

		appendStringInfo(&buf, "%s%s", i++ ? ", " : "", ref_cast_expression(m, c->target));
		if (named && ref_is_key(m, c->target))
			appendStringInfoString(&buf, ref_collation(m, c->target));
		if (named)
			appendStringInfo(&buf, " AS migrate_c%d", i);
	}
	return buf.data;
}

/* A number of rows, as a subquery. */
static char *
count_rows(const char *rows, const char *condition)
{
	return psprintf("(SELECT count(*) FROM %s%s)", rows, ref_where_condition(condition));
}

/* The checksum, or sketch, of the projection of what is left of the source rows. */
static char *
source_call(const Mapping *m, int cells)
{
	char	   *values = cast_expression_list(m, false);

	return cells > 0 ? sketch_call(m, cells, ref_key_list(m, KEY_OF_SOURCE, NULL), values) :
		projection_checksum_call(values, list_length(m->columns));
}

/* Rows that would pass the filter if they were not rejected. */
static char *
count_rejected(const char *rows, const char *passes, const char *accepted, const char *where)
{
	return accepted == NULL ? "0::bigint" : count_rows(rows, both(where, both(accepted, psprintf("(%s) IS NOT TRUE", passes))));
}

/* The same as below where only one of several rows with one key is moved. */
static char *
deduped_checksum(const Mapping *m, int cells, const char *rows, const char *passes, const char *accepted, const char *where)
{
	char	   *filtered = psprintf("%s%s", rows, ref_where_condition(both(where, passes)));

	return psprintf("SELECT %s, count(*), %s, %s, (SELECT count(*) FROM %s) - count(*), 0::bigint FROM %s", count_rows(ref_source_rows(m), where),
					source_call(m, cells), count_rejected(rows, passes, accepted, where), filtered, ref_moved_rows(m, filtered));
}

/*
 * The same where a source row may become several.  Rows that the filter leaves out are not
 * expanded: it may be there for that.
 */
static char *
expanded_checksum(const Mapping *m, int cells, const char *rows, const char *passes, const char *accepted, const KeySpan *span)
{
	const char *where = span ? span->source : NULL;
	char	   *rejected = count_rejected(rows, passes, accepted, where);
	bool		counted = span == NULL || span->first;
	char	   *unexpanded = ref_unexpanded_rows(m);

	return psprintf("SELECT %s, count(*), %s, %s, 0::bigint, count(*) + %s - %s FROM %s%s",
					counted ? count_rows(unexpanded, NULL) : "0::bigint", source_call(m, cells), rejected, rejected,
					counted ? count_rows(unexpanded, m->declared_filter) : "0::bigint", rows, ref_where_condition(both(where, passes)));
}

/*
 * Verify: rows, rows that are moved, the checksum of their projection or, with cells, its
 * sketch, rows that would pass the filter if they were not rejected, rows that pass but
 * lost their key to others, and how many more rows they all become than they are.
 */
char *
projection_source_checksum(const Mapping *m, int cells, bool without, const KeySpan *span)
{
	char	   *rows = ref_source_rows(m);
	const char *accepted = m->declared_filter ? m->declared_filter : "true";
	const char *passes;

	without = without && is_left_out(m, KEY_OF_SOURCE);
	if (!without && (m->filter == NULL || strcmp(m->filter, accepted) == 0))
		accepted = NULL;		/* nothing is rejected */
	if (without)
		rows = join_keys(m, rows, KEY_OF_SOURCE, NULL);
	passes = both(m->filter, without ? LEFT_OUT : NULL);
	if (ref_dedupes(m))
		return deduped_checksum(m, cells, rows, passes, accepted, span ? span->source : NULL);
	if (ref_expands(m))
		return expanded_checksum(m, cells, rows, passes, accepted, span);
	return checksum_select(m, cells, KEY_OF_SOURCE, cast_expression_list(m, false), rows, passes, accepted, span ? span->source : NULL);
}

/* Verify: rows, rows in scope, and their checksum or sketch. */
char *
projection_target_checksum(const Mapping *m, int cells, bool without, const KeySpan *span)
{
	char	   *rows = side_rows(m, KEY_OF_TARGET);

	without = without && is_left_out(m, KEY_OF_TARGET);
	return checksum_select(m, cells, KEY_OF_TARGET, ref_column_list(m, TARGET_ALIAS "."),
						   without ? join_keys(m, rows, KEY_OF_TARGET, TARGET_ALIAS) : rows,
						   both(m->scope, without ? LEFT_OUT : NULL), NULL, span ? span->target : NULL);
}

/* The target's columns, named as the expressions are. */
static char *
named_target_columns(const Mapping *m)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->columns); i++)
		appendStringInfo(&buf, "%s" TARGET_ALIAS ".%s AS migrate_c%d", i ? ", " : "",
						 quote_identifier(((MappingColumn *) list_nth(m->columns, i))->target), i + 1);
	return buf.data;
}

/* Compare: the rows of the source as the target's, columns named migrate_c1, ... */
char *
projection_source_columns(const Mapping *m)
{
	return psprintf("SELECT %s FROM %s", cast_expression_list(m, true),
					ref_moved_rows(m, psprintf("%s%s", ref_source_rows(m), ref_where_condition(m->filter))));
}

/* Compare: the rows of the target, columns named in the same way. */
char *
projection_target_columns(const Mapping *m)
{
	return psprintf("SELECT %s FROM %s%s", named_target_columns(m), side_rows(m, KEY_OF_TARGET), ref_where_condition(m->scope));
}

/* The sides of the comparison, their columns named migrate_c1, ...; migrate_is is not null where a side has a row. */
static void
append_sides(StringInfo buf, const Mapping *m, ComparedKeys which, const KeySpan *span)
{
	char	   *sources = ref_source_rows(m);
	char	   *targets = side_rows(m, KEY_OF_TARGET);
	const char *filter = span ? both(span->source, m->filter) : m->filter;
	const char *scope = span ? both(span->target, m->scope) : m->scope;

	if (which == KEYS_GIVEN)
	{
		sources = psprintf("%s JOIN %s ON %s", sources, ref_key_set(m), ref_keys_equal(m, KEY_OF_SOURCE, NULL, KEY_OF_SET, KEYS_ALIAS));
		targets = psprintf("%s JOIN %s ON %s", targets, ref_key_set(m),
						   ref_keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS));
	}
	if (which == KEYS_LEFT_OUT && is_left_out(m, KEY_OF_SOURCE))
	{
		sources = join_keys(m, sources, KEY_OF_SOURCE, NULL);
		filter = both(filter, LEFT_OUT);
	}
	if (which == KEYS_LEFT_OUT && is_left_out(m, KEY_OF_TARGET))
	{
		targets = join_keys(m, targets, KEY_OF_TARGET, TARGET_ALIAS);
		scope = both(scope, LEFT_OUT);
	}
	appendStringInfo(buf, "(SELECT true AS migrate_is, %s FROM %s) AS s FULL JOIN (SELECT true AS migrate_is, %s FROM %s%s) AS t ON ",
					 cast_expression_list(m, true), ref_moved_rows(m, psprintf("%s%s", sources, ref_where_condition(filter))),
					 named_target_columns(m), targets, ref_where_condition(scope));
}

/* alias.migrate_c1, alias.migrate_c2, ...; those of the key only if asked. */
static char *
numbered_columns(const Mapping *m, const char *alias, bool key_only)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->columns); i++)
	{
		if (!key_only || ref_is_key(m, ((MappingColumn *) list_nth(m->columns, i))->target))
			appendStringInfo(&buf, "%s%s.migrate_c%d", buf.len ? ", " : "", alias, i + 1);
	}
	return buf.data;
}

/* A side's row's share of the checksum. */
static char *
row_checksum_call(const Mapping *m, const char *alias)
{
	char	   *columns = numbered_columns(m, alias, false);

	if (list_length(m->columns) > REF_MAX_ARGUMENTS)
		columns = psprintf("ROW(%s)", columns);
	return m->canonical ? psprintf("migrate_ext.canonical_row_checksum(%s)", columns) :
		psprintf("%s.migrate_row_checksum(%s)", quote_extension_schema(), columns);
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

/* Adds a column of the key as it travels: see ref_key_json. */
static void
append_key_column(StringInfo buf, const Mapping *m, const char *name, const char *value)
{
	Oid			type = getBaseType(get_atttype(m->target, ref_target_attnum(m, name)));

	appendStringInfo(buf, "%s%s, %s%s", buf->len ? ", " : "", quote_literal_cstr(name), value,
					 type == INT2OID || type == INT4OID || type == INT8OID ? "" : "::text");
}

/*
 * Verify: the rows that differ, as (kind, key, columns, source row, target row,
 * their checksums); the two rows are null unless values is set.
 */
char *
projection_compare(const Mapping *m, bool values, ComparedKeys which, const KeySpan *span)
{
	StringInfoData buf;
	StringInfoData join;
	StringInfoData same;
	StringInfoData columns;
	StringInfoData key;
	const char *identical = m->canonical ? "migrate_ext.canonical_identical" : "migrate_ext.identical";
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&join);
	initStringInfo(&same);
	initStringInfo(&columns);
	initStringInfo(&key);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		i++;
		appendStringInfo(&same, "%s%s(s.migrate_c%d, t.migrate_c%d)", i > 1 ? " AND " : "", identical, i, i);
		appendStringInfo(&columns, "%sCASE WHEN NOT %s(s.migrate_c%d, t.migrate_c%d) "
						 "THEN %s END", i > 1 ? ", " : "", identical, i, i, quote_literal_cstr(name));
		if (!ref_is_key(m, name))
			continue;
		appendStringInfo(&join, "%ss.migrate_c%d %s t.migrate_c%d", join.len ? " AND " : "", i,
						 ref_key_operator(m, name), i);
		append_key_column(&key, m, name, psprintf("coalesce(s.migrate_c%d, t.migrate_c%d)", i, i));
	}

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT CASE WHEN t.migrate_is IS NULL THEN 'missing' "
					 "WHEN s.migrate_is IS NULL THEN 'extra' ELSE 'different' END, "
					 "jsonb_build_object(%s), CASE WHEN s.migrate_is AND t.migrate_is THEN array_remove(ARRAY[%s]::text[], NULL) END, ",
					 key.data, columns.data);
	if (values)
		appendStringInfo(&buf, "%s, %s",
						 side_json(m, "s", "s.migrate_is"), side_json(m, "t", "t.migrate_is"));
	else
		appendStringInfoString(&buf, "NULL::jsonb, NULL::jsonb");
	appendStringInfo(&buf, ", CASE WHEN s.migrate_is THEN %s END, CASE WHEN t.migrate_is THEN %s END FROM ",
					 row_checksum_call(m, "s"), row_checksum_call(m, "t"));
	append_sides(&buf, m, which, span);
	appendStringInfo(&buf, "%s WHERE s.migrate_is IS NULL OR t.migrate_is IS NULL OR NOT (%s)", join.data, same.data);
	return buf.data;
}

/*
 * Verify: the keys that a source has several times, as the rows that are missing on the other
 * side: (kind, key, null, null, null, how many).
 */
char *
projection_repeated_keys(const Mapping *m, const KeySpan *span)
{
	StringInfoData key;
	char	   *columns = numbered_columns(m, "k", true);
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&key);
	foreach(lc, m->columns)
	{
		i++;
		if (ref_is_key(m, ((MappingColumn *) lfirst(lc))->target))
			append_key_column(&key, m, ((MappingColumn *) lfirst(lc))->target, psprintf("k.migrate_c%d", i));
	}
	return psprintf("SELECT 'missing', jsonb_build_object(%s), NULL::text[], NULL::jsonb, NULL::jsonb, count(*) - 1 FROM "
					"(SELECT %s FROM %s%s) AS k GROUP BY %s HAVING count(*) > 1 AND num_nulls(%s) = 0",
					key.data, cast_expression_list(m, true), ref_source_rows(m),
					ref_where_condition(span ? both(span->source, m->filter) : m->filter), columns, columns);
}

/* Compare: returns a row if a side has a key several times, or one that is null. */
char *
projection_ambiguous_keys(const Mapping *m)
{
	StringInfoData buf;
	char	   *key = numbered_columns(m, "k", true);

	initStringInfo(&buf);
	for (int side = 0; side < 2; side++)
	{
		appendStringInfo(&buf, "%s(SELECT FROM (%s) AS k", side == 0 ? "" : " UNION ALL ",
						 side == 0 ? projection_source_columns(m) : projection_target_columns(m));
		appendStringInfo(&buf, " GROUP BY %s HAVING count(*) > 1 OR num_nulls(%s) > 0 LIMIT 1)", key, key);
	}
	return buf.data;
}

/* Which rows of a side take part in a comparison of multisets: those of checksums $1, or the others; none: all. */
static const char *
chosen_rows(const Mapping *m, const char *alias, bool is_source, ComparedKeys which)
{
	if (which == KEYS_ALL || (which == KEYS_LEFT_OUT && is_source == m->reverse))
		return "";
	return psprintf(" WHERE %s %s (SELECT migrate_j ->> " REF_ROW_KEY " FROM unnest($1) AS migrate_j)", row_checksum_call(m, alias),
					which == KEYS_GIVEN ? "IN" : "NOT IN");
}

/*
 * Compare: the rows that one side has more often than the other, as projection_compare gives
 * them, and how many more; the rows are null unless values is set.  The key is that of a
 * mapping that has none.
 */
char *
projection_compare_multisets(const Mapping *m, bool values, ComparedKeys which)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT CASE WHEN sum(migrate_n) > 0 THEN 'missing' ELSE 'extra' END, %s, NULL::text[], "
					 "CASE WHEN sum(migrate_n) > 0 THEN (array_agg(migrate_image))[1] END, "
					 "CASE WHEN sum(migrate_n) < 0 THEN (array_agg(migrate_image))[1] END, "
					 "CASE WHEN sum(migrate_n) > 0 THEN migrate_h END, CASE WHEN sum(migrate_n) < 0 THEN migrate_h END, abs(sum(migrate_n)) FROM (",
					 m->id != 0 ? "jsonb_build_object(" REF_ROW_KEY ", migrate_h)" : "NULL::jsonb");
	for (int side = 0; side < 2; side++)
	{
		const char *alias = side == 0 ? "s" : "t";

		appendStringInfo(&buf, "SELECT %s AS migrate_h, %d AS migrate_n, %s AS migrate_image FROM ", row_checksum_call(m, alias), side == 0 ? 1 : -1,
						 values ? side_json(m, alias, "true") : "NULL::jsonb");
		/* the filter first: there may be rows that have no checksum */
		appendStringInfo(&buf, "(%s OFFSET 0) AS %s%s%s", side == 0 ? projection_source_columns(m) : projection_target_columns(m), alias,
						 chosen_rows(m, alias, side == 0, which), side == 0 ? " UNION ALL " : "");
	}
	appendStringInfoString(&buf, ") AS migrate_x GROUP BY migrate_h HAVING sum(migrate_n) <> 0");
	return buf.data;
}

/* Verify: the keys, one jsonb a row, of either side that $1, a bigint[], stands for in a sketch. */
char *
projection_keys_by_hash(const Mapping *m)
{
	return psprintf("SELECT %s FROM %s WHERE migrate_ext.key_hash(%s) = ANY ($1)%s UNION "
					"SELECT %s FROM %s AS " TARGET_ALIAS " WHERE migrate_ext.key_hash(%s) = ANY ($1)%s",
					ref_key_json(m, KEY_OF_SOURCE, NULL), ref_source_rows(m), ref_key_list(m, KEY_OF_SOURCE, NULL),
					ref_and_condition(m->filter),
					ref_key_json(m, KEY_OF_TARGET, TARGET_ALIAS), quote_relation(m->target),
					ref_key_list(m, KEY_OF_TARGET, TARGET_ALIAS), ref_and_condition(m->scope));
}

/* Have the key's types an order that the server's own operators tell? */
bool
projection_has_key_order(const Mapping *m)
{
	ListCell   *lc;

	if (ref_is_multiset(m))
		return false;
	foreach(lc, m->key)
	{
		TypeCacheEntry *entry = lookup_type_cache(get_atttype(m->target, ref_target_attnum(m, lfirst(lc))), TYPECACHE_GT_OPR);

		if (!OidIsValid(entry->gt_opr) || entry->gt_opr >= FirstNormalObjectId)
			return false;
	}
	return true;
}

/* The key's columns of a side, in its order. */
static char *
ordered_key(const Mapping *m, KeyForm form)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
		appendStringInfo(&buf, "%s%s%s", i ? ", " : "", ref_key_operand(m, form, TARGET_ALIAS, i), ref_collation(m, list_nth(m->key, i)));
	return buf.data;
}

/* The values of a key that travels, in the same way. */
static char *
key_values(const Mapping *m, Datum key)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);
		Datum		value = DirectFunctionCall2(jsonb_object_field_text, key, CStringGetTextDatum(name));

		appendStringInfo(&buf, "%s%s::%s%s", i ? ", " : "", quote_literal_cstr(TextDatumGetCString(value)),
						 ref_target_type(m, name), ref_collation(m, list_nth(m->key, i)));
	}
	return buf.data;
}

/* A test of the key columns of a side that may be null, such as "IS NULL", put together; NULL if there are none. */
static char *
null_test(const Mapping *m, KeyForm form, const char *test, const char *between)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
	{
		if (ref_may_be_null(m, form, i))
			appendStringInfo(&buf, "%s%s %s", buf.len > 0 ? between : "", ref_key_operand(m, form, TARGET_ALIAS, i), test);
	}
	return buf.len > 0 ? buf.data : NULL;
}

/*
 * Where in the order of keys a side's row is.  A key of which a column is null is behind
 * all others.
 */
static char *
span_condition(const Mapping *m, KeyForm form, Datum after, Datum upto)
{
	StringInfoData buf;
	const char *key = ordered_key(m, form);
	const char *nulls = null_test(m, form, "IS NULL", " OR ");

	initStringInfo(&buf);
	if (after != (Datum) 0)
		appendStringInfo(&buf, "ROW(%s) > ROW(%s)", key, key_values(m, after));
	if (upto != (Datum) 0)
		appendStringInfo(&buf, "%sROW(%s) <= ROW(%s)", buf.len > 0 ? " AND " : "", key, key_values(m, upto));
	else if (after == (Datum) 0)
		return NULL;			/* all rows */
	else
		return nulls == NULL ? buf.data : psprintf("%s OR %s", buf.data, nulls);
	return (char *) both(buf.data, null_test(m, form, "IS NOT NULL", " AND "));
}

/*
 * Verify: the rows whose keys are greater than one and not greater than another; 0: there is no such bound.
 * The spans from no bound to no bound hold each row once.
 */
KeySpan *
projection_key_span(const Mapping *m, Datum after, Datum upto)
{
	KeySpan    *span = palloc(sizeof(KeySpan));

	span->source = span_condition(m, KEY_OF_SOURCE, after, upto);
	span->target = span_condition(m, KEY_OF_TARGET, after, upto);
	span->first = after == (Datum) 0;
	return span;
}

/* Verify: the key that ends a span of at most $1 + 1 rows of either side; no row where it is the last one. */
char *
projection_span_end(const Mapping *m, Datum after)
{
	StringInfoData buf;
	StringInfoData order;

	initStringInfo(&buf);
	initStringInfo(&order);
	for (int i = 0; i < list_length(m->key); i++)
		appendStringInfo(&order, "%smigrate_k%d", i ? ", " : "", i + 1);
	appendStringInfoString(&buf, "SELECT migrate_j FROM (");
	for (KeyForm form = KEY_OF_SOURCE; form <= KEY_OF_TARGET; form++)
	{
		const char *key = ordered_key(m, form);

		appendStringInfo(&buf, "%s(SELECT %s AS migrate_j", form == KEY_OF_TARGET ? " UNION ALL " : "", ref_key_json(m, form, TARGET_ALIAS));
		for (int i = 0; i < list_length(m->key); i++)
			appendStringInfo(&buf, ", %s%s AS migrate_k%d", ref_key(m, form, TARGET_ALIAS, i), ref_collation(m, list_nth(m->key, i)), i + 1);
		appendStringInfo(&buf, " FROM %s%s ORDER BY %s OFFSET $1 LIMIT 1)", side_rows(m, form),
						 ref_where_condition(both(after == (Datum) 0 ? NULL : psprintf("ROW(%s) > ROW(%s)", key, key_values(m, after)),
												  null_test(m, form, "IS NOT NULL", " AND "))), key);
	}
	appendStringInfo(&buf, ") AS migrate_x ORDER BY %s LIMIT 1", order.data);
	return buf.data;
}

/* Verify: $1 keys of random rows of each side, of a random share of their blocks; 0: of all. */
char *
projection_sample_keys(const Mapping *m, double source_percent, double target_percent)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (KeyForm form = KEY_OF_SOURCE; form <= KEY_OF_TARGET; form++)
	{
		double		percent = form == KEY_OF_SOURCE ? source_percent : target_percent;
		const char *condition = form == KEY_OF_SOURCE ? m->filter : m->scope;

		appendStringInfo(&buf, "%s(SELECT %s FROM %s", form == KEY_OF_TARGET ? " UNION " : "", ref_key_json(m, form, TARGET_ALIAS),
						 sampled_rows(m, form, percent));
		appendStringInfo(&buf, "%s ORDER BY random() LIMIT $1)",
						 ref_where_condition(both(condition, null_test(m, form, "IS NOT NULL", " AND "))));
	}
	return buf.data;
}

/* Adds a stratum: $1 of the rows that were read, by a condition or an order. */
static void
append_stratum(StringInfo buf, const char *which)
{
	appendStringInfo(buf, "%s(SELECT migrate_t, migrate_r FROM migrate_s %s LIMIT $1)", buf->len ? " UNION ALL " : "", which);
}

/*
 * Rehearsal: the keys of source rows that stand out in one of the source's columns, $1 of each
 * kind: null, the longest, the least and the greatest; of a random share of its blocks, 0: of all.
 */
char *
projection_edge_keys(const Mapping *m, double percent)
{
	Relation	source = relation_open(m->source, AccessShareLock);
	StringInfoData columns;
	StringInfoData strata;

	initStringInfo(&columns);
	initStringInfo(&strata);
	for (int i = 0; i < Min(RelationGetNumberOfAttributes(source), MAX_STRATA_COLUMNS); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(source), i);

		if (att->attisdropped)
			continue;
		appendStringInfo(&columns, ", " SOURCE_ALIAS ".%s AS migrate_e%d", quote_identifier(NameStr(att->attname)), i);
		if (!att->attnotnull)
			append_stratum(&strata, psprintf("WHERE num_nulls(migrate_e%d) > 0", i));
		append_stratum(&strata, psprintf("ORDER BY octet_length(migrate_e%d::text) DESC NULLS LAST", i));
		if (!OidIsValid(lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR)->lt_opr))
			continue;
		append_stratum(&strata, psprintf("ORDER BY migrate_e%d", i));
		append_stratum(&strata, psprintf("ORDER BY migrate_e%d DESC NULLS LAST", i));
	}
	relation_close(source, NoLock);
	return psprintf("WITH migrate_s AS MATERIALIZED (SELECT " SOURCE_ALIAS ".tableoid AS migrate_t, " SOURCE_ALIAS ".ctid AS migrate_r%s FROM %s%s) "
					"SELECT DISTINCT %s FROM %s JOIN (SELECT DISTINCT migrate_t, migrate_r FROM (%s) AS migrate_x) AS migrate_p "
					"ON " SOURCE_ALIAS ".ctid = migrate_p.migrate_r AND " SOURCE_ALIAS ".tableoid = migrate_p.migrate_t%s",
					columns.data, ref_sampled_rows(m, percent, false), ref_where_condition(m->filter),
					ref_key_json(m, KEY_OF_SOURCE, NULL), ref_source_rows(m), strata.data,
					ref_where_condition(both(m->filter, null_test(m, KEY_OF_SOURCE, "IS NOT NULL", " AND "))));
}

/* Shadow read: the checksum of the row that one side has for key $1, a jsonb; no row if it has none. */
char *
projection_read_row(const Mapping *m, bool target)
{
	KeyForm		form = target ? KEY_OF_TARGET : KEY_OF_SOURCE;

	char	   *rows = psprintf("%s JOIN %s ON %s%s", side_rows(m, form), ref_one_key(m),
								ref_keys_equal(m, form, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS), ref_where_condition(target ? m->scope : m->filter));

	return psprintf("SELECT %s FROM %s",
					projection_checksum_call(target ? ref_column_list(m, TARGET_ALIAS ".") : cast_expression_list(m, false), list_length(m->columns)),
					target ? rows : ref_moved_rows(m, rows));
}

/* Shadow read: the keys of the $1 rows of a plain source that were written last, as far as its last blocks, from $2 on, have them. */
char *
projection_recent_keys(const Mapping *m)
{
	return psprintf("SELECT %s FROM %s%s ORDER BY age(" SOURCE_ALIAS ".xmin) LIMIT $1", ref_key_json(m, KEY_OF_SOURCE, NULL), side_rows(m, KEY_OF_SOURCE),
					ref_where_condition(both(both(m->filter, SOURCE_ALIAS ".ctid >= $2"), null_test(m, KEY_OF_SOURCE, "IS NOT NULL", " AND "))));
}
