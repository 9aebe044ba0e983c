/*
 * sample.c
 *		Rows of migrate_ext.sample: the time series of a copy.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/sample.h"

/*
 * Adds a row with what the job has done until now, unless one was added less
 * than interval_ms ago.  Two workers may add one at the same time, which does
 * no harm.
 */
void
sample_take(const Sample *s, int interval_ms)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run_fixed("INSERT INTO migrate_ext.sample (migration_id, job_id, rows, blocks, batch_rows, batch_ms, "
				  "pending, replica_lag_ms, throttle_reason) "
				  "SELECT $1, $2, coalesce(sum(rows), 0), coalesce(sum(next_block - first_block), 0), $3, $4, "
				  "(SELECT count(*) FROM (SELECT FROM migrate_ext.dirty_key WHERE mapping_id IN "
				  "(SELECT mapping_id FROM migrate_ext.mapping WHERE migration_id = $1) LIMIT 100000) k), "
				  "CASE WHEN $5 >= 0 THEN $5 END, $6 FROM migrate_ext.job_range WHERE job_id = $2 "
				  "HAVING NOT EXISTS (SELECT FROM migrate_ext.sample WHERE migration_id = $1 AND job_id = $2 "
				  "AND taken_at > clock_timestamp() - $7 * interval '1 millisecond')",
				  SPI_ARGS(spi_int8(s->migration_id), spi_int8(s->job_id), spi_int8(s->batch_rows),
						   spi_datum(FLOAT8OID, Float8GetDatum(s->batch_ms), false),
						   spi_datum(FLOAT8OID, Float8GetDatum(s->replica_lag_ms), false),
						   spi_text(s->throttle_reason), spi_int4(interval_ms)));
	spi_close(&scope);
}
