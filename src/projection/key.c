/*
 * key.c
 *		Keys: the target columns that identify a row.
 *
 * A key must be covered by a unique index that ON CONFLICT can use: valid,
 * immediate, without condition or expressions, on exactly the key's columns,
 * none of which may be null.  The indexes of a foreign table are on another server:
 * there the word of the caller counts, and it is only asked that the columns are
 * declared NOT NULL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/quote.h"
#include "projection/key.h"

/*
 * Is this a unique index on exactly these columns or, with part, on some of them?
 * immediate: one that ON CONFLICT can infer, which a deferrable constraint's is not.
 */
static bool
index_covers(Relation index, Bitmapset *columns, bool immediate, bool part)
{
	Form_pg_index form = index->rd_index;
	Bitmapset  *own = NULL;

	if (!form->indisunique || !form->indisvalid || !form->indisready ||
		(immediate && !form->indimmediate) || !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] <= 0)
			return false;		/* an expression */
		own = bms_add_member(own, form->indkey.values[i]);
	}
	return part ? bms_is_subset(own, columns) : bms_equal(own, columns);
}

/* The columns' numbers as a set; NULL if one of them does not exist. */
static Bitmapset *
column_set(Oid relid, List *names)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	foreach(lc, names)
	{
		AttrNumber	attnum = get_attnum(relid, lfirst(lc));

		if (attnum <= 0)
			return NULL;
		columns = bms_add_member(columns, attnum);
	}
	return columns;
}

/* A unique index on these columns; InvalidOid if there is none. */
static Oid
find_unique_index(Relation rel, Bitmapset *columns, bool immediate, bool part)
{
	ListCell   *lc;
	Oid			found = InvalidOid;

	if (columns == NULL)
		return InvalidOid;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (!OidIsValid(found) && index_covers(index, columns, immediate, part))
			found = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	return found;
}

/* Are all these columns declared NOT NULL? */
static bool
are_not_null(Relation rel, Bitmapset *columns)
{
	int			attnum = -1;
	bool		result = columns != NULL;

	while (result && (attnum = bms_next_member(columns, attnum)) >= 0)
		result = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;
	return result;
}

/* Can ON CONFLICT infer an index from the columns, none of them nullable unless that may be? */
bool
key_is_usable(Oid relid, List *names, bool may_be_null)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Bitmapset  *columns = column_set(relid, names);
	bool		usable = OidIsValid(find_unique_index(rel, columns, true, false)) && (may_be_null || are_not_null(rel, columns));

	relation_close(rel, NoLock);
	return usable;
}

/* Is it a foreign table? */
bool
key_is_foreign(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE;
}

/* Do the columns identify a row of a target? */
bool
key_identifies(Oid target, List *names, bool may_be_null)
{
	Relation	rel;
	bool		result;

	if (!key_is_foreign(target))
		return key_is_usable(target, names, may_be_null);
	rel = relation_open(target, AccessShareLock);
	result = are_not_null(rel, column_set(target, names));
	relation_close(rel, NoLock);
	return result;
}

/* Is it a table that others inherit from?  Its indexes say nothing about their rows. */
bool
key_has_children(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result = rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass &&
		find_inheritance_children(relid, NoLock) != NIL;

	relation_close(rel, NoLock);
	return result;
}

static Oid
find_index(Oid relid, List *names, bool immediate, bool part)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	Oid			index = find_unique_index(rel, column_set(relid, names), immediate, part);

	relation_close(rel, NoLock);
	return key_has_children(relid) ? InvalidOid : index;
}

/*
 * The unique index on exactly these columns; InvalidOid if there is none.
 * immediate: not one that is checked at the end of a statement or transaction.
 */
Oid
key_index(Oid relid, List *names, bool immediate)
{
	return find_index(relid, names, immediate, false);
}

/*
 * Does a unique index show that no two rows have the same values in these columns?
 * One on some of them does: the key of a table that is to be partitioned has
 * a column more than it had.
 */
bool
key_is_unique(Oid relid, List *names, bool immediate)
{
	return OidIsValid(find_index(relid, names, immediate, true));
}

