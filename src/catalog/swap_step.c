/*
 * swap_step.c
 *		Rows of migrate_ext.swap_step: what a swap is made of.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/swap_step.h"

/* Runs a SELECT of steps. */
static List *
fetch(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run(sql, args, nargs);
	for (uint64 i = 0; i < n; i++)
	{
		SwapStep   *step = MemoryContextAllocZero(scope.caller, sizeof(SwapStep));
		MemoryContext old;

		step->stage = spi_is_null(i, 1) ? 0 : DatumGetInt32(spi_get_datum(i, 1));
		step->kind = spi_get_text(&scope, i, 2);
		step->subject = spi_get_text(&scope, i, 3);
		step->statement = spi_get_text(&scope, i, 4);
		step->undo = spi_get_text(&scope, i, 5);
		step->essential = spi_get_bool(i, 6);
		step->relation = spi_is_null(i, 7) ? InvalidOid : spi_get_oid(i, 7);
		step->name = spi_get_text(&scope, i, 8);
		step->locked = spi_is_null(i, 9) ? InvalidOid : spi_get_oid(i, 9);
		step->severity = spi_get_text(&scope, i, 10);
		step->problem = spi_get_text(&scope, i, 11);
		step->script = spi_is_null(i, 12) ? NIL : spi_get_texts(&scope, i, 12);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, step);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* The steps for a mapping, one of several whose sources are given, in order; mark: a random text. */
List *
swap_step_plan(int64 mapping_id, List *sources, const char *mark)
{
	List	   *steps;
	ListCell   *lc;

	steps = fetch("SELECT stage, kind, subject, statement, undo, essential, relation, name, locked, severity, problem, script "
				 "FROM migrate_ext.swap_plan($1, $2, $3)",
				 SPI_ARGS(spi_int8(mapping_id), spi_oids(sources), spi_text(mark)));
	foreach(lc, steps)
		((SwapStep *) lfirst(lc))->mark = mark;
	return steps;
}

/* Notes a step that was taken. */
void
swap_step_insert(int64 migration_id, const SwapStep *step)
{
	spi_change("INSERT INTO migrate_ext.swap_step (migration_id, kind, subject, statement, undo, essential, relation, name, locked, script) "
			   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, '{}'))",
			   SPI_ARGS(spi_int8(migration_id), spi_text(step->kind), spi_text(step->subject), spi_text(step->statement),
						spi_text(step->undo), spi_bool(step->essential), spi_oid(REGCLASSOID, step->relation), spi_text(step->name),
						spi_oid(REGCLASSOID, step->locked), spi_texts(step->script)));
}

/* The steps that were taken, the last one first. */
List *
swap_step_list(int64 migration_id)
{
	return fetch("SELECT NULL::int, kind, subject, statement, undo, essential, relation::oid, name, locked::oid, NULL::text, NULL::text, script "
				 "FROM migrate_ext.swap_step WHERE migration_id = $1 ORDER BY swap_step_id DESC", SPI_ARGS(spi_int8(migration_id)));
}

void
swap_step_delete_all(int64 migration_id)
{
	spi_change("DELETE FROM migrate_ext.swap_step WHERE migration_id = $1", SPI_ARGS(spi_int8(migration_id)));
}

/* A table that has not got the name any more that the swap gave to it; InvalidOid if there is none. */
Oid
swap_step_find_renamed(int64 migration_id, char **name)
{
	SpiScope	scope;
	Oid			relid = InvalidOid;

	spi_open_catalog(&scope);
	if (spi_run("SELECT relation::oid, name FROM migrate_ext.swap_step WHERE migration_id = $1 AND kind = 'name' AND name IS NOT NULL "
				"AND relation::text <> name LIMIT 1", SPI_ARGS(spi_int8(migration_id))) > 0)
	{
		relid = spi_get_oid(0, 1);
		*name = spi_get_text(&scope, 0, 2);
	}
	spi_close(&scope);
	return relid;
}
