/*
 * projection.c
 *		Mapping -> SQL: the statements that write.
 *
 * Every statement is "the projection, over some set of source rows": the rows
 * of a transition table, of a range of blocks, or of a set of keys.  Together
 * with reference.c, comparison.c and shape.c this is all the generated SQL
 * there is: nobody else concatenates column lists.
 *
 * Stores let the server coerce as an assignment does: a value too long is an
 * error, and is not cut.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/lookup.h"
#include "projection/projection.h"
#include "projection/reference.h"

/*
 * May two values of the type be equal without being the same, so that an
 * update must write the key, too?
 */
static bool
equal_is_same(const Mapping *m, const char *name)
{
	switch (getBaseType(get_atttype(m->target, ref_target_attnum(m, name))))
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

/*
 * c = <prefix>c, ... for the columns an update sets; empty if only the key is
 * mapped.  In place, the key is that of the row itself.
 */
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
		if (ref_is_key(m, name) && (mapping_is_in_place(m) || equal_is_same(m, name)))
			continue;
		if (excluded)
			appendStringInfo(&buf, "%s%s = %s.%s", buf.len ? ", " : "", quoted, excluded, quoted);
		else
			appendStringInfo(&buf, "%s%s = migrate_p.migrate_c%d", buf.len ? ", " : "", quoted, i);
	}
	return buf.data;
}

static char *
insert(const Mapping *m, const char *select)
{
	return psprintf("INSERT INTO %s AS " TARGET_ALIAS " (%s) OVERRIDING SYSTEM VALUE %s", quote_relation(m->target),
					ref_column_list(m, ""), select);
}

/*
 * INSERT of the projection of "FROM <rows>", updating what is there already.
 * Where values are the same nothing is written; record *<> compares images, so
 * it sees 1.0 against 1.00 and needs no equality operator.  A row that is left as it
 * is is locked: a sync that does not see the source row yet would delete it.
 */
static char *
upsert(const Mapping *m, const char *select)
{
	StringInfoData buf;
	char	   *set = assignments(m, "EXCLUDED");

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s ON CONFLICT (%s) ", insert(m, select), ref_key_columns(m));
	if (set[0] == '\0')
		appendStringInfo(&buf, "DO UPDATE SET %s = EXCLUDED.%s WHERE false", quote_identifier(linitial(m->key)),
						 quote_identifier(linitial(m->key)));
	else
		appendStringInfo(&buf, "DO UPDATE SET %s WHERE ROW(%s)::record OPERATOR(pg_catalog.*<>) "
						 "ROW(%s)::record", set, ref_column_list(m, TARGET_ALIAS "."),
						 ref_column_list(m, "EXCLUDED."));
	return buf.data;
}

/* (migrate_p.migrate_c1)::type, ... as values of the target's columns. */
static char *
projected_values(const Mapping *m)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->columns); i++)
		appendStringInfo(&buf, "%s(migrate_p.migrate_c%d)::%s", i ? ", " : "", i + 1,
						 ref_target_type(m, ((MappingColumn *) list_nth(m->columns, i))->target));
	return buf.data;
}

/* UPDATE of the target rows that the rows migrate_p belong to, where they differ. */
static char *
update_rows(const Mapping *m, const char *set, const char *rows, const char *condition)
{
	return psprintf("UPDATE %s AS " TARGET_ALIAS " SET %s FROM %s WHERE %s "
					"AND ROW(%s)::record OPERATOR(pg_catalog.*<>) ROW(%s)::record",
					quote_relation(m->target), set, rows, condition,
					ref_column_list(m, TARGET_ALIAS "."), projected_values(m));
}

/* The key of <alias>, as of a target row, is that of the row migrate_p. */
static char *
has_projected_key(const Mapping *m, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->columns); i++)
	{
		const char *name = ((MappingColumn *) list_nth(m->columns, i))->target;

		if (ref_is_key(m, name))
			appendStringInfo(&buf, "%s%s.%s %s (migrate_p.migrate_c%d)::%s", buf.len ? " AND " : "", alias,
							 quote_identifier(name), ref_key_operator(m, name), i + 1, ref_target_type(m, name));
	}
	return buf.data;
}

/*
 * " AND ..." for the target rows of the keys $1, where another server has them: it shall
 * look them up by an index of its own, and not send all its rows.
 */