/* The columns of the primary key in index order; NIL if there is none. */
List *
key_primary(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *names = NIL;
	Oid			pk;

	(void) RelationGetIndexList(rel);	/* sets rd_pkindex */
	pk = rel->rd_pkindex;
	if (OidIsValid(pk))
	{
		Relation	index = index_open(pk, AccessShareLock);

		for (int i = 0; index->rd_index->indimmediate && i < index->rd_index->indnkeyatts; i++)
			names = lappend(names, get_attname(relid, index->rd_index->indkey.values[i], false));
		index_close(index, AccessShareLock);
	}
	relation_close(rel, NoLock);
	return names;
}

/* Has a key, as it travels, a null in it?  No row can be found by it. */
bool
key_has_null(Datum key)
{
	JsonbIterator *it = JsonbIteratorInit(&DatumGetJsonbP(key)->root);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && v.type == jbvNull)
			return true;
	}
	return false;
}

/* Is there an index that leads with the column?  (For advice, not for plans.) */
bool
key_expression_indexed(Oid relid, AttrNumber attnum)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found = found || index->rd_index->indkey.values[0] == attnum;
		index_close(index, AccessShareLock);
	}
	relation_close(rel, NoLock);
	return found;
}

/* text[] -> names; raises for a null, unknown or repeated one. */
static List *
names_of(Oid target, ArrayType *array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	List	   *names = NIL;
	ListCell   *lc;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a key column's name must not be null")));
		name = TextDatumGetCString(elems[i]);
		if (get_attnum(target, name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" of relation %s does not exist", name,
							name_relation(target)),
					 errhint("\"key\" names columns of the target.")));
		foreach(lc, names)
		{
			if (strcmp(lfirst(lc), name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("key column \"%s\" is named twice", name),
						 errhint("Name each column of the unique index once.")));
		}
		names = lappend(names, name);
	}
	return names;
}

/* The key given, NIL if it has no columns, or the primary key; raises if there is no usable one. */
List *
key_resolve(Oid target, ArrayType *array)
{
	List	   *names = array ? names_of(target, array) : key_primary(target);

	if (names == NIL && array != NULL)
		return NIL;				/* rows shall be told apart by all they hold */
	if (names == NIL && key_is_foreign(target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("target %s is a foreign table, and no key is named", name_relation(target)),
				 errdetail("The unique indexes of a foreign table are not known here."),
				 errhint("Name in \"key\" the columns of one that the other server has.")));
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("target %s has no primary key", name_relation(target)),
				 errhint("Give it one, or name the columns of a unique index in \"key\"; with key => '{}' rows are counted, and told apart by all they hold.")));
	if (!key_identifies(target, names, false) && key_is_foreign(target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a key column of foreign table %s may be null", name_relation(target)),
				 errhint("Declare it NOT NULL, as the table on the other server does.")));
	if (!key_identifies(target, names, false))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("no usable unique index on the key of target %s", name_relation(target)),
				 errdetail("The key needs a valid, not deferrable unique index without condition on exactly its columns, all NOT NULL."),
				 errhint("Create such an index, or name the columns of another in \"key\".")));
	return names;
}

/* Does a foreign key write to the relation: cascade, set null, set default? */
bool
key_is_cascaded_to(Oid relid)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		found = form->contype == CONSTRAINT_FOREIGN &&
			(strchr("cnd", form->confupdtype) != NULL || strchr("cnd", form->confdeltype) != NULL);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return found;
}

/* Has a relation, or one below it, a trigger by which a foreign key follows its deletes? */
bool
key_delete_cascades(Oid relid)
{
	ListCell   *lc;
	bool		found = false;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
		{
			Oid			function = rel->trigdesc->triggers[i].tgfoid;

			found = found || function == F_RI_FKEY_CASCADE_DEL || function == F_RI_FKEY_SETNULL_DEL ||
				function == F_RI_FKEY_SETDEFAULT_DEL;
		}
		table_close(rel, NoLock);
	}
	return found;
}

/* Does a foreign key of one relation name rows of another? */
bool
key_references(Oid child, Oid parent)
{
	Relation	rel = table_open(child, AccessShareLock);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, RelationGetFKeyList(rel))
		found = found || ((ForeignKeyCacheInfo *) lfirst(lc))->confrelid == parent;
	table_close(rel, NoLock);
	return found;
}
