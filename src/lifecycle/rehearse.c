/*
 * rehearse.c
 *		migrate_rehearse: what would happen, tried for real and taken back.
 *
 * A sample of source rows goes through the projection into the real target, with
 * its constraints and triggers, or in place into one like it; then, where a swap
 * makes sense, the swap itself is done and the checks are run.  Either is in a
 * subtransaction that is always rolled back.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/apply_frame.h"
#include "catalog/custom_check.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/check.h"
#include "lifecycle/cutover.h"
#include "lifecycle/phase.h"
#include "lifecycle/swap.h"
#include "projection/projection.h"
#include "projection/reference.h"
#include "verify/sample.h"

/* Keys that are tried at once; those of a batch that fails are tried by halves. */
#define BATCH 500

/* The most rows of a sample. */
#define MAX_ROWS 1000000

/* An error, and for how many rows it came. */
typedef struct ErrorCount
{
	char	   *sqlstate;
	char	   *message;
	int64		rows;
	char	   *key;
} ErrorCount;

/* What a mapping's rehearsal found. */
typedef struct Rehearsal
{
	const Migration *g;
	const Mapping *m;
	int64		sample_rows;
	MemoryContext context;		/* what is found is kept here */
	List	   *statements;
	Datum	   *keys;
	int			from;			/* the keys that are tried */
	int			to;
	int64		tried;
	int64		ok;
	int64		rejected;
	double		seconds;		/* for those that were ok */
	int64		bytes;			/* by which the target grew */
	List	   *errors;			/* of ErrorCount * */
} Rehearsal;

/* Counts an error; its numbers and names make no other kind of error of it. */
static void
count_error(Rehearsal *r, const char *sqlstate, const char *message, const char *key, int64 rows)
{
	MemoryContext old = MemoryContextSwitchTo(r->context);
	ErrorCount *e;
	ListCell   *lc;

	foreach(lc, r->errors)
	{
		e = lfirst(lc);
		if (strcmp(e->sqlstate, sqlstate) == 0 && strcmp(e->message, message) == 0)
		{
			e->rows += rows;
			MemoryContextSwitchTo(old);
			return;
		}
	}
	e = palloc(sizeof(ErrorCount));
	e->sqlstate = pstrdup(sqlstate);
	e->message = pstrdup(message);
	e->rows = rows;
	e->key = key ? pstrdup(key) : NULL;
	r->errors = lappend(r->errors, e);
	MemoryContextSwitchTo(old);
}

/* Work for subxact_try: stores the rows of some keys. */
static void
work_store(void *arg)
{
	Rehearsal  *r = arg;
	ArrayType  *keys = construct_array(&r->keys[r->from], r->to - r->from, JSONBOID, -1, false, TYPALIGN_INT);
	SpiScope	scope;
	ListCell   *lc;

	spi_open_owner(&scope, r->m->owner, r->m->time_zone);
	foreach(lc, r->statements)
		spi_run(lfirst(lc), SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false)));
	spi_close(&scope);
}

/* Tries keys, those of a batch that fails by halves. */
static void
try_keys(Rehearsal *r, int from, int to)
{
	instr_time	start;
	instr_time	elapsed;
	ErrorData  *error;

	if (from >= to)
		return;
	CHECK_FOR_INTERRUPTS();
	r->from = from;
	r->to = to;
	INSTR_TIME_SET_CURRENT(start);
	error = subxact_try(work_store, r);
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	if (error == NULL)
	{
		r->ok += to - from;
		r->seconds += INSTR_TIME_GET_DOUBLE(elapsed);
	}
	else if (to - from == 1)
	{
		r->rejected++;
		count_error(r, error_sqlstate(error), error->message, JsonbToCString(NULL, &DatumGetJsonbP(r->keys[from])->root, 0), 1);
	}
	else
	{
		try_keys(r, from, (from + to) / 2);
		try_keys(r, (from + to) / 2, to);
	}
}

/* Work for own_ddl_run: the target's foreign keys to other targets, whose rows are not there yet. */
static void
work_drop_keys(void *arg)
{
	Rehearsal  *r = arg;
	SpiScope	scope;
	List	   *statements = NIL;
	uint64		n;
	ListCell   *lc;

	spi_open_catalog(&scope);
	n = spi_run("SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint "
				"WHERE conrelid = $1 AND contype = 'f' AND conparentid = 0 AND confrelid IN "
				"(SELECT target FROM migrate_ext.mapping WHERE migration_id = $2 AND direction = 'forward')",
				SPI_ARGS(spi_oid(OIDOID, r->m->target), spi_int8(r->g->id)));
	for (uint64 i = 0; i < n; i++)
		statements = lappend(statements, spi_get_text(&scope, i, 1));
	foreach(lc, statements)
		spi_run(lfirst(lc), SPI_NO_ARGS);
	spi_close(&scope);
}

/* Where rows in place are tried. */
#define STAND_IN "pg_temp.migrate_rehearsal"