static const char *
sent_keys(const Mapping *m)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, key_is_foreign(m->target) ? m->key : NIL)
	{
		const char *name = lfirst(lc);

		appendStringInfo(&buf, " AND " TARGET_ALIAS ".%s %s ANY (ARRAY(SELECT (migrate_j ->> %s)::%s FROM unnest($1) AS migrate_u (migrate_j)))",
						 quote_identifier(name), ref_key_operator(m, name), quote_literal_cstr(name), ref_target_type(m, name));
	}
	return buf.data;
}

/* SELECT of the rows (...) AS migrate_p that have no target row; sent: see sent_keys. */
static char *
select_absent(const Mapping *m, const char *rows, const char *sent)
{
	StringInfoData values;

	initStringInfo(&values);
	for (int i = 0; i < list_length(m->columns); i++)
		appendStringInfo(&values, "%smigrate_p.migrate_c%d", i ? ", " : "", i + 1);
	return psprintf("SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s AS " TARGET_ALIAS " WHERE %s%s)", values.data, rows,
					quote_relation(m->target), has_projected_key(m, TARGET_ALIAS), sent);
}

/*
 * The statements that make the target rows of some source rows right.
 *
 * A mapping that does not give every column that must have a value (typically
 * the way back after a split) cannot propose a row to INSERT where one exists:
 * NOT NULL is checked before the conflict is seen.  Nor can one whose target has
 * children, of whose rows its index does not know, or is a foreign table.  They update first.  In
 * place there is nothing to insert, and a row is its own target whatever other
 * rows have its key.
 */
static List *
upsert_rows(const Mapping *m, const char *from, const char *sent)
{
	char	   *inner;
	char	   *p_key;
	char	   *set;
	List	   *statements;
	bool		in_place = mapping_is_in_place(m);

	if (!in_place && projection_sees_conflict(m))
		return list_make1(upsert(m, psprintf("SELECT %s FROM %s", ref_expression_list(m, false), from)));

	inner = psprintf("(SELECT %s%s FROM %s) AS migrate_p", ref_expression_list(m, true),
					 in_place ? ", " SOURCE_ALIAS ".tableoid AS migrate_table, " SOURCE_ALIAS ".ctid AS migrate_row" : "",
					 from);
	p_key = psprintf("%s%s", has_projected_key(m, TARGET_ALIAS), sent);
	set = assignments(m, NULL);

	if (in_place)
		return list_make1(update_rows(m, set, inner, psprintf("%s AND " TARGET_ALIAS ".tableoid = migrate_p.migrate_table "
															  "AND " TARGET_ALIAS ".ctid = migrate_p.migrate_row", p_key)));
	/* locked also where they are left as they are, see upsert */
	statements = list_make1(psprintf("SELECT FROM %s AS " TARGET_ALIAS ", %s WHERE %s FOR NO KEY UPDATE OF " TARGET_ALIAS,
									 quote_relation(m->target), inner, p_key));
	if (set[0] != '\0')
		statements = lappend(statements, update_rows(m, set, inner, p_key));
	inner = select_absent(m, inner, sent);
	return lappend(statements, key_is_foreign(m->target) ? insert(m, inner) : upsert(m, inner));
}

/*
 * Removes target rows: "USING <rows> WHERE <condition>".  A mapping that only
 * owns some columns of the row sets them to null instead.  In place nothing is
 * ever removed: the row is the application's.
 */
static char *
remove_rows(const Mapping *m, const char *rows, const char *condition)
{
	StringInfoData set;
	ListCell   *lc;

	if (mapping_is_in_place(m))
		return NULL;
	if (!m->clears)
		return psprintf("DELETE FROM %s AS " TARGET_ALIAS " USING %s WHERE %s%s",
						quote_relation(m->target), rows, condition, ref_and_condition(m->scope));
	initStringInfo(&set);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		if (!ref_is_key(m, name))
			appendStringInfo(&set, "%s%s = NULL", set.len ? ", " : "", quote_identifier(name));
	}
	if (set.len == 0)
		return NULL;
	return psprintf("UPDATE %s AS " TARGET_ALIAS " SET %s FROM %s WHERE %s%s",
					quote_relation(m->target), set.data, rows, condition, ref_and_condition(m->scope));
}

static List *
one_or_none(char *statement)
{
	return statement ? list_make1(statement) : NIL;
}

/*
 * Takes the target rows of some keys away and puts those back that some source
 * rows project to, with the values of the columns that are not mapped.  All of
 * them are gone before the first comes back: values of another unique index can
 * be exchanged between rows.
 */
