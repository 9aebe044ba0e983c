/*
 * html.c
 *		The report as one HTML page, which needs nothing else: no script, no font,
 *		no picture from elsewhere.
 *
 * It has the sections of the other forms as tables, and before them what one
 * wants to see first, and plots of the time series.
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"

#include "base/spi.h"
#include "report/html.h"
#include "report/plot.h"
#include "report/section.h"

/* Points of a plot; a time series of more is thinned out. */
#define MAX_POINTS "400"

static const char *const style =
":root{color-scheme:light dark;--bg:#fff;--fg:#1c2430;--dim:#5b6675;--line:#d5dae1;--head:#f3f5f8;--s1:#1f6feb;--s2:#c2410c;--band:#f5c2424d;--good:#18794e;--bad:#b42318}\n"
"@media (prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e4e8ee;--dim:#9aa5b4;--line:#313a46;--head:#1c222b;--s1:#6ea8fe;--s2:#f59e6b;--band:#8a6d1c80;--good:#4cc38a;--bad:#ff8177}}\n"
"*{box-sizing:border-box}\n"
"body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:76rem;margin:0 auto;padding:1rem}\n"
"h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}\n"
".dim,figcaption,.legend,svg text{color:var(--dim);fill:var(--dim)}\n"
".verdict{font-size:1.1rem;font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}\n"
".steps{display:flex;flex-wrap:wrap;gap:.4rem;list-style:none;padding:0}\n"
".steps li{border:1px solid var(--line);border-radius:1rem;padding:.1rem .7rem;color:var(--dim)}\n"
".steps .now{border-color:var(--s1);color:var(--fg);font-weight:600}\n"
".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;padding:0;margin:1rem 0}\n"
".tiles div{border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}\n"
".tiles dt{color:var(--dim);font-size:.85rem}.tiles dd{margin:0;font-size:1.15rem;overflow-wrap:anywhere}\n"
".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem}\n"
"figure{margin:0}svg{width:100%;height:auto;display:block}svg text{font-size:12px}\n"
".grid{stroke:var(--line);stroke-width:1}polyline{fill:none;stroke-width:2;stroke-linejoin:round}\n"
".s1{stroke:var(--s1)}.s2{stroke:var(--s2);stroke-dasharray:6 3}rect.band{fill:var(--band)}\n"
".legend{margin:.2rem 0 0;font-size:.85rem}.legend span{margin-right:1rem;white-space:nowrap}\n"
".legend i{display:inline-block;width:1.4rem;height:0;border-top:3px solid var(--s1);margin-right:.4rem;vertical-align:middle}\n"
".legend .k2{border-top:3px dashed var(--s2)}.legend .band{height:.8rem;border:0;background:var(--band)}\n"
".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}\n"
"th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:left;vertical-align:top}th{background:var(--head)}\n"
"td.n{text-align:right;font-variant-numeric:tabular-nums}td{max-width:40rem;white-space:pre-wrap}\n"
"@media (max-width:30rem){svg text{font-size:20px}}\n"
"@media print{:root{--bg:#fff;--fg:#000;--dim:#333;--line:#999;--head:#eee;--s1:#000;--s2:#555;--band:#ddd;--good:#000;--bad:#000}"
"body{max-width:none;padding:0;font-size:10pt}h2{break-after:avoid}figure,tr,.tiles div{break-inside:avoid}.wide{overflow:visible}table{font-size:7.5pt}td{overflow-wrap:anywhere}}\n";

