/*
 * spi.c
 *		Typed access to SQL: one way in, one way out.
 *
 * A scope is SPI_connect plus an identity.  Within it spi_run executes a
 * statement under the *latest* snapshot, whatever the isolation level of the
 * transaction: the extension's own state, and the target of a dual write, are
 * never read as they were when a REPEATABLE READ transaction began.  spi_read
 * is the exception: it reads under the snapshot that is already active, so
 * that several statements see one and the same state.
 *
 * After an error nothing needs to be closed: the (sub)transaction's abort
 * disconnects SPI and restores user and settings.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/spi.h"

static void
connect_spi(SpiScope *scope)
{
	scope->caller = CurrentMemoryContext;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* Opens a scope for the fixed statements on the extension's own tables. */
void
spi_open_catalog(SpiScope *scope)
{
	connect_spi(scope);
	identity_become_catalog(&scope->identity);
	scope->switched = true;
}

/* Opens a scope that runs as the role of a mapping. */
void
spi_open_owner(SpiScope *scope, Oid owner, const char *time_zone)
{
	connect_spi(scope);
	identity_become_owner(&scope->identity, owner, time_zone);
	scope->switched = true;
}

/* Opens a scope that runs as whoever called the function. */
void
spi_open_caller(SpiScope *scope)
{
	connect_spi(scope);
	scope->switched = false;
}

/* The same, with settings pinned; row security applies to the caller. */
void
spi_open_reader(SpiScope *scope)
{
	connect_spi(scope);
	identity_stay(&scope->identity);
	scope->switched = true;
}

void
spi_close(SpiScope *scope)
{
	if (scope->switched)
		identity_restore(&scope->identity);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	MemoryContextSwitchTo(scope->caller);
}

/* Prepares a statement. */
static SPIPlanPtr
prepare(const char *sql, const SpiArg *args, int nargs)
{
	Oid		   *types = palloc(sizeof(Oid) * Max(nargs, 1));
	SPIPlanPtr	plan;

	for (int i = 0; i < nargs; i++)
		types[i] = args[i].type;
	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* Executes a prepared statement. */
static uint64
execute(SPIPlanPtr plan, const SpiArg *args, int nargs, Snapshot snapshot, bool read_only)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(nargs, 1));
	char	   *nulls = palloc(Max(nargs, 1));
	int			rc;

	for (int i = 0; i < nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].null ? 'n' : ' ';
	}
	rc = SPI_execute_snapshot(plan, values, nulls, snapshot, InvalidSnapshot,
							  read_only, true, 0);
	if (rc < 0)
		elog(ERROR, "could not execute a statement: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* The latest snapshot; in a parallel query, which has one for all and only reads, the active one. */
static Snapshot
latest_snapshot(void)
{
	return IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot();
}

/* Prepares and executes one statement. */
static uint64
execute_once(const char *sql, const SpiArg *args, int nargs, Snapshot snapshot, bool read_only)
{
	SPIPlanPtr	plan = prepare(sql, args, nargs);
	uint64		processed = execute(plan, args, nargs, snapshot, read_only);

	SPI_freeplan(plan);
	return processed;
}

/*
 * Executes a statement under the latest snapshot; returns the number of rows
 * processed.  The result is in SPI_tuptable, read with spi_get_*.
 */
uint64
spi_run(const char *sql, const SpiArg *args, int nargs)
{
	return execute_once(sql, args, nargs, latest_snapshot(), IsInParallelMode());
}

/* Executes a statement that writes, but reads under the active snapshot. */
uint64
spi_run_active(const char *sql, const SpiArg *args, int nargs)
{
	return execute_once(sql, args, nargs, GetActiveSnapshot(), false);
}

/* The plans of fixed statements, by where their text is. */
typedef struct FixedPlan
{
	const char *sql;			/* hash key */
	SPIPlanPtr	plan;
} FixedPlan;

static HTAB *fixed_plans = NULL;

/* The place of a fixed statement's plan. */
static FixedPlan *
find_fixed_plan(const char *sql)
{
	FixedPlan  *entry;
	bool		found;

	if (fixed_plans == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(const char *), .entrysize = sizeof(FixedPlan)};

		fixed_plans = hash_create("migrate_ext fixed plans", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(fixed_plans, &sql, HASH_ENTER, &found);
	if (!found)
		entry->plan = NULL;
	return entry;
}

/*
 * The same for a statement whose text is a constant of ours, and that
 * applications or workers run all the time: its plan is kept for the session.
 */
uint64
spi_run_fixed(const char *sql, const SpiArg *args, int nargs)
{
	FixedPlan  *entry = find_fixed_plan(sql);

	if (entry->plan == NULL)
	{
		SPIPlanPtr	plan = prepare(sql, args, nargs);

		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "could not keep a plan");
		entry->plan = plan;
	}
	return execute(entry->plan, args, nargs, latest_snapshot(), IsInParallelMode());
}

/* A fixed statement on the extension's own tables, in a scope of its own; returns the number of rows. */
uint64
spi_change(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed(sql, args, nargs);
	spi_close(&scope);
	return n;
}

/* Executes a query under the active snapshot, which is not changed. */
uint64
spi_read(const char *sql, const SpiArg *args, int nargs)
{
	Assert(ActiveSnapshotSet());
	return execute_once(sql, args, nargs, InvalidSnapshot, true);
}

bool
spi_is_null(uint64 row, int col)
{
	bool		isnull;

	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, &isnull);
	return isnull;
}

