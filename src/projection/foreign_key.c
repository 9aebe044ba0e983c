/*
 * foreign_key.c
 *		Foreign keys between targets: which keys name which.
 *
 * Only those that can be deferred, and that name what a mapping has as its key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/foreign_key.h"
#include "projection/projection.h"
#include "projection/reference.h"

static bool
is_deferrable(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	result = ((Form_pg_constraint) GETSTRUCT(tuple))->condeferrable;
	ReleaseSysCache(tuple);
	return result;
}

/* The child's columns, in the order of the parent's key, that name it; NIL if they do not name all of it. */
static List *
naming_columns(const ForeignKeyCacheInfo *fk, const Mapping *child, const Mapping *parent)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, parent->key)
	{
		AttrNumber	attnum = ref_target_attnum(parent, lfirst(lc));
		int			i = 0;

		while (i < fk->nkeys && fk->confkey[i] != attnum)
			i++;
		if (i == fk->nkeys)
			return NIL;
		names = lappend(names, get_attname(child->target, fk->conkey[i], false));
	}
	return names;
}

/* Of each foreign key, the columns of the child's target that name keys of the parent's: a list of lists. */
static List *
list_naming(const Mapping *child, const Mapping *parent)
{
	Relation	rel = table_open(child->target, AccessShareLock);
	List	   *keys = copyObject(RelationGetFKeyList(rel));
	List	   *result = NIL;
	ListCell   *lc;

	table_close(rel, NoLock);
	foreach(lc, keys)
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		List	   *names = fk->confrelid == parent->target && is_deferrable(fk->conoid) ? naming_columns(fk, child, parent) : NIL;

		if (names != NIL)
			result = lappend(result, names);
	}
	return result;
}

/* A column of the child's, as the type of the parent's key column i. */
static char *
as_key(const Mapping *parent, const char *column, int i)
{
	const char *name = list_nth(parent->key, i);

	return psprintf("(" TARGET_ALIAS ".%s)::%s%s", quote_identifier(column), ref_target_type(parent, name), ref_collation(parent, name));
}

/* Queries for the parent's keys, one jsonb a row, that the rows with keys $1 of the child's target name. */
List *
foreign_key_named(const Mapping *child, const Mapping *parent)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list_naming(child, parent))
	{
		StringInfoData values;
		StringInfoData given;

		initStringInfo(&values);
		initStringInfo(&given);
		for (int i = 0; i < list_length(parent->key); i++)
		{
			const char *key = quote_identifier(list_nth(parent->key, i));

			appendStringInfo(&values, "%s%s AS %s", i ? ", " : "", as_key(parent, list_nth(lfirst(lc), i), i), key);
			appendStringInfo(&given, "%s" TARGET_ALIAS ".%s IS NOT NULL", i ? " AND " : "", key);
		}
		result = lappend(result, psprintf("SELECT DISTINCT %s FROM (SELECT %s FROM %s AS " TARGET_ALIAS ", %s WHERE %s) AS " TARGET_ALIAS " WHERE %s",
										  ref_key_json(parent, KEY_OF_TARGET, TARGET_ALIAS), values.data, quote_relation(child->target), ref_key_set(child),
										  ref_keys_equal(child, KEY_OF_TARGET, TARGET_ALIAS, KEY_OF_SET, KEYS_ALIAS), given.data));
	}
	return result;
}

/* Queries for the child's keys, likewise, whose rows name the keys $1 of the parent's target. */
List *
foreign_key_naming(const Mapping *child, const Mapping *parent)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list_naming(child, parent))
	{
		StringInfoData equal;

		initStringInfo(&equal);
		for (int i = 0; i < list_length(parent->key); i++)
			appendStringInfo(&equal, "%s%s %s %s", i ? " AND " : "", as_key(parent, list_nth(lfirst(lc), i), i),
							 ref_key_operator(parent, list_nth(parent->key, i)), ref_key(parent, KEY_OF_SET, KEYS_ALIAS, i));
		result = lappend(result, psprintf("SELECT DISTINCT %s FROM %s AS " TARGET_ALIAS ", %s WHERE %s", ref_key_json(child, KEY_OF_TARGET, TARGET_ALIAS),
										  quote_relation(child->target), ref_key_set(parent), equal.data));
	}
	return result;
}