/* What stands at the top of the page: name, value. */
static const char *const tiles_sql =
"SELECT x.name, x.value FROM migrate_ext.status s JOIN migrate_ext.progress p USING (migration) "
"LEFT JOIN LATERAL (SELECT detail FROM migrate_ext.history h WHERE h.migration = $1 AND h.phase = 'soak' ORDER BY event_id DESC LIMIT 1) c ON true "
"CROSS JOIN LATERAL (VALUES "
"(1, 'Phase', s.phase), (2, 'Since', to_char(s.phase_since, 'YYYY-MM-DD HH24:MI:SS TZ')), "
"(3, 'Copy', p.state || coalesce(', ' || p.percent || ' %', '')), "
"(4, 'Rows copied', p.rows_written::text), (5, 'Pending keys', s.pending_keys::text), "
"(6, 'Last verification', s.last_verification), (7, 'Rejected rows', p.rejected_rows::text), "
"(8, 'Failed dual writes', p.write_errors::text), "
"(9, 'Application blocked at the cutover', (c.detail ->> 'locked_ms') || ' ms')) x (ordinal, name, value) "
"WHERE s.migration = $1 AND x.value IS NOT NULL ORDER BY x.ordinal";

/* The time series of the copies: seconds since the first sample, rows so far, rows a second, lag in seconds, pending keys, reason. */
static const char *const samples_sql =
"WITH s AS (SELECT s.*, row_number() OVER w AS n, count(*) OVER () AS total, lag(s.rows) OVER w AS rows_before, lag(s.taken_at) OVER w AS before, "
"lag(s.job_id) OVER w AS job_before, min(s.taken_at) OVER () AS began "
"FROM migrate_ext.sample s JOIN migrate_ext.migration g USING (migration_id) WHERE g.name = $1 WINDOW w AS (ORDER BY s.taken_at)) "
"SELECT extract(epoch FROM taken_at - began)::float8, rows::float8, "
"CASE WHEN job_before = job_id AND taken_at > before AND rows >= rows_before THEN ((rows - rows_before) / extract(epoch FROM taken_at - before))::float8 END, "
"replica_lag_ms / 1000, pending::float8, throttle_reason FROM s WHERE n % greatest(1, total / " MAX_POINTS ") = 0 OR n = total ORDER BY taken_at";

/* The newest shadow reads of each mapping. */
static const char *const shadow_sql =
"SELECT format('Time of a read on both paths, mapping %s', mapping), source_ms, target_ms FROM migrate_ext.shadow_reads "
"WHERE migration = $1 AND newest AND reads > 0 ORDER BY mapping";

/* The verdict: is it good, and what to say. */
static const char *const verdict_sql =
"SELECT CASE WHEN v.bad > 0 OR s.pending_keys > 0 AND s.phase IN ('shadow', 'soak') THEN false WHEN v.n > 0 AND s.last_verification = 'clean' THEN true END, "
"CASE WHEN v.bad > 0 THEN format('Not proven: the newest verification found %s differences or unexplained rows.', v.bad) "
"WHEN s.pending_keys > 0 AND s.phase IN ('shadow', 'soak') THEN format('%s keys are pending.', s.pending_keys) "
"WHEN s.last_verification = 'clean' THEN format('Proven: every row accounted for, %s rows compared, no difference.', v.rows) "
"ELSE format('Not proven yet: last verification %s.', s.last_verification) END "
"FROM migrate_ext.status s CROSS JOIN LATERAL (SELECT count(*) AS n, sum(source_rows) AS rows, "
"coalesce(sum(missing + extra + different) + (SELECT sum(abs(l.rows)) FROM migrate_ext.ledger l WHERE l.migration = $1 AND NOT l.explained), sum(missing + extra + different), 0) AS bad "
"FROM migrate_ext.verifications WHERE migration = $1 AND newest) v WHERE s.migration = $1";

/* A cell of a table. */
static void
append_cell(StringInfo buf, const char *tag, const char *value, bool is_number)
{
	appendStringInfo(buf, is_number ? "<%s class=\"n\">" : "<%s>", tag);
	plot_append_text(buf, value ? value : "");
	appendStringInfo(buf, "</%s>", tag);
}

static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == FLOAT8OID || type == NUMERICOID;
}

