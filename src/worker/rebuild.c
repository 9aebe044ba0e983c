/*
 * rebuild.c
 *		A worker that makes the indexes and foreign keys again that were put off, and
 *		what a swap has left to it.
 *
 * CREATE INDEX CONCURRENTLY commits several times, so it can only be run by
 * itself: by a worker of its own, which whoever wants the objects back starts and
 * waits for.  The dual writes go on meanwhile.  A foreign key is added without looking
 * at the rows, under a lock that is held for a moment, and validated afterwards,
 * which blocks nobody.
 *
 * What was begun and not finished, by a crash for example, is found in the
 * server's catalog: an invalid index is dropped and built anew, a key that is
 * there is only validated.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/stashed_object.h"
#include "copy/sync_pass.h"
#include "lifecycle/stash.h"
#include "worker/launch.h"
#include "worker/main.h"
#include "worker/rebuild.h"

/* Milliseconds between two tries of what met the application. */
#define RETRY_MS 200

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit(void)
{
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}

/* Runs a utility statement by itself, as if a client had sent it; not in a transaction. */
static void
run_alone(const char *sql)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "migrate_ext statement", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	PlannedStmt *statement;

	begin();
	old = MemoryContextSwitchTo(context);	/* it outlives the commits within */
	statement = makeNode(PlannedStmt);
	statement->commandType = CMD_UTILITY;
	statement->canSetTag = true;
	statement->utilityStmt = linitial_node(RawStmt, pg_parse_query(sql))->stmt;
	debug_query_string = sql;
	ProcessUtility(statement, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, NULL);
	debug_query_string = NULL;
	MemoryContextSwitchTo(old);
	commit();
	MemoryContextDelete(context);
}

/* The first row of a query on the server's catalog has a column that is true; false if there is none. */
static bool
ask(const char *sql, const StashedObject *o, bool *value)
{
	SpiScope	scope;
	bool		found;

	begin();
	spi_open_catalog(&scope);
	found = spi_run(sql, SPI_ARGS(spi_oid(OIDOID, o->relation), spi_text(o->name))) > 0;
	*value = found && spi_get_bool(0, 1);
	spi_close(&scope);
	commit();
	return found;
}

/* Sets a parameter of this session. */
static void
set(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
}

/* Runs the statements that belong to an object, and strikes it off the list. */
static void
finish(const StashedObject *o)
{
	ListCell   *lc;

	foreach(lc, o->settings)
		run_alone(lfirst(lc));
	begin();
	stashed_object_restored(o->id);
	commit();
}

/* Builds an index, without keeping anybody from writing. */
static void
rebuild_index(const StashedObject *o)
{
	static const char *const prefix = "CREATE INDEX ";
	bool		valid;

	if (ask("SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND c.relname = $2",
			o, &valid) && !valid)
	{
		char	   *name;

		begin();
		name = MemoryContextStrdup(TopMemoryContext, quote_qualified_identifier(get_namespace_name(get_rel_namespace(o->relation)), o->name));
		commit();
		run_alone(psprintf("DROP INDEX CONCURRENTLY %s", name));
		pfree(name);
	}
	else if (valid)
		return;
	if (strncmp(o->definition, prefix, strlen(prefix)) != 0)
		elog(ERROR, "unexpected definition of an index: %s", o->definition);
	set("default_tablespace", o->tablespace);
	run_alone(psprintf("CREATE INDEX CONCURRENTLY %s", o->definition + strlen(prefix)));
}

/* Is the constraint there, and validated?  Another one may have taken a foreign key's name. */
#define ASK_CONSTRAINT "SELECT convalidated FROM pg_constraint WHERE conrelid = $1 AND conname = $2"
#define ASK_FOREIGN_KEY ASK_CONSTRAINT " AND contype = 'f'"