static char *
replace_rows(const Mapping *m, const char *keys, const char *from, const char *sent)
{
	Relation	target = relation_open(m->target, AccessShareLock);
	StringInfoData columns;
	StringInfoData values;

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);
		const char *quoted = quote_identifier(NameStr(att->attname));
		int			mapped = ref_column_number(m, NameStr(att->attname));

		if (att->attisdropped || att->attgenerated)
			continue;
		appendStringInfo(&columns, "%s%s", columns.len ? ", " : "", quoted);
		if (mapped > 0)
			appendStringInfo(&values, "%smigrate_p.migrate_c%d", values.len ? ", " : "", mapped);
		else
			appendStringInfo(&values, "%smigrate_r.%s", values.len ? ", " : "", quoted);
	}
	relation_close(target, NoLock);
	return psprintf("WITH migrate_gone AS (DELETE FROM %s AS " TARGET_ALIAS " USING %s WHERE %s%s%s "
					"RETURNING ROW(" TARGET_ALIAS ".*)::%s AS migrate_row) "
					"INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s "
					"FROM (SELECT array_agg(migrate_row) AS migrate_rows FROM migrate_gone) AS migrate_held "
					"CROSS JOIN LATERAL unnest(migrate_held.migrate_rows) AS migrate_r "
					"JOIN (SELECT %s FROM %s) AS migrate_p ON %s",
					quote_relation(m->target), keys,
					ref_keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS), sent, ref_and_condition(m->scope),
					quote_relation(m->target), quote_relation(m->target), columns.data, values.data,
					ref_expression_list(m, true), from, has_projected_key(m, "migrate_r"));
}

/* The source row is in a stretch of a leaf relation. */
static char *
in_stretch(const Extent *e)
{
	if (e->key_column == NULL)
		return SOURCE_ALIAS ".ctid >= $1 AND " SOURCE_ALIAS ".ctid < $2";
	if (extent_is_whole(e))
		return "$1 <= $2";
	return psprintf(SOURCE_ALIAS ".%s >= $1 AND " SOURCE_ALIAS ".%s <= $2", quote_identifier(e->key_column),
					quote_identifier(e->key_column));
}

/* The rows of a leaf relation, as src. */
static char *
leaf_rows(const Extent *e)
{
	return psprintf("ONLY %s AS " SOURCE_ALIAS, quote_relation(e->relation));
}

/* The least and the greatest value of an extent's key column, or 0, and the number of rows. */
char *
projection_key_range(const Mapping *m, const Extent *e)
{
	const char *column = quote_identifier(e->key_column);

	return psprintf("SELECT coalesce(min(" SOURCE_ALIAS ".%s), 0)::bigint, coalesce(max(" SOURCE_ALIAS ".%s), 0)::bigint, count(*) "
					"FROM %s", column, column, leaf_rows(e));
}

/*
 * Copies the rows of a range of a leaf relation, never overwriting: a row
 * that is there was written by a dual write or an earlier batch, and is at
 * least as new.  It is left alone or, optimistic, an error; one of a child of the
 * target, which no index would find, is left alone.
 */
char *
projection_copy(const Mapping *m, const Extent *e, bool optimistic)
{
	bool		foreign = key_is_foreign(m->target);
	bool		absent = !ref_is_multiset(m) && (key_has_children(m->target) || (foreign && !optimistic));
	char	   *rows = psprintf("SELECT %s FROM %s WHERE %s%s", ref_expression_list(m, absent), ref_expanded_rows(m, leaf_rows(e)),
								in_stretch(e), ref_and_condition(m->filter));

	if (ref_dedupes(m) && e->key_column == NULL)
		rows = psprintf("%s AND " SOURCE_ALIAS ".ctid <> ALL ($3)", rows);
	if (absent)
		rows = select_absent(m, psprintf("(%s) AS migrate_p", rows), "");
	return optimistic || foreign || ref_is_multiset(m) ? insert(m, rows) :
		psprintf("%s ON CONFLICT (%s) DO NOTHING", insert(m, rows), ref_key_columns(m));
}

/*
 * Copy in place: sets the mapped columns of the rows in a range that differ.
 * Returns how many differed, and how many were set: a row that somebody has
 * locked is not waited for, and one that was changed meanwhile has had its
 * columns set with that.
 */
