/*
 * profile.c
 *		migrate_profile: what is in the columns of any table.
 *
 * One query reads the rows, as the caller, and hands each to the columns' counters as
 * it comes from the executor: so privileges, row security, sampling and all kinds of
 * relations are the server's own matter, and nothing is stored in between.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/spi.h"
#include "projection/expression.h"
#include "verify/profile_column.h"
#include "verify/profile_reference.h"
#include "verify/sample.h"

/* Different values that a column counts one by one; in a wide table fewer, of all columns together. */
#define COLUMN_ENTRIES 2048
#define MIN_COLUMN_ENTRIES 256
#define ALL_ENTRIES (100 * COLUMN_ENTRIES)

/* Columns that may be keys whose hashes are all kept. */
#define SPOOLS 32

/* Columns that the server counts at once: each of them is sorted, in work_mem. */
#define COUNTED_AT_ONCE 8

/* Rows of a relation that nobody has counted. */
#define UNKNOWN_ROWS 1e6

/* A share below what TABLESAMPLE takes is this one. */
#define MIN_PERCENT 1e-30

typedef struct Profile
{
	ProfileShared shared;
	Oid			relid;
	char		relkind;
	double		percent;
	int			ncolumns;
	ProfileColumn *columns;
	int64		rows;
	List	   *guessed;		/* references */
	char	   *source;			/* FROM list and a condition */
} Profile;

/* Where the executor sends the rows to. */
typedef struct ProfileReceiver
{
	DestReceiver pub;
	Profile    *profile;
} ProfileReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Profile    *p = ((ProfileReceiver *) self)->profile;
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(slot);
	old = MemoryContextSwitchTo(p->shared.row);
	p->rows++;
	for (int i = 0; i < p->ncolumns; i++)
	{
		if (slot->tts_isnull[i])
			p->columns[i].nulls++;
		else
			profile_column_add(&p->columns[i], slot->tts_values[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(p->shared.row);
	return true;
}

/* The query found the relation by its name: one of another schema that took the name over is not it. */
static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
	const Profile *p = ((ProfileReceiver *) self)->profile;

	if (desc->natts != p->ncolumns)
		elog(ERROR, "unexpected number of columns: %d", desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->atttypid != p->columns[i].type)
			elog(ERROR, "unexpected type of column \"%s\"", NameStr(p->columns[i].name));
	}
}

static void
end_rows(DestReceiver *self)
{
}

/* Raises for a relation that has no rows to look at. */
static void
check_relation(Relation rel)
{
	char		relkind = rel->rd_rel->relkind;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_FOREIGN_TABLE &&
		relkind != RELKIND_VIEW && relkind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot profile relation %s", name_relation(RelationGetRelid(rel))),
				 errhint("Tables, foreign tables, views and materialized views can be profiled.")));
}

/* What is read: the relation, or a random share of it, by blocks where it has some. */
static char *
make_source(const Profile *p)
{
	const char *relation = psprintf("%s AS " SOURCE_ALIAS, quote_relation(p->relid));

	if (p->percent >= 100)
		return psprintf("%s WHERE true", relation);
	if (p->relkind == RELKIND_VIEW || p->relkind == RELKIND_FOREIGN_TABLE)
		return psprintf("%s WHERE pg_catalog.random() OPERATOR(pg_catalog.<) %s", relation,
						float8out_internal(p->percent / 100));
	/* the same blocks in each query */
	return psprintf("%s TABLESAMPLE pg_catalog.system (%s) REPEATABLE (%u) WHERE true", relation,
					float8out_internal(Max(p->percent, MIN_PERCENT)), pg_prng_uint32(&pg_global_prng_state));
}

/* Prepares the columns of the relation, which stays locked. */
static void
open_profile(Profile *p, Oid relid, double percent)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	double		rows;

	check_relation(rel);
	p->relid = relid;
	p->relkind = rel->rd_rel->relkind;
	p->percent = percent;
	rows = p->relkind == RELKIND_VIEW ? -1 : sample_estimated_rows(relid);
	p->shared.context = CurrentMemoryContext;
	p->shared.row = AllocSetContextCreate(CurrentMemoryContext, "migrate_ext profile row", ALLOCSET_DEFAULT_SIZES);
	p->shared.whole = percent >= 100;
	p->shared.expected = (rows > 0 ? rows : UNKNOWN_ROWS) * percent / 100;
	p->shared.entries = Max(Min(COLUMN_ENTRIES, ALL_ENTRIES / Max(desc->natts, 1)), MIN_COLUMN_ENTRIES);
	p->shared.spools.columns = SPOOLS;
	p->shared.spools.memory = (Size) maintenance_work_mem * 1024;
	p->columns = palloc(sizeof(ProfileColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			profile_column_init(&p->columns[p->ncolumns++], &p->shared, TupleDescAttr(desc, i));
	}
	profile_find_unique(rel, p->columns, p->ncolumns);
	p->guessed = profile_guess_references(rel, p->columns, p->ncolumns);
	p->source = make_source(p);
	relation_close(rel, NoLock);
}

