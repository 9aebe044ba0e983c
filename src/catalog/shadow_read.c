/*
 * shadow_read.c
 *		Rows of migrate_ext.shadow_read.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/shadow_read.h"

/* Quantiles as a float8[]. */
static SpiArg
quantiles(const double *ms)
{
	Datum		values[SHADOW_QUANTILES];

	for (int i = 0; i < SHADOW_QUANTILES; i++)
		values[i] = Float8GetDatum(ms[i]);
	return spi_datum(FLOAT8ARRAYOID, PointerGetDatum(construct_array(values, SHADOW_QUANTILES, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)), false);
}

/* Keeps what was read. */
void
shadow_read_insert(const ShadowRead *r)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(list_length(r->keys), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, r->keys)
		keys[n++] = *(Datum *) lfirst(lc);
	spi_change("INSERT INTO migrate_ext.shadow_read (mapping_id, reads, mismatches, source_ms, target_ms, mismatching_keys) "
			   "VALUES ($1, $2, $3, $4, $5, $6)",
			   SPI_ARGS(spi_int8(r->mapping_id), spi_int8(r->reads), spi_int8(r->mismatches),
						quantiles(r->source_ms), quantiles(r->target_ms),
						spi_datum(JSONBARRAYOID, PointerGetDatum(construct_array(keys, n, JSONBOID, -1, false, TYPALIGN_INT)), false)));
}

/* The newest one of a mapping since it was changed, but for its keys: reads, mismatches, p99 of both; false if there is none. */
bool
shadow_read_newest(int64 mapping_id, ShadowRead *r)
{
	SpiScope	scope;
	bool		found;

	memset(r, 0, sizeof(ShadowRead));
	spi_open_catalog(&scope);
	found = spi_run("SELECT s.reads, s.mismatches, s.source_ms[100], s.target_ms[100] FROM migrate_ext.shadow_read s "
					"JOIN migrate_ext.mapping m USING (mapping_id) JOIN migrate_ext.migration g USING (migration_id) "
					"WHERE s.mapping_id = $1 AND s.read_at > g.changed_at ORDER BY s.shadow_read_id DESC LIMIT 1", SPI_ARGS(spi_int8(mapping_id))) > 0;
	if (found)
	{
		r->reads = spi_get_int8(0, 1);
		r->mismatches = spi_get_int8(0, 2);
		r->source_ms[99] = DatumGetFloat8(spi_get_datum(0, 3));
		r->target_ms[99] = DatumGetFloat8(spi_get_datum(0, 4));
	}
	spi_close(&scope);
	return found;
}
