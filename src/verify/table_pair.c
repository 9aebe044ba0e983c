/*
 * table_pair.c
 *		Two tables to compare without a migration, as a mapping that is stored nowhere.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/reference.h"
#include "verify/table_pair.h"

/* Raises for a relation that has no rows to compare. */
static void
check_relation(Oid relid, const char *argument)
{
	char		relkind = get_rel_relkind(relid);

	(void) quote_relation(relid);	/* raises if it does not exist */
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_FOREIGN_TABLE &&
		relkind != RELKIND_VIEW && relkind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s %s has no rows", argument, name_relation(relid)),
				 errhint("Tables, foreign tables and views can be compared.")));
}

/* What is compared: the columns given or, without, those of the same name. */
static void
read_columns(Mapping *m, Jsonb *columns)
{
	Relation	target = relation_open(m->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(target);
	List	   *names = NIL;

	if (columns != NULL)
		columns_check_names(columns, m->target, "columns");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *name = NameStr(att->attname);
		char	   *text;

		if (att->attisdropped)
			continue;
		if (columns != NULL)
			text = columns_find(columns, name, "columns");
		else
			text = get_attnum(m->source, name) > 0 ? psprintf(SOURCE_ALIAS ".%s", quote_identifier(name)) : NULL;
		if (text == NULL)
			continue;
		columns_add(m, name, expression_for_column(text, m->source, m->target, att->attnum, 0, &names));
	}
	relation_close(target, NoLock);
	if (m->columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s and %s have no column of the same name", name_relation(m->source), name_relation(m->target)),
				 errhint("Name target columns and expressions over the source in \"columns\".")));
}

/* Are there columns of one side that are not compared? */
static char *
list_left_out(const Mapping *m, Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && ref_column_number(m, NameStr(att->attname)) == 0)
			appendStringInfo(&names, "%s%s.%s", names.len ? ", " : "", name_relation(relid), quote_identifier(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	return names.data;
}

/* Says which columns were left out because only one side has them. */
static void
note_left_out(const Mapping *m)
{
	char	   *of_source = list_left_out(m, m->source);
	char	   *of_target = list_left_out(m, m->target);

	if (of_source[0] != '\0' || of_target[0] != '\0')
		ereport(NOTICE,
				(errmsg("columns that only one side has are not compared: %s%s%s", of_source,
						of_source[0] && of_target[0] ? ", " : "", of_target)));
}

/*
 * The first two arguments of a function, the tables, and those with the numbers
 * of columns and filter.  The caller's rights are those of the comparison.
 */
Mapping *
table_pair_read(FunctionCallInfo fcinfo, int columns, int filter)
{
	Mapping    *m = palloc0(sizeof(Mapping));

	for (int i = 0; i < 2; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", i == 0 ? "source" : "target")));
		check_relation(PG_GETARG_OID(i), i == 0 ? "source" : "target");
	}
	m->source = PG_GETARG_OID(0);
	m->target = PG_GETARG_OID(1);
	m->owner = GetUserId();
	m->complete = true;
	read_columns(m, PG_ARGISNULL(columns) ? NULL : PG_GETARG_JSONB_P(columns));
	if (!PG_ARGISNULL(filter))
		m->filter = expression_for_condition(text_to_cstring(PG_GETARG_TEXT_PP(filter)), "filter", m->source)->sql;
	m->declared_filter = m->filter;
	if (PG_ARGISNULL(columns))
		note_left_out(m);
	return m;
}

/* The columns that an array names; each must be compared. */
List *
table_pair_columns(const Mapping *m, ArrayType *names, const char *what)
{
	List	   *result = NIL;
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "" : TextDatumGetCString(elems[i]);

		if (ref_column_number(m, name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("%s column \"%s\" is not compared", what, name),
					 errhint("Give it an expression in \"columns\".")));
		result = lappend(result, name);
	}
	return result;
}
