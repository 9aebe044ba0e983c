/*
 * foreign_key.c
 *		Foreign keys between targets: which keys name which.
 *
 * Where keys are asked for, only of those that can be deferred, and that name what a mapping
 * has as its key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
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

/* A foreign key's row in pg_constraint, without what is of variable length. */
static FormData_pg_constraint
read_key(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	FormData_pg_constraint form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	form = *(Form_pg_constraint) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	return form;
}

/* A relation's foreign keys, copied: of ForeignKeyCacheInfo *. */
List *
foreign_key_list(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *keys = copyObject(RelationGetFKeyList(rel));

	relation_close(rel, NoLock);
	return keys;
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
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, foreign_key_list(child->target))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		List	   *names = fk->confrelid == parent->target && read_key(fk->conoid).condeferrable ? naming_columns(fk, child, parent) : NIL;

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

/* Does what names a row follow its key? */
static bool
cascades(const ForeignKeyCacheInfo *fk)
{
	return read_key(fk->conoid).confupdtype == FKCONSTR_ACTION_CASCADE;
}

/* Is a target's column a copy of this one of the source? */
static bool
is_copy(const Mapping *m, AttrNumber target_column, AttrNumber source_column)
{
	char	   *copied = projection_copied_column(m, get_attname(m->target, target_column, false));

	return copied != NULL && strcmp(copied, get_attname(m->source, source_column, false)) == 0;
}

/* Do two foreign keys say the same, of the targets and of the sources? */
static bool
says_the_same(const ForeignKeyCacheInfo *fk, const ForeignKeyCacheInfo *other, const Mapping *child, const Mapping *parent)
{
	if (other->confrelid != parent->source || other->nkeys != fk->nkeys || !cascades(other))
		return false;
	for (int i = 0; i < fk->nkeys; i++)
	{
		int			j = 0;

		while (j < fk->nkeys && !(is_copy(child, fk->conkey[i], other->conkey[j]) && is_copy(parent, fk->confkey[i], other->confkey[j])))
			j++;
		if (j == fk->nkeys)
			return false;
	}
	return true;
}

/* Does what names the parent's rows follow their keys by a foreign key, in the source as in the target? */
static bool
follows_alike(const ForeignKeyCacheInfo *fk, const Mapping *parent, List *mappings)
{
	ListCell   *lc;
	ListCell   *key;

	foreach(lc, cascades(fk) ? mappings : NIL)
	{
		const Mapping *child = lfirst(lc);

		foreach(key, child->target == fk->conrelid ? foreign_key_list(child->source) : NIL)
		{
			if (says_the_same(fk, lfirst(key), child, parent))
				return true;
		}
	}
	return false;
}

/*
 * Do the rows that name one of the mapping's target follow its key exactly as those of the
 * source do?  All tables with foreign keys to the target must be targets of mappings themselves.
 */
bool
foreign_key_follows_alike(const Mapping *m, List *mappings)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *children = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_FOREIGN && form->confrelid == m->target)
			children = list_append_unique_oid(children, form->conrelid);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	foreach(lc, children)
	{
		ListCell   *key;

		foreach(key, foreign_key_list(lfirst_oid(lc)))
		{
			const ForeignKeyCacheInfo *fk = lfirst(key);

			if (fk->confrelid == m->target && !follows_alike(fk, m, mappings))
				return false;
		}
	}
	return children != NIL;
}
