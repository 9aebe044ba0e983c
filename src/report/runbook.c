/*
 * runbook.c
 *		migrate_runbook: the plan of a migration, with its commands, its gates and
 *		what was measured.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "catalog/gate_result.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/gate.h"
#include "lifecycle/phase.h"
#include "lifecycle/swap.h"

/* A step; %s in a command is the migration's name as a literal. */
typedef struct Step
{
	const char *into;			/* the phase that it leads into, or in which it is taken */
	bool		moves;			/* it leads into that phase */
	const char *title;
	const char *text;
	const char *commands;
	const char *back;			/* how to undo it */
} Step;

static const Step steps[] =
{
	{"planned", false, "Look at it", "Blockers keep it from starting; warnings want a decision.",
	"SELECT * FROM migrate_assess(%s);\n", "Nothing is changed."},
	{"dual_write", true, "Turn the dual writes on",
	"Locks the sources in SHARE ROW EXCLUSIVE mode for a moment: it waits for those who write, briefly and often. Done while no long transaction writes them.",
	"SELECT migrate_start(%s);\n", "SELECT migrate_rollback(%s);  -- the triggers go, the source was never touched\n"},
	{"backfill", true, "Copy what was there before",
	"In background workers, throttled; it can be paused, interrupted and asked for again.",
	"SELECT migrate_backfill(%s);\nSELECT state, percent, eta, throttle_reason FROM migrate_progress(%s);\nCALL migrate_wait(%s);\n",
	"SELECT migrate_rollback(%s);  -- cancels the copy; the target keeps its rows\n"},
	{"shadow", true, "Prove it", "In one snapshot, under live writes. A clean result opens the gate by itself.",
	"SELECT * FROM migrate_verify(%s);\nSELECT * FROM migrate_divergence(%s);  -- if it is not clean: mend the cause, then\nSELECT migrate_repair(%s);\nSELECT * FROM migrate_check(%s);\n",
	"SELECT migrate_rollback(%s);\n"},
	{"shadow", false, "Compare the read paths", "Both paths, row by row, with their times; then, for method switch, let the application's reads move over.",
	"SELECT * FROM migrate_shadow_read(%s);\nSELECT migrate_ramp(%s, 10);  -- migrate_route tells the application; 0 is back at once\n",
	"SELECT migrate_ramp(%s, 0);\n"},
	{"soak", true, "Cut over",
	"Both sides are locked in ACCESS EXCLUSIVE mode for a moment. From then on writes to the new side are written back.",
	NULL, "SELECT migrate_rollback(%s);  -- nothing that was written since is lost; the same locks for the same moment\n"},
	{"soak", false, "Watch it", "What the old side refuses is in migrate_ext.dirty_key; a rollback asks for it.",
	"SELECT pending_keys, next_step FROM migrate_status(%s);\nSELECT * FROM migrate_verify(%s);\nSELECT migrate_sign_off(%s, 'who looked at what');\n",
	"SELECT migrate_rollback(%s);\n"},
	{"done", true, "Clean up", "The point of no return: the triggers go, and the old side is dropped, archived or kept, as setting old_side says.",
	"SELECT migrate_cleanup(%s);\nSELECT migrate_drop(%s);  -- when the report is kept\n", "There is none: the old side is not written any more."},
};

static const char *const order[] = {"planned", "dual_write", "backfill", "shadow", "soak", "done"};

/* Where a phase stands in the order; a migration that was rolled back is planned again. */
static int
rank(const char *phase)
{
	for (int i = 0; i < lengthof(order); i++)
	{
		if (strcmp(order[i], phase) == 0)
			return i;
	}
	return 0;
}

/* Appends a template, each %s replaced by the name as a literal. */
static void
append_commands(StringInfo buf, const char *template, const Migration *g)
{
	const char *literal = quote_literal_cstr(g->name);

	for (const char *p = template; *p; p++)
	{
		if (p[0] == '%' && p[1] == 's')
		{
			appendStringInfoString(buf, literal);
			p++;
		}
		else
			appendStringInfoChar(buf, *p);
	}
}

/* What is known about this from this server, as a list. */
static void
append_facts(StringInfo buf, const char *sql, const Migration *g)
{
	SpiScope	scope;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run(sql, SPI_ARGS(spi_int8(g->id), spi_text(g->name)));
	for (uint64 i = 0; i < n; i++)
		appendStringInfo(buf, "- %s\n", spi_get_text(&scope, i, 1));
	spi_close(&scope);
	if (n > 0)
		appendStringInfoChar(buf, '\n');
}

