/*
 * table_checksum.c
 *		migrate_table_checksum: count and checksum of any table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/spi.h"
#include "projection/expression.h"
#include "projection/projection.h"

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* All columns by name, so that their physical order does not matter. */
static List *
all_columns(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *names = NIL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped)
			names = lappend(names, pstrdup(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	list_sort(names, compare_names);
	return names;
}

/* The columns asked for, in that order. */
static List *
given_columns(Oid relid, ArrayType *array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	List	   *names = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "" : TextDatumGetCString(elems[i]);

		if (get_attnum(relid, name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation %s does not exist", name,
							name_relation(relid))));
		names = lappend(names, name);
	}
	return names;
}

MIGRATE_FUNCTION(migrate_table_checksum);

/*
 * migrate_table_checksum(relation regclass, columns text[], filter text):
 * rows, checksum.  Runs with the caller's rights.  Locks: ACCESS SHARE.
 */
Datum
migrate_table_checksum(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid;
	List	   *names;
	StringInfoData args;
	ListCell   *lc;
	SpiScope	scope;
	char	   *filter = "";
	Datum		values[2];
	bool		nulls[2] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	relid = PG_GETARG_OID(0);
	(void) quote_relation(relid);
	names = PG_ARGISNULL(1) ? all_columns(relid) : given_columns(relid, PG_GETARG_ARRAYTYPE_P(1));
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation %s has no column to compute a checksum of", name_relation(relid))));
	if (!PG_ARGISNULL(2))
		filter = psprintf(" WHERE %s", expression_for_condition(text_to_cstring(PG_GETARG_TEXT_PP(2)),
																"filter", relid)->sql);
	initStringInfo(&args);
	foreach(lc, names)
		appendStringInfo(&args, "%s" SOURCE_ALIAS ".%s", args.len ? ", " : "",
						 quote_identifier(lfirst(lc)));

	spi_open_owner(&scope, GetUserId(), NULL);
	spi_read(psprintf("SELECT count(*), %s FROM %s AS " SOURCE_ALIAS "%s",
					  projection_checksum_call(args.data, list_length(names)),
					  quote_relation(relid), filter), SPI_NO_ARGS);
	values[0] = Int64GetDatum(spi_get_int8(0, 1));
	values[1] = spi_get_copy(&scope, 0, 2);
	spi_close(&scope);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