/* Adds a foreign key for new rows, if it is to be added, then looks at the old ones. */
static void
rebuild_foreign_key(const StashedObject *o, const char *lock_timeout)
{
	bool		validated;
	bool		only_validate = strcmp(o->kind, STASH_VALIDATION) == 0;
	char	   *relation;

	begin();
	relation = MemoryContextStrdup(TopMemoryContext, quote_relation(o->relation));
	commit();
	if (!ask(only_validate ? ASK_CONSTRAINT : ASK_FOREIGN_KEY, o, &validated))
	{
		if (only_validate)
			return;				/* it was dropped since */
		set("lock_timeout", lock_timeout);
		run_alone(psprintf("ALTER TABLE %s ADD CONSTRAINT %s %s NOT VALID", relation, quote_identifier(o->name), o->definition));
		set("lock_timeout", "0");
	}
	if (!validated)
		run_alone(psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", relation, quote_identifier(o->name)));
	pfree(relation);
}

/*
 * Makes a materialized view again: beside the old one, whose place it takes at the
 * end of the transaction.  The query is run by REFRESH, as the view's owner.
 */
static void
rebuild_matview(const StashedObject *o, const char *lock_timeout)
{
	SpiScope	scope;
	ListCell   *lc;

	begin();
	set("lock_timeout", lock_timeout);
	spi_open_catalog(&scope);
	spi_run("SET LOCAL row_security = on", SPI_NO_ARGS);	/* its owner sees what policies let it see */
	foreach(lc, o->settings)
		spi_run(lfirst(lc), SPI_NO_ARGS);
	spi_close(&scope);
	stashed_object_restored(o->id);
	commit();
	set("lock_timeout", "0");
}

/* Makes one object again. */
static void
rebuild(const StashedObject *o, const char *lock_timeout)
{
	if (strcmp(o->kind, STASH_MATVIEW) == 0)
	{
		rebuild_matview(o, lock_timeout);
		return;
	}
	if (strcmp(o->kind, STASH_INDEX) == 0)
		rebuild_index(o);
	else
		rebuild_foreign_key(o, lock_timeout);
	finish(o);
}

/* A foreign key that found a row without parent while dual writes of the migration may have failed. */
typedef struct Orphan
{
	int64		object;			/* its number; 0: none yet */
	bool		settled;		/* have the keys been settled that were dirty then? */
	int64		failed;			/* how many could not be, in the last pass */
} Orphan;

/*
 * Settles the keys that are dirty now.  Between one foreign key and the next a row may have been
 * stored whose parent, refused by the first key, is still in the queue.  False if another pass is needed:
 * others were in the way, or rows were settled after those that name them.
 */
static bool
settle_keys(int64 migration_id, Orphan *orphan)
{
	SyncPass	pass;
	bool		more = true;

	sync_pass_begin(&pass, false);
	while (more)
	{
		Migration  *g;
		SyncResult	result = {0};

		CHECK_FOR_INTERRUPTS();
		begin();
		g = identity_catalog_exists() ? migration_get_by_id(migration_id) : NULL;
		more = g != NULL && migration_is_capturing(g) && !migration_is_switched(g) &&
			sync_pass_step(g, mapping_list(g->id, MAPPING_FORWARD), &pass, &result);
		commit();
	}
	more = pass.total.settled > 0 && pass.total.failed > 0 && pass.total.failed < orphan->failed;
	orphan->failed = pass.total.failed;
	return !more && pass.total.busy == 0 && pass.total.parked == 0 && pass.total.expanded == 0 && !pass.total.halted;
}

/* Is it to be tried again?  Notes what is to be done before. */
static bool
may_pass_later(const StashedObject *o, const ErrorData *error, Orphan *orphan)
{
	if (error_is_transient(error))
		return true;
	if (error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION || orphan->object == o->id)
		return false;
	orphan->object = o->id;
	orphan->settled = false;
	orphan->failed = PG_INT64_MAX;
	return true;
}

/* Makes one object again, or notes why it cannot be; false if it is to be tried again. */
static bool
rebuild_or_note(const StashedObject *o, int64 migration_id, const char *lock_timeout, Orphan *orphan)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = true;

	PG_TRY();
	{
		if (orphan->object == o->id && !orphan->settled)
			done = orphan->settled = settle_keys(migration_id, orphan);
		if (done)
			rebuild(o, lock_timeout);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		debug_query_string = NULL;
		RESUME_INTERRUPTS();
		set("lock_timeout", "0");
		if (error_must_propagate(error))
			proc_exit(0);
		done = !may_pass_later(o, error, orphan);
		if (done)
		{
			begin();
			if (identity_catalog_exists())
				stashed_object_failed(o->id, error_sqlstate(error), error->message);
			commit();
		}
	}
	PG_END_TRY();
	return done;
}

/* The next object to be made again, in the caller's memory context; NULL if there is none. */
static StashedObject *
next_object(int64 migration_id, char **lock_timeout, char **showing)
{
	MemoryContext context = CurrentMemoryContext;
	StashedObject *result = NULL;
	Migration  *g;
	List	   *objects;

	begin();
	MemoryContextSwitchTo(context);
	g = identity_catalog_exists() ? migration_get_by_id(migration_id) : NULL;
	objects = g ? stashed_object_list(migration_id) : NIL;
	for (int i = 0; i < list_length(objects) && result == NULL; i++)
	{
		StashedObject *o = list_nth(objects, i);

		if (o->error == NULL)
			result = o;
	}
	if (result != NULL)
	{
		*lock_timeout = setting_text(g->settings, "lock_timeout");
		*showing = psprintf("migrate_ext %s: rebuilding %s %s", g->name, result->kind, quote_identifier(result->name));
	}
	commit();
	MemoryContextSwitchTo(context);
	return result;
}

PGDLLEXPORT void migrate_worker_rebuild(Datum arg);

/* Entry point of the worker. */
void
migrate_worker_rebuild(Datum arg)
{
	WorkerArgs	args;
	MemoryContext context;
	Orphan		orphan = {0};

	worker_connect(&args);
	StartTransactionCommand();
	launch_hold_rebuild(args.migration_id);
	CommitTransactionCommand();
	worker_wait_for_launcher(args.launcher);
	set("search_path", "pg_catalog, pg_temp");
	set("lock_timeout", "0");	/* CREATE INDEX CONCURRENTLY waits for others, who do not wait for it */
	context = AllocSetContextCreate(TopMemoryContext, "migrate_ext rebuild", ALLOCSET_SMALL_SIZES);
	for (;;)
	{
		StashedObject *o;
		char	   *lock_timeout;
		char	   *showing;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		CHECK_FOR_INTERRUPTS();
		o = next_object(args.migration_id, &lock_timeout, &showing);
		if (o == NULL)
			break;
		pgstat_report_activity(STATE_RUNNING, showing);
		if (rebuild_or_note(o, args.migration_id, lock_timeout, &orphan))
			continue;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

/*
 * Starts the worker, if there is anything to be made again and it does not run.
 * False if no slot is free.
 */
bool
rebuild_ensure(const Migration *g)
{
	if (stashed_object_count(g->id) == 0 || launch_rebuild_is_running(g->id))
		return true;
	return launch_rebuild(g);
}

/* The same where the caller is right without it. */
static void
rebuild_or_warn(const Migration *g)
{
	stashed_object_clear_errors(g->id);
	if (!rebuild_ensure(g))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker could be started to rebuild what was deferred for migration \"%s\"", g->name),
				 errhint("Call migrate_resume when a slot of max_worker_processes is free.")));
}

void
rebuild_init(void)
{
	stash_rebuild_hook = rebuild_or_warn;
}
