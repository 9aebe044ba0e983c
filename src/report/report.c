/*
 * report.c
 *		migrate_report: one document about a migration.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi.h"
#include "catalog/migration.h"

/* The sections: each is a query over a view, with the name as parameter. */
static const struct
{
	const char *title;
	const char *key;			/* in the JSON form */
	const char *sql;
}			sections[] =
{
	{"Status", "status",
	"SELECT phase, phase_since, state, mappings, pending_keys, last_verification, next_step "
	"FROM migrate_ext.status WHERE migration = $1"},
	{"Mappings", "mappings",
	"SELECT mapping, direction, source, target, key, filter, capture, on_error, complete "
	"FROM migrate_ext.mappings WHERE migration = $1 ORDER BY mapping"},
	{"Progress", "progress",
	"SELECT state, step, blocks_done, blocks_total, percent, rows_written, rows_per_second, eta, "
	"batches, retries, rejected_rows, flagged_rows, throttle_reason, error FROM migrate_ext.progress WHERE migration = $1"},
	{"Verification", "verification",
	"SELECT mapping, target, started_at, source_rows, target_rows, filtered, rejected, deduplicated, "
	"pending, missing, extra, different, checksum_match, elapsed "
	"FROM migrate_ext.verifications WHERE migration = $1 AND newest ORDER BY mapping"},
	{"Ledger", "ledger",
	"SELECT mapping, line, rows, explained, checksum FROM migrate_ext.ledger WHERE migration = $1 "
	"ORDER BY mapping, ordinal"},
	{"Divergences", "divergences",
	"SELECT mapping, kind, key, columns, source_row, target_row, found_at "
	"FROM migrate_ext.divergences WHERE migration = $1 ORDER BY mapping, divergence_id"},
	{"Rejected rows", "rejected",
	"SELECT mapping, action, rule, sqlstate, constraint_name, count(*) AS rows, min(key::text) AS for_example "
	"FROM migrate_ext.rejected_rows WHERE migration = $1 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"},
	{"Rules and checks", "rules",
	"SELECT 'rule' AS kind, name, action, condition AS text FROM migrate_ext.mapping_rule r JOIN migrate_ext.mappings m "
	"ON m.mapping = r.mapping_id WHERE m.migration = $1 UNION ALL "
	"SELECT 'check', c.name, NULL, query FROM migrate_ext.custom_check c JOIN migrate_ext.migration g USING (migration_id) "
	"WHERE g.name = $1 ORDER BY 1 DESC, 2"},
	{"Gates", "gates",
	"SELECT checked_at, to_phase, criterion, threshold, measured, passed "
	"FROM migrate_ext.gates WHERE migration = $1 ORDER BY gate_result_id"},
	{"History", "history",
	"SELECT at, who, kind, phase, detail, reason FROM migrate_ext.history "
	"WHERE migration = $1 ORDER BY event_id"},
};

/* Appends a value as a cell of a markdown table. */
static void
append_cell(StringInfo buf, const char *value)
{
	appendStringInfoString(buf, " ");
	for (const char *p = value ? value : ""; *p; p++)
	{
		if (*p == '|' || *p == '\\' || *p == '<')
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *p == '\n' || *p == '\r' ? ' ' : *p);
	}
	appendStringInfoString(buf, " |");
}

/* Appends the result in SPI_tuptable as a markdown table. */
static void
append_table(StringInfo buf, uint64 rows)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;

	if (rows == 0)
	{
		appendStringInfoString(buf, "None.\n\n");
		return;
	}
	appendStringInfoChar(buf, '|');
	for (int i = 1; i <= desc->natts; i++)
		append_cell(buf, SPI_fname(desc, i));
	appendStringInfoString(buf, "\n|");
	for (int i = 1; i <= desc->natts; i++)
		appendStringInfoString(buf, " --- |");
	for (uint64 row = 0; row < rows; row++)
	{
		appendStringInfoString(buf, "\n|");
		for (int i = 1; i <= desc->natts; i++)
			append_cell(buf, SPI_getvalue(SPI_tuptable->vals[row], desc, i));
	}
	appendStringInfoString(buf, "\n\n");
}

static char *
report_markdown(const char *name)
{
	StringInfoData buf;
	SpiScope	scope;

	initStringInfo(&buf);
	appendStringInfo(&buf, "# Migration %s\n\n", name);
	spi_open_catalog(&scope);
	for (int i = 0; i < lengthof(sections); i++)
	{
		uint64		rows = spi_run(sections[i].sql, SPI_ARGS(spi_text(name)));

		appendStringInfo(&buf, "## %s\n\n", sections[i].title);
		append_table(&buf, rows);
	}
	spi_close(&scope);
	return buf.data;
}

static char *
report_json(const char *name)
{
	StringInfoData sql;
	SpiScope	scope;
	char	   *result;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT jsonb_pretty(jsonb_build_object('migration', $1");
	for (int i = 0; i < lengthof(sections); i++)
		appendStringInfo(&sql, ", '%s', (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM (%s) r)",
						 sections[i].key, sections[i].sql);
	appendStringInfoString(&sql, "))");
	spi_open_catalog(&scope);
	spi_run(sql.data, SPI_ARGS(spi_text(name)));
	result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result;
}

MIGRATE_FUNCTION(migrate_report);

/* migrate_report(migration text, format text) RETURNS text: markdown or json. */
Datum
migrate_report(PG_FUNCTION_ARGS)
{
	char	   *name = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)))->name;
	char	   *format = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *result;

	if (strcmp(format, "markdown") == 0)
		result = report_markdown(name);
	else if (strcmp(format, "json") == 0)
		result = report_json(name);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("report format \"%s\" is not supported", format),
				 errhint("Formats are markdown and json.")));
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
