/*
 * sample.c
 *		Compares random rows, field by field.
 *
 * Half of them are taken from either side, so that extra rows have their chance;
 * from a random share of the blocks, which holds many times as many rows as are wanted,
 * where the server knows about how many rows there are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/spi.h"
#include "verify/sample.h"

/* For each row that is wanted so many are read, and not less than some. */
#define READ_PER_ROW 50
#define READ_AT_LEAST 20000

/* Of each kind of rows that stand out so many are tried, and not more than a share of all; so many are read for them. */
#define MAX_OF_STRATUM 20
#define EDGES_SHARE 100
#define MAX_READ_FOR_EDGES 200000

/* Above this share of a table all of it is read. */
#define MAX_PERCENT 50

/* Rows of a relation and its children, by the statistics; negative if they are not known, or it has no blocks. */
double
sample_estimated_rows(Oid relid)
{
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class form;

		if (!HeapTupleIsValid(tuple))
			return -1;
		form = (Form_pg_class) GETSTRUCT(tuple);
		if (form->relkind == RELKIND_PARTITIONED_TABLE)
			;
		else if ((form->relkind != RELKIND_RELATION && form->relkind != RELKIND_MATVIEW) || form->reltuples < 0)
			rows = -1;
		else
			rows += form->reltuples;
		ReleaseSysCache(tuple);
		if (rows < 0)
			return -1;
	}
	return rows;
}

/* The share of a relation's blocks to read for n rows; 0: all. */
static double
share(Oid relid, int64 n)
{
	double		rows = sample_estimated_rows(relid);
	double		percent = rows > 0 ? 100.0 * Max(READ_PER_ROW * (double) n, READ_AT_LEAST) / rows : 0;

	return percent > MAX_PERCENT ? 0 : percent;
}

/* The keys of about n random rows of a mapping, half of them from either side, by the active snapshot. */
ArrayType *
sample_keys(const Mapping *m, int64 n)
{
	int64		half = (n + 1) / 2;
	SpiScope	scope;
	ArrayType  *keys;

	spi_open_owner(&scope, m->owner, m->time_zone);
	keys = spi_get_jsonbs(&scope, spi_read(projection_sample_keys(m, share(m->source, half), share(m->target, half)), SPI_ARGS(spi_int8(half))));
	spi_close(&scope);
	return keys;
}

/*
 * The keys of about n rows of a mapping's source for a trial, the first of them of rows that
 * stand out: what a target refuses is more likely among these than among random ones.
 */
ArrayType *
sample_strata(const Mapping *m, int64 n)
{
	ArrayType  *random = sample_keys(m, 2 * n);
	int			edges = Max(1, Min(MAX_OF_STRATUM, n / EDGES_SHARE));
	char		kind = get_rel_relkind(m->source);
	SpiScope	scope;
	ArrayType  *keys;

	if (n < EDGES_SHARE || (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE))
		return random;
	spi_open_owner(&scope, m->owner, m->time_zone);
	keys = spi_get_jsonbs(&scope, spi_read(projection_edge_keys(m, share(m->source, MAX_READ_FOR_EDGES / READ_PER_ROW)), SPI_ARGS(spi_int8(edges))));
	spi_close(&scope);
	spi_open_catalog(&scope);
	keys = spi_get_jsonbs(&scope, spi_run("SELECT k FROM (SELECT DISTINCT ON (k) k, edge FROM (SELECT k, true AS edge FROM unnest($1) k UNION ALL "
										  "SELECT k, false FROM unnest($2) k) x ORDER BY k, edge DESC) x ORDER BY edge DESC",
										  SPI_ARGS(spi_datum(JSONBARRAYOID, PointerGetDatum(keys), keys == NULL),
												   spi_datum(JSONBARRAYOID, PointerGetDatum(random), random == NULL))));
	spi_close(&scope);
	return keys;
}

/* Compares about n random rows of a mapping, in the active snapshot. */
void
sample_compare(const Mapping *m, const CompareOptions *options, int64 n, Comparison *c)
{
	compare_keys(m, options, sample_keys(m, n), "sample", c);
}
