/*
 * projection.c
 *		Mapping -> SQL.  Nobody else concatenates column lists.
 *
 * Every statement is "the projection, over some set of source rows": the rows
 * of a transition table, of a range of blocks, of a set of keys, or all.  The
 * source row is always src, the target row migrate_t, a set of keys migrate_d
 * with columns migrate_k1, migrate_k2, ...
 *
 * A key travels as a jsonb object of target column -> value, integers as
 * numbers and everything else as the text of the value under the settings that
 * identity.c pins.
 *
 * Stores let the server coerce as an assignment does (a value too long is an
 * error); comparisons cast explicitly to the target column's type and typmod.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/projection.h"

#define KEYS_ALIAS "migrate_d"

/* More arguments than this do not fit into a function call: use a row. */
#define MAX_CHECKSUM_ARGS 90

/* A target column's number; raises if it is gone. */
static AttrNumber
target_attnum(const Mapping *m, const char *name)
{
	AttrNumber	attnum = get_attnum(m->target, name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of target %s does not exist", name,
						name_relation(m->target)),
				 errhint("It was dropped or renamed after it was mapped.")));
	return attnum;
}

static char *
target_type(const Mapping *m, const char *name)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(m->target, target_attnum(m, name), &type, &typmod, &collation);
	return quote_type(type, typmod);
}

/* The mapping's column of that target name; NULL if it is not mapped. */
MappingColumn *
projection_column(const Mapping *m, const char *name)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		if (strcmp(c->target, name) == 0)
			return c;
	}
	return NULL;
}

static bool
is_key(const Mapping *m, const char *name)
{
	ListCell   *lc;

	foreach(lc, m->key)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* A key column's equality operator, qualified: citext's is not text's. */
static char *
key_operator(const Mapping *m, const char *name)
{
	Oid			type = get_atttype(m->target, target_attnum(m, name));
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(entry->eq_opr));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key column \"%s\" is of type %s, which has no equality operator",
						name, format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* The expression that gives a key column, cast to the column's type. */
static char *
key_expression(const Mapping *m, const char *name)
{
	MappingColumn *c = projection_column(m, name);

	if (c == NULL)
		elog(ERROR, "key column \"%s\" of mapping " INT64_FORMAT " is not mapped", name, m->id);
	return psprintf("(%s)::%s", c->expression, target_type(m, name));
}

/*
 * How a statement names key column i of its three kinds of rows: by
 * expression over src, as a column of migrate_t, as a column of migrate_d or
 * another alias with columns migrate_k<i>.
 */
typedef enum KeyForm
{
	KEY_OF_SOURCE,
	KEY_OF_TARGET,
	KEY_OF_SET
} KeyForm;

static char *
key_ref(const Mapping *m, KeyForm form, const char *alias, int i)
{
	const char *name = list_nth(m->key, i);

	switch (form)
	{
		case KEY_OF_SOURCE:
			return key_expression(m, name);
		case KEY_OF_TARGET:
			return psprintf("%s.%s", alias, quote_identifier(name));
		case KEY_OF_SET:
			return psprintf("%s.migrate_k%d", alias, i + 1);
	}
	return NULL;
}

/* left.k1 = right.k1 AND ... */
static char *
keys_equal(const Mapping *m, KeyForm left, const char *left_alias,
		   KeyForm right, const char *right_alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
		appendStringInfo(&buf, "%s%s %s %s", i ? " AND " : "",
						 key_ref(m, left, left_alias, i),
						 key_operator(m, list_nth(m->key, i)),
						 key_ref(m, right, right_alias, i));
	return buf.data;
}

/* jsonb_build_object('k1', ..., ...): the key as it travels. */
static char *
key_json(const Mapping *m, KeyForm form, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "jsonb_build_object(");
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);
		Oid			type = getBaseType(get_atttype(m->target, target_attnum(m, name)));
		bool		number = type == INT2OID || type == INT4OID || type == INT8OID;

		appendStringInfo(&buf, number ? "%s%s, %s" : "%s%s, (%s)::text", i ? ", " : "",
						 quote_literal_cstr(name), key_ref(m, form, alias, i));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* The keys of parameter $1 as a set migrate_d(migrate_k1, ..., migrate_n). */
static char *
key_set(const Mapping *m)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "(SELECT ");
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);

		appendStringInfo(&buf, "%s(migrate_j ->> %s)::%s AS migrate_k%d", i ? ", " : "",
						 quote_literal_cstr(name), target_type(m, name), i + 1);
	}
	appendStringInfoString(&buf, ", migrate_n FROM unnest($1) WITH ORDINALITY AS migrate_u(migrate_j, migrate_n)) AS " KEYS_ALIAS);
	return buf.data;
}