/* The result in SPI_tuptable as a table. */
static void
append_table(StringInfo buf, const char *id, uint64 rows)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;

	if (rows == 0)
	{
		appendStringInfo(buf, "<p class=\"dim\" id=\"%s\">None.</p>\n", id);
		return;
	}
	appendStringInfo(buf, "<div class=\"wide\"><table id=\"%s\">\n<thead><tr>", id);
	for (int i = 1; i <= desc->natts; i++)
		append_cell(buf, "th", SPI_fname(desc, i), false);
	appendStringInfoString(buf, "</tr></thead>\n<tbody>\n");
	for (uint64 row = 0; row < rows; row++)
	{
		appendStringInfoString(buf, "<tr>");
		for (int i = 1; i <= desc->natts; i++)
			append_cell(buf, "td", SPI_getvalue(SPI_tuptable->vals[row], desc, i), is_number(SPI_gettypeid(desc, i)));
		appendStringInfoString(buf, "</tr>\n");
	}
	appendStringInfoString(buf, "</tbody></table></div>\n");
}

/* Where the migration stands. */
static void
append_steps(StringInfo buf, const char *name)
{
	static const char *const phases[] = {"planned", "dual_write", "backfill", "shadow", "soak", "done"};
	char	   *phase;

	spi_run("SELECT phase FROM migrate_ext.migration WHERE name = $1", SPI_ARGS(spi_text(name)));
	phase = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	appendStringInfoString(buf, "<ol class=\"steps\">");
	for (int i = 0; i < lengthof(phases); i++)
		appendStringInfo(buf, "<li%s>%s</li>", strcmp(phase, phases[i]) == 0 ? " class=\"now\" aria-current=\"step\"" : "", phases[i]);
	if (strcmp(phase, "rolled_back") == 0)
		appendStringInfoString(buf, "<li class=\"now\" aria-current=\"step\">rolled_back</li>");
	appendStringInfoString(buf, "</ol>\n");
}

/* The verdict, and what one wants to know first. */
static void
append_summary(StringInfo buf, const char *name)
{
	uint64		n;

	spi_run(verdict_sql, SPI_ARGS(spi_text(name)));
	appendStringInfo(buf, "<p class=\"verdict%s\">", spi_is_null(0, 1) ? "" : spi_get_bool(0, 1) ? " good" : " bad");
	plot_append_text(buf, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	appendStringInfoString(buf, "</p>\n<p>Next step: ");
	spi_run("SELECT next_step FROM migrate_ext.status WHERE migration = $1", SPI_ARGS(spi_text(name)));
	plot_append_text(buf, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	appendStringInfoString(buf, "</p>\n");
	n = spi_run(tiles_sql, SPI_ARGS(spi_text(name)));
	appendStringInfoString(buf, "<dl class=\"tiles\">\n");
	for (uint64 i = 0; i < n; i++)
	{
		appendStringInfoString(buf, "<div>");
		append_cell(buf, "dt", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), false);
		append_cell(buf, "dd", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), false);
		appendStringInfoString(buf, "</div>\n");
	}
	appendStringInfoString(buf, "</dl>\n");
}

/* Column col of the result as a line over column 1; NULL if it has less than two values. */
static PlotSeries *
read_series(const char *name, uint64 n, int col)
{
	PlotSeries *series = palloc0(sizeof(PlotSeries));
	int			values = 0;

	series->name = name;
	series->n = n;
	series->x = palloc(sizeof(double) * Max(n, 1));
	series->y = palloc(sizeof(double) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		series->x[i] = DatumGetFloat8(spi_get_datum(i, 1));
		series->y[i] = spi_is_null(i, col) ? NAN : DatumGetFloat8(spi_get_datum(i, col));
		values += spi_is_null(i, col) ? 0 : 1;
	}
	return values < 2 ? NULL : series;
}

/* For how long a copy waited, and for what: the signal, without its measured value. */
static List *
read_bands(uint64 n)
{
	List	   *bands = NIL;
	PlotBand   *open = NULL;

	for (uint64 i = 0; i < n; i++)
	{
		char	   *reason = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 6);
		double		at = DatumGetFloat8(spi_get_datum(i, 1));

		if (reason != NULL)
			reason[strcspn(reason, ":(0123456789")] = '\0';
		if (open != NULL)
			open->to = at;
		if (open != NULL && (reason == NULL || strcmp(open->label, reason) != 0))
			open = NULL;
		if (reason != NULL && open == NULL)
		{
			open = palloc(sizeof(PlotBand));
			open->from = open->to = at;
			open->label = reason;
			bands = lappend(bands, open);
		}
	}
	return bands;
}

