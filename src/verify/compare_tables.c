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

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"
#include "verify/table_pair.h"

#define FETCH_ROWS 1000

MIGRATE_FUNCTION(migrate_compare);

/* The key given, or the target's primary key where all of it is compared; NIL if there is none. */
static List *
read_key(const Mapping *m, ArrayType *given)
{
	List	   *key;
	ListCell   *lc;

	if (given != NULL)
		return table_pair_columns(m, given, "key");
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
			found += emit(rsinfo, i, multisets ? spi_get_int8(i, 8) : 1, Max(max_rows - found, 0));
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
	Mapping    *m = table_pair_read(fcinfo, 3, 4);
	char	   *equality = PG_ARGISNULL(7) ? "strict" : text_to_cstring(PG_GETARG_TEXT_PP(7));

	if (strcmp(equality, "strict") != 0 && strcmp(equality, "canonical") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"equality\": \"%s\"", equality),
				 errhint("It is strict or canonical.")));
	m->canonical = strcmp(equality, "canonical") == 0;
	m->key = read_key(m, PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
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
	found = find_differences(m, multisets ? projection_compare_multisets(m, values, KEYS_ALL) : projection_compare(m, values, KEYS_ALL, NULL),
							 multisets, max_rows, rsinfo);
	if (found > max_rows)
		ereport(NOTICE,
				(errmsg("%lld of %lld differences are shown (max_rows)", (long long) max_rows, (long long) found)));
	return (Datum) 0;
}
