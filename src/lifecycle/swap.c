/*
 * swap.c
 *		Cutover by swap: a target takes its source's name and place.
 *
 * What has to be done is a list of statements, each with the one that takes it
 * back, written by migrate_ext.swap_plan (sql/swap.sql).  What was done is kept
 * in migrate_ext.swap_step, and a rollback undoes it in reverse.
 *
 * A step names relations by their OIDs, and the name is filled in when it is
 * run; but the text of a view or a trigger names them by their names, which by
 * then belong to the other table: that is how it comes to mean that one.  In a
 * plan a relation's name is a random mark with its OID.
 *
 * The extension's owner runs the statements.  They contain nothing that was not
 * in the server's catalog, and give no object to anybody who has not got it.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/mapping.h"
#include "catalog/mapping_column.h"
#include "catalog/stashed_object.h"
#include "lifecycle/lock.h"
#include "lifecycle/restate.h"
#include "lifecycle/retire.h"
#include "lifecycle/swap.h"

/* Random bytes of the mark that stands before a relation's OID: see migrate_ext.named. */
#define MARK_BYTES 16

/* The mappings whose two sides are exchanged: those in place have but one. */
static List *
list_mappings(const Migration *g)
{
	return mapping_select(mapping_list(g->id, MAPPING_FORWARD), false);
}

/* Why a swap makes no sense; NULL if it does. */
char *
swap_obstacle(const Migration *g)
{
	List	   *mappings = list_mappings(g);
	List	   *seen = NIL;
	ListCell   *lc;

	if (mappings == NIL)
		return "it maps tables to themselves only: there are no names to exchange";
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		if (!mapping_relation_exists(m->source) || !mapping_relation_exists(m->target))
			return "a table is gone";
		if (list_member_oid(seen, m->source))
			return psprintf("%s has several targets, and its name can go to one only", name_relation(m->source));
		if (list_member_oid(seen, m->target))
			return psprintf("%s has several sources, and can take the name of one only", name_relation(m->target));
		seen = lappend_oid(lappend_oid(seen, m->source), m->target);
	}
	return NULL;
}

/* Both sides of all mappings. */
List *
swap_relations(const Migration *g)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, list_mappings(g))
	{
		relids = list_append_unique_oid(relids, ((Mapping *) lfirst(lc))->source);
		relids = list_append_unique_oid(relids, ((Mapping *) lfirst(lc))->target);
	}
	return relids;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Is the step in the list?  A view of two sources is found with both. */
static bool
has_step(List *steps, const SwapStep *wanted)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		SwapStep   *step = lfirst(lc);

		if (step->stage == wanted->stage && strcmp(step->kind, wanted->kind) == 0 &&
			strcmp(step->subject, wanted->subject) == 0 && same_text(step->statement, wanted->statement) &&
			same_text(step->undo, wanted->undo) && same_text(step->problem, wanted->problem))
			return true;
	}
	return false;
}

/* What a swap would do, in order, and what it could not. */
List *
swap_plan(const Migration *g)
{
	List	   *all = NIL;
	List	   *sources = NIL;
	List	   *sorted = NIL;
	List	   *mappings = list_mappings(g);
	uint8		random[MARK_BYTES];
	char	   *mark = palloc0(2 * MARK_BYTES + 1);
	ListCell   *lc;

	if (!pg_strong_random(random, MARK_BYTES))
		elog(ERROR, "could not generate random values");
	hex_encode((char *) random, MARK_BYTES, mark);
	foreach(lc, mappings)
		sources = lappend_oid(sources, ((Mapping *) lfirst(lc))->source);
	foreach(lc, mappings)
		all = list_concat(all, swap_step_plan(((Mapping *) lfirst(lc))->id, sources, mark));
	for (int stage = SWAP_BEFORE; stage <= SWAP_STAYS; stage++)
	{
		foreach(lc, all)
		{
			SwapStep   *step = lfirst(lc);

			if (step->stage == stage && !has_step(sorted, step))
				sorted = lappend(sorted, step);
		}
	}
	return sorted;
}

/*
 * The steps of a swap that is to be done.  They are planned before the application
 * is kept out; from here on nobody changes the tables' definitions.
 */
List *
swap_prepare(const Migration *g)
{
	List	   *relids = swap_relations(g);
	ListCell   *lc;

	foreach(lc, relids)
		identity_require_relation_owner(lfirst_oid(lc));	/* it may have changed since it was mapped */
	lock_relations(g, relids, ShareUpdateExclusiveLock, NIL);
	return swap_plan(g);
}

/* What has to be locked besides the two sides. */
List *
swap_locked(List *steps)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		SwapStep   *step = lfirst(lc);

		if (OidIsValid(step->locked) && mapping_relation_exists(step->locked))
			relids = list_append_unique_oid(relids, step->locked);
	}
	return relids;
}

/* "view public.v". */
char *
swap_describe(const SwapStep *step)
{
	return psprintf("%s %s", step->kind, step->subject);
}

/*
 * The text with the names that relations have now.  The mark is random: whatever
 * a definition contains, nobody could have written it there.
 */
static char *
fill_in_names(const char *text, const char *mark)
{
	StringInfoData buf;
	const char *p = text;
	const char *found;

	initStringInfo(&buf);
	while (mark != NULL && (found = strstr(p, mark)) != NULL)
	{
		char	   *end;
		Oid			relid = strtoul(found + strlen(mark), &end, 10);

		appendBinaryStringInfo(&buf, p, found - p);
		appendStringInfoString(&buf, quote_relation(relid));
		p = end + 1;			/* behind the semicolon */
	}
	appendStringInfoString(&buf, p);
	return buf.data;
}

