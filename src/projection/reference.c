/*
 * reference.c
 *		How generated SQL refers to rows, keys and columns of a mapping.
 *
 * The source row is always src, what it is expanded to migrate_e, the target row
 * migrate_t, a set of keys migrate_d with columns migrate_k1, migrate_k2, ... and migrate_n.
 *
 * A key travels as a jsonb object of target column -> value, integers as
 * numbers and everything else as the text of the value under the settings that
 * identity.c pins.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/lookup.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* A target column's number; raises if it is gone. */
AttrNumber
ref_target_attnum(const Mapping *m, const char *name)
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

char *
ref_target_type(const Mapping *m, const char *name)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(m->target, ref_target_attnum(m, name), &type, &typmod, &collation);
	return quote_type(type, typmod);
}

bool
ref_is_key(const Mapping *m, const char *name)
{
	ListCell   *lc;

	foreach(lc, m->key)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* The number of values that a key has. */
int
ref_key_length(const Mapping *m)
{
	return ref_is_multiset(m) ? 1 : list_length(m->key);
}

/* The checksum of a row's mapped columns, as a text whose collation is known. */
static char *
row_checksum(const Mapping *m, KeyForm form, const char *alias)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;

		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 form == KEY_OF_SOURCE ? ref_cast_expression(m, name) : psprintf("%s.%s", alias, quote_identifier(name)));
	}
	return psprintf(list_length(m->columns) > REF_MAX_ARGUMENTS ? "%s.migrate_row_checksum(ROW(%s)) COLLATE pg_catalog.\"C\"" :
					"%s.migrate_row_checksum(%s) COLLATE pg_catalog.\"C\"", quote_extension_schema(), buf.data);
}

/* A key column's equality operator, qualified: citext's is not text's. */
char *
ref_key_operator(const Mapping *m, const char *name)
{
	Oid			type = get_atttype(m->target, ref_target_attnum(m, name));
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);

	if (!OidIsValid(entry->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key column \"%s\" is of type %s, which has no equality operator",
						name, format_type_be(type))));
	return quote_operator(entry->eq_opr);
}

/* A column's collation; InvalidOid if its type has none. */
static Oid
collation_of(Oid relid, AttrNumber attnum)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
	return collation;
}

/* " COLLATE ...": a column's collation, if its type has one. */
static const char *
column_collation(Oid relid, AttrNumber attnum)
{
	Oid			collation = collation_of(relid, attnum);

	return OidIsValid(collation) ? psprintf(" COLLATE %s", quote_collation(collation)) : "";
}

/* The same, of a target column. */
const char *
ref_collation(const Mapping *m, const char *name)
{
	return column_collation(m->target, ref_target_attnum(m, name));
}

/* May one source row become several rows of the target, or none? */
bool
ref_expands(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		if (((MappingColumn *) lfirst(lc))->is_set)
			return true;
	}
	return false;
}

/* The expression that gives a target column; of a set, one of its values. */
char *
ref_expression(const Mapping *m, const MappingColumn *c)
{
	return c->is_set ? psprintf(SET_ALIAS ".migrate_x%d", ref_column_number(m, c->target)) : c->expression;
}

/*
 * "FROM <rows>", each row of src as often as its sets have values, which are
 * migrate_e.migrate_x<column>, ...: all sets side by side, as in a list of what is selected.
 */
char *
ref_expanded_rows(const Mapping *m, const char *rows)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		i++;
		if (c->is_set)
			appendStringInfo(&buf, "%s%s AS migrate_x%d", buf.len ? ", " : "", c->expression, i);
	}
	return buf.len == 0 ? (char *) rows : psprintf("%s CROSS JOIN LATERAL (SELECT %s) AS " SET_ALIAS, rows, buf.data);
}

/*
 * Have the target's rows no key?  Then a row is told from others by all it holds, as a multiset
 * counts it: what stands for a key is the row's checksum.
 */
bool
ref_is_multiset(const Mapping *m)
{
	return m->key == NIL;
}

/*
 * An expression, cast to the column's type, of a value that an assignment would refuse but a cast
 * cuts: as it is, so that it equals nothing that the column can hold.  NULL if nothing is cut.
 */
static char *
uncut_expression(const Mapping *m, const MappingColumn *c)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	const char *plain;
	char	   *value = ref_expression(m, c);

	get_atttypetypmodcoll(m->target, ref_target_attnum(m, c->target), &type, &typmod, &collation);
	type = getBaseTypeAndTypmod(type, &typmod);
	plain = type == VARCHAROID ? "varchar" : type == BPCHAROID ? "bpchar" : NULL;
	if (plain == NULL || typmod < (int32) VARHDRSZ)
		return NULL;
	return psprintf("CASE WHEN pg_catalog.btrim(pg_catalog.substr((%s)::pg_catalog.text, %d), ' ') <> '' THEN (%s)::pg_catalog.text::pg_catalog.%s "
					"ELSE ((%s)::%s)::pg_catalog.%s END", value, typmod - (int32) VARHDRSZ + 1, value, plain,
					value, ref_target_type(m, c->target), plain);
}

