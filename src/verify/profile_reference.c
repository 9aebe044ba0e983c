/*
 * profile_reference.c
 *		What a profile has from the catalog: unique indexes, and references to other tables.
 *
 * A reference is declared by a foreign key of one column, or likely by its name: column
 * customer_id, customerid or customers_id, and a table customer or customers in the
 * same schema or the search path, with a primary key of one column of the same type.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/quote.h"
#include "base/spi.h"
#include "projection/key.h"
#include "projection/expression.h"
#include "verify/profile_reference.h"

/* A reference of a column. */
typedef struct Reference
{
	AttrNumber	attnum;
	Oid			parent;
	char	   *key;			/* the parent's column */
	Oid			equality;		/* operator: key = column */
	bool		declared;
} Reference;

static ProfileColumn *
find_column(ProfileColumn *columns, int n, AttrNumber attnum)
{
	for (int i = 0; i < n; i++)
	{
		if (columns[i].attnum == attnum)
			return &columns[i];
	}
	return NULL;
}

/*
 * Does an index show that a column's values are different?  It has to be valid, of all rows, at once; not
 * younger than the snapshot, which may still see what was deleted to make it; and of
 * the equality that an index of the column has.
 */
static bool
shows_unique(HeapTuple tuple, const ProfileColumn *c)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	Oid			usual = GetDefaultOpClass(c->base, BTREE_AM_OID);
	oidvector  *classes;
	oidvector  *collations;
	bool		isnull;

	if (!index->indisunique || !index->indisvalid || !index->indimmediate || !OidIsValid(usual) ||
		!heap_attisnull(tuple, Anum_pg_index_indpred, NULL) ||
		XidInMVCCSnapshot(HeapTupleHeaderGetXmin(tuple->t_data), GetActiveSnapshot()))
		return false;
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull));
	collations = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indcollation, &isnull));
	if (get_opclass_family(classes->values[0]) != get_opclass_family(usual))
		return false;
	/* if the column's collation takes the same bytes only for equal any other does, too */
	return !OidIsValid(c->collation) || c->collation == collations->values[0] || get_collation_isdeterministic(c->collation);
}

/* Marks the columns whose values are all different, as an index shows. */
void
profile_find_unique(Relation rel, ProfileColumn *columns, int n)
{
	List	   *indexes;
	ListCell   *lc;

	if (!rel->rd_rel->relhasindex || (rel->rd_rel->relkind == RELKIND_RELATION && has_subclass(RelationGetRelid(rel))))
		return;					/* a child may repeat its parent's values */
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;
		ProfileColumn *c;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		c = index->indnkeyatts == 1 ? find_column(columns, n, index->indkey.values[0]) : NULL;
		if (c != NULL && shows_unique(tuple, c))
			c->unique = true;
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
}

/* Columns that are NOT NULL, but not for all rows: there are such from server 18 on. */
void
profile_find_unproven(Oid relid, ProfileColumn *columns, int n)
{
	uint64		found = spi_read("SELECT c.conkey[1] FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) $1 "
								 "AND c.contype OPERATOR(pg_catalog.=) 'n' AND NOT c.convalidated",
								 SPI_ARGS(spi_oid(OIDOID, relid)));

	for (uint64 i = 0; i < found; i++)
	{
		ProfileColumn *c = find_column(columns, n, DatumGetInt16(spi_get_datum(i, 1)));

		if (c != NULL)
			c->notnull = false;
	}
}

/*
 * May the caller read the parent's key, of all its rows?  Locks the parent, if so.  What a
 * name told of may have changed while the rows were read.
 */