/* What the DBA would have to run for something that cannot be moved. */
char *
swap_advice(const SwapStep *step)
{
	if (step->script != NIL)
		return psprintf("The worker runs: %s, and so on.", (char *) linitial(step->script));
	if (step->statement == NULL)
		return "Change it before the cutover, or cut over with method switch.";
	return psprintf(strcmp(step->severity, "blocker") == 0 ? "Change or drop it before the cutover, which would run: %s" :
					"The cutover runs: %s", fill_in_names(step->statement, step->mark));
}

/* Adds which step an error is about. */
static void
add_context(void *arg)
{
	errcontext("swap: %s", swap_describe(arg));
}

/* Runs one statement of a step. */
static void
run(const SwapStep *step, const char *statement)
{
	ErrorContextCallback callback = {error_context_stack, add_context, unconstify(SwapStep *, step)};
	SpiScope	scope;

	error_context_stack = &callback;
	spi_open_catalog(&scope);
	spi_run(statement, SPI_NO_ARGS);
	spi_close(&scope);
	error_context_stack = callback.previous;
}

/*
 * What a worker does when the lock is gone: a constraint that was validated is
 * to be so again, a materialized view is made again.
 */
static void
want_worker(const Migration *g, const SwapStep *step)
{
	StashedObject o = {0};

	if (!OidIsValid(step->relation) || !mapping_relation_exists(step->relation) ||
		(step->script == NIL && strcmp(step->kind, "foreign key") != 0 && strcmp(step->kind, "not null") != 0))
		return;
	o.kind = step->script ? STASH_MATVIEW : STASH_VALIDATION;
	o.relation = step->relation;
	o.name = step->script ? step->subject : step->name;
	o.definition = step->script ? linitial(step->script) : step->statement ? step->statement : "";
	o.settings = step->script;
	o.tablespace = "";
	stashed_object_insert(g->id, &o);
}

typedef struct Swap
{
	const Migration *g;
	List	   *steps;
	int			done;
	int			failed;
} Swap;

static void
work_do(void *arg)
{
	Swap	   *swap = arg;
	ListCell   *lc;

	foreach(lc, swap->steps)
	{
		SwapStep   *step = lfirst(lc);

		if (step->stage == SWAP_STAYS || (step->severity != NULL && strcmp(step->severity, "blocker") == 0))
			continue;
		if (step->statement != NULL)
		{
			step->statement = fill_in_names(step->statement, step->mark);
			run(step, step->statement);
			swap->done++;
		}
		if (step->undo != NULL)
			step->undo = fill_in_names(step->undo, step->mark);
		swap_step_insert(swap->g->id, step);
		if (step->stage == SWAP_AFTER)
			want_worker(swap->g, step);
	}
}

/*
 * Takes the steps of a plan, but for what cannot be moved; returns how many.
 * The caller has locked both sides and swap_locked.
 */
int
swap_do(const Migration *g, List *steps)
{
	Swap		swap = {g, steps};
	List	   *expressions = restate_read();

	own_ddl_run(work_do, &swap);
	restate_write(expressions);
	return swap.done;
}

/* Raises for a table that lost the name it got by the swap: the way back goes by names. */
void
swap_check_names(const Migration *g)
{
	char	   *name;
	Oid			relid = swap_step_find_renamed(g->id, &name);

	if (OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was called %s by the cutover of migration \"%s\"", name_relation(relid), name, g->name),
				 errhint("Give it that name again: the way back goes by names.")));
}

/* Work for subxact_try. */
static void
work_undo_one(void *arg)
{
	SwapStep   *step = arg;

	run(step, step->undo);
}

/* One step back.  What the DBA has removed since is not needed. */
static void
undo_one(Swap *swap, SwapStep *step)
{
	ErrorData  *error;

	if (step->undo == NULL || (OidIsValid(step->locked) && !mapping_relation_exists(step->locked)))
		return;
	if (step->essential)
		run(step, step->undo);
	else if ((error = subxact_try(work_undo_one, step)) != NULL)
	{
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not take back: %s", swap_describe(step)),
				 errdetail("%s", error->message),
				 errhint("The statement was: %s", step->undo)));
		swap->failed++;
	}
}

static void
work_undo(void *arg)
{
	Swap	   *swap = arg;
	ListCell   *lc;

	foreach(lc, swap->steps)
	{
		SwapStep   *step = lfirst(lc);

		undo_one(swap, step);
		if (step->script != NIL || (step->statement != NULL && step->undo != NULL && strstr(step->statement, " DROP CONSTRAINT ") != NULL))
			want_worker(swap->g, step);
	}
}

/*
 * Takes back what swap_do did, given the steps that were kept; returns how many could not be,
 * each with a warning.  The caller has locked both sides and swap_locked.
 */
int
swap_undo(const Migration *g, List *steps)
{
	Swap		swap = {g, steps};
	List	   *expressions;

	if (steps == NIL)
		return 0;
	swap_check_names(g);
	expressions = restate_read();
	own_ddl_run(work_undo, &swap);
	restate_write(expressions);
	swap_step_delete_all(g->id);
	return swap.failed;
}

/* After a rollback nothing writes the targets any more: says what still reads them. */
void
swap_warn_about_dependents(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, list_mappings(g))
	{
		Mapping    *m = lfirst(lc);
		char	   *found = retire_find_dependents(g, m->target);

		if (found != NULL)
			ereport(WARNING,
					(errmsg("%s is not written any more, but is still used by: %s", name_relation(m->target), found),
					 errhint("Point them at %s.", name_relation(m->source))));
	}
}
