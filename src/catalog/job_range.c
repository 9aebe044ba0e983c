/*
 * job_range.c
 *		Rows of migrate_ext.job_range.
 *
 * A worker holds the row lock of its range for the length of a batch, and
 * moves next_block on in the transaction that wrote the batch's rows: after a
 * crash the copy goes on exactly where it stopped.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/spi.h"
#include "catalog/job_range.h"

/* Cuts a leaf relation into ranges of at most chunk blocks. */
void
job_range_insert(int64 job_id, int stage, Oid source, const Extent *extent, Oid filenode,
				 int64 blocks, int64 chunk)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.job_range (job_id, range_no, source, relation, filenode, "
			"first_block, end_block, next_block, stage, key_column, key_base, key_blocks) "
			"SELECT $1, (SELECT coalesce(max(range_no), 0) FROM migrate_ext.job_range WHERE job_id = $1) "
			"+ row_number() OVER (ORDER BY b), $2, $3, $4, b, least(b + $6, $5), b, $7, $8, $9, $10 "
			"FROM generate_series(0::bigint, $5 - 1, $6) b",
			SPI_ARGS(spi_int8(job_id), spi_oid(REGCLASSOID, source),
					 spi_oid(REGCLASSOID, extent->relation), spi_datum(OIDOID, ObjectIdGetDatum(filenode), false),
					 spi_int8(blocks), spi_int8(chunk), spi_int4(stage), spi_text(extent->key_column),
					 spi_int8(extent->key_base), spi_int8(extent->key_blocks)));
	spi_close(&scope);
}

/* Forgets a leaf's ranges, because it was rewritten. */
void
job_range_delete(int64 job_id, Oid relation)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("DELETE FROM migrate_ext.job_range WHERE job_id = $1 AND relation = $2",
			SPI_ARGS(spi_int8(job_id), spi_oid(REGCLASSOID, relation)));
	spi_close(&scope);
}

/* Takes the first unfinished range of the lowest unfinished stage that no other worker holds. */
bool
job_range_take(int64 job_id, JobRange *range)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run_fixed("SELECT range_no, source::oid, relation::oid, filenode, next_block, end_block, "
					"coalesce(batch_blocks, 0), stage, key_column, coalesce(key_base, 0), coalesce(key_blocks, 0) FROM migrate_ext.job_range "
					"WHERE job_id = $1 AND NOT done AND stage = "
					"(SELECT min(stage) FROM migrate_ext.job_range WHERE job_id = $1 AND NOT done) "
					"ORDER BY range_no LIMIT 1 "
					"FOR NO KEY UPDATE SKIP LOCKED",
					SPI_ARGS(spi_int8(job_id))) > 0;
	if (found)
	{
		range->job_id = job_id;
		range->range_no = DatumGetInt32(spi_get_datum(0, 1));
		range->source = spi_get_oid(0, 2);
		range->extent.relation = spi_get_oid(0, 3);
		range->filenode = spi_get_oid(0, 4);
		range->next_block = spi_get_int8(0, 5);
		range->end_block = spi_get_int8(0, 6);
		range->batch_blocks = DatumGetInt32(spi_get_datum(0, 7));
		range->stage = DatumGetInt32(spi_get_datum(0, 8));
		range->extent.key_column = spi_get_text(&scope, 0, 9);
		range->extent.key_base = spi_get_int8(0, 10);
		range->extent.key_blocks = spi_get_int8(0, 11);
	}
	spi_close(&scope);
	return found;
}

/* Has the leaf any range?  (An empty leaf has none.) */
bool
job_range_exists(int64 job_id, Oid relation)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT 1 FROM migrate_ext.job_range WHERE job_id = $1 AND relation = $2 LIMIT 1",
					SPI_ARGS(spi_int8(job_id), spi_oid(REGCLASSOID, relation))) > 0;
	spi_close(&scope);
	return found;
}

/* Blocks done and in all, and rows written. */
void
job_range_sum(int64 job_id, int64 *done, int64 *total, int64 *rows)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("SELECT coalesce(sum(next_block - first_block), 0)::bigint, "
			"coalesce(sum(end_block - first_block), 0)::bigint, coalesce(sum(rows), 0)::bigint "
			"FROM migrate_ext.job_range WHERE job_id = $1",
			SPI_ARGS(spi_int8(job_id)));
	*done = spi_get_int8(0, 1);
	*total = spi_get_int8(0, 2);
	*rows = spi_get_int8(0, 3);
	spi_close(&scope);
}

/* Has every range of the job been copied? */
bool
job_range_all_done(int64 job_id)
{
	SpiScope	scope;
	bool		done;

	spi_open_catalog(&scope);
	done = spi_run_fixed("SELECT 1 FROM migrate_ext.job_range WHERE job_id = $1 AND NOT done LIMIT 1",
				   SPI_ARGS(spi_int8(job_id))) == 0;
	spi_close(&scope);
	return done;
}

/* Records that the blocks before next_block are copied. */
void
job_range_checkpoint(const JobRange *range, int64 next_block, int64 rows, int batch_blocks)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run_fixed("UPDATE migrate_ext.job_range SET next_block = $3, done = $3 >= end_block, "
			"rows = rows + $4, batches = batches + 1, batch_blocks = $5, worker_pid = $6, "
			"touched_at = clock_timestamp() WHERE job_id = $1 AND range_no = $2",
			SPI_ARGS(spi_int8(range->job_id), spi_int4(range->range_no), spi_int8(next_block),
					 spi_int8(rows), spi_int4(batch_blocks), spi_int4(MyProcPid)));
	spi_close(&scope);
}

/* Records that a batch was given up in favour of the application. */
void
job_range_note_retry(const JobRange *range, int batch_blocks)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("UPDATE migrate_ext.job_range SET retries = retries + 1, batch_blocks = $3, "
			"touched_at = clock_timestamp() WHERE job_id = $1 AND range_no = $2",
			SPI_ARGS(spi_int8(range->job_id), spi_int4(range->range_no),
					 spi_int4(batch_blocks)));
	spi_close(&scope);
}