/* " AND (condition)", or nothing. */
static const char *
and_condition(const char *condition)
{
	return condition ? psprintf(" AND (%s)", condition) : "";
}

/* " WHERE (condition)", or nothing. */
static const char *
where_condition(const char *condition)
{
	return condition ? psprintf(" WHERE (%s)", condition) : "";
}

/*
 * A transition table as src.  Its rows are anonymous: where an expression
 * uses the row as a value, they are given back the source's row type.
 */
static char *
transition_rows(const Mapping *m, const char *table)
{
	StringInfoData buf;
	Relation	rel;

	if (!m->whole_row)
		return psprintf("%s AS " SOURCE_ALIAS, table);

	/* by name: a partition's columns may stand in another order */
	initStringInfo(&buf);
	rel = relation_open(m->source, AccessShareLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped)
			appendStringInfo(&buf, "%smigrate_r.%s", buf.len ? ", " : "",
							 quote_identifier(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	return psprintf("%s AS migrate_r CROSS JOIN LATERAL "
					"unnest(ARRAY[ROW(%s)::%s]) AS " SOURCE_ALIAS,
					table, buf.data, quote_relation(m->source));
}

static char *
source_rows(const Mapping *m)
{
	return psprintf("%s AS " SOURCE_ALIAS, quote_relation(m->source));
}

/* The keys a set of transition rows projects to, as (migrate_k1, ...). */
static char *
transition_key_set(const Mapping *m, const char *table, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "(SELECT ");
	for (int i = 0; i < list_length(m->key); i++)
		appendStringInfo(&buf, "%s%s AS migrate_k%d", i ? ", " : "",
						 key_ref(m, KEY_OF_SOURCE, NULL, i), i + 1);
	appendStringInfo(&buf, " FROM %s%s) AS %s", transition_rows(m, table),
					 where_condition(m->filter), alias);
	return buf.data;
}

/* c1, c2, ... with a prefix; keys and others as asked. */
static char *
column_list(const Mapping *m, const char *prefix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, m->columns)
		appendStringInfo(&buf, "%s%s%s", buf.len ? ", " : "", prefix,
						 quote_identifier(((MappingColumn *) lfirst(lc))->target));
	return buf.data;
}

/* The key columns, for ON CONFLICT. */
static char *
key_columns(const Mapping *m)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, m->key)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_identifier(lfirst(lc)));
	return buf.data;
}

/* The expressions, as the server shall coerce them. */
static char *
expression_list(const Mapping *m, bool named)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		appendStringInfo(&buf, "%s%s", i++ ? ", " : "", c->expression);
		if (named)
			appendStringInfo(&buf, " AS migrate_c%d", i);
	}
	return buf.data;
}

/*
 * May two values of the type be equal without being the same, so that an
 * update must write the key, too?
 */
static bool
equal_is_same(const Mapping *m, const char *name)
{
	switch (getBaseType(get_atttype(m->target, target_attnum(m, name))))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case UUIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case BYTEAOID:
			return true;
		default:
			return false;
	}
}

/* c = <prefix>c, ... for the columns an update sets; empty if only the key is mapped. */
static char *
assignments(const Mapping *m, const char *excluded)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;
		const char *quoted = quote_identifier(name);

		i++;
		if (is_key(m, name) && equal_is_same(m, name))
			continue;
		if (excluded)
			appendStringInfo(&buf, "%s%s = %s.%s", buf.len ? ", " : "", quoted, excluded, quoted);
		else
			appendStringInfo(&buf, "%s%s = migrate_p.migrate_c%d", buf.len ? ", " : "", quoted, i);
	}
	return buf.data;
}

/*
 * INSERT of the projection of "FROM <rows>", updating what is there already.
 * Where values are the same nothing is written; record *<> compares images, so
 * it sees 1.0 against 1.00 and needs no equality operator.
 */
static char *
upsert(const Mapping *m, const char *select)
{
	StringInfoData buf;
	char	   *set = assignments(m, "EXCLUDED");

	initStringInfo(&buf);
	appendStringInfo(&buf, "INSERT INTO %s AS " TARGET_ALIAS " (%s) OVERRIDING SYSTEM VALUE %s "
					 "ON CONFLICT (%s) ", quote_relation(m->target), column_list(m, ""),
					 select, key_columns(m));
	if (set[0] == '\0')
		appendStringInfoString(&buf, "DO NOTHING");
	else
		appendStringInfo(&buf, "DO UPDATE SET %s WHERE ROW(%s)::record OPERATOR(pg_catalog.*<>) "
						 "ROW(%s)::record", set, column_list(m, TARGET_ALIAS "."),
						 column_list(m, "EXCLUDED."));
	return buf.data;
}