char *
projection_set_in_place(const Mapping *m, Oid leaf)
{
	char	   *relation = quote_relation(leaf);

	return psprintf("WITH migrate_p AS MATERIALIZED (SELECT * FROM (SELECT %s, "
					SOURCE_ALIAS ".ctid AS migrate_row, ROW(%s)::record AS migrate_now FROM ONLY %s AS " SOURCE_ALIAS
					" WHERE " SOURCE_ALIAS ".ctid >= $1 AND " SOURCE_ALIAS ".ctid < $2 OFFSET 0) AS migrate_p "
					"WHERE migrate_now OPERATOR(pg_catalog.*<>) ROW(%s)::record), "
					"migrate_l AS MATERIALIZED (SELECT " TARGET_ALIAS ".ctid AS migrate_row "
					"FROM ONLY %s AS " TARGET_ALIAS ", migrate_p WHERE " TARGET_ALIAS ".ctid = migrate_p.migrate_row "
					"FOR NO KEY UPDATE OF " TARGET_ALIAS " SKIP LOCKED), "
					"migrate_s AS (UPDATE ONLY %s AS " TARGET_ALIAS " SET %s FROM migrate_p, migrate_l "
					"WHERE migrate_p.migrate_row = migrate_l.migrate_row AND " TARGET_ALIAS ".ctid = migrate_l.migrate_row "
					"RETURNING 1) SELECT (SELECT count(*) FROM migrate_p), (SELECT count(*) FROM migrate_s)",
					ref_expression_list(m, true), ref_column_list(m, SOURCE_ALIAS "."), relation, projected_values(m),
					relation, relation, assignments(m, NULL));
}

/* Copy in place: the keys of the rows in a range that differ, one jsonb a row. */
char *
projection_range_differing(const Mapping *m, Oid leaf)
{
	return psprintf("SELECT migrate_key FROM (SELECT %s, ROW(%s)::record AS migrate_now, %s AS migrate_key "
					"FROM ONLY %s AS " SOURCE_ALIAS " WHERE " SOURCE_ALIAS ".ctid >= $1 AND " SOURCE_ALIAS ".ctid < $2"
					" OFFSET 0) AS migrate_p WHERE migrate_now OPERATOR(pg_catalog.*<>) ROW(%s)::record",
					ref_expression_list(m, true), ref_column_list(m, SOURCE_ALIAS "."),
					ref_key_json(m, KEY_OF_SOURCE, NULL), quote_relation(leaf), projected_values(m));
}

/* Trigger in place: the key of the row $1, as jsonb. */
char *
projection_row_key(const Mapping *m)
{
	return psprintf("SELECT %s FROM (SELECT ($1).*) AS " SOURCE_ALIAS, ref_key_json(m, KEY_OF_SOURCE, NULL));
}

/*
 * Copy: the key and the image, two jsonb, of the rows in a range that pass the
 * declared filter and meet a condition.
 */
char *
projection_range_images(const Mapping *m, const Extent *e, const char *condition, bool with_key)
{
	return psprintf("SELECT %s, to_jsonb(" SOURCE_ALIAS ".*) FROM %s WHERE %s%s%s",
					with_key ? ref_key_json(m, KEY_OF_SOURCE, NULL) : "NULL::jsonb",
					with_key ? ref_expanded_rows(m, leaf_rows(e)) : leaf_rows(e), in_stretch(e),
					ref_and_condition(m->declared_filter), ref_and_condition(condition));
}

/* The same of all source rows. */
char *
projection_all_images(const Mapping *m, const char *condition)
{
	return psprintf("SELECT %s, to_jsonb(" SOURCE_ALIAS ".*) FROM %s WHERE (%s)%s", ref_key_json(m, KEY_OF_SOURCE, NULL),
					ref_source_rows(m), condition, ref_and_condition(m->declared_filter));
}

/* The source rows, as they are now, that have keys of the rows of a transition table. */
static char *
source_of_transition(const Mapping *m, const char *table)
{
	return psprintf("%s WHERE EXISTS (SELECT FROM %s WHERE %s)%s", ref_source_rows(m),
					ref_transition_key_set(m, table, KEYS_ALIAS),
					ref_keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL),
					ref_and_condition(m->filter));
}

/*
 * Dual write: upserts the projection of the source rows that have the keys of
 * the new rows.
 *
 * Of the source rows as they are now, not of their images in the transition
 * table: a trigger of the application that fires before ours, or a function
 * the statement calls, may have changed them again, and the nested statement's
 * dual write was before this one.  They are locked by this transaction.
 *
 * A row may be in the table several times: what foreign keys cascade to it
 * by several of its columns is one statement's.  One whose key has a null in it is
 * not found by it: it is inserted as it is, which is an error.
 */
