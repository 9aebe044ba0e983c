/*
 * divergence.c
 *		Rows of migrate_ext.divergence.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/divergence.h"

/* Stores a difference that a verification found. */
void
divergence_insert(int64 verification_id, int64 mapping_id, const Divergence *d)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.divergence "
			"(verification_id, mapping_id, kind, key, columns, source_row, target_row) "
			"VALUES ($1, $2, $3, $4, $5, $6, $7)",
			SPI_ARGS(spi_int8(verification_id), spi_int8(mapping_id),
					 spi_datum(TEXTOID, d->kind, false),
					 spi_datum(JSONBOID, d->key, d->key == (Datum) 0),
					 spi_datum(TEXTARRAYOID, d->columns, d->columns == (Datum) 0),
					 spi_datum(JSONBOID, d->source_row, d->source_row == (Datum) 0),
					 spi_datum(JSONBOID, d->target_row, d->target_row == (Datum) 0)));
	spi_close(&scope);
}

/*
 * Marks the keys that a mapping's newest verification found different as
 * dirty.  Where the stored differences were capped, any key may be wrong, so
 * that none is forgotten.
 */
int64
divergence_mark_dirty(int64 mapping_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	n = spi_run("WITH v AS (SELECT * FROM migrate_ext.verification WHERE mapping_id = $1 "
				"ORDER BY verification_id DESC LIMIT 1), "
				"d AS (SELECT key FROM migrate_ext.divergence JOIN v USING (verification_id)), "
				"c AS (SELECT missing + extra + different > (SELECT count(*) FROM d) AS capped FROM v) "
				"INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) "
				"SELECT DISTINCT $1, key, 'repair' FROM d, c WHERE NOT capped UNION ALL "
				"SELECT $1, NULL, 'repair' FROM c WHERE capped",
				SPI_ARGS(spi_int8(mapping_id)));
	spi_close(&scope);
	return n;
}
