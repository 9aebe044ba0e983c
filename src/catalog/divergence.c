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

/* Those that are to be repaired: of the newest verification of all rows, and of those of some rows after it. */
#define OPEN_VERIFICATIONS \
	"v AS (SELECT * FROM migrate_ext.verification WHERE mapping_id = $1 AND verification_id >= " \
	"coalesce((SELECT max(verification_id) FROM migrate_ext.verification WHERE mapping_id = $1 AND method IN ('scan', 'range') AND finished), 0)), " \
	"d AS (SELECT key, verification_id FROM migrate_ext.divergence JOIN v USING (verification_id)), " \
	"c AS (SELECT bool_or(missing + extra + different > (SELECT count(*) FROM d WHERE d.verification_id = v.verification_id)) AS capped FROM v) "

/*
 * Marks the keys that a mapping's verifications found different as dirty.
 * Where the stored differences were capped, any key may be wrong, so that none
 * is forgotten.
 */
int64
divergence_mark_dirty(int64 mapping_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	n = spi_run("WITH " OPEN_VERIFICATIONS "INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) "
				"SELECT DISTINCT $1, key, 'repair' FROM d, c WHERE NOT capped UNION ALL "
				"SELECT $1, NULL, 'repair' FROM c WHERE capped",
				SPI_ARGS(spi_int8(mapping_id)));
	spi_close(&scope);
	return n;
}

/* These keys, as a jsonb[]; NULL where there are none, or not all are known. */
ArrayType *
divergence_read_keys(int64 mapping_id)
{
	SpiScope	scope;
	Datum		keys;

	spi_open_catalog(&scope);
	spi_run("WITH " OPEN_VERIFICATIONS "SELECT array_agg(DISTINCT key) FROM d, c WHERE NOT capped AND key IS NOT NULL",
			SPI_ARGS(spi_int8(mapping_id)));
	keys = spi_get_copy(&scope, 0, 1);
	spi_close(&scope);
	return keys != (Datum) 0 ? DatumGetArrayTypeP(keys) : NULL;
}
