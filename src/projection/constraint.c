/*
 * constraint.c
 *		What the rows of a target should fulfil though nothing enforces it.
 *
 * Foreign keys of the target that are not validated; and what holds for source
 * columns that are copied, but was not declared for the target: NOT NULL, unique
 * indexes, foreign keys.  A foreign key to a table that is migrated, too, means
 * that table's target.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "base/quote.h"
#include "projection/columns.h"
#include "projection/constraint.h"
#include "projection/expression.h"
#include "projection/foreign_key.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* The target column that a source column is copied to; NULL if it is not. */
static char *
copy_of(const Mapping *m, const char *source_column)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);
		char	   *copied = projection_copied_column(m, c->target);

		if (copied != NULL && strcmp(copied, source_column) == 0)
			return c->target;
	}
	return NULL;
}

/* The same for columns by number; NIL if not all are copied. */
static List *
copies_of(const Mapping *m, const AttrNumber *attnums, int n)
{
	List	   *names = NIL;

	for (int i = 0; i < n; i++)
	{
		char	   *name = attnums[i] > 0 ? copy_of(m, get_attname(m->source, attnums[i], false)) : NULL;

		if (name == NULL)
			return NIL;
		names = lappend(names, name);
	}
	return names;
}

static List *
add(List *list, const char *kind, const char *name, List *columns, bool declared, char *sql)
{
	ExpectedConstraint *c = palloc0(sizeof(ExpectedConstraint));

	c->kind = kind;
	c->name = pstrdup(name);
	c->columns = columns;
	c->declared = declared;
	c->sql = sql;
	return lappend(list, c);
}

/* The target's rows that the mapping answers for. */
static char *
target_rows(const Mapping *m)
{
	return psprintf("%s AS " TARGET_ALIAS " WHERE true%s", quote_relation(m->target), ref_and_condition(m->scope));
}

/* migrate_t.a IS NOT NULL AND ... */
static char *
not_null(List *columns)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, columns)
		appendStringInfo(&buf, "%s" TARGET_ALIAS ".%s IS NOT NULL", buf.len > 0 ? " AND " : "", quote_identifier(lfirst(lc)));
	return buf.data;
}

/* Columns that are NOT NULL in the source. */
static List *
add_not_null(List *list, const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		char	   *name = ((MappingColumn *) lfirst(lc))->target;
		char	   *copied = projection_copied_column(m, name);

		if (copied == NULL || !column_is_not_null(m->source, copied) || column_is_not_null(m->target, name))
			continue;
		list = add(list, "not null", name, list_make1(name), false,
				   psprintf("SELECT count(*) FROM %s AND " TARGET_ALIAS ".%s IS NULL", target_rows(m), quote_identifier(name)));
	}
	return list;
}

/* Rows that are more than one for the same values. */
static char *
duplicates(const Mapping *m, List *columns)
{
	StringInfoData group;
	ListCell   *lc;

	initStringInfo(&group);
	foreach(lc, columns)
		appendStringInfo(&group, "%s" TARGET_ALIAS ".%s", group.len > 0 ? ", " : "", quote_identifier(lfirst(lc)));
	return psprintf("SELECT coalesce(sum(n - 1), 0)::bigint FROM (SELECT count(*) AS n FROM %s AND %s GROUP BY %s HAVING count(*) > 1) AS d",
					target_rows(m), not_null(columns), group.data);
}

/* Unique indexes of the source. */
static List *
add_unique(List *list, const Mapping *m)
{
	Relation	source = relation_open(m->source, AccessShareLock);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(source))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indisvalid && heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		{
			List	   *columns = copies_of(m, form->indkey.values, form->indnkeyatts);

			if (columns != NIL && !OidIsValid(key_index(m->target, columns, false)))
				list = add(list, "unique", RelationGetRelationName(index), columns, false, duplicates(m, columns));
		}
		index_close(index, AccessShareLock);
	}
	relation_close(source, NoLock);
	return list;
}

