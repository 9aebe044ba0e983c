/*
 * compare_aggregates.c
 *		migrate_compare_aggregates: counts, nulls, minima, maxima and sums of any two
 *		tables, side by side.
 *
 * Where the tables differ in every row, as after a change of types, sums that agree
 * say more than a list of all rows; and they say where to look, by group.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"

#include "base/compat.h"
#include "base/spi.h"
#include "projection/projection.h"
#include "verify/table_pair.h"

MIGRATE_FUNCTION(migrate_compare_aggregates);

/*
 * migrate_compare_aggregates(source, target, columns, group_by, filter): a row for
 * each group, column and measure.  Runs with the caller's rights.  Locks: ACCESS SHARE.
 */
Datum
migrate_compare_aggregates(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Mapping    *m;
	List	   *group_by = NIL;
	SpiScope	scope;
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	m = table_pair_read(fcinfo, 2, 4);
	if (!PG_ARGISNULL(3))
		group_by = table_pair_columns(m, PG_GETARG_ARRAYTYPE_P(3), "group_by");
	spi_open_owner(&scope, m->owner, NULL);
	n = spi_read(projection_compare_aggregates(m, group_by), SPI_NO_ARGS);
	for (uint64 row = 0; row < n; row++)
	{
		Datum		values[6];
		bool		nulls[6];

		for (int i = 0; i < 6; i++)
		{
			values[i] = spi_get_datum(row, i + 1);
			nulls[i] = spi_is_null(row, i + 1);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	spi_close(&scope);
	return (Datum) 0;
}