/* When phases were entered and how long things took, by step. */
static const char *
facts_of(const Step *step)
{
	if (strcmp(step->into, "backfill") == 0)
		return "SELECT format('Measured: %s, %s rows in %s by %s workers', p.state, p.rows_written, "
			"date_trunc('milliseconds', coalesce(j.finished_at, clock_timestamp()) - j.started_at), j.workers) "
			"FROM migrate_ext.progress p JOIN migrate_ext.job j USING (job_id) WHERE p.migration = $2 AND j.migration_id = $1 AND j.started_at IS NOT NULL";
	if (strcmp(step->title, "Prove it") == 0)
		return "SELECT format('Measured: %s, %s rows of %s in %s', CASE WHEN v.clean THEN 'clean' ELSE 'not clean' END, v.source_rows, v.source, date_trunc('milliseconds', v.elapsed)) "
			"FROM migrate_ext.verifications v WHERE v.migration = $2 AND v.newest AND $1 IS NOT NULL ORDER BY v.mapping";
	if (strcmp(step->title, "Compare the read paths") == 0)
		return "SELECT format('Measured: %s of %s reads of %s differ; 99th percentile %s ms before, %s ms after', mismatches, reads, target, "
			"round(source_p99::numeric, 3), round(target_p99::numeric, 3)) FROM migrate_ext.shadow_reads WHERE migration = $2 AND newest AND $1 IS NOT NULL ORDER BY mapping";
	if (strcmp(step->title, "Cut over") == 0)
		return "SELECT format('Measured: the application was blocked for %s ms, by method %s, at %s', detail ->> 'locked_ms', detail ->> 'method', date_trunc('second', at)) "
			"FROM migrate_ext.history WHERE migration = $2 AND phase = 'soak' AND detail ? 'method' AND $1 IS NOT NULL ORDER BY event_id";
	return NULL;
}

/* The gate into the next phase, as it is now. */
static void
append_gate(StringInfo buf, const Migration *g, const char *to_phase)
{
	ListCell   *lc;

	appendStringInfo(buf, "Gate into `%s`, measured now:\n\n", to_phase);
	foreach(lc, gate_measure(g, to_phase, NULL))
	{
		GateResult *r = lfirst(lc);

		appendStringInfo(buf, "- [%c] %s: must be %s, is %s\n", r->passed ? 'x' : ' ', r->criterion, r->threshold, r->measured);
	}
	appendStringInfoChar(buf, '\n');
}

/* How it would be cut over. */
static void
append_cutover(StringInfo buf, const Migration *g)
{
	char	   *obstacle = swap_obstacle(g);

	appendStringInfoString(buf, "```sql\n");
	append_commands(buf, obstacle == NULL ? "SELECT migrate_cutover(%s);  -- by swap: the new table takes the old one's name\n"
					"SELECT migrate_cutover(%s, method => 'switch');  -- or: names stay, point the application at the new table\n" :
					"SELECT migrate_cutover(%s, method => 'switch');  -- then point the application at the new tables\n", g);
	appendStringInfoString(buf, "```\n\n");
	if (obstacle != NULL)
	{
		appendStringInfo(buf, "Method `swap` cannot be used: %s.\n\n", obstacle);
		return;
	}
	if (!migration_is_switched(g) && !phase_is(g, "done"))
	{
		ListCell   *lc;

		foreach(lc, assess_swap(g))
		{
			Finding    *f = lfirst(lc);

			appendStringInfo(buf, "- %s: %s: %s. %s\n", f->severity, f->subject, f->finding, f->advice);
		}
		appendStringInfoChar(buf, '\n');
	}
}

/* One step: what to do, what is known, how to go back. */
static void
append_step(StringInfo buf, const Migration *g, const Step *step, int number)
{
	int			now = rank(g->phase);
	int			at = rank(step->into);
	bool		is_done = step->moves ? now >= at : now > at;
	bool		is_next = step->moves ? now + 1 == at : now == at;
	const char *facts = facts_of(step);

	appendStringInfo(buf, "## %d. %s%s\n\n%s\n\n", number, step->title, is_done ? " (done)" : is_next ? " (next)" : "", step->text);
	if (is_next && step->moves && !phase_is(g, "rolled_back"))
		append_gate(buf, g, step->into);
	if (step->commands == NULL)
		append_cutover(buf, g);
	else
	{
		appendStringInfoString(buf, "```sql\n");
		append_commands(buf, step->commands, g);
		appendStringInfoString(buf, "```\n\n");
	}
	if (facts != NULL)
		append_facts(buf, facts, g);
	appendStringInfoString(buf, "Way back: ");
	if (strncmp(step->back, "SELECT", 6) == 0)
	{
		appendStringInfoString(buf, "\n\n```sql\n");
		append_commands(buf, step->back, g);
		appendStringInfoString(buf, "```\n\n");
	}
	else
		appendStringInfo(buf, "%s\n\n", step->back);
}

MIGRATE_FUNCTION(migrate_runbook);

/*
 * migrate_runbook(migration text) RETURNS text: markdown.  Measures the gate into the
 * next phase, which may read tables.
 */
Datum
migrate_runbook(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "# Runbook of migration %s\n\nPhase `%s`. Owner: %s.\n\n", g->name, g->phase, GetUserNameFromId(g->owner, true));
	append_facts(&buf, "SELECT format('%s to %s, by key (%s)', source, target, array_to_string(key, ', ')) FROM migrate_ext.mappings "
				 "WHERE migration = $2 AND direction = 'forward' AND $1 IS NOT NULL ORDER BY mapping", g);
	for (int i = 0; i < lengthof(steps); i++)
		append_step(&buf, g, &steps[i], i + 1);
	appendStringInfoString(&buf, "## What happened so far\n\n");
	append_facts(&buf, "SELECT format('%s: %s', date_trunc('second', at), concat_ws(', ', kind, phase, reason)) FROM migrate_ext.history "
				 "WHERE migration = $2 AND $1 IS NOT NULL ORDER BY event_id", g);
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}
