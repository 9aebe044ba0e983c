/*
 * job_duplicate.c
 *		Rows of migrate_ext.job_duplicate.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/job_duplicate.h"

/* Notes rows of a relation that a job is not to copy for a mapping: a tid[]. */
void
job_duplicate_add(int64 job_id, int64 mapping_id, Oid relation, ArrayType *tids)
{
	spi_change("INSERT INTO migrate_ext.job_duplicate (job_id, mapping_id, relation, tid) SELECT $1, $2, $3, t FROM unnest($4) t",
			   SPI_ARGS(spi_int8(job_id), spi_int8(mapping_id), spi_oid(REGCLASSOID, relation),
						spi_datum(TIDARRAYOID, PointerGetDatum(tids), false)));
}

/* Those of a stretch of the relation, in their order: a tid[]. */
ArrayType *
job_duplicate_list(int64 job_id, int64 mapping_id, Oid relation, ItemPointerData low, ItemPointerData high)
{
	SpiScope	scope;
	ArrayType  *tids;

	spi_open_catalog(&scope);
	/* planned anew each time: a plan from when the table was empty would read all of it for each batch */
	spi_run("SELECT coalesce(array_agg(tid ORDER BY tid), '{}') FROM migrate_ext.job_duplicate "
			"WHERE job_id = $1 AND mapping_id = $2 AND relation = $3 AND tid >= $4 AND tid < $5",
			SPI_ARGS(spi_int8(job_id), spi_int8(mapping_id), spi_oid(REGCLASSOID, relation),
					 spi_datum(TIDOID, PointerGetDatum(&low), false), spi_datum(TIDOID, PointerGetDatum(&high), false)));
	tids = DatumGetArrayTypeP(spi_get_copy(&scope, 0, 1));
	spi_close(&scope);
	return tids;
}

/* Forgets those of a job, which has copied all else. */
void
job_duplicate_delete(int64 job_id)
{
	spi_change("DELETE FROM migrate_ext.job_duplicate WHERE job_id = $1", SPI_ARGS(spi_int8(job_id)));
}

/* Forgets those of all jobs of a migration. */
void
job_duplicate_delete_all(int64 migration_id)
{
	spi_change("DELETE FROM migrate_ext.job_duplicate WHERE job_id IN (SELECT job_id FROM migrate_ext.job WHERE migration_id = $1)",
			   SPI_ARGS(spi_int8(migration_id)));
}
