/*
 * stored_expression.c
 *		Expressions of all mappings, wherever they are stored.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/stored_expression.h"

/* Where they are, and how each is changed: parameters id, text, column. */
static const struct
{
	const char *place;
	const char *update;
}			places[] =
{
	{"column", "UPDATE migrate_ext.mapping_column SET expression = $2 WHERE mapping_id = $1 AND target_column = $3"},
	{"filter", "UPDATE migrate_ext.mapping SET filter = $2 WHERE mapping_id = $1 AND $3 IS NULL"},
	{"scope", "UPDATE migrate_ext.mapping SET scope = $2 WHERE mapping_id = $1 AND $3 IS NULL"},
	{"dedupe", "UPDATE migrate_ext.mapping SET dedupe_by[$3::int] = $2 WHERE mapping_id = $1"},
	{"condition", "UPDATE migrate_ext.mapping_rule SET condition = $2 WHERE mapping_rule_id = $1 AND $3 IS NULL"},
	{"rule scope", "UPDATE migrate_ext.mapping_rule SET scope = $2 WHERE mapping_rule_id = $1 AND $3 IS NULL"},
};

/* The expressions that may name a table. */
List *
stored_expression_list_naming(void)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT x.* FROM ("
				"SELECT 'column' AS place, m.mapping_id, c.target_column, m.source::oid, false, c.expression AS text "
				"FROM migrate_ext.mapping m JOIN migrate_ext.mapping_column c USING (mapping_id) "
				"UNION ALL SELECT 'filter', mapping_id, NULL, source, false, filter FROM migrate_ext.mapping "
				"UNION ALL SELECT 'scope', mapping_id, NULL, target, true, scope FROM migrate_ext.mapping "
				"UNION ALL SELECT 'dedupe', mapping_id, d.n::text, source, false, d.text FROM migrate_ext.mapping CROSS JOIN LATERAL unnest(dedupe_by) WITH ORDINALITY d(text, n) "
				"UNION ALL SELECT 'condition', mapping_rule_id, NULL, m.source, false, condition FROM migrate_ext.mapping_rule r JOIN migrate_ext.mapping m USING (mapping_id) "
				"UNION ALL SELECT 'rule scope', mapping_rule_id, NULL, m.source, true, r.scope FROM migrate_ext.mapping_rule r JOIN migrate_ext.mapping m USING (mapping_id)) x "
				"WHERE x.text ~ 'SELECT|::regclass' AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = x.source)", SPI_NO_ARGS);
	for (uint64 i = 0; i < n; i++)
	{
		StoredExpression *e = MemoryContextAllocZero(scope.caller, sizeof(StoredExpression));
		MemoryContext old;

		e->place = spi_get_text(&scope, i, 1);
		e->id = spi_get_int8(i, 2);
		e->column = spi_get_text(&scope, i, 3);
		e->relation = spi_get_oid(i, 4);
		e->over_target = spi_get_bool(i, 5);
		e->text = spi_get_text(&scope, i, 6);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, e);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* Stores the text of an expression. */
void
stored_expression_update(const StoredExpression *e)
{
	for (int i = 0; i < lengthof(places); i++)
	{
		SpiScope	scope;

		if (strcmp(places[i].place, e->place) != 0)
			continue;
		spi_open_catalog(&scope);
		spi_run(places[i].update, SPI_ARGS(spi_int8(e->id), spi_text(e->text), spi_text(e->column)));
		spi_close(&scope);
	}
}