/*
 * The statements that make the target rows of some source rows right.
 *
 * A mapping that does not give every column that must have a value (typically
 * the way back after a split) cannot propose a row to INSERT where one exists:
 * NOT NULL is checked before the conflict is seen.  It updates first.
 */
static List *
upsert_rows(const Mapping *m, const char *from)
{
	char	   *inner;
	char	   *p_key;
	char	   *set;
	StringInfoData update;
	StringInfoData values;
	StringInfoData key;

	if (projection_covers_required(m))
		return list_make1(upsert(m, psprintf("SELECT %s FROM %s", expression_list(m, false), from)));

	inner = psprintf("(SELECT %s FROM %s) AS migrate_p", expression_list(m, true), from);
	initStringInfo(&key);
	initStringInfo(&values);
	for (int i = 0; i < list_length(m->columns); i++)
	{
		const char *name = ((MappingColumn *) list_nth(m->columns, i))->target;

		appendStringInfo(&values, "%smigrate_p.migrate_c%d", i ? ", " : "", i + 1);
		if (is_key(m, name))
			appendStringInfo(&key, "%s" TARGET_ALIAS ".%s %s (migrate_p.migrate_c%d)::%s",
							 key.len ? " AND " : "", quote_identifier(name),
							 key_operator(m, name), i + 1, target_type(m, name));
	}
	p_key = key.data;
	set = assignments(m, NULL);

	initStringInfo(&update);
	appendStringInfo(&update, "UPDATE %s AS " TARGET_ALIAS " SET %s FROM %s WHERE %s "
					 "AND ROW(%s)::record OPERATOR(pg_catalog.*<>) ROW(", quote_relation(m->target),
					 set, inner, p_key, column_list(m, TARGET_ALIAS "."));
	for (int i = 0; i < list_length(m->columns); i++)
		appendStringInfo(&update, "%s(migrate_p.migrate_c%d)::%s", i ? ", " : "", i + 1,
						 target_type(m, ((MappingColumn *) list_nth(m->columns, i))->target));
	appendStringInfoString(&update, ")::record");

	return list_concat(set[0] == '\0' ? NIL : list_make1(update.data),
					   list_make1(upsert(m, psprintf("SELECT %s FROM %s WHERE NOT EXISTS "
													 "(SELECT FROM %s AS " TARGET_ALIAS " WHERE %s)",
													 values.data, inner, quote_relation(m->target), p_key))));
}

/*
 * Removes target rows: "USING <rows> WHERE <condition>".  A mapping that only
 * owns some columns of the row sets them to null instead.
 */
static char *
remove_rows(const Mapping *m, const char *rows, const char *condition)
{
	StringInfoData set;
	ListCell   *lc;

	if (!m->clears)
		return psprintf("DELETE FROM %s AS " TARGET_ALIAS " USING %s WHERE %s%s",
						quote_relation(m->target), rows, condition, and_condition(m->scope));
	initStringInfo(&set);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		if (!is_key(m, name))
			appendStringInfo(&set, "%s%s = NULL", set.len ? ", " : "", quote_identifier(name));
	}
	if (set.len == 0)
		return NULL;
	return psprintf("UPDATE %s AS " TARGET_ALIAS " SET %s FROM %s WHERE %s%s",
					quote_relation(m->target), set.data, rows, condition, and_condition(m->scope));
}

static List *
one_or_none(char *statement)
{
	return statement ? list_make1(statement) : NIL;
}

/*
 * Copies the rows of a range of a leaf relation, never overwriting: a row
 * that is there was written by a dual write or an earlier batch, and is at
 * least as new.
 */
char *
projection_copy(const Mapping *m, Oid leaf)
{
	return psprintf("INSERT INTO %s AS " TARGET_ALIAS " (%s) OVERRIDING SYSTEM VALUE "
					"SELECT %s FROM ONLY %s AS " SOURCE_ALIAS
					" WHERE " SOURCE_ALIAS ".ctid >= $1 AND " SOURCE_ALIAS ".ctid < $2%s "
					"ON CONFLICT (%s) DO NOTHING",
					quote_relation(m->target), column_list(m, ""), expression_list(m, false),
					quote_relation(leaf), and_condition(m->filter), key_columns(m));
}

