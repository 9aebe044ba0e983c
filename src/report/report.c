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
#include "report/html.h"
#include "report/section.h"

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
	for (int i = 0; i < report_nsections; i++)
	{
		uint64		rows = spi_run(report_sections[i].sql, SPI_ARGS(spi_text(name)));

		appendStringInfo(&buf, "## %s\n\n", report_sections[i].title);
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
	for (int i = 0; i < report_nsections; i++)
		appendStringInfo(&sql, ", '%s', (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM (%s) r)",
						 report_sections[i].key, report_sections[i].sql);
	appendStringInfoString(&sql, "))");
	spi_open_catalog(&scope);
	spi_run(sql.data, SPI_ARGS(spi_text(name)));
	result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result;
}

MIGRATE_FUNCTION(migrate_report);

/* migrate_report(migration text, format text) RETURNS text: markdown, json or html. */
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
	else if (strcmp(format, "html") == 0)
		result = report_html(name);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("report format \"%s\" is not supported", format),
				 errhint("Formats are markdown, json and html.")));
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
