/*
 * shadow_read.c
 *		migrate_shadow_read: reads keys as an application would, on both sides.
 *
 * Each key is read by the old path and by the new one, in one snapshot, the one
 * first and then the other by turns; the rows are compared by their checksums.
 * Plans are made before the clock runs.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/setting.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "catalog/old_side.h"
#include "catalog/rejected_row.h"
#include "catalog/shadow_read.h"
#include "projection/projection.h"
#include "projection/reference.h"
#include "verify/compare.h"
#include "verify/sample.h"

/* Rows that were written last are looked for in so many blocks at the end. */
#define RECENT_BLOCKS 64

/* So many reads come first and do not count. */
#define WARM_UP 3

/* The most keys that one call reads. */
#define MAX_READS 1000000

/* One side's read path. */
typedef struct ReadPath
{
	SPIPlanPtr	plan;
	double	   *ms;				/* how long each read took */
	char	   *found;			/* what the last one found, or NULL */
} ReadPath;

static void
prepare(ReadPath *path, const Mapping *m, bool target, int64 n)
{
	path->plan = SPI_prepare_cursor(projection_read_row(m, target), 1, (Oid[]) {JSONBOID}, CURSOR_OPT_GENERIC_PLAN);
	if (path->plan == NULL)
		elog(ERROR, "could not prepare a read: %s", SPI_result_code_string(SPI_result));
	path->ms = palloc0(sizeof(double) * Max(n, 1));
	path->found = NULL;
}

/* Reads a key in the active snapshot; i: where the time goes, negative: nowhere. */
static void
read_key(ReadPath *path, Datum key, int64 i)
{
	instr_time	start;
	instr_time	elapsed;
	int			rc;

	INSTR_TIME_SET_CURRENT(start);
	rc = SPI_execute_snapshot(path->plan, &key, NULL, GetActiveSnapshot(), InvalidSnapshot, true, false, 0);
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read a key: %s", SPI_result_code_string(rc));
	path->found = spi_is_null(0, 1) ? NULL : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	if (i >= 0)
		path->ms[i] = INSTR_TIME_GET_MILLISEC(elapsed);
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static void
make_quantiles(double *ms, int64 n, double *quantiles)
{
	if (n == 0)
		return;
	qsort(ms, n, sizeof(double), compare_doubles);
	for (int i = 0; i < SHADOW_QUANTILES; i++)
		quantiles[i] = ms[(int64) (i / (double) (SHADOW_QUANTILES - 1) * (n - 1) + 0.5)];
}

/* The first of the last blocks of a plain source, as a ctid; false where there is no such thing. */
static bool
first_recent_block(const Mapping *m, ItemPointer tid)
{
	Relation	rel = relation_open(m->source, AccessShareLock);
	bool		is_plain = rel->rd_rel->relkind == RELKIND_RELATION && !has_subclass(m->source);
	BlockNumber blocks = is_plain ? RelationGetNumberOfBlocks(rel) : 0;

	relation_close(rel, NoLock);
	ItemPointerSet(tid, blocks > RECENT_BLOCKS ? blocks - RECENT_BLOCKS : 0, FirstOffsetNumber);
	return is_plain;
}

/* Keys to read: half of them of rows that were written last, as far as they are found, the others of random rows of either side. */
static ArrayType *
choose_keys(const Mapping *m, int64 n)
{
	ArrayType  *random = sample_keys(m, (n + 1) / 2);
	ArrayType  *recent = NULL;
	ItemPointerData tid;

	if (first_recent_block(m, &tid))
	{
		SpiScope	scope;

		spi_open_owner(&scope, m->owner, m->time_zone);
		recent = spi_get_jsonbs(&scope, spi_read(projection_recent_keys(m), SPI_ARGS(spi_int8(n / 2), spi_datum(TIDOID, PointerGetDatum(&tid), false))));
		spi_close(&scope);
	}
	return rejected_row_leave_out(m->id, random, recent);
}

/* Reads the keys of one mapping. */
static void
read_mapping(const Mapping *m, int64 n, int max_keys, ShadowRead *r)
{
	SpiScope	scope;
	ReadPath	source;
	ReadPath	target;
	Datum	   *keys;
	int			nkeys;

	compare_keep_still(m);
	PushActiveSnapshot(GetLatestSnapshot());
	deconstruct_array(choose_keys(m, n), JSONBOID, -1, false, TYPALIGN_INT, &keys, NULL, &nkeys);
	PopActiveSnapshot();
	memset(r, 0, sizeof(ShadowRead));
	r->mapping_id = m->id;
	r->reads = nkeys;
	spi_open_owner(&scope, m->owner, m->time_zone);
	prepare(&source, m, false, nkeys);
	prepare(&target, m, true, nkeys);
	for (int i = -Min(WARM_UP, nkeys); i < nkeys; i++)
	{
		Datum		key = keys[i < 0 ? -i - 1 : i];
		bool		same;

		CHECK_FOR_INTERRUPTS();
		PushActiveSnapshot(GetLatestSnapshot());
		read_key(i % 2 == 0 ? &source : &target, key, i);
		read_key(i % 2 == 0 ? &target : &source, key, i);
		PopActiveSnapshot();
		same = strcmp(source.found ? source.found : "", target.found ? target.found : "") == 0;
		if (i < 0 || same)
			continue;
		r->mismatches++;
		if (list_length(r->keys) < max_keys)
		{
			MemoryContext old = MemoryContextSwitchTo(scope.caller);

			r->keys = lappend(r->keys, &keys[i]);
			MemoryContextSwitchTo(old);
		}
	}
	make_quantiles(source.ms, nkeys, r->source_ms);
	make_quantiles(target.ms, nkeys, r->target_ms);
	spi_close(&scope);
}

MIGRATE_FUNCTION(migrate_shadow_read);

/*
 * migrate_shadow_read(migration text, sample_rows bigint): a row per mapping, but for
 * those in place and those without a key; times are milliseconds.  What was read is kept, and counts at
 * the gate into soak.  Locks: ACCESS SHARE.
 */
Datum
migrate_shadow_read(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Migration  *g;
	int64		n;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("migration must not be null")));
	g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	n = PG_ARGISNULL(1) ? setting_int(g->settings, "sample_rows") : PG_GETARG_INT64(1);
	if (n < 1 || n > MAX_READS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample_rows must lie between 1 and %d", MAX_READS)));
	old_side_look(g);
	foreach(lc, mapping_select(mapping_list(g->id, migration_is_switched(g)), false))
	{
		ShadowRead	r;
		bool		nulls[7] = {false};
		Datum		values[7];

		if (ref_is_multiset(lfirst(lc)))
			continue;
		read_mapping(lfirst(lc), n, setting_int(g->settings, "max_divergences"), &r);
		shadow_read_insert(&r);
		values[0] = Int64GetDatum(r.mapping_id);
		values[1] = Int64GetDatum(r.reads);
		values[2] = Int64GetDatum(r.mismatches);
		values[3] = Float8GetDatum(r.source_ms[50]);
		values[4] = Float8GetDatum(r.source_ms[99]);
		values[5] = Float8GetDatum(r.target_ms[50]);
		values[6] = Float8GetDatum(r.target_ms[99]);
		for (int i = 3; i < 7; i++)
			nulls[i] = r.reads == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	old_side_skip(g);
	return (Datum) 0;
}