/* The expression that gives a target column, cast to its type. */
char *
ref_cast_expression(const Mapping *m, const char *name)
{
	MappingColumn *c = projection_column(m, name);
	char	   *uncut;

	if (c == NULL)
		elog(ERROR, "column \"%s\" of mapping " INT64_FORMAT " is not mapped", name, m->id);
	uncut = ref_is_multiset(m) && m->id != 0 ? uncut_expression(m, c) : NULL;
	return uncut != NULL ? uncut : psprintf("(%s)::%s", ref_expression(m, c), ref_target_type(m, name));
}

char *
ref_key(const Mapping *m, KeyForm form, const char *alias, int i)
{
	const char *name;

	if (ref_is_multiset(m) && form != KEY_OF_SET)
		return row_checksum(m, form, alias);
	name = form != KEY_OF_SET ? list_nth(m->key, i) : NULL;
	switch (form)
	{
		case KEY_OF_SOURCE:
			return ref_cast_expression(m, name);
		case KEY_OF_TARGET:
			return psprintf("%s.%s", alias, quote_identifier(name));
		case KEY_OF_SET:
			return psprintf("%s.migrate_k%d", alias, i + 1);
	}
	return NULL;
}

/* Can values of the two types be compared as they are, by an index on either? */
static bool
comparable(Oid a, Oid b)
{
#define IS_INTEGER(t) ((t) == INT2OID || (t) == INT4OID || (t) == INT8OID)
#define IS_TEXT(t) ((t) == TEXTOID || (t) == VARCHAROID)
	return a == b || (IS_INTEGER(a) && IS_INTEGER(b)) || (IS_TEXT(a) && IS_TEXT(b));
}

/* The source column that a comparison can name for a key column, as it is; NULL if it cannot. */
static char *
bare_column(const Mapping *m, const char *name)
{
	char	   *copied = projection_copied_column(m, name);

	return copied != NULL && comparable(get_atttype(m->source, get_attnum(m->source, copied)),
										get_atttype(m->target, ref_target_attnum(m, name))) ? copied : NULL;
}

/* May key column i of a side be null? */
bool
ref_may_be_null(const Mapping *m, KeyForm form, int i)
{
	const char *name;
	const char *column;

	if (ref_is_multiset(m))
		return false;
	name = list_nth(m->key, i);
	column = form == KEY_OF_TARGET ? name : projection_copied_column(m, name);
	if (column == NULL && projection_column(m, name)->constant)
		return false;
	return column == NULL || !column_is_not_null(form == KEY_OF_TARGET ? m->target : m->source, column);
}

/*
 * How a comparison names key column i.  A source column that is copied is
 * named without the cast to the target's type, behind which an index on it
 * could not be used.
 */
char *
ref_key_operand(const Mapping *m, KeyForm form, const char *alias, int i)
{
	char	   *column = form == KEY_OF_SOURCE && !ref_is_multiset(m) ? bare_column(m, list_nth(m->key, i)) : NULL;

	return column != NULL ? psprintf(SOURCE_ALIAS ".%s", quote_identifier(column)) : ref_key(m, form, alias, i);
}

/*
 * May values that differ be equal as a key of the target?  Where several source rows may have
 * one key, these are all its rows.
 */
static bool
is_looser(const Mapping *m, const char *name)
{
	Oid			collation = collation_of(m->target, ref_target_attnum(m, name));

	return ref_dedupes(m) && OidIsValid(collation) && !get_collation_isdeterministic(collation);
}

/*
 * The operand of an equality.  Keys of a set have the target's collation; a
 * source column has its own, explicitly: two different ones could not be
 * compared, and an index on it has this one.
 */
static char *
equal_operand(const Mapping *m, KeyForm form, const char *alias, int i)
{
	const char *name = list_nth(m->key, i);
	char	   *operand = ref_key_operand(m, form, alias, i);
	char	   *column;

	if (form != KEY_OF_SOURCE)
		return operand;
	column = bare_column(m, name);
	return psprintf("%s%s", operand, column != NULL && !is_looser(m, name) ? column_collation(m->source, get_attnum(m->source, column)) : ref_collation(m, name));
}

/* "src.column = value of its type": a column of the source, and a text. */
static char *
source_column_is(const Mapping *m, const char *column, const char *text)
{
	AttrNumber	attnum = get_attnum(m->source, column);
	Oid			type;
	int32		typmod;
	Oid			collation;
	TypeCacheEntry *entry;

	get_atttypetypmodcoll(m->source, attnum, &type, &typmod, &collation);
	entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	return psprintf(SOURCE_ALIAS ".%s %s (%s)::%s%s", quote_identifier(column), quote_operator(entry->eq_opr), text,
					quote_type(type, -1), column_collation(m->source, attnum));
}

