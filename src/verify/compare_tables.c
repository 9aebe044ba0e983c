/*
 * compare_tables.c
 *		migrate_compare: the differences of any two tables, without a migration.
 *
 * Both sides are read in the snapshot of the calling statement.  Where the checksums
 * are equal there is nothing to be found.  Rows are matched by a key; where there is
 * none, or a side has one several times or null, as multisets: each row that one
 * side has more often than the other.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

#define FETCH_ROWS 1000

MIGRATE_FUNCTION(migrate_compare);

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

	if (columns != NULL)
		columns_check_names(columns, m->target, "columns");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *name = NameStr(att->attname);
		MappingColumn *c;
		char	   *text;

		if (att->attisdropped)
			continue;
		if (columns != NULL)
			text = columns_find(columns, name, "columns");
		else
			text = get_attnum(m->source, name) > 0 ? psprintf(SOURCE_ALIAS ".%s", quote_identifier(name)) : NULL;
		if (text == NULL)
			continue;
		c = palloc(sizeof(MappingColumn));
		c->target = pstrdup(name);
		c->expression = expression_for_column(text, m->source, m->target, att->attnum)->sql;
		m->columns = lappend(m->columns, c);
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

/* The key given, or the target's primary key where all of it is compared; NIL if there is none. */
static List *
read_key(const Mapping *m, ArrayType *given)
{
	List	   *key = NIL;
	ListCell   *lc;

	if (given != NULL)
	{
		Datum	   *elems;
		bool	   *nulls;
		int			n;

		deconstruct_array(given, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
		for (int i = 0; i < n; i++)
		{
			char	   *name = nulls[i] ? "" : TextDatumGetCString(elems[i]);

			if (ref_column_number(m, name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
						 errmsg("key column \"%s\" is not compared", name),
						 errhint("Give it an expression in \"columns\".")));
			key = lappend(key, name);
		}
		return key;
	}
	key = key_primary(m->target);
	foreach(lc, key)
	{
		if (ref_column_number(m, lfirst(lc)) == 0)
			return NIL;
	}
	return key;
}

/* Are both sides' counts and checksums equal?  Only strict ones are computed. */
static bool
is_equal(const Mapping *m)
{
	SpiScope	scope;
	int64		rows;
	char	   *checksum;
	bool		equal;

	if (m->canonical)
		return false;
	spi_open_owner(&scope, m->owner, NULL);
	spi_read(projection_source_checksum(m, 0, false, NULL), SPI_NO_ARGS);
	rows = spi_get_int8(0, 2);
	checksum = spi_get_text(&scope, 0, 3);
	spi_read(projection_target_checksum(m, 0, false, NULL), SPI_NO_ARGS);
	equal = rows == spi_get_int8(0, 2) && strcmp(checksum, TextDatumGetCString(spi_get_datum(0, 3))) == 0;
	spi_close(&scope);
	return equal;
}

/* Has a side a key that does not tell one row from all others? */
static bool
has_ambiguous_keys(const Mapping *m)
{
	SpiScope	scope;
	bool		found;

	spi_open_owner(&scope, m->owner, NULL);
	found = spi_read(projection_ambiguous_keys(m), SPI_NO_ARGS) > 0;
	spi_close(&scope);
	return found;
}

/* Adds a row of the result n times, as long as there is room; returns how many there would be. */
static int64
emit(ReturnSetInfo *rsinfo, uint64 row, int64 n, int64 room)
{
	Datum		values[5];
	bool		nulls[5];

	for (int i = 0; i < 5; i++)
	{
		values[i] = spi_get_datum(row, i + 1);
		nulls[i] = spi_is_null(row, i + 1);
	}
	for (int64 i = 0; i < Min(n, room); i++)
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return n;
}

/* Runs a comparison, returns at most max_rows differences, and counts all. */
static int64
find_differences(const Mapping *m, const char *sql, bool multisets, int64 max_rows, ReturnSetInfo *rsinfo)
{
	SpiScope	scope;
	SPIPlanPtr	plan;
	Portal		portal;
	int64		found = 0;

	spi_open_owner(&scope, m->owner, NULL);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare a comparison: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			found += emit(rsinfo, i, multisets ? spi_get_int8(i, 6) : 1, Max(max_rows - found, 0));
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
	return found;
}

/* The arguments as a mapping that is stored nowhere. */
static Mapping *
read_arguments(FunctionCallInfo fcinfo)
{
	Mapping    *m = palloc0(sizeof(Mapping));
	char	   *equality;

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
	equality = PG_ARGISNULL(7) ? "strict" : text_to_cstring(PG_GETARG_TEXT_PP(7));
	if (strcmp(equality, "strict") != 0 && strcmp(equality, "canonical") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"equality\": \"%s\"", equality),
				 errhint("It is strict or canonical.")));
	m->canonical = strcmp(equality, "canonical") == 0;
	read_columns(m, PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));
	m->key = read_key(m, PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	if (!PG_ARGISNULL(4))
		m->filter = expression_for_condition(text_to_cstring(PG_GETARG_TEXT_PP(4)), "filter", m->source)->sql;
	m->declared_filter = m->filter;
	if (PG_ARGISNULL(3))
		note_left_out(m);
	return m;
}

/*
 * migrate_compare(source, target, key, columns, filter, max_rows, show_values,
 * equality): the differences.  Runs with the caller's rights.  Locks: ACCESS SHARE.
 */
Datum
migrate_compare(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		max_rows = PG_ARGISNULL(5) ? PG_INT64_MAX : PG_GETARG_INT64(5);
	bool		values = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	bool		multisets;
	int64		found;
	Mapping    *m;

	InitMaterializedSRF(fcinfo, 0);
	if (max_rows < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"max_rows\" must not be negative")));
	m = read_arguments(fcinfo);
	if (is_equal(m))
		return (Datum) 0;
	multisets = m->key == NIL || has_ambiguous_keys(m);
	if (multisets && m->key != NIL)
		ereport(NOTICE,
				(errmsg("the key does not identify each row: rows are compared as multisets")));
	found = find_differences(m, multisets ? projection_compare_multisets(m, values) : projection_compare(m, values, KEYS_ALL, NULL),
							 multisets, max_rows, rsinfo);
	if (found > max_rows)
		ereport(NOTICE,
				(errmsg("%lld of %lld differences are shown (max_rows)", (long long) max_rows, (long long) found)));
	return (Datum) 0;
}