/* Rows of the target without the row that they name. */
static char *
orphans(const Mapping *m, List *columns, Oid referenced, List *referenced_columns, const Oid *operators)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT count(*) FROM %s AND %s AND NOT EXISTS (SELECT FROM %s AS migrate_p WHERE ", target_rows(m), not_null(columns),
					 quote_relation(referenced));
	for (int i = 0; i < list_length(columns); i++)
		appendStringInfo(&buf, "%smigrate_p.%s %s " TARGET_ALIAS ".%s", i ? " AND " : "", quote_identifier(list_nth(referenced_columns, i)),
						 quote_operator(operators[i]), quote_identifier(list_nth(columns, i)));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

static List *
column_names(Oid relid, const AttrNumber *attnums, int n)
{
	List	   *names = NIL;

	for (int i = 0; i < n; i++)
		names = lappend(names, get_attname(relid, attnums[i], false));
	return names;
}

/* Have columns of two relations the same types? */
static bool
same_types(Oid a, List *a_names, Oid b, List *b_names)
{
	for (int i = 0; i < list_length(a_names); i++)
	{
		if (get_atttype(a, get_attnum(a, list_nth(a_names, i))) != get_atttype(b, get_attnum(b, list_nth(b_names, i))))
			return false;
	}
	return true;
}

/* Has the target a foreign key on these columns? */
static bool
has_foreign_key(const Mapping *m, List *columns)
{
	ListCell   *lc;

	foreach(lc, foreign_key_list(m->target))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		int			found = 0;

		for (int i = 0; i < fk->nkeys; i++)
		{
			ListCell   *name;

			foreach(name, columns)
				found += get_attnum(m->target, lfirst(name)) == fk->conkey[i] ? 1 : 0;
		}
		if (found == fk->nkeys && found == list_length(columns))
			return true;
	}
	return false;
}

/* Foreign keys of the source that the target has not. */
static List *
add_foreign_keys(List *list, const Mapping *m, List *mappings)
{
	ListCell   *lc;

	foreach(lc, foreign_key_list(m->source))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		List	   *own = column_names(m->source, fk->conkey, fk->nkeys);
		List	   *columns = copies_of(m, fk->conkey, fk->nkeys);
		Oid			referenced = fk->confrelid;
		List	   *names = column_names(referenced, fk->confkey, fk->nkeys);
		ListCell   *lm;

		if (columns == NIL || !same_types(m->source, own, m->target, columns) || has_foreign_key(m, columns))
			continue;
		foreach(lm, mappings)
		{
			const Mapping *parent = lfirst(lm);
			List	   *copies = parent->source == fk->confrelid ? copies_of(parent, fk->confkey, fk->nkeys) : NIL;

			if (copies != NIL && same_types(parent->source, names, parent->target, copies))
			{
				referenced = parent->target;
				names = copies;
				break;
			}
		}
		list = add(list, "foreign key", get_constraint_name(fk->conoid), columns, false,
				   orphans(m, columns, referenced, names, fk->conpfeqop));
	}
	return list;
}

static bool
is_validated(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	result = ((Form_pg_constraint) GETSTRUCT(tuple))->convalidated;
	ReleaseSysCache(tuple);
	return result;
}

/* The target's own foreign keys that are not validated: of ExpectedConstraint *. */
List *
constraint_list_declared(const Mapping *m)
{
	List	   *list = NIL;
	ListCell   *lc;

	foreach(lc, foreign_key_list(m->target))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		List	   *columns = column_names(m->target, fk->conkey, fk->nkeys);

		if (!is_validated(fk->conoid))
			list = add(list, "foreign key", get_constraint_name(fk->conoid), columns, true,
					   orphans(m, columns, fk->confrelid, column_names(fk->confrelid, fk->confkey, fk->nkeys), fk->conpfeqop));
	}
	return list;
}

/* All that a mapping's target should fulfil, among the mappings of a migration. */
List *
constraint_list(const Mapping *m, List *mappings)
{
	List	   *list = constraint_list_declared(m);

	list = add_not_null(list, m);
	list = add_unique(list, m);
	return add_foreign_keys(list, m, mappings);
}
