/*
 * divergence.c
 *		Rows of migrate_ext.divergence.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "base/spi.h"
#include "catalog/divergence.h"

/* Differences that are stored by one statement. */
#define INSERT_ROWS 1000

/* One of the fields of some differences, as an array of a type; 0 is null. */
typedef Datum (*DivergenceField) (const Divergence *d);

static Datum
kind_of(const Divergence *d)
{
	return d->kind;
}

static Datum
key_of(const Divergence *d)
{
	return d->key;
}

/* As text: arrays of arrays must have one form. */
static Datum
columns_of(const Divergence *d)
{
	return d->columns != (Datum) 0 ? CStringGetTextDatum(OidOutputFunctionCall(F_ARRAY_OUT, d->columns)) : (Datum) 0;
}

static Datum
source_row_of(const Divergence *d)
{
	return d->source_row;
}

static Datum
target_row_of(const Divergence *d)
{
	return d->target_row;
}

static SpiArg
field_array(const Divergence *list, int n, DivergenceField field, Oid element, Oid type)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			lower = 1;

	for (int i = 0; i < n; i++)
	{
		elems[i] = field(&list[i]);
		nulls[i] = elems[i] == (Datum) 0;
	}
	return spi_datum(type, PointerGetDatum(construct_md_array(elems, nulls, 1, &n, &lower, element, -1, false, TYPALIGN_INT)), false);
}

/* Stores the differences that a verification found. */
void
divergence_insert(int64 verification_id, int64 mapping_id, const Divergence *list, int n)
{
	for (int done = 0; done < n; done += INSERT_ROWS)
	{
		const Divergence *d = list + done;
		int			m = Min(INSERT_ROWS, n - done);

		spi_change("INSERT INTO migrate_ext.divergence (verification_id, mapping_id, kind, key, columns, source_row, target_row) "
				   "SELECT $1, $2, u.kind, u.key, u.columns::text[], u.source_row, u.target_row "
				   "FROM unnest($3, $4, $5, $6, $7) AS u(kind, key, columns, source_row, target_row)",
				   SPI_ARGS(spi_int8(verification_id), spi_int8(mapping_id),
							field_array(d, m, kind_of, TEXTOID, TEXTARRAYOID), field_array(d, m, key_of, JSONBOID, JSONBARRAYOID),
							field_array(d, m, columns_of, TEXTOID, TEXTARRAYOID), field_array(d, m, source_row_of, JSONBOID, JSONBARRAYOID),
							field_array(d, m, target_row_of, JSONBOID, JSONBARRAYOID)));
	}
}

/* Those that are to be repaired: of the newest verification of all rows, and of those of some rows after it. */
#define OPEN_VERIFICATIONS \
	"v AS (SELECT * FROM migrate_ext.verification WHERE mapping_id = $1 AND verification_id >= " \
	"coalesce((SELECT max(verification_id) FROM migrate_ext.verification WHERE mapping_id = $1 AND method IN ('scan', 'range') AND finished), 0)), " \
	"d AS (SELECT key, verification_id FROM migrate_ext.divergence JOIN v USING (verification_id)), " \
	"c AS (SELECT bool_or(missing + extra + different > (SELECT count(*) FROM d WHERE d.verification_id = v.verification_id)) AS capped FROM v) "

/*
 * Marks the keys that a mapping's verifications found different as dirty.
 * Where the stored differences were capped, any key may be wrong, so that none
 * is forgotten.
 */
int64
divergence_mark_dirty(int64 mapping_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	n = spi_run("WITH " OPEN_VERIFICATIONS "INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) "
				"SELECT DISTINCT $1, key, 'repair' FROM d, c WHERE NOT capped UNION ALL "
				"SELECT $1, NULL, 'repair' FROM c WHERE capped",
				SPI_ARGS(spi_int8(mapping_id)));
	spi_close(&scope);
	return n;
}

/* These keys, as a jsonb[]; NULL where there are none, or not all are known. */
ArrayType *
divergence_read_keys(int64 mapping_id)
{
	SpiScope	scope;
	Datum		keys;

	spi_open_catalog(&scope);
	spi_run("WITH " OPEN_VERIFICATIONS "SELECT array_agg(DISTINCT key) FROM d, c WHERE NOT capped AND key IS NOT NULL",
			SPI_ARGS(spi_int8(mapping_id)));
	keys = spi_get_copy(&scope, 0, 1);
	spi_close(&scope);
	return keys != (Datum) 0 ? DatumGetArrayTypeP(keys) : NULL;
}