/* A value that lives as long as SPI_tuptable; 0 for null. */
Datum
spi_get_datum(uint64 row, int col)
{
	bool		isnull;
	Datum		d = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? (Datum) 0 : d;
}

int64
spi_get_int8(uint64 row, int col)
{
	return spi_is_null(row, col) ? 0 : DatumGetInt64(spi_get_datum(row, col));
}

Oid
spi_get_oid(uint64 row, int col)
{
	return DatumGetObjectId(spi_get_datum(row, col));
}

bool
spi_get_bool(uint64 row, int col)
{
	return DatumGetBool(spi_get_datum(row, col));
}

/* A value's text form, in the memory context of the scope's caller. */
char *
spi_get_text(const SpiScope *scope, uint64 row, int col)
{
	char	   *s = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);

	return s ? MemoryContextStrdup(scope->caller, s) : NULL;
}

/*
 * A copy of a value, not toasted, in the memory context of the scope's caller;
 * 0 for null.
 */
Datum
spi_get_copy(const SpiScope *scope, uint64 row, int col)
{
	Datum		d = spi_get_datum(row, col);
	int16		typlen;
	bool		typbyval;
	MemoryContext old;

	if (spi_is_null(row, col))
		return (Datum) 0;
	get_typlenbyval(SPI_gettypeid(SPI_tuptable->tupdesc, col), &typlen, &typbyval);
	old = MemoryContextSwitchTo(scope->caller);
	d = typlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(d)) : datumCopy(d, typbyval, typlen);
	MemoryContextSwitchTo(old);
	return d;
}

/* A list of C strings as text[]. */
SpiArg
spi_texts(List *strings)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, strings)
		elems[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return spi_datum(TEXTARRAYOID, PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false, TYPALIGN_INT)), false);
}

/* A list of OIDs as oid[]. */
SpiArg
spi_oids(List *oids)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, oids)
		elems[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	return spi_datum(OIDARRAYOID, PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT)), false);
}

/* The first column of n rows as a jsonb[], in the memory context of the scope's caller. */
ArrayType *
spi_get_jsonbs(const SpiScope *scope, uint64 n)
{
	MemoryContext old = MemoryContextSwitchTo(scope->caller);
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));
	ArrayType  *result;

	for (uint64 i = 0; i < n; i++)
		elems[i] = spi_get_datum(i, 1);
	result = construct_array(elems, n, JSONBOID, -1, false, TYPALIGN_INT);
	pfree(elems);
	MemoryContextSwitchTo(old);
	return result;
}

/* A text[] as a list of C strings, in the memory context of the scope's caller. */
List *
spi_get_texts(const SpiScope *scope, uint64 row, int col)
{
	MemoryContext old = MemoryContextSwitchTo(scope->caller);
	Datum	   *elems;
	int			n;
	List	   *result = NIL;

	deconstruct_array(DatumGetArrayTypeP(spi_get_datum(row, col)), TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend(result, TextDatumGetCString(elems[i]));
	MemoryContextSwitchTo(old);
	return result;
}