/*
 * Key column i of a source row equals another operand, where the key map stands
 * between them: the map is asked for what the source must have, for which there is
 * an index.  Empty where that is said already; NULL where there is no map.
 */
static char *
mapped_equal(const Mapping *m, KeyForm other, const char *alias, int i)
{
	const MappingColumn *c = projection_column(m, list_nth(m->key, i));
	StringInfoData buf;
	int			parts = 0;

	if (c == NULL || c->made_of == NIL)
		return NULL;
	initStringInfo(&buf);
	if (!m->reverse)
	{
		ListCell   *lc;

		foreach(lc, c->made_of)
			appendStringInfo(&buf, "%s%s", buf.len ? " AND " : "",
							 source_column_is(m, lfirst(lc), psprintf("migrate_ext.unmap_key(" INT64_FORMAT ", (%s)::text, %d)",
																	  c->map, ref_key_operand(m, other, alias, i), foreach_current_index(lc) + 1)));
		return buf.data;
	}
	/* the way back: all columns of the old key give the new one */
	for (int k = 0; k < list_length(m->key); k++)
	{
		const MappingColumn *part = projection_column(m, list_nth(m->key, k));

		if (part->map != c->map || part->part != parts + 1 || strcmp(linitial(part->made_of), linitial(c->made_of)) != 0)
			continue;
		appendStringInfo(&buf, ", %s", ref_key_operand(m, other, alias, k));
		parts++;
	}
	if (parts == 0 || parts != c->parts)
		return NULL;
	if (c->part > 1)
		return "";
	return source_column_is(m, linitial(c->made_of), psprintf("%s.migrate_lookup(NULL::text, " INT64_FORMAT "%s)", quote_extension_schema(),
															   c->map, buf.data));
}

/* left.k1 = right.k1 AND ... */
char *
ref_keys_equal(const Mapping *m, KeyForm left, const char *left_alias,
		   KeyForm right, const char *right_alias)
{
	StringInfoData buf;

	if (ref_is_multiset(m))
		return psprintf("%s OPERATOR(pg_catalog.=) %s", ref_key(m, left, left_alias, 0), ref_key(m, right, right_alias, 0));
	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
	{
		char	   *mapped = left == KEY_OF_SOURCE && right != KEY_OF_SOURCE ? mapped_equal(m, right, right_alias, i) :
			right == KEY_OF_SOURCE && left != KEY_OF_SOURCE ? mapped_equal(m, left, left_alias, i) : NULL;

		if (mapped != NULL)
		{
			if (mapped[0] != '\0')
				appendStringInfo(&buf, "%s%s", buf.len ? " AND " : "", mapped);
			continue;
		}
		appendStringInfo(&buf, "%s%s %s %s", buf.len ? " AND " : "",
						 equal_operand(m, left, left_alias, i),
						 ref_key_operator(m, list_nth(m->key, i)),
						 equal_operand(m, right, right_alias, i));
	}
	return buf.data;
}

/* jsonb_build_object('k1', ..., ...): the key as it travels. */
char *
ref_key_json(const Mapping *m, KeyForm form, const char *alias)
{
	StringInfoData buf;

	if (ref_is_multiset(m))
		return psprintf("jsonb_build_object(" REF_ROW_KEY ", %s)", ref_key(m, form, alias, 0));
	initStringInfo(&buf);
	appendStringInfoString(&buf, "jsonb_build_object(");
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);
		Oid			type = getBaseType(get_atttype(m->target, ref_target_attnum(m, name)));
		bool		number = type == INT2OID || type == INT4OID || type == INT8OID;

		appendStringInfo(&buf, number ? "%s%s, %s" : "%s%s, (%s)::text", i ? ", " : "",
						 quote_literal_cstr(name), ref_key(m, form, alias, i));
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* k1, k2, ...: the key columns of a row. */
char *
ref_key_list(const Mapping *m, KeyForm form, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < ref_key_length(m); i++)
		appendStringInfo(&buf, "%s%s", i ? ", " : "", ref_key(m, form, alias, i));
	return buf.data;
}

/* The columns migrate_k1, ... of a key that an expression gives as jsonb. */
static char *
key_columns_of(const Mapping *m, const char *key)
{
	StringInfoData buf;

	if (ref_is_multiset(m))
		return psprintf("(%s ->> " REF_ROW_KEY ") COLLATE pg_catalog.\"C\" AS migrate_k1", key);
	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);

		appendStringInfo(&buf, "%s(%s ->> %s)::%s%s AS migrate_k%d", i ? ", " : "", key,
						 quote_literal_cstr(name), ref_target_type(m, name), ref_collation(m, name), i + 1);
	}
	return buf.data;
}