/*
 * Work for own_ddl_run: a table like that of a mapping in place.  To try rows where they
 * are would keep the application from writing them until all is rolled back.
 */
static void
work_stand_in(void *arg)
{
	Rehearsal  *r = arg;
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run(psprintf("CREATE TEMPORARY TABLE migrate_rehearsal (LIKE %s INCLUDING ALL)", quote_relation(r->m->target)), SPI_NO_ARGS);
	spi_run(psprintf("GRANT SELECT, INSERT ON " STAND_IN " TO %s", quote_identifier(GetUserNameFromId(r->m->owner, false))), SPI_NO_ARGS);
	spi_close(&scope);
}

static int64
size_of(Oid relid)
{
	SpiScope	scope;
	int64		size;

	spi_open_catalog(&scope);
	spi_run("SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM "
			"(SELECT $1 UNION SELECT relid FROM pg_partition_tree($1)) x (relid)", SPI_ARGS(spi_oid(REGCLASSOID, relid)));
	size = spi_get_int8(0, 1);
	spi_close(&scope);
	return size;
}

/* A sample of one mapping. */
static void
try_sample(void *arg)
{
	Rehearsal  *r = arg;
	int64		size;
	int			n;
	Oid			into = r->m->target;

	PushActiveSnapshot(GetLatestSnapshot());
	deconstruct_array(sample_strata(r->m, r->sample_rows), JSONBOID, -1, false, TYPALIGN_INT, &r->keys, NULL, &n);
	PopActiveSnapshot();
	r->tried = Min(n, r->sample_rows);
	if (mapping_is_in_place(r->m))
	{
		r->statements = list_make1(projection_insert_images(r->m, STAND_IN));
		own_ddl_run(work_stand_in, r);
		into = get_relname_relid("migrate_rehearsal", LookupExplicitNamespace("pg_temp", false));
	}
	else
	{
		r->statements = ref_is_multiset(r->m) ? projection_settle_rows(r->m) : projection_upsert_keys(r->m);
		own_ddl_run(work_drop_keys, r);
	}
	spi_change("SET CONSTRAINTS ALL IMMEDIATE", SPI_NO_ARGS);
	size = size_of(into);
	for (int i = 0; i < r->tried; i += BATCH)
		try_keys(r, i, Min(i + BATCH, r->tried));
	r->bytes = size_of(into) - size;
}

/* Work for subxact_probe: the same as a write of the migration, which gives new keys out. */
static void
work_sample(void *arg)
{
	Rehearsal  *r = arg;
	ApplyFrame	frame;

	apply_begin(&frame, r->g->id, MAPPING_FORWARD);
	PG_TRY();
	{
		try_sample(arg);
	}
	PG_FINALLY();
	{
		apply_end(&frame);
	}
	PG_END_TRY();
}

/* The swap, as far as it goes. */
typedef struct SwapRehearsal
{
	Rehearsal	found;
	Migration  *g;
	double		locked_ms;
} SwapRehearsal;

/* Work for subxact_probe: the swap, and the checks after it. */
static void
work_swap(void *arg)
{
	SwapRehearsal *s = arg;
	List	   *steps;
	ListCell   *lc;

	steps = swap_prepare(s->g);
	cutover_lock(s->g, true, swap_locked(steps));
	(void) swap_do(s->g, steps);
	s->locked_ms = cutover_elapsed_ms();
	foreach(lc, custom_check_list(s->g->id))
	{
		CustomCheck *c = lfirst(lc);
		char	   *measured;

		if (!check_passes(s->g, c, &measured))
			count_error(&s->found, "check", psprintf("check %s %s", quote_identifier(c->name), measured), NULL, 1);
	}
}