List *
projection_upsert_new(const Mapping *m)
{
	List	   *statements = upsert_rows(m, source_of_transition(m, NEW_TABLE), "");
	bool		may_be_null = false;

	for (int i = 0; i < list_length(m->key); i++)
		may_be_null = may_be_null || ref_may_be_null(m, KEY_OF_SOURCE, i);
	if (may_be_null)
		statements = lappend(statements, upsert(m, psprintf("SELECT %s FROM %s WHERE num_nulls(%s) > 0%s", ref_expression_list(m, false),
															ref_transition_rows(m, NEW_TABLE), ref_key_list(m, KEY_OF_SOURCE, NULL),
															ref_and_condition(m->filter))));
	return statements;
}

/* Dual write: the same, where the new rows are the source rows. */
List *
projection_upsert_images(const Mapping *m)
{
	return upsert_rows(m, psprintf("%s%s", ref_transition_rows(m, NEW_TABLE), ref_where_condition(m->filter)), "");
}

/*
 * Dual write: makes the target rows of the old rows' keys right that have a
 * source row still.  While a deferrable constraint allows it, another one may
 * have had the key.
 */
List *
projection_upsert_old(const Mapping *m)
{
	return upsert_rows(m, source_of_transition(m, OLD_TABLE), "");
}

/* Dual write: upserts by way of removing the target rows, where that may be done. */
List *
projection_replace_new(const Mapping *m)
{
	return list_make1(replace_rows(m, ref_transition_key_set(m, NEW_TABLE, KEYS_ALIAS), source_of_transition(m, NEW_TABLE), ""));
}

/* Removes the target rows of a set of keys that no source row has now. */
static List *
delete_unprojected(const Mapping *m, const char *keys)
{
	return one_or_none(remove_rows(m, keys,
								   psprintf("%s AND NOT EXISTS (SELECT FROM %s WHERE %s%s)",
											ref_keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS),
											ref_source_rows(m),
											ref_keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL),
											ref_and_condition(m->filter))));
}

/*
 * Dual write: removes the target rows of the old rows' keys that no source row
 * has now: not those that a new row of the statement has, nor those that
 * another part of the command, or a nested statement, has brought back.
 */
List *
projection_delete_old(const Mapping *m)
{
	return delete_unprojected(m, ref_transition_key_set(m, OLD_TABLE, KEYS_ALIAS));
}

/*
 * Dual write: the same, where the rows of an update are the source rows.  It
 * looks only for keys that have gone: a SERIALIZABLE transaction shall read no
 * more than it needs to.
 */
List *
projection_delete_gone(const Mapping *m)
{
	char	   *gone = psprintf("(SELECT * FROM %s WHERE NOT EXISTS (SELECT FROM %s WHERE %s)) AS " KEYS_ALIAS,
								ref_transition_key_set(m, OLD_TABLE, "migrate_o"),
								ref_transition_key_set(m, NEW_TABLE, "migrate_n"),
								ref_keys_equal(m, KEY_OF_SET, "migrate_n", KEY_OF_SET, "migrate_o"));

	return delete_unprojected(m, gone);
}

/*
 * Where a key is made of more than columns that are copied, the filter may be there to keep rows
 * from it that have none: those are no rows of such a key.  Otherwise a row that does not
 * pass now is one that may pass soon, or has passed before another table changed.
 */
static const char *
guard(const Mapping *m)
{
	return (ref_expands(m) || ref_is_multiset(m)) && !lookup_filters(m) ? m->declared_filter : NULL;
}

/* Dual write: the keys a statement touched, one jsonb a row. */
char *
projection_transition_keys(const Mapping *m, TransitionKeys which)
{
	char	   *json = ref_key_json(m, KEY_OF_SOURCE, NULL);
	char	   *old_rows = psprintf("%s%s", ref_transition_rows(m, OLD_TABLE), ref_where_condition(guard(m)));
	char	   *new_rows = psprintf("%s%s", ref_transition_rows(m, NEW_TABLE), ref_where_condition(guard(m)));

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
							json, ref_transition_rows(m, OLD_TABLE), ref_transition_key_set(m, NEW_TABLE, "migrate_n"),
							ref_keys_equal(m, KEY_OF_SET, "migrate_n", KEY_OF_SOURCE, NULL),
							ref_and_condition(lookup_filters(m) ? NULL : m->filter));
	}
	return NULL;
}

