/*
 * assess_probe.c
 *		Finds the rows for which a value of the target cannot be had.
 *
 * The source rows are read in batches, and each batch goes through one expression at a time
 * as an array of rows; one that fails is tried by halves.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_data.h"
#include "lifecycle/assess_query.h"
#include "projection/expression.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Rows that are tried at once. */
#define BATCH 1000

/* When so many rows have failed, no more are counted. */
#define MAX_FAILED 500

/* An expression, and for how many rows it fails. */
typedef struct Probe
{
	DataLook   *look;
	char	   *column;			/* NULL: the filter */
	char	   *sql;			/* $1: an array of source rows */
	char	   *key_sql;
	Oid			array;			/* types of the rows */
	Oid			row;
	MemoryContext context;		/* what is found is kept here */
	ArrayType  *rows;			/* that are tried */
	char	   *result;
	int64		failed;
	char	   *why;
	char	   *key;
} Probe;

/* Work for subxact_probe: does the statement fail? */
static void
work_query(void *arg)
{
	char	   *sql = arg;
	SpiScope	scope;

	spi_open_caller(&scope);
	spi_read(sql, SPI_NO_ARGS);
	spi_close(&scope);
}

/* Work for subxact_probe: the expression for some rows. */
static void
work_try(void *arg)
{
	Probe	   *probe = arg;
	SpiScope	scope;

	spi_open_caller(&scope);
	spi_read(probe->sql, SPI_ARGS(spi_datum(probe->array, PointerGetDatum(probe->rows), false)));
	spi_close(&scope);
}

/* Work for subxact_probe: the key of one row. */
static void
work_key(void *arg)
{
	Probe	   *probe = arg;
	SpiScope	scope;

	spi_open_caller(&scope);
	spi_read(probe->key_sql, SPI_ARGS(spi_datum(probe->array, PointerGetDatum(probe->rows), false)));
	probe->result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
}

/* Notes a row that fails. */
static void
note(Probe *probe, const ErrorData *error)
{
	if (probe->failed++ > 0)
		return;
	probe->result = NULL;
	(void) subxact_probe(work_key, probe);
	probe->key = probe->result ? MemoryContextStrdup(probe->context, probe->result) : NULL;
	probe->why = MemoryContextStrdup(probe->context, assess_error_text(error, probe->look->values));
}

/* Tries rows, those of a batch that fails by halves. */
static void
try_rows(Probe *probe, Datum *rows, int n)
{
	ErrorData  *error;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	if (n == 0 || probe->failed >= MAX_FAILED)
		return;
	CHECK_FOR_INTERRUPTS();
	get_typlenbyvalalign(probe->row, &typlen, &typbyval, &typalign);
	probe->rows = construct_array(rows, n, probe->row, typlen, typbyval, typalign);
	error = subxact_probe(work_try, probe);
	if (error == NULL)
		return;
	if (n == 1)
	{
		note(probe, error);
		return;
	}
	try_rows(probe, rows, n / 2);
	try_rows(probe, rows + n / 2, n - n / 2);
}

/* Reads the rows of a query, and tries them with each of the probes. */
static void
read_rows(DataLook *look, const char *sql, List *probes)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext assess", ALLOCSET_DEFAULT_SIZES);
	SpiScope	scope;
	Portal		portal;

	look->rows = 0;
	spi_open_caller(&scope);
	portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		MemoryContext old;
		SPITupleTable *table;
		Datum	   *rows;
		int			n;
		ListCell   *lc;

		SPI_cursor_fetch(portal, true, BATCH);
		n = SPI_processed;
		if (n == 0)
			break;
		table = SPI_tuptable;
		look->rows += n;
		old = MemoryContextSwitchTo(context);
		rows = palloc(sizeof(Datum) * n);
		for (int i = 0; i < n; i++)
		{
			bool		isnull;

			rows[i] = SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull);
		}
		foreach(lc, probes)
			try_rows(lfirst(lc), rows, n);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		SPI_freetuptable(table);
	}
	SPI_cursor_close(portal);
	spi_close(&scope);
	MemoryContextDelete(context);
}

static Probe *
make_probe(DataLook *look, char *column, char *sql)
{
	Probe	   *probe = palloc0(sizeof(Probe));

	probe->look = look;
	probe->column = column;
	probe->sql = sql;
	probe->row = get_rel_type_id(look->m->source);
	probe->array = get_array_type(probe->row);
	probe->context = CurrentMemoryContext;
	return probe;
}