/* Errors as jsonb. */
static Datum
errors_as_json(List *errors)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	foreach(lc, errors)
	{
		ErrorCount *e = lfirst(lc);

		appendStringInfoString(&buf, buf.len > 1 ? ", {\"sqlstate\": " : "{\"sqlstate\": ");
		escape_json(&buf, e->sqlstate);
		appendStringInfoString(&buf, ", \"message\": ");
		escape_json(&buf, e->message);
		appendStringInfo(&buf, ", \"rows\": %lld", (long long) e->rows);
		if (e->key != NULL)
			appendStringInfo(&buf, ", \"for_example\": %s", e->key);
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoChar(&buf, ']');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

static Datum
interval_of(double seconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = (int64) (seconds * USECS_PER_SEC);
	return IntervalPGetDatum(interval);
}

/* How long a copy of the mapping takes at that rate; 0 if nobody knows. */
static double
estimated_seconds(const Rehearsal *r)
{
	double		rows = sample_estimated_rows(r->m->source);

	return r->seconds > 0 && r->ok > 0 && rows > 0 ? rows * r->seconds / r->ok : 0;
}

/* By how much the target grows by all rows, as by those that were stored; negative if nobody knows. */
static double
estimated_bytes(const Rehearsal *r)
{
	double		rows = sample_estimated_rows(r->m->source);

	return r->ok > 0 && rows >= 0 ? r->bytes * (rows / r->ok) : -1;
}

/* What a mapping's rehearsal has come to, for the audit and the report: "{...}". */
static char *
describe(const Rehearsal *r)
{
	double		bytes = estimated_bytes(r);

	return psprintf("{\"mapping\": %lld, \"rows_tried\": %lld, \"rows_rejected\": %lld, \"estimated_seconds\": %s, \"estimated_bytes\": %s}",
					(long long) r->m->id, (long long) r->tried, (long long) r->rejected,
					estimated_seconds(r) > 0 ? psprintf("%.3f", estimated_seconds(r)) : "null", bytes >= 0 ? psprintf("%.0f", bytes) : "null");
}

/* A row of the result for a mapping. */
static void
emit_mapping(ReturnSetInfo *rsinfo, const Rehearsal *r)
{
	double		rows = sample_estimated_rows(r->m->source);
	double		rate = r->seconds > 0 ? r->ok / r->seconds : 0;
	bool		nulls[8] = {false, false, false, false, rate == 0, rate == 0 || rows < 0, r->ok == 0 || rows < 0, false};
	Datum		values[8];

	values[0] = Int64GetDatum(r->m->id);
	values[1] = Int64GetDatum(r->tried);
	values[2] = Int64GetDatum(r->ok);
	values[3] = Int64GetDatum(r->rejected);
	values[4] = Float8GetDatum(rate);
	values[5] = nulls[5] ? (Datum) 0 : interval_of(rows / rate);
	values[6] = nulls[6] ? (Datum) 0 : Int64GetDatum((int64) estimated_bytes(r));
	values[7] = errors_as_json(r->errors);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The row of the swap: no mapping, and how long the application would have been blocked. */
static bool
rehearse_swap(Migration *g, ReturnSetInfo *rsinfo)
{
	SwapRehearsal s = {{g}, g};
	bool		nulls[8] = {true, true, true, true, true, false, true, false};
	Datum		values[8] = {0};
	ErrorData  *error;
	ListCell   *lc;

	s.found.context = CurrentMemoryContext;
	foreach(lc, assess_swap(g))
	{
		Finding    *f = lfirst(lc);

		if (strcmp(f->severity, "blocker") == 0)
			count_error(&s.found, "blocker", psprintf("%s: %s", f->subject, f->finding), NULL, 1);
	}
	error = subxact_probe(work_swap, &s);
	if (error != NULL)
		count_error(&s.found, error_sqlstate(error), error->message, NULL, 1);
	values[5] = interval_of(s.locked_ms / 1000);
	values[7] = errors_as_json(s.found.errors);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return s.found.errors == NIL;
}

MIGRATE_FUNCTION(migrate_rehearse);

/*
 * migrate_rehearse(migration text, sample_rows bigint): a row per mapping, before
 * the start; and one without a mapping for a swap, where it makes sense.
 *
 * Locks: the targets' foreign keys to each other are dropped for the sample, which locks
 * the targets in ACCESS EXCLUSIVE mode; the swap locks both sides as a cutover does,
 * until it is rolled back.
 */
Datum
migrate_rehearse(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Migration  *g;
	int64		n;
	bool		passed = true;
	int64		tried = 0;
	int64		rejected = 0;
	double		seconds = 0;
	StringInfoData mappings;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	initStringInfo(&mappings);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration and sample_rows must not be null")));
	g = migration_lock(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	n = PG_GETARG_INT64(1);
	if (n < 1 || n > MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample_rows must lie between 1 and %d", MAX_ROWS)));
	phase_require(g, "migrate_rehearse", PHASES("planned", "rolled_back", "dual_write", "backfill", "shadow"));
	foreach(lc, migration_is_capturing(g) ? NIL : mapping_list(g->id, MAPPING_FORWARD))
	{
		Rehearsal	r = {g, lfirst(lc), n, CurrentMemoryContext};
		ErrorData  *error = subxact_probe(work_sample, &r);

		if (error != NULL)
			count_error(&r, error_sqlstate(error), error->message, NULL, 0);
		emit_mapping(rsinfo, &r);
		passed = passed && r.errors == NIL;
		tried += r.tried;
		rejected += r.rejected;
		seconds += estimated_seconds(&r);
		appendStringInfo(&mappings, "%s%s", mappings.len ? ", " : "", describe(&r));
	}
	if (swap_obstacle(g) == NULL)
		passed = rehearse_swap(g, rsinfo) && passed;
	event_record(g, "rehearsed", NULL, psprintf("{\"passed\": %s, \"rows_tried\": %lld, \"rows_rejected\": %lld%s}",
												passed ? "true" : "false", (long long) tried, (long long) rejected,
												mappings.len == 0 ? "" : psprintf("%s, \"mappings\": [%s]",
																				  seconds >= 1 ? psprintf(", \"estimated_seconds\": %.0f", seconds) : "", mappings.data)), NULL);
	PG_RETURN_NULL();
}