/* "FROM source, keys WHERE the source row has one of the keys" */
static char *
source_of_keys(const Mapping *m, const char *condition)
{
	return psprintf("%s, %s WHERE %s%s%s", ref_source_rows(m), ref_key_set(m),
					ref_keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL),
					ref_and_condition(condition), ref_and_condition(condition != m->filter ? guard(m) : NULL));
}

/* Sync: the numbers, from 1, of the keys that have a source row now. */
char *
projection_find_source(const Mapping *m)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s", source_of_keys(m, NULL));
}

/* The numbers of the keys whose source row meets a condition now. */
char *
projection_find_meeting(const Mapping *m, const char *condition)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s", source_of_keys(m, condition));
}

/* The source rows with one of the keys that pass the declared filter and meet a condition: number of the key, own key and image. */
char *
projection_meeting_images(const Mapping *m, const char *condition)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n, %s, to_jsonb(" SOURCE_ALIAS ".*) FROM %s%s", ref_key_json(m, KEY_OF_SOURCE, NULL),
					source_of_keys(m, m->declared_filter), ref_and_condition(condition));
}

/* The numbers of the keys that have a source row now, and its image as jsonb. */
char *
projection_source_images(const Mapping *m)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n, to_jsonb(" SOURCE_ALIAS ".*) FROM %s", source_of_keys(m, NULL));
}

/*
 * Sync: locks the source rows of the keys that nobody else has locked, and
 * returns the keys' numbers.  The filter is left out: a row that does not pass
 * it may be on its way in.
 */
char *
projection_lock_source(const Mapping *m)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s FOR NO KEY UPDATE OF " SOURCE_ALIAS " SKIP LOCKED",
					source_of_keys(m, NULL));
}

/* Sync: the numbers of the keys that have a target row; locks them if asked. */
char *
projection_find_target(const Mapping *m, TargetLock lock)
{
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s AS " TARGET_ALIAS ", %s WHERE %s%s%s%s",
					quote_relation(m->target), ref_key_set(m),
					ref_keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS),
					sent_keys(m), ref_and_condition(m->scope),
					lock == TARGET_UNLOCKED ? "" :
					lock == TARGET_LOCKED ? " FOR UPDATE OF " TARGET_ALIAS :
					" FOR UPDATE OF " TARGET_ALIAS " SKIP LOCKED");
}

/* Sync: makes the target rows of the keys' source rows right. */
List *
projection_upsert_keys(const Mapping *m)
{
	return upsert_rows(m, ref_moved_rows(m, source_of_keys(m, m->filter)), sent_keys(m));
}

/* Rehearsal in place: the whole rows of keys $1 as they would be, into another table of the same form. */
char *
projection_insert_images(const Mapping *m, const char *into)
{
	Relation	rel = relation_open(m->source, AccessShareLock);
	StringInfoData columns;
	StringInfoData values;

	initStringInfo(&columns);
	initStringInfo(&values);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		const char *quoted = quote_identifier(NameStr(att->attname));
		MappingColumn *c;

		if (att->attisdropped || att->attgenerated)
			continue;
		c = projection_column(m, NameStr(att->attname));
		appendStringInfo(&columns, "%s%s", columns.len ? ", " : "", quoted);
		appendStringInfo(&values, "%s%s", values.len ? ", " : "", c ? c->expression : psprintf(SOURCE_ALIAS ".%s", quoted));
	}
	relation_close(rel, NoLock);
	return psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", into, columns.data, values.data, source_of_keys(m, NULL));
}

/* Sync: the same by way of removing them, where that may be done. */
List *
projection_replace_keys(const Mapping *m)
{
	return list_make1(replace_rows(m, ref_key_set(m), ref_moved_rows(m, source_of_keys(m, m->filter)), sent_keys(m)));
}

/*
 * Sync: removes the target rows of the keys; with unprojected_only those of
 * keys whose source row does not pass the filter (NIL if there is no filter).
 */
List *
projection_delete_keys(const Mapping *m, bool unprojected_only)
{
	char	   *condition = psprintf("%s%s", ref_keys_equal(m, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS), sent_keys(m));

	if (unprojected_only)
	{
		if (m->filter == NULL)
			return NIL;
		condition = psprintf("%s AND NOT EXISTS (SELECT FROM %s WHERE %s AND (%s))",
							 condition, ref_source_rows(m),
							 ref_keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL), m->filter);
	}
	return one_or_none(remove_rows(m, ref_key_set(m), condition));
}
