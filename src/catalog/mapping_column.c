/*
 * mapping_column.c
 *		Rows of migrate_ext.mapping_column.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/mapping_column.h"

/* Inserts a mapping's columns in their order. */
void
mapping_column_insert_all(int64 mapping_id, List *columns)
{
	SpiScope	scope;
	ListCell   *lc;
	int			ordinal = 0;

	spi_open_catalog(&scope);
	foreach(lc, columns)
	{
		MappingColumn *c = lfirst(lc);

		spi_run("INSERT INTO migrate_ext.mapping_column "
				"(mapping_id, ordinal, target_column, expression, constant, made_of, part, parts, map, is_set) "
				"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, nullif($9, 0), $10)",
				SPI_ARGS(spi_int8(mapping_id), spi_int4(++ordinal),
						 spi_text(c->target), spi_text(c->expression), spi_bool(c->constant),
						 spi_texts(c->made_of), spi_int4(c->part), spi_int4(c->parts), spi_int8(c->map), spi_bool(c->is_set)));
	}
	spi_close(&scope);
}

/* A mapping's columns in their order. */
List *
mapping_column_list(int64 mapping_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed("SELECT target_column, expression, constant, made_of, part, parts, coalesce(map, 0), is_set FROM migrate_ext.mapping_column "
				"WHERE mapping_id = $1 ORDER BY ordinal",
				SPI_ARGS(spi_int8(mapping_id)));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);
		MappingColumn *c = palloc(sizeof(MappingColumn));

		c->target = spi_get_text(&scope, i, 1);
		c->expression = spi_get_text(&scope, i, 2);
		c->constant = spi_get_bool(i, 3);
		c->made_of = spi_get_texts(&scope, i, 4);
		c->part = DatumGetInt32(spi_get_datum(i, 5));
		c->parts = DatumGetInt32(spi_get_datum(i, 6));
		c->map = spi_get_int8(i, 7);
		c->is_set = spi_get_bool(i, 8);
		result = lappend(result, c);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}
