/*
 * source_write.c
 *		Which command of this transaction wrote a source last.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "capture/dual_write.h"

/* The last command of this session's transaction that wrote a source. */
typedef struct SourceWrite
{
	Oid			source;
	LocalTransactionId lxid;
	CommandId	cid;
} SourceWrite;

static List *source_writes = NIL;

/* The last write to a mapping's source in this transaction; NULL if none. */
static SourceWrite *
find_source_write(Oid source)
{
	ListCell   *lc;

	foreach(lc, source_writes)
	{
		SourceWrite *w = lfirst(lc);

		if (w->source == source)
			return w->lxid == MY_LXID ? w : NULL;
	}
	return NULL;
}

/* Notes that a command has written the source. */
static void
note_source_write(Oid source, CommandId cid)
{
	SourceWrite *found = NULL;
	ListCell   *lc;

	foreach(lc, source_writes)
	{
		if (((SourceWrite *) lfirst(lc))->source == source)
			found = lfirst(lc);
	}
	if (found == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		found = palloc0(sizeof(SourceWrite));
		found->source = source;
		source_writes = lappend(source_writes, found);
		MemoryContextSwitchTo(old);
	}
	found->cid = found->lxid == MY_LXID ? Max(found->cid, cid) : cid;
	found->lxid = MY_LXID;
}

/*
 * Tells whether the rows in the transition tables are the source rows as they
 * are now, and notes the statement.
 *
 * A nested statement (in a trigger of the application, in a function that the
 * statement calls) may have changed them again.  It ran under a later command
 * number than this one, and its own capture was before this one.  Parts of one
 * command have the same number, and touch no row twice.  What a foreign key
 * cascades runs under a number of its own and is captured under this one's:
 * then nothing at all may have run in between.
 */
void
source_write_look(Capture *c)
{
	CommandId	cid = GetActiveSnapshot()->curcid;
	ListCell   *lc;

	c->current = c->set->users == 1 &&
		(!c->set->cascades || GetCurrentCommandId(false) == cid);
	foreach(lc, c->set->mappings)
	{
		Oid			source = ((CaptureMapping *) lfirst(lc))->mapping->source;
		SourceWrite *last = find_source_write(source);

		if (last != NULL && last->cid > cid)
			c->current = false;
	}
	foreach(lc, c->set->mappings)
		note_source_write(((CaptureMapping *) lfirst(lc))->mapping->source, cid);
}

/* Has something written the source while its rows were applied? */
bool
source_write_came_between(const Capture *c)
{
	CommandId	cid = GetActiveSnapshot()->curcid;
	ListCell   *lc;

	foreach(lc, c->set->mappings)
	{
		SourceWrite *last = find_source_write(((CaptureMapping *) lfirst(lc))->mapping->source);

		if (last != NULL && last->cid > cid)
			return true;
	}
	return false;
}
