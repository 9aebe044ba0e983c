/*
 * check.c
 *		migrate_check: what the targets' rows should fulfil; migrate_add_check: queries of
 *		the DBA that must return no row.
 *
 * The latter run as the migration's owner, read only, in a subtransaction that is
 * rolled back.  The gates into shadow and soak ask them.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/event.h"
#include "lifecycle/check.h"
#include "lifecycle/phase.h"

MIGRATE_FUNCTION(migrate_add_check);
MIGRATE_FUNCTION(migrate_check);

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

/* How many rows of a target violate what it should fulfil. */
int64
check_count_violations(const Mapping *m, const ExpectedConstraint *c)
{
	SpiScope	scope;
	int64		n;

	spi_open_owner(&scope, m->owner, m->time_zone);
	spi_read(c->sql, SPI_NO_ARGS);
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}

/* Adds a row of migrate_check's result. */
static void
emit(ReturnSetInfo *rsinfo, const Mapping *m, const char *kind, const char *name, List *columns, int64 violations, bool passed)
{
	Datum		values[6];
	bool		nulls[6] = {m == NULL, false, false, m == NULL, m == NULL, false};

	values[0] = Int64GetDatum(m ? m->id : 0);
	values[1] = CStringGetTextDatum(kind);
	values[2] = CStringGetTextDatum(name);
	values[3] = m ? spi_texts(columns).value : (Datum) 0;
	values[4] = Int64GetDatum(violations);
	values[5] = BoolGetDatum(passed);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * migrate_check(migration text): what the targets should fulfil though nothing
 * enforces it, and the DBA's own checks; how many rows violate each.  Locks:
 * ACCESS SHARE on the targets.
 */
Datum
migrate_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Migration  *g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	List	   *mappings = mapping_list(g->id, MAPPING_FORWARD);
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, mappings)
	{
		const Mapping *m = lfirst(lc);
		ListCell   *lk;

		foreach(lk, constraint_list(m, mappings))
		{
			const ExpectedConstraint *c = lfirst(lk);
			int64		n = check_count_violations(m, c);

			emit(rsinfo, m, c->kind, c->name, c->columns, n, n == 0);
		}
	}
	foreach(lc, custom_check_list(g->id))
	{
		CustomCheck *c = lfirst(lc);
		char	   *measured;

		emit(rsinfo, NULL, "check", c->name, NIL, 0, check_passes(g, c, &measured));
	}
	return (Datum) 0;
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
