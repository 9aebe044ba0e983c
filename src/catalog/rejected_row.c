/*
 * rejected_row.c
 *		Rows of migrate_ext.rejected_row.
 *
 * An entry without a rule says that the row could not be stored.  It stands as
 * long as there is no target row with its key: the application may have mended
 * the row meanwhile.  See quarantine_standing.
 */
#include "postgres.h"

#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/rejected_row.h"

/*
 * The rows of a mapping with some keys, found by the index on these.  The planner, which
 * cannot know how long a list is at the moment, might rather compare each of its rows with each key.
 */
#define HAS_KEY(mapping, keys, condition) \
	"rejected_row_id IN (SELECT r.rejected_row_id FROM (SELECT DISTINCT k FROM unnest(" keys ") k) d CROSS JOIN LATERAL " \
	"(SELECT * FROM migrate_ext.rejected_row WHERE key = d.k OFFSET 0) r WHERE mapping_id = " mapping " AND " condition ") "

static SpiArg
array_arg(ArrayType *array)
{
	return spi_datum(JSONBARRAYOID, PointerGetDatum(array), false);
}

/* Adds a row that could not be stored; key is 0 where it cannot be derived. */
void
rejected_row_add(int64 mapping_id, Datum key, Datum image, const ErrorData *error)
{
	spi_change("WITH old AS (DELETE FROM migrate_ext.rejected_row WHERE mapping_id = $1 AND key = $2 AND rule IS NULL) "
		   "INSERT INTO migrate_ext.rejected_row (mapping_id, key, row_image, sqlstate, message, constraint_name) "
		   "VALUES ($1, $2, $3, $4, $5, $6)",
		   SPI_ARGS(spi_int8(mapping_id), spi_datum(JSONBOID, key, key == (Datum) 0),
					spi_datum(JSONBOID, image, image == (Datum) 0), spi_text(error_sqlstate(error)),
					spi_text(error->message), spi_text(error->constraint_name)));
}

/* A row that is listed could not be stored again, perhaps for another reason; false if it is not listed. */
bool
rejected_row_note_again(int64 mapping_id, Datum key, const ErrorData *error)
{
	return spi_change("UPDATE migrate_ext.rejected_row SET sqlstate = $3, message = $4, constraint_name = $5 "
				  "WHERE mapping_id = $1 AND key = $2 AND rule IS NULL",
				  SPI_ARGS(spi_int8(mapping_id), spi_datum(JSONBOID, key, false), spi_text(error_sqlstate(error)),
						   spi_text(error->message), spi_text(error->constraint_name))) > 0;
}

/* Lists rows that met a rule; those that are listed already are listed again, or else left as they are. */
void
rejected_row_list_rule(int64 mapping_id, const char *rule, const char *action, ArrayType *keys, ArrayType *images, bool again)
{
	spi_change("WITH old AS (DELETE FROM migrate_ext.rejected_row WHERE $6 AND " HAS_KEY("$1", "$4", "rule = $2") ") "
		   "INSERT INTO migrate_ext.rejected_row (mapping_id, rule, action, key, row_image) "
		   "SELECT $1, $2, $3, key, image FROM unnest($4, $5) AS r(key, image) "
		   "WHERE $6 OR NOT EXISTS (SELECT FROM migrate_ext.rejected_row l WHERE l.key = r.key AND l.mapping_id = $1 AND l.rule = $2)",
		   SPI_ARGS(spi_int8(mapping_id), spi_text(rule), spi_text(action), array_arg(keys), array_arg(images), spi_bool(again)));
}

/* Lists rows that lost their keys to others. */
void
rejected_row_add_duplicates(int64 mapping_id, ArrayType *keys, ArrayType *images)
{
	spi_change("INSERT INTO migrate_ext.rejected_row (mapping_id, rule, action, key, row_image) "
			   "SELECT $1, '" DEDUPE_RULE "', 'duplicate', key, image FROM unnest($2, $3) AS r(key, image)",
			   SPI_ARGS(spi_int8(mapping_id), array_arg(keys), array_arg(images)));
}

/* Takes all that a mapping has of them off the list. */
void
rejected_row_forget_duplicates(int64 mapping_id)
{
	spi_change("DELETE FROM migrate_ext.rejected_row WHERE mapping_id = $1 AND action = 'duplicate'", SPI_ARGS(spi_int8(mapping_id)));
}

/*
 * Lists rows that lost their keys to others, of the keys first (NULL if there are
 * none).  Those that were listed with some keys, given in one form and another, are
 * taken off the list before.
 */
void
rejected_row_list_duplicates(int64 mapping_id, ArrayType *keys, ArrayType *also, ArrayType *first, ArrayType *images)
{
	spi_change("DELETE FROM migrate_ext.rejected_row WHERE " HAS_KEY("$1", "$2 || $3", "action = 'duplicate'"),
			   SPI_ARGS(spi_int8(mapping_id), array_arg(keys), array_arg(also)));
	if (first != NULL)
		rejected_row_add_duplicates(mapping_id, first, images);
}