static bool
is_readable(const Reference *r, const ProfileColumn *c)
{
	Oid			relid = r->parent;
	Oid			schema = get_rel_namespace(relid);
	AttrNumber	attnum = get_attnum(relid, r->key);

	if (!OidIsValid(schema) || attnum == InvalidAttrNumber ||
		!DatumGetBool(DirectFunctionCall2(has_schema_privilege_id, ObjectIdGetDatum(schema), CStringGetTextDatum("USAGE"))))
		return false;
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck(relid, attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return false;
	LockRelationOid(relid, AccessShareLock);
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	attnum = get_attnum(relid, r->key);
	return attnum != InvalidAttrNumber && (r->declared || getBaseType(get_atttype(relid, attnum)) == c->base);
}

/* The reference of a column to a table, if its primary key fits. */
static Reference *
reference_to(const ProfileColumn *c, Oid child, Oid parent)
{
	char		relkind = get_rel_relkind(parent);
	List	   *key;
	Reference  *r;
	AttrNumber	attnum;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return NULL;
	key = key_primary(parent);
	if (list_length(key) != 1)
		return NULL;
	attnum = get_attnum(parent, linitial(key));
	if (getBaseType(get_atttype(parent, attnum)) != c->base || (parent == child && attnum == c->attnum))
		return NULL;
	r = palloc0(sizeof(Reference));
	r->attnum = c->attnum;
	r->parent = parent;
	r->key = linitial(key);
	r->equality = lookup_type_cache(c->base, TYPECACHE_EQ_OPR)->eq_opr;
	return OidIsValid(r->equality) ? r : NULL;
}

/* A name's other number, singular or plural, and itself. */
static List *
numbers_of(const char *name)
{
	List	   *names = list_make1(pstrdup(name));
	int			length = strlen(name);

	names = lappend(names, psprintf("%ss", name));
	names = lappend(names, psprintf("%ses", name));
	if (length > 1 && name[length - 1] == 'y')
		names = lappend(names, psprintf("%.*sies", length - 1, name));
	if (length > 3 && strcmp(name + length - 3, "ies") == 0)
		names = lappend(names, psprintf("%.*sy", length - 3, name));
	if (length > 2 && strcmp(name + length - 2, "es") == 0)
		names = lappend(names, pnstrdup(name, length - 2));
	if (length > 1 && name[length - 1] == 's')
		names = lappend(names, pnstrdup(name, length - 1));
	return names;
}

/* The reference that a column's name tells of, to a table of the schema or the search path; NULL if there is none. */
static Reference *
guess_reference(const ProfileColumn *c, Oid child, Oid schema, const char *name)
{
	ListCell   *lc;

	foreach(lc, numbers_of(name))
	{
		Oid			parent = get_relname_relid(lfirst(lc), schema);
		Reference  *r;

		if (!OidIsValid(parent))
			parent = RelnameGetRelid(lfirst(lc));
		r = OidIsValid(parent) ? reference_to(c, child, parent) : NULL;
		if (r != NULL)
			return r;
	}
	return NULL;
}

/* What a column's name refers to: all of it but id or _id; NULL if it does not end so. */
static char *
referred_name(const char *column)
{
	int			length = strlen(column);

	if (length < 3 || pg_strcasecmp(column + length - 2, "id") != 0)
		return NULL;
	length -= column[length - 3] == '_' ? 3 : 2;
	return length > 0 ? pnstrdup(column, length) : NULL;
}

/* References that columns' names tell of, by the caller's search path. */
List *
profile_guess_references(Relation rel, const ProfileColumn *columns, int n)
{
	List	   *references = NIL;

	for (int i = 0; i < n; i++)
	{
		char	   *name = referred_name(NameStr(columns[i].name));
		Reference  *r = NULL;

		if (name != NULL)
			r = guess_reference(&columns[i], RelationGetRelid(rel), RelationGetNamespace(rel), name);
		if (name != NULL && r == NULL)
			r = guess_reference(&columns[i], RelationGetRelid(rel), RelationGetNamespace(rel),
								str_tolower(name, strlen(name), DEFAULT_COLLATION_OID));
		if (r != NULL)
			references = lappend(references, r);
	}
	return references;
}

/*
 * The foreign keys of one column that may not hold, and in covered the columns of all: those
 * that were validated hold.  Of one to a partitioned table there are others for each
 * partition, which no row needs to have its parent in.
 */
static List *
declared_references(Oid relid, Bitmapset **covered)
{
	List	   *references = NIL;
	uint64		n = spi_read("SELECT k.attnum, c.confrelid, a.attname::text, c.conpfeqop[1], "
							 "NOT c.convalidated AND pg_catalog.cardinality(c.conkey) OPERATOR(pg_catalog.=) 1 "
							 "FROM pg_catalog.pg_constraint c, pg_catalog.unnest(c.conkey) k (attnum), pg_catalog.pg_attribute a "
							 "WHERE c.conrelid OPERATOR(pg_catalog.=) $1 AND c.contype OPERATOR(pg_catalog.=) 'f' "
							 "AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint u WHERE u.oid OPERATOR(pg_catalog.=) c.conparentid "
							 "AND u.conrelid OPERATOR(pg_catalog.=) c.conrelid) "
							 "AND a.attrelid OPERATOR(pg_catalog.=) c.confrelid AND a.attnum OPERATOR(pg_catalog.=) c.confkey[1] "
							 "ORDER BY c.conname, k.attnum",
							 SPI_ARGS(spi_oid(OIDOID, relid)));

	for (uint64 i = 0; i < n; i++)
	{
		Reference  *r = palloc0(sizeof(Reference));

		r->attnum = DatumGetInt16(spi_get_datum(i, 1));
		r->parent = spi_get_oid(i, 2);
		r->key = TextDatumGetCString(spi_get_datum(i, 3));
		r->equality = spi_get_oid(i, 4);
		r->declared = true;
		*covered = bms_add_member(*covered, r->attnum);
		if (spi_get_bool(i, 5))
			references = lappend(references, r);
	}
	return references;
}

/* Rows of the source whose value has no parent. */
static int64
count_orphans(const Reference *r, const ProfileColumn *c, const char *source)
{
	Oid			collation;
	int32		typmod;
	Oid			type;
	const char *column = quote_identifier(NameStr(c->name));
	const char *collate = "";

	get_atttypetypmodcoll(r->parent, get_attnum(r->parent, r->key), &type, &typmod, &collation);
	if (OidIsValid(collation))
		collate = psprintf(" COLLATE %s", quote_collation(collation));
	spi_read(psprintf("SELECT pg_catalog.count(*) FROM %s AND " SOURCE_ALIAS ".%s IS NOT NULL AND NOT EXISTS "
					  "(SELECT FROM %s%s AS parent WHERE parent.%s %s " SOURCE_ALIAS ".%s%s)",
					  source, column,
					  r->declared && get_rel_relkind(r->parent) == RELKIND_RELATION ? "ONLY " : "", quote_relation(r->parent),
					  quote_identifier(r->key), quote_operator(r->equality), column, collate), SPI_NO_ARGS);
	return spi_get_int8(0, 1);
}

/* Counts the orphans of a reference; those of a declared one are kept. */
static void
report_orphans(const Reference *r, ProfileColumn *c, const char *source)
{
	int64		rows;
	StringInfoData buf;

	if (c == NULL || c->orphans != NULL || !is_readable(r, c))
		return;
	rows = count_orphans(r, c, source);
	if (rows == 0)
		return;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"references\": ");
	escape_json(&buf, psprintf("%s(%s)", quote_relation(r->parent), quote_identifier(r->key)));
	appendStringInfo(&buf, ", \"rows\": " INT64_FORMAT ", \"declared\": %s}", rows, r->declared ? "true" : "false");
	c->orphans = buf.data;
}

/*
 * Counts rows without parent, of the source: a FROM list with its conditions.  Only of
 * parents of which the caller may read all rows.
 */
void
profile_count_orphans(Oid relid, ProfileColumn *columns, int n, List *guessed, const char *source)
{
	Bitmapset  *covered = NULL;
	ListCell   *lc;

	foreach(lc, declared_references(relid, &covered))
	{
		Reference  *r = lfirst(lc);

		report_orphans(r, find_column(columns, n, r->attnum), source);
	}
	foreach(lc, guessed)
	{
		Reference  *r = lfirst(lc);

		if (!bms_is_member(r->attnum, covered))
			report_orphans(r, find_column(columns, n, r->attnum), source);
	}
}