/* Reads all rows. */
static void
read_rows(Profile *p)
{
	ProfileReceiver receiver = {
		.pub = {receive_row, start_rows, end_rows, end_rows, DestTuplestore},
		.profile = p
	};
	SPIExecuteOptions options = {
		.read_only = true,
		.dest = &receiver.pub
	};
	StringInfoData query;
	int			rc;

	initStringInfo(&query);
	appendStringInfoString(&query, "SELECT ");
	for (int i = 0; i < p->ncolumns; i++)
		appendStringInfo(&query, "%s" SOURCE_ALIAS ".%s", i > 0 ? ", " : "", quote_identifier(NameStr(p->columns[i].name)));
	appendStringInfo(&query, " FROM %s", p->source);
	rc = SPI_execute_extended(query.data, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read the rows: %s", SPI_result_code_string(rc));
}

/* Lets the server count the values of some columns, and the different ones. */
static void
ask_server(const Profile *p, ProfileColumn **columns, int n)
{
	StringInfoData query;

	initStringInfo(&query);
	for (int i = 0; i < n; i++)
	{
		const char *name = quote_identifier(NameStr(columns[i]->name));

		appendStringInfo(&query, "%s pg_catalog.count(" SOURCE_ALIAS ".%s), pg_catalog.count(DISTINCT " SOURCE_ALIAS ".%s)",
						 i == 0 ? "SELECT" : ",", name, name);
	}
	appendStringInfo(&query, " FROM %s", p->source);
	spi_read(query.data, SPI_NO_ARGS);
	for (int i = 0; i < n; i++)
		profile_column_counted(columns[i], spi_get_int8(0, 2 * i + 1), spi_get_int8(0, 2 * i + 2));
	SPI_freetuptable(SPI_tuptable);
}

/* Counts the different values of all columns; by the server those that it has to count. */
static void
count_different(Profile *p)
{
	ProfileColumn **asked = palloc(sizeof(ProfileColumn *) * Max(p->ncolumns, 1));
	int			n = 0;

	for (int i = 0; i < p->ncolumns; i++)
	{
		if (profile_column_count(&p->columns[i]))
			asked[n++] = &p->columns[i];
	}
	for (int i = 0; i < n; i += COUNTED_AT_ONCE)
		ask_server(p, asked + i, Min(n - i, COUNTED_AT_ONCE));
}

static void
put_column(Profile *p, ProfileColumn *c, ReturnSetInfo *rsinfo)
{
	Datum		values[PROFILE_FIELDS];
	bool		nulls[PROFILE_FIELDS];
	MemoryContext old = MemoryContextSwitchTo(p->shared.row);

	profile_column_finish(c, values, nulls);
	values[2] = Int64GetDatum(p->rows);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(p->shared.row);
}

/* The share of the rows to be read, in percent. */
static double
percent_argument(FunctionCallInfo fcinfo)
{
	double		percent = PG_ARGISNULL(1) ? 100 : PG_GETARG_FLOAT8(1);

	if (isnan(percent) || percent <= 0 || percent > 100)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"sample_percent\" must be above 0 and not above 100"),
				 errhint("It is the share of the blocks to be read, in percent; 100 reads all.")));
	return percent;
}

MIGRATE_FUNCTION(migrate_profile);

/*
 * migrate_profile(relation regclass, sample_percent float8): a row for each column.
 * Runs with the caller's rights, under row security.  Locks: ACCESS SHARE, also on
 * tables that columns refer to.
 */
Datum
migrate_profile(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Profile		p = {0};
	SpiScope	scope;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	(void) quote_relation(PG_GETARG_OID(0));	/* raises if it does not exist */
	open_profile(&p, PG_GETARG_OID(0), percent_argument(fcinfo));
	spi_open_reader(&scope);
	if (!p.shared.whole)
		profile_find_unproven(p.relid, p.columns, p.ncolumns);
	read_rows(&p);
	count_different(&p);
	profile_count_orphans(p.relid, p.columns, p.ncolumns, p.guessed, p.source);
	for (int i = 0; i < p.ncolumns; i++)
		put_column(&p, &p.columns[i], rsinfo);
	spi_close(&scope);
	return (Datum) 0;
}
