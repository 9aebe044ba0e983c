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
#include "verify/compare.h"
#include "verify/verify.h"

VerifiedHook verified_hook = NULL;

/* Stores what a comparison found. */
static void
store(Comparison *c)
{
	verification_insert(&c->totals);
	for (int i = 0; i < c->ndivergences; i++)
		divergence_insert(c->totals.id, c->totals.mapping_id, &c->divergences[i]);
}

/* Compares all mappings that carry writes now, in one snapshot; stores it all. */
Comparison *
verify_migration(const Migration *g, int *n)
{
	List	   *mappings = mapping_list(g->id, migration_is_switched(g));
	Comparison *results = palloc0(sizeof(Comparison) * Max(list_length(mappings), 1));
	ListCell   *lc;

	*n = 0;
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(lc, mappings)
		compare_mapping(lfirst(lc), setting_int(g->settings, "sketch_cells"), setting_int(g->settings, "max_divergences"),
						setting_bool(g->settings, "store_values"), &results[(*n)++]);
	PopActiveSnapshot();
	for (int i = 0; i < *n; i++)
		store(&results[i]);
	return results;
}

/* Adds a row of migrate_verify's result. */
static void
emit(ReturnSetInfo *rsinfo, const Verification *v)
{
	Datum		values[13];
	bool		nulls[13] = {false};
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
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

MIGRATE_FUNCTION(migrate_verify);

/*
 * migrate_verify(migration text, method text, sample_rows bigint): a row per
 * mapping.  Before a cutover the targets are compared with the sources, after
 * it the sources with the targets.  Locks: ACCESS SHARE.
 */
Datum
migrate_verify(PG_FUNCTION_ARGS)
{
	Migration  *g;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Comparison *results;
	int			n;
	bool		clean = true;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration and method must not be null")));
	if (strcmp(text_to_cstring(PG_GETARG_TEXT_PP(1)), "scan") != 0 || !PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only method \"scan\" without \"sample_rows\" is supported by this version"),
				 errhint("It compares all rows in one snapshot.")));
	g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	results = verify_migration(g, &n);
	for (int i = 0; i < n; i++)
	{
		emit(rsinfo, &results[i].totals);
		clean = clean && results[i].totals.clean;
	}
	if (clean && n > 0 && verified_hook != NULL)
		verified_hook(g);
	return (Datum) 0;
}