/* Dual write: upserts the projection of the new rows. */
List *
projection_upsert_new(const Mapping *m)
{
	return upsert_rows(m, psprintf("%s%s", transition_rows(m, NEW_TABLE),
								   where_condition(m->filter)));
}

/*
 * Dual write: removes the target rows of the old rows' keys; with keep_new
 * (an UPDATE) only of keys that no new row has.
 */
List *
projection_delete_old(const Mapping *m, bool keep_new)
{
	char	   *condition = keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS);

	if (keep_new)
		condition = psprintf("%s AND NOT EXISTS (SELECT FROM %s WHERE %s)", condition,
							 transition_key_set(m, NEW_TABLE, "migrate_n"),
							 keys_equal(m, KEY_OF_SET, "migrate_n", KEY_OF_SET, KEYS_ALIAS));
	return one_or_none(remove_rows(m, transition_key_set(m, OLD_TABLE, KEYS_ALIAS), condition));
}

/* Dual write: the keys a statement touched, one jsonb a row. */
char *
projection_transition_keys(const Mapping *m, TransitionKeys which)
{
	char	   *json = key_json(m, KEY_OF_SOURCE, NULL);
	char	   *old_rows = transition_rows(m, OLD_TABLE);
	char	   *new_rows = transition_rows(m, NEW_TABLE);

	switch (which)
	{
		case KEYS_OLD:
			return psprintf("SELECT DISTINCT %s FROM %s", json, old_rows);
		case KEYS_NEW:
			return psprintf("SELECT DISTINCT %s FROM %s", json, new_rows);
		case KEYS_BOTH:
			return psprintf("SELECT %s FROM %s UNION SELECT %s FROM %s", json, old_rows, json, new_rows);
		case KEYS_GONE:
			return psprintf("SELECT DISTINCT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s WHERE %s)%s",
							json, old_rows, transition_key_set(m, NEW_TABLE, "migrate_n"),
							keys_equal(m, KEY_OF_SET, "migrate_n", KEY_OF_SOURCE, NULL),
							and_condition(m->filter));
	}
	return NULL;
}

/* "FROM source, keys WHERE the source row has one of the keys" */
static char *
source_of_keys(const Mapping *m, const char *condition)
{
	return psprintf("%s, %s WHERE %s%s", source_rows(m), key_set(m),
					keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL),
					and_condition(condition));
}

/*
 * Sync: locks the source rows of the keys and returns the keys' numbers, from
 * 1.  The filter is left out: a row that does not pass it may be on its way in.
 */
char *
projection_lock_source(const Mapping *m)
{
	return psprintf("SELECT migrate_n FROM %s FOR NO KEY UPDATE OF " SOURCE_ALIAS,
					source_of_keys(m, NULL));
}

/* Sync: which of the keys have a source row now? */
char *
projection_find_source(const Mapping *m)
{
	return psprintf("SELECT migrate_n FROM %s", source_of_keys(m, NULL));
}

/* Sync: locks the target rows of the keys and returns the keys' numbers. */
char *
projection_lock_target(const Mapping *m)
{
	return psprintf("SELECT migrate_n FROM %s AS " TARGET_ALIAS ", %s WHERE %s%s FOR UPDATE OF " TARGET_ALIAS,
					quote_relation(m->target), key_set(m),
					keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS),
					and_condition(m->scope));
}

/* Sync: makes the target rows of the keys' source rows right. */
List *
projection_upsert_keys(const Mapping *m)
{
	return upsert_rows(m, source_of_keys(m, m->filter));
}

/*
 * Sync: removes the target rows of the keys; with unprojected_only those of
 * keys whose source row does not pass the filter (NIL if there is no filter).
 */
List *
projection_delete_keys(const Mapping *m, bool unprojected_only)
{
	char	   *condition = keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS);

	if (unprojected_only)
	{
		if (m->filter == NULL)
			return NIL;
		condition = psprintf("%s AND NOT EXISTS (SELECT FROM %s WHERE %s AND (%s))",
							 condition, source_rows(m),
							 keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL), m->filter);
	}
	return one_or_none(remove_rows(m, key_set(m), condition));
}