/* The keys of parameter $1 as a set migrate_d(migrate_k1, ..., migrate_n). */
char *
ref_key_set(const Mapping *m)
{
	return psprintf("(SELECT %s, migrate_n FROM unnest($1) WITH ORDINALITY AS migrate_u(migrate_j, migrate_n)) AS " KEYS_ALIAS,
					key_columns_of(m, "migrate_j"));
}

/* The one key of parameter $1, a jsonb, as migrate_d(migrate_k1, ...). */
char *
ref_one_key(const Mapping *m)
{
	return psprintf("(SELECT %s) AS " KEYS_ALIAS, key_columns_of(m, "$1"));
}

/* " AND (condition)", or nothing. */
const char *
ref_and_condition(const char *condition)
{
	return condition ? psprintf(" AND (%s)", condition) : "";
}

/* " WHERE (condition)", or nothing. */
const char *
ref_where_condition(const char *condition)
{
	return condition ? psprintf(" WHERE (%s)", condition) : "";
}

/*
 * A transition table as src.  Its rows are anonymous: where an expression
 * uses the row as a value, they are given back the source's row type.
 */
char *
ref_transition_rows(const Mapping *m, const char *table)
{
	StringInfoData buf;
	Relation	rel;

	if (!m->whole_row)
		return ref_expanded_rows(m, psprintf("%s AS " SOURCE_ALIAS, table));

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
	return ref_expanded_rows(m, psprintf("%s AS migrate_r CROSS JOIN LATERAL "
										 "unnest(ARRAY[ROW(%s)::%s]) AS " SOURCE_ALIAS,
										 table, buf.data, quote_relation(m->source)));
}

/* The source rows as they are. */
char *
ref_unexpanded_rows(const Mapping *m)
{
	return psprintf("%s AS " SOURCE_ALIAS, quote_relation(m->source));
}

/* The source rows, each as often as it has target rows. */
char *
ref_source_rows(const Mapping *m)
{
	return ref_expanded_rows(m, ref_unexpanded_rows(m));
}

/* The source rows as they are, those of a random share of the source's blocks; 0: of all. */
char *
ref_sampled_rows(const Mapping *m, double percent, bool repeatable)
{
	return percent <= 0 ? ref_unexpanded_rows(m) :
		psprintf("%s TABLESAMPLE SYSTEM (%g)%s", ref_unexpanded_rows(m), percent, repeatable ? " REPEATABLE (1)" : "");
}

/* Does only one of several source rows with one key have a target row? */
bool
ref_dedupes(const Mapping *m)
{
	return m->dedupe_by != NIL;
}

/* The keys that some source rows project to, as (migrate_k1, ...). */
char *
ref_projected_keys(const Mapping *m, const char *rows, const char *filter, const char *alias)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "(SELECT ");
	for (int i = 0; i < ref_key_length(m); i++)
		appendStringInfo(&buf, "%s%s%s AS migrate_k%d", i ? ", " : "", ref_key(m, KEY_OF_SOURCE, NULL, i),
						 ref_is_multiset(m) ? "" : ref_collation(m, list_nth(m->key, i)), i + 1);
	appendStringInfo(&buf, " FROM %s%s) AS %s", rows, ref_where_condition(filter), alias);
	return buf.data;
}

/*
 * The same of the rows of a transition table.  Whether an old row has passed a filter that reads
 * other tables is not known: it may be these that have changed.
 */
char *
ref_transition_key_set(const Mapping *m, const char *table, const char *alias)
{
	bool		unknown = strcmp(table, OLD_TABLE) == 0 && lookup_filters(m);

	return ref_projected_keys(m, ref_transition_rows(m, table), unknown ? NULL : m->filter, alias);
}

/* The number of a mapped column, from 1; 0 if it is not mapped. */
int
ref_column_number(const Mapping *m, const char *name)
{
	for (int i = 0; i < list_length(m->columns); i++)
	{
		if (strcmp(((MappingColumn *) list_nth(m->columns, i))->target, name) == 0)
			return i + 1;
	}
	return 0;
}

/* c1, c2, ... with a prefix; keys and others as asked. */
char *
ref_column_list(const Mapping *m, const char *prefix)
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
char *
ref_key_columns(const Mapping *m)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, m->key)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_identifier(lfirst(lc)));
	return buf.data;
}

/* The expressions, as the server shall coerce them. */
char *
ref_expression_list(const Mapping *m, bool named)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		appendStringInfo(&buf, "%s%s", i++ ? ", " : "", ref_expression(m, c));
		if (named)
			appendStringInfo(&buf, " AS migrate_c%d", i);
	}
	return buf.data;
}