/* Takes rows off the list: those of a rule or, where it is null, those that could not be stored. */
void
rejected_row_forget(int64 mapping_id, ArrayType *keys, const char *rule)
{
	spi_change("DELETE FROM migrate_ext.rejected_row WHERE " HAS_KEY("$1", "$2", "rule IS NOT DISTINCT FROM $3"),
		   SPI_ARGS(spi_int8(mapping_id), array_arg(keys), spi_text(rule)));
}

/* Makes the keys of all rows that could not be stored dirty, to be tried again, and takes them off the list. */
void
rejected_row_requeue(int64 migration_id)
{
	spi_change("WITH gone AS (DELETE FROM migrate_ext.rejected_row WHERE rule IS NULL AND mapping_id IN "
		   "(SELECT mapping_id FROM migrate_ext.mapping WHERE migration_id = $1) RETURNING *) "
		   "INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason) "
		   "SELECT mapping_id, key, 'repair' FROM gone WHERE key IS NOT NULL",
		   SPI_ARGS(spi_int8(migration_id)));
}

/* Empties the lists of a migration, which begins anew. */
void
rejected_row_delete_all(int64 migration_id)
{
	spi_change("DELETE FROM migrate_ext.rejected_row WHERE mapping_id IN "
		   "(SELECT mapping_id FROM migrate_ext.mapping WHERE migration_id = $1)",
		   SPI_ARGS(spi_int8(migration_id)));
}

/* How many rows of a migration could not be stored? */
int64
rejected_row_count_failed(int64 migration_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	spi_run_fixed("SELECT count(*) FROM migrate_ext.rejected_row JOIN migrate_ext.mapping USING (mapping_id) "
				  "WHERE migration_id = $1 AND rule IS NULL", SPI_ARGS(spi_int8(migration_id)));
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}

/* How many rows of a mapping are listed because they could not be stored, or met a rule? */
int64
rejected_row_count(int64 mapping_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	spi_run_fixed("SELECT count(*) FROM migrate_ext.rejected_row WHERE mapping_id = $1 AND action <> 'duplicate'", SPI_ARGS(spi_int8(mapping_id)));
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}

/* Could any row of a mapping not be stored? */
bool
rejected_row_any(int64 mapping_id)
{
	return spi_change("SELECT FROM migrate_ext.rejected_row WHERE mapping_id = $1 AND rule IS NULL LIMIT 1",
				  SPI_ARGS(spi_int8(mapping_id))) > 0;
}

/* A jsonb[] that a query in the active snapshot returns; NULL if it is null. */
static ArrayType *
read_keys(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	Datum		keys;

	spi_open_catalog(&scope);
	spi_read(sql, args, nargs);
	keys = spi_get_copy(&scope, 0, 1);
	spi_close(&scope);
	return keys ? DatumGetArrayTypeP(keys) : NULL;
}

/* The keys on a list, in the active snapshot: of a rule or, where it is null, of what could not be stored. */
ArrayType *
rejected_row_read_keys(int64 mapping_id, const char *rule)
{
	return read_keys("SELECT array_agg(DISTINCT key) FROM migrate_ext.rejected_row "
					 "WHERE mapping_id = $1 AND key IS NOT NULL AND rule IS NOT DISTINCT FROM $2",
					 SPI_ARGS(spi_int8(mapping_id), spi_text(rule)));
}

/* What these columns (of char *) of the source held in the rows that could not be stored or lost their key to another, as keys. */
ArrayType *
rejected_row_read_source_keys(int64 mapping_id, List *columns)
{
	return read_keys("SELECT array_agg(DISTINCT k.key) FROM migrate_ext.rejected_row r CROSS JOIN LATERAL "
					 "(SELECT jsonb_object_agg(c, r.row_image -> c) AS key FROM unnest($2) c) k "
					 "WHERE r.mapping_id = $1 AND (r.rule IS NULL OR r.action = 'duplicate') AND r.row_image IS NOT NULL",
					 SPI_ARGS(spi_int8(mapping_id), spi_texts(columns)));
}

/* Those of some keys, and more if there are any, whose rows are not rejected, each once. */
ArrayType *
rejected_row_leave_out(int64 mapping_id, ArrayType *keys, ArrayType *more)
{
	SpiScope	scope;
	ArrayType  *result;

	spi_open_catalog(&scope);
	result = spi_get_jsonbs(&scope, spi_run("SELECT DISTINCT k FROM unnest($2 || $3) k WHERE NOT EXISTS (SELECT FROM migrate_ext.rejected_row r "
											"WHERE r.mapping_id = $1 AND r.action = 'reject' AND r.key = k)",
											SPI_ARGS(spi_int8(mapping_id), spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false),
													 spi_datum(JSONBARRAYOID, PointerGetDatum(more), more == NULL))));
	spi_close(&scope);
	return result;
}
