/*
 * gate_result.c
 *		Rows of migrate_ext.gate_result.
 */
#include "postgres.h"

#include "base/spi.h"
#include "catalog/gate_result.h"

/* Records what one criterion measured when a phase was entered. */
void
gate_result_insert(int64 migration_id, const char *to_phase, const GateResult *result)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.gate_result "
			"(migration_id, to_phase, criterion, threshold, measured, passed) "
			"VALUES ($1, $2, $3, $4, $5, $6)",
			SPI_ARGS(spi_int8(migration_id), spi_text(to_phase), spi_text(result->criterion),
					 spi_text(result->threshold), spi_text(result->measured),
					 spi_bool(result->passed)));
	spi_close(&scope);
}
