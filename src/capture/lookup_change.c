/*
 * lookup_change.c
 *		Rows of tables that expressions read have changed.
 *
 * The statement only notes what its rows had and have in the columns that are compared
 * with the source.  Which keys that concerns is found by a sync, later: who writes a
 * source row at this moment may have read what was there before, and its row cannot
 * be seen yet.  See settle_changes in copy/requeue.c.
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

/* A lookup of a mapping, and the statement. */
typedef struct Change
{
	Capture    *c;
	const Mapping *m;
	const Lookup *lookup;
	bool		every;			/* any key may be concerned */
} Change;

/* Work for subxact_try. */
static void
work_note(void *arg)
{
	Change	   *change = arg;
	const Lookup *l = change->lookup;
	char		event = change->c->event;
	SpiScope	scope;
	uint64		n;
	Datum	   *values;

	spi_open_owner(&scope, change->m->owner, change->m->time_zone);
	if (SPI_register_trigger_data(change->c->trigger) != SPI_OK_TD_REGISTER)
		elog(ERROR, "could not register transition tables");
	n = spi_run(lookup_changed_values(change->m, l, event != 'i', event != 'd', l->columns ? MAX_VALUES + 1 : 1), SPI_NO_ARGS);
	values = MemoryContextAlloc(scope.caller, sizeof(Datum) * Max(n, 1));
	change->every = n > 0 && (l->columns == NIL || n > MAX_VALUES);
	for (uint64 i = 0; i < n && !change->every; i++)
		values[i] = spi_get_copy(&scope, i, 1);
	spi_close(&scope);
	if (n > 0 && !change->every)
		dirty_key_add_lookups(change->m->id, l->relation, l->columns, construct_array(values, n, JSONBOID, -1, false, TYPALIGN_INT));
}

/* Notes the statement's rows for a mapping; where that fails, any key may be concerned. */
static void
note(Capture *c, const CaptureMapping *cm)
{
	bool		every = c->event == 't';
	ListCell   *lc;

	foreach(lc, cm->lookups)
	{
		Change		change = {c, cm->mapping, lfirst(lc), false};

		every = every || subxact_try(work_note, &change) != NULL || change.every;
		if (every)
			break;
	}
	if (every)
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
