/*
 * mapping_rule.c
 *		Rows of migrate_ext.mapping_rule.
 *
 * What a rule rejects is a part of the mapping's filter: see mapping.c.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/mapping_rule.h"

/* Inserts a rule; returns its id. */
int64
mapping_rule_insert(int64 mapping_id, const MappingRule *rule)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.mapping_rule (mapping_id, name, condition, scope, action, whole_row) "
			"VALUES ($1, $2, $3, $4, $5, $6) RETURNING mapping_rule_id",
			SPI_ARGS(spi_int8(mapping_id), spi_text(rule->name), spi_text(rule->condition), spi_text(rule->scope),
					 spi_text(rule->action), spi_bool(rule->whole_row)));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* A mapping's rules. */
List *
mapping_rule_list(int64 mapping_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed("SELECT name, condition, scope, action, whole_row FROM migrate_ext.mapping_rule "
					  "WHERE mapping_id = $1 ORDER BY mapping_rule_id", SPI_ARGS(spi_int8(mapping_id)));
	for (uint64 i = 0; i < n; i++)
	{
		MappingRule *rule = MemoryContextAllocZero(scope.caller, sizeof(MappingRule));
		MemoryContext old;

		rule->name = spi_get_text(&scope, i, 1);
		rule->condition = spi_get_text(&scope, i, 2);
		rule->scope = spi_get_text(&scope, i, 3);
		rule->action = spi_get_text(&scope, i, 4);
		rule->whole_row = spi_get_bool(i, 5);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, rule);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}
