/*
 * verify.c
 *		migrate_verify: proves that target and source are equal, or names the
 *		keys that differ.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/setting.h"
#include "catalog/dirty_key.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "catalog/old_side.h"
#include "verify/compare.h"
#include "verify/sample.h"
#include "verify/verify.h"

/* What fits into one array of keys. */
#define MAX_SAMPLE_ROWS 10000000

VerifiedHook verified_hook = NULL;
VerifyRangesHook verify_ranges_hook = NULL;

/* How a migration's sides are compared. */
void
verify_options(const Migration *g, CompareOptions *options)
{
	options->cells = setting_int(g->settings, "sketch_cells");
	options->max_divergences = setting_int(g->settings, "max_divergences");
	options->values = setting_bool(g->settings, "store_values");
}

/* Stores what a comparison found. */
void
verify_store(Comparison *c)
{
	verification_insert(&c->totals);
	divergence_insert(c->totals.id, c->totals.mapping_id, c->divergences, c->ndivergences);
}

/* Adds a row of migrate_verify's result. */
static void
emit(ReturnSetInfo *rsinfo, const Verification *v)
{
	Datum		values[14];
	bool		nulls[14] = {false};
	int			i = 0;

	values[i++] = Int64GetDatum(v->mapping_id);
	values[i++] = Int64GetDatum(v->source_rows);
	values[i++] = Int64GetDatum(v->target_rows);
	values[i++] = Int64GetDatum(v->filtered);
	values[i++] = Int64GetDatum(v->rejected);
	values[i++] = Int64GetDatum(v->deduplicated);
	values[i++] = Int64GetDatum(v->pending);
	values[i++] = Int64GetDatum(v->missing);
	values[i++] = Int64GetDatum(v->extra);
	values[i++] = Int64GetDatum(v->different);
	values[i++] = BoolGetDatum(v->checksum_match);
	values[i] = LSNGetDatum(v->lsn);
	nulls[i++] = !v->has_lsn;
	values[i++] = IntervalPGetDatum(&v->elapsed);
	values[i++] = Int64GetDatum(v->expanded);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Compares all mappings that carry writes now, in one snapshot; stores it all.
 * With a number of rows, only these, and at random.
 */
static bool
verify_now(const Migration *g, int64 sample_rows, ReturnSetInfo *rsinfo)
{
	List	   *mappings = mapping_list(g->id, migration_is_switched(g));
	Comparison *results = palloc0(sizeof(Comparison) * Max(list_length(mappings), 1));
	CompareOptions options;
	bool		clean = mappings != NIL;
	int			n = 0;
	ListCell   *lc;

	old_side_look(g);
	verify_options(g, &options);
	foreach(lc, mappings)
		compare_keep_still(lfirst(lc));
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, mappings)
	{
		if (sample_rows > 0)
			sample_compare(lfirst(lc), &options, sample_rows, &results[n++]);
		else
			compare_all(lfirst(lc), &options, &results[n++]);
	}
	PopActiveSnapshot();
	for (int i = 0; i < n; i++)
	{
		verify_store(&results[i]);
		emit(rsinfo, &results[i].totals);
		clean = clean && results[i].totals.clean;
	}
	old_side_skip(g);
	return clean;
}

/* Lets a worker compare range by range; shows how far it has come. */
static void
verify_by_ranges(const char *name, ReturnSetInfo *rsinfo)
{
	int64		job_id = verify_ranges_hook(migration_lock(name));
	ListCell   *lc;

	foreach(lc, verification_list(job_id))
		emit(rsinfo, lfirst(lc));
}

/* The number of rows for a sample. */
static int64
get_sample_rows(FunctionCallInfo fcinfo, const Migration *g)
{
	int64		rows = PG_ARGISNULL(2) ? setting_int(g->settings, "sample_rows") : PG_GETARG_INT64(2);

	if (rows < 1 || rows > MAX_SAMPLE_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample_rows must lie between 1 and %d", MAX_SAMPLE_ROWS)));
	return rows;
}

MIGRATE_FUNCTION(migrate_verify);

/*
 * migrate_verify(migration text, method text, sample_rows bigint): a row per
 * mapping.  Before a cutover the targets are compared with the sources, after
 * it the sources with the targets.  Methods: scan, all rows in one snapshot; range,
 * by a worker, range by range: the result is what it has compared until now; sample, random
 * rows, which sample_rows alone means, too.  Locks: ACCESS SHARE.
 */
Datum
migrate_verify(PG_FUNCTION_ARGS)
{
	Migration  *g;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *method;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration and method must not be null")));
	method = text_to_cstring(PG_GETARG_TEXT_PP(1));
	g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (strcmp(method, "sample") == 0 || (strcmp(method, "scan") == 0 && !PG_ARGISNULL(2)))
		(void) verify_now(g, get_sample_rows(fcinfo, g), rsinfo);
	else if (!PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample_rows cannot be used with method \"%s\"", method)));
	else if (strcmp(method, "range") == 0)
		verify_by_ranges(g->name, rsinfo);
	else if (strcmp(method, "scan") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown verification method \"%s\"", method),
				 errhint("Methods are scan, range and sample.")));
	else if (verify_now(g, 0, rsinfo) && verified_hook != NULL)
		verified_hook(g);
	return (Datum) 0;
}