/* Plots of the copies' time series. */
static void
append_time_series(StringInfo buf, const char *name)
{
	static const struct
	{
		const char *title;
		const char *y_label;
		int			col;
	}			plots[] =
	{
		{"Rows copied over time", "rows", 2},
		{"Rate of the copy over time", "rows a second", 3},
		{"Replica lag over time", "seconds", 4},
		{"Dirty keys over time", "keys", 5},
	};
	uint64		n = spi_run(samples_sql, SPI_ARGS(spi_text(name)));

	for (int i = 0; i < lengthof(plots); i++)
	{
		PlotSeries *series = read_series(plots[i].y_label, n, plots[i].col);
		Plot		plot = {plots[i].title, "since the first batch", plots[i].y_label, true, NIL, NIL};

		if (series == NULL)
			continue;
		series->is_steps = plots[i].col == 3;
		plot.series = list_make1(series);
		plot.bands = read_bands(n);
		plot_append(buf, &plot);
	}
}

/* Quantiles as a line over percentiles, without the last one: a single read hides all others. */
static PlotSeries *
read_quantiles(const char *name, uint64 row, int col)
{
	ArrayType  *array = DatumGetArrayTypeP(spi_get_datum(row, col));
	PlotSeries *series = palloc0(sizeof(PlotSeries));
	Datum	   *values;
	int			n;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, NULL, &n);
	series->name = name;
	series->n = Max(n - 1, 0);
	series->x = palloc(sizeof(double) * Max(n, 1));
	series->y = palloc(sizeof(double) * Max(n, 1));
	for (int i = 0; i < series->n; i++)
	{
		series->x[i] = i;
		series->y[i] = DatumGetFloat8(values[i]);
	}
	return series;
}

/* Plots of both read paths. */
static void
append_shadow_reads(StringInfo buf, const char *name)
{
	uint64		n = spi_run(shadow_sql, SPI_ARGS(spi_text(name)));

	for (uint64 i = 0; i < n; i++)
	{
		Plot		plot = {SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), "percentile of the reads", "milliseconds", false, NIL, NIL};

		plot.series = list_make2(read_quantiles("old path", i, 2), read_quantiles("new path", i, 3));
		plot_append(buf, &plot);
	}
}

/* Everything about a migration on one page. */
char *
report_html(const char *name)
{
	StringInfoData buf;
	SpiScope	scope;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
						   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Migration ");
	plot_append_text(&buf, name);
	appendStringInfo(&buf, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>Migration ", style);
	plot_append_text(&buf, name);
	appendStringInfoString(&buf, "</h1>\n<p class=\"dim\">");
	spi_open_catalog(&scope);
	spi_run("SELECT format('Database %s, PostgreSQL %s, report of %s', current_database(), current_setting('server_version'), "
			"to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZ'))", SPI_NO_ARGS);
	plot_append_text(&buf, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	appendStringInfoString(&buf, "</p>\n");
	append_steps(&buf, name);
	append_summary(&buf, name);
	appendStringInfoString(&buf, "<div class=\"plots\">\n");
	append_time_series(&buf, name);
	append_shadow_reads(&buf, name);
	appendStringInfoString(&buf, "</div>\n");
	for (int i = 0; i < report_nsections; i++)
	{
		uint64		rows = spi_run(report_sections[i].sql, SPI_ARGS(spi_text(name)));

		appendStringInfo(&buf, "<h2>%s</h2>\n", report_sections[i].title);
		append_table(&buf, report_sections[i].key, rows);
	}
	spi_close(&scope);
	appendStringInfoString(&buf, "</body>\n</html>\n");
	return buf.data;
}