/* Does the expression fail even without a row?  Then it is not for its values, and found at once. */
static bool
fails_always(DataLook *look, Probe *probe)
{
	ErrorData  *error;

	probe->rows = construct_empty_array(probe->row);
	error = subxact_probe(work_try, probe);
	if (error == NULL)
		return false;
	if (probe->column != NULL)
		assess_could_not(look->findings, psprintf("%s.%s", name_relation(look->m->target), quote_identifier(probe->column)), error, look->values);
	else
		assess_could_not(look->findings, psprintf("filter of %s", name_relation(look->m->target)), error, look->values);
	return true;
}

/* Adds what a probe found. */
static void
report(DataLook *look, const Probe *probe)
{
	Condition	c = {NULL};
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (probe->column != NULL)
	{
		c.subject = psprintf("%s.%s", name_relation(look->m->target), quote_identifier(probe->column));
		get_atttypetypmodcoll(look->m->target, ref_target_attnum(look->m, probe->column), &type, &typmod, &collation);
		c.finding = psprintf("values cannot be had as %s (%s)", format_type_with_typemod(type, typmod), probe->why);
		c.advice = "Their rows are rejected: give an expression that can read them, or leave them out by \"filter\" or a rule. "
			"What else the column must fulfil is looked at when all values can be had.";
	}
	else
	{
		c.subject = name_relation(look->m->source);
		c.finding = psprintf("rows make the filter, or a rule, of %s fail (%s)", name_relation(look->m->target), probe->why);
		c.advice = "Each of their writes fails as well: give a filter that can read them. Nothing else of these rows was looked at.";
	}
	data_report(look, &c, probe->failed >= MAX_FAILED, probe->failed, probe->key);
}

/* Does the filter fail for some rows?  Then it is found, and nothing else can be looked at. */
static bool
filter_fails(DataLook *look)
{
	char	   *all = psprintf("SELECT count(*) FROM %s%s", data_source_rows(look), ref_where_condition(look->m->filter));
	Probe	   *probe;

	if (look->m->filter == NULL || subxact_probe(work_query, all) == NULL)
		return false;
	probe = make_probe(look, NULL, psprintf("SELECT count(*) FROM unnest($1) AS " SOURCE_ALIAS "%s", ref_where_condition(look->m->filter)));
	if (fails_always(look, probe))
		return true;
	probe->key_sql = psprintf("SELECT %s::text FROM unnest($1) AS " SOURCE_ALIAS, data_key(look, false));
	read_rows(look, psprintf("SELECT " SOURCE_ALIAS " FROM %s", data_source_rows(look)), list_make1(probe));
	report(look, probe);
	return true;
}

/* Nothing more can be looked at. */
static void
give_up(DataLook *look)
{
	look->conditions = NIL;
	look->gave_up = true;
}

/* The source rows, with the values of sets if the column is one. */
static const char *
rows_of(const DataLook *look, const Conversion *c, const char *rows)
{
	return projection_column(look->m, c->column)->is_set ? ref_expanded_rows(look->m, rows) : rows;
}

/*
 * Finds the values that cannot be had.  Their columns are unknown afterwards, and nothing
 * is looked at any more if the filter fails, or if it is not known which rows are moved.
 */
void
data_probe(DataLook *look)
{
	List	   *probes = NIL;
	ListCell   *lc;

	if (filter_fails(look))
	{
		give_up(look);
		return;
	}
	foreach(lc, look->conversions)
	{
		Conversion *c = lfirst(lc);
		char	   *value = ref_cast_expression(look->m, c->column);
		char	   *all = psprintf("SELECT count(%s) FROM %s%s", value, rows_of(look, c, data_source_rows(look)), ref_where_condition(look->m->filter));
		Probe	   *probe;

		if (subxact_probe(work_query, all) == NULL)
			continue;
		look->unknown = bms_add_member(look->unknown, COLUMN_BIT(c->attnum));
		probe = make_probe(look, c->column, psprintf("SELECT count(%s) FROM %s", value, rows_of(look, c, "unnest($1) AS " SOURCE_ALIAS)));
		if (!fails_always(look, probe))
			probes = lappend(probes, probe);
	}
	foreach(lc, probes)
		((Probe *) lfirst(lc))->key_sql = psprintf("SELECT %s::text FROM unnest($1) AS " SOURCE_ALIAS, data_key(look, false));
	if (probes != NIL)
		read_rows(look, psprintf("SELECT " SOURCE_ALIAS " FROM %s%s", data_source_rows(look), ref_where_condition(look->m->filter)), probes);
	foreach(lc, probes)
		report(look, lfirst(lc));
	foreach(lc, look->m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if ((c->is_set || (ref_dedupes(look->m) && ref_is_key(look->m, c->target))) &&
			bms_is_member(COLUMN_BIT(ref_target_attnum(look->m, c->target)), look->unknown))
			give_up(look);		/* which rows are moved is not known */
	}
}
