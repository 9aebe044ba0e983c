/*
 * rejected_row.c
 *		Rows of migrate_ext.rejected_row.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/rejected_row.h"

/* How many rows of a mapping are rejected in the active snapshot? */
int64
rejected_row_read_count(int64 mapping_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	spi_read("SELECT count(*) FROM migrate_ext.rejected_row WHERE mapping_id = $1",
			 SPI_ARGS(spi_int8(mapping_id)));
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}
