/*
 * lookup_change.c
 *		Rows of tables that expressions read have changed.
 *
 * The statement only notes what its rows had and have in the columns that are compared
 * with the source.  Which keys that concerns is found by a sync, later: who writes a
 * source row at this moment may have read what was there before, and its row cannot
 * be seen yet.  See requeue_changes in copy/requeue.c.
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"

#include "base/spi.h"
#include "base/subxact.h"
#include "capture/lookup_change.h"
#include "projection/lookup.h"

/* More values than this are noted as "any key". */
#define MAX_VALUES 1000

/* A mapping, and the statement. */
typedef struct Change
{
	Capture    *c;
	CaptureMapping *cm;
	bool		every;			/* any key may be concerned */
} Change;

/* The statements that read the values, one a lookup. */
static CapturePlans *
read_statements(Capture *c, CaptureMapping *cm)
{
	CapturePlans *p = &cm->keys[capture_touched(c)];
	List	   *statements = NIL;
	ListCell   *lc;

	if (p->built)
		return p;
	foreach(lc, cm->lookups)
	{
		Lookup	   *l = lfirst(lc);

		statements = lappend(statements, lookup_changed_values(cm->mapping, l, c->event != 'i', c->event != 'd',
															   l->columns ? MAX_VALUES + 1 : 1));
	}
	capture_keep_statements(c->set, p, statements);
	return p;
}

/* Notes the values of one lookup. */
static void
note_values(Change *change, int i)
{
	const Mapping *m = change->cm->mapping;
	const Lookup *l = list_nth(change->cm->lookups, i);
	SpiScope	scope;
	uint64		n;
	Datum	   *values;

	spi_open_owner(&scope, m->owner, m->time_zone);
	if (SPI_register_trigger_data(change->c->trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register transition tables");
	capture_run_statement(read_statements(change->c, change->cm), i, change->c->rows);
	n = SPI_processed;
	values = MemoryContextAlloc(scope.caller, sizeof(Datum) * Max(n, 1));
	change->every = n > 0 && (l->columns == NIL || n > MAX_VALUES);
	for (uint64 j = 0; j < n && !change->every; j++)
		values[j] = spi_get_copy(&scope, j, 1);
	spi_close(&scope);
	if (n > 0 && !change->every)
		dirty_key_add_lookups(m->id, l->relation, l->columns, construct_array(values, n, JSONBOID, -1, false, TYPALIGN_INT));
}

/* Work for subxact_try. */
static void
work_note(void *arg)
{
	Change	   *change = arg;

	for (int i = 0; i < list_length(change->cm->lookups) && !change->every; i++)
		note_values(change, i);
}

/* Notes the statement's rows for a mapping; where that fails, any key may be concerned. */
static void
note(Capture *c, CaptureMapping *cm)
{
	Change		change = {c, cm, false};

	if (c->event == 't' || subxact_try(work_note, &change) != NULL || change.every)
		dirty_key_add_every(cm->mapping->id, "lookup", NULL);
}

/* Notes the rows of a statement for all mappings that read them. */
void
lookup_change_record(Capture *c)
{
	ListCell   *lc;

	foreach(lc, c->set->mappings)
		note(c, lfirst(lc));
}
