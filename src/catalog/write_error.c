/*
 * write_error.c
 *		Rows of migrate_ext.write_error: dual writes that failed.
 *
 * Append-only, like the dirty queue: no writer waits for another here.  How many
 * rows were written is asked of the server's statistics, so that it costs the
 * application nothing.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/write_error.h"

/* Notes a failed dual write of some keys, one of which may be given; returns its number. */
int64
write_error_add(int64 mapping_id, int64 keys, Datum key, const DirtyKeyError *error)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run_fixed("INSERT INTO migrate_ext.write_error (mapping_id, keys, key, sqlstate, message) "
			"VALUES ($1, $2, $3, $4, left($5, 500)) RETURNING write_error_id",
			SPI_ARGS(spi_int8(mapping_id), spi_int8(keys), spi_datum(JSONBOID, key, key == (Datum) 0),
					 spi_text(error->sqlstate), spi_text(error->message)));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

void
write_error_measure(int64 mapping_id, WriteAccount *account)
{
	SpiScope	scope;

	memset(account, 0, sizeof(WriteAccount));
	spi_open_catalog(&scope);
	if (spi_run("SELECT errors, writes, rate::float8, degraded FROM migrate_ext.write_accounts WHERE mapping = $1",
				SPI_ARGS(spi_int8(mapping_id))) > 0)
	{
		account->errors = spi_get_int8(0, 1);
		account->writes = spi_get_int8(0, 2);
		account->rate = DatumGetFloat8(spi_get_datum(0, 3));
		account->degraded = spi_get_bool(0, 4);
	}
	spi_close(&scope);
}

/* How many dual writes have failed in the last so many seconds. */
int64
write_error_count_since(int64 mapping_id, int seconds)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	spi_run("SELECT count(*) FROM migrate_ext.write_error WHERE mapping_id = $1 AND at > clock_timestamp() - make_interval(secs => $2)",
			SPI_ARGS(spi_int8(mapping_id), spi_int8(seconds)));
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}

/* Switches a mapping's dual writes off, unless they are or somebody else is at it; was it done? */
bool
write_error_degrade(int64 mapping_id)
{
	SpiScope	scope;
	bool		done;

	spi_open_catalog(&scope);
	done = spi_run("UPDATE migrate_ext.mapping SET degraded = true WHERE mapping_id IN "
				   "(SELECT mapping_id FROM migrate_ext.mapping WHERE mapping_id = $1 AND NOT degraded "
				   "FOR NO KEY UPDATE SKIP LOCKED)", SPI_ARGS(spi_int8(mapping_id))) > 0;
	spi_close(&scope);
	return done;
}

bool
write_error_any_degraded(int64 migration_id)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT FROM migrate_ext.mapping WHERE migration_id = $1 AND degraded",
					SPI_ARGS(spi_int8(migration_id))) > 0;
	spi_close(&scope);
	return found;
}

/* Begins a migration's account anew. */
void
write_error_reset(int64 migration_id)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("DELETE FROM migrate_ext.write_error WHERE mapping_id IN "
			"(SELECT mapping_id FROM migrate_ext.mapping WHERE migration_id = $1)", SPI_ARGS(spi_int8(migration_id)));
	spi_run("UPDATE migrate_ext.mapping m SET degraded = false, writes_before = s.writes "
			"FROM migrate_ext.source_writes s WHERE s.mapping_id = m.mapping_id AND migration_id = $1",
			SPI_ARGS(spi_int8(migration_id)));
	spi_close(&scope);
}