/* count and checksum of a list of values over some rows */
static char *
checksum_select(const Mapping *m, const char *values, const char *from, const char *filter)
{
	const char *f = filter ? psprintf(" FILTER (WHERE %s)", filter) : "";
	const char *args = list_length(m->columns) > MAX_CHECKSUM_ARGS ?
		psprintf("ROW(%s)", values) : values;

	return psprintf("SELECT count(*), count(*)%s, %s.migrate_checksum(%s)%s FROM %s",
					f, quote_extension_schema(), args, f, from);
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
						 target_type(m, c->target));
		if (named)
			appendStringInfo(&buf, " AS migrate_c%d", i);
	}
	return buf.data;
}

/* Verify: rows, rows that pass the filter, and the checksum of their projection. */
char *
projection_source_checksum(const Mapping *m)
{
	return checksum_select(m, cast_expression_list(m, false), source_rows(m), m->filter);
}

/* Verify: rows, rows in scope, and their checksum. */
char *
projection_target_checksum(const Mapping *m)
{
	return checksum_select(m, column_list(m, TARGET_ALIAS "."),
						   psprintf("%s AS " TARGET_ALIAS, quote_relation(m->target)), m->scope);
}

/* One side of the comparison, its columns named migrate_c1, ... */
static void
append_sides(StringInfo buf, const Mapping *m)
{
	ListCell   *lc;
	int			i = 0;

	appendStringInfo(buf, "(SELECT %s FROM %s%s) AS s FULL JOIN (SELECT ",
					 cast_expression_list(m, true), source_rows(m), where_condition(m->filter));
	foreach(lc, m->columns)
		appendStringInfo(buf, "%s" TARGET_ALIAS ".%s AS migrate_c%d", i ? ", " : "",
						 quote_identifier(((MappingColumn *) lfirst(lc))->target), i + 1), i++;
	appendStringInfo(buf, " FROM %s AS " TARGET_ALIAS "%s) AS t ON ",
					 quote_relation(m->target), where_condition(m->scope));
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
projection_compare(const Mapping *m, bool values)
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
		Oid			type = getBaseType(get_atttype(m->target, target_attnum(m, name)));

		i++;
		appendStringInfo(&same, "%smigrate_ext.identical(s.migrate_c%d, t.migrate_c%d)",
						 i > 1 ? " AND " : "", i, i);
		appendStringInfo(&columns, "%sCASE WHEN NOT migrate_ext.identical(s.migrate_c%d, t.migrate_c%d) "
						 "THEN %s END", i > 1 ? ", " : "", i, i, quote_literal_cstr(name));
		if (!is_key(m, name))
			continue;
		first_key = first_key ? first_key : i;
		appendStringInfo(&join, "%ss.migrate_c%d %s t.migrate_c%d", join.len ? " AND " : "", i,
						 key_operator(m, name), i);
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
	append_sides(&buf, m);
	appendStringInfo(&buf, "%s WHERE s.migrate_c%d IS NULL OR t.migrate_c%d IS NULL OR NOT (%s)",
					 join.data, first_key, first_key, same.data);
	return buf.data;
}

/* Returns a row if the target holds any that the mapping answers for. */
char *
projection_target_exists(const Mapping *m)
{
	return psprintf("SELECT 1 FROM %s AS " TARGET_ALIAS "%s LIMIT 1",
					quote_relation(m->target), where_condition(m->scope));
}

/* The largest value of a target column, as bigint. */
char *
projection_column_max(const Mapping *m, const char *column)
{
	return psprintf("SELECT max(%s)::bigint FROM %s", quote_identifier(column),
					quote_relation(m->target));
}

/* The source column that a target column copies unchanged; NULL if none. */
char *
projection_copied_column(const Mapping *m, const char *column)
{
	MappingColumn *c = projection_column(m, column);
	Relation	source = relation_open(m->source, AccessShareLock);
	char	   *result = NULL;

	for (int i = 0; c != NULL && i < RelationGetNumberOfAttributes(source); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(source), i);

		if (!att->attisdropped &&
			strcmp(c->expression, psprintf(SOURCE_ALIAS ".%s",
										   quote_identifier(NameStr(att->attname)))) == 0)
			result = pstrdup(NameStr(att->attname));
	}
	relation_close(source, NoLock);
	return result;
}

/*
 * The target columns that must have a value, have no default, and get none
 * from the mapping.
 */
List *
projection_uncovered_required(const Mapping *m)
{
	Relation	rel = relation_open(m->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || !att->attnotnull || att->atthasdef || att->attidentity ||
			projection_column(m, NameStr(att->attname)) != NULL)
			continue;
		result = lappend(result, pstrdup(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	return result;
}

bool
projection_covers_required(const Mapping *m)
{
	return projection_uncovered_required(m) == NIL;
}
