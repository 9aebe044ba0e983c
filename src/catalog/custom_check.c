/*
 * custom_check.c
 *		Rows of migrate_ext.custom_check.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/custom_check.h"

/* Stores a check, in place of one of the same name; returns its id. */
int64
custom_check_put(int64 migration_id, const char *name, const char *query)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.custom_check (migration_id, name, query) VALUES ($1, $2, $3) "
			"ON CONFLICT (migration_id, name) DO UPDATE SET query = EXCLUDED.query RETURNING custom_check_id",
			SPI_ARGS(spi_int8(migration_id), spi_text(name), spi_text(query)));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* The checks of a migration. */
List *
custom_check_list(int64 migration_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT name, query FROM migrate_ext.custom_check WHERE migration_id = $1 ORDER BY custom_check_id",
				SPI_ARGS(spi_int8(migration_id)));
	for (uint64 i = 0; i < n; i++)
	{
		CustomCheck *c = MemoryContextAlloc(scope.caller, sizeof(CustomCheck));
		MemoryContext old;

		c->name = spi_get_text(&scope, i, 1);
		c->query = spi_get_text(&scope, i, 2);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, c);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}
