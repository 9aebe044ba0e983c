/*
 * check.c
 *		migrate_add_check: queries of the DBA that must return no row.
 *
 * They run as the migration's owner, read only, in a subtransaction that is
 * rolled back.  The gates into shadow and soak ask them.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/event.h"
#include "lifecycle/check.h"
#include "lifecycle/phase.h"

MIGRATE_FUNCTION(migrate_add_check);

/* A check at work. */
typedef struct CheckRun
{
	const Migration *g;
	const char *query;
	bool		prepare_only;
	bool		found;			/* result: a row */
} CheckRun;

/* Work for subxact_probe. */
static void
work_run(void *arg)
{
	CheckRun   *run = arg;
	SpiScope	scope;
	SPIPlanPtr	plan;

	spi_open_owner(&scope, run->g->owner, run->g->time_zone);
	plan = SPI_prepare(run->query, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a check must be one query that returns rows")));
	if (!run->prepare_only)
	{
		int			rc = SPI_execute_plan(plan, NULL, NULL, true, 1);

		if (rc < 0)
			elog(ERROR, "could not run a check: %s", SPI_result_code_string(rc));
		run->found = SPI_processed > 0;
	}
	spi_close(&scope);
}

/* Does a check return no row?  measured says what it did. */
bool
check_passes(const Migration *g, const CustomCheck *c, char **measured)
{
	CheckRun	run = {g, c->query};
	ErrorData  *error = subxact_probe(work_run, &run);

	*measured = error != NULL ? psprintf("error: %s", error->message) : run.found ? "returns rows" : "no row";
	return error == NULL && !run.found;
}

/*
 * migrate_add_check(migration text, name text, query text) RETURNS bigint: the
 * check's id.  One of the same name is replaced.
 */
Datum
migrate_add_check(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"migration", "name", "query"};
	Migration  *g;
	CheckRun	run = {NULL};
	ErrorData  *error;
	char	   *name;
	int64		id;

	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i])));
	}
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (name[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"name\" must not be empty")));
	run.g = g;
	run.query = text_to_cstring(PG_GETARG_TEXT_PP(2));
	run.prepare_only = true;
	error = subxact_probe(work_run, &run);
	if (error != NULL)
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("check \"%s\" cannot be run: %s", name, error->message),
				 errhint("It runs as role \"%s\" with search_path pg_catalog: qualify the names of tables and functions.",
						 GetUserNameFromId(g->owner, true))));
	id = custom_check_put(g->id, name, run.query);
	event_record(g, "check", NULL, NULL, psprintf("%s: %s", name, run.query));
	PG_RETURN_INT64(id);
}
