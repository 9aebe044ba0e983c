/*
 * dirty_key.c
 *		Rows of migrate_ext.dirty_key: the queue of keys to re-derive.
 *
 * The queue is append-only: a key that is dirtied twice has two rows.  One row
 * per key would make application transactions wait for each other here, and
 * a writer that skipped its row because an older one exists could lose it to a
 * sync that has read the older one but not yet committed.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "base/spi.h"
#include "catalog/dirty_key.h"

/*
 * The rows with some ids.  The range is for the planner: by what it knows, it
 * might read the whole queue of the mapping for each batch.
 */
#define HAS_ID(ids) "dirty_key_id = ANY (" ids ") AND dirty_key_id BETWEEN " \
	"(SELECT min(i) FROM unnest(" ids ") i) AND (SELECT max(i) FROM unnest(" ids ") i) "

/*
 * Opens a scope whose statements walk along the index.  The planner, which
 * cannot know how long the queue is at the moment, might rather read and sort
 * all of it for each batch.
 */
static void
open_in_order(SpiScope *scope)
{
	static const char *const others[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort"};

	spi_open_catalog(scope);
	for (int i = 0; i < lengthof(others); i++)
		(void) set_config_option(others[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

static SpiArg
id_array(const int64 *ids, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(ids[i]);
	return spi_datum(INT8ARRAYOID,
					 PointerGetDatum(construct_array(elems, n, INT8OID, 8, FLOAT8PASSBYVAL,
													 TYPALIGN_DOUBLE)), false);
}

/* Adds keys; error may be NULL.  Returns how many were added. */
int64
dirty_key_add(int64 mapping_id, ArrayType *keys, const char *reason, const DirtyKeyError *error)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed("INSERT INTO migrate_ext.dirty_key (mapping_id, key, reason, sqlstate, message) "
					 "SELECT $1, k, $3, $4, $5 FROM unnest($2) k",
					 SPI_ARGS(spi_int8(mapping_id), spi_datum(JSONBARRAYOID, PointerGetDatum(keys), false),
							  spi_text(reason), spi_text(error ? error->sqlstate : NULL),
							  spi_text(error ? error->message : NULL)));
	spi_close(&scope);
	return n;
}

/* Notes that any key may be wrong. */
void
dirty_key_add_every(int64 mapping_id, const char *reason, const DirtyKeyError *error)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.dirty_key (mapping_id, reason, sqlstate, message) "
			"VALUES ($1, $2, $3, $4)",
			SPI_ARGS(spi_int8(mapping_id), spi_text(reason),
					 spi_text(error ? error->sqlstate : NULL),
					 spi_text(error ? error->message : NULL)));
	spi_close(&scope);
}

/*
 * Notes that rows of a table that expressions read were changed: what they had or have in
 * some columns, a jsonb[] of arrays.
 */
void
dirty_key_add_lookups(int64 mapping_id, Oid relation, List *columns, ArrayType *values)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run_fixed("INSERT INTO migrate_ext.dirty_key (mapping_id, reason, lookup) "
				  "SELECT $1, 'lookup', jsonb_build_object('relation', $2::int8, 'columns', $3, 'values', v) FROM unnest($4) v",
				  SPI_ARGS(spi_int8(mapping_id), spi_int8(relation), spi_texts(columns),
						   spi_datum(JSONBARRAYOID, PointerGetDatum(values), false)));
	spi_close(&scope);
}

/* Those who have begun by now may not have seen what these rows tell. */
void
dirty_key_set_barrier(int64 mapping_id, const int64 *ids, int n)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("UPDATE migrate_ext.dirty_key SET barrier = pg_snapshot_xmax(pg_current_snapshot()) "
			"WHERE mapping_id = $1 AND barrier IS NULL AND " HAS_ID("$2"), SPI_ARGS(spi_int8(mapping_id), id_array(ids, n)));
	spi_close(&scope);
}

/*
 * Keys that failed wait for their next try, longer each time; a sync that was
 * asked for takes them all.
 */
#define IS_DUE(only) "(NOT " only " OR retry_at IS NULL OR retry_at <= clock_timestamp()) "

/*
 * Takes at most limit rows with after < id <= upto that no other sync holds,
 * and locks them until the end of the transaction; due_only leaves those that
 * wait for their next try.
 */
void
dirty_key_take(int64 mapping_id, int64 after, int64 upto, int limit, bool due_only,
			   DirtyKeyBatch *batch)
{
	SpiScope	scope;
	uint64		n;

	open_in_order(&scope);
	n = spi_run("SELECT dirty_key_id, key, reason = 'lookup' AND key IS NULL, "
				"coalesce(barrier <= pg_snapshot_xmin(pg_current_snapshot()), false), lookup FROM migrate_ext.dirty_key "
				"WHERE mapping_id = $1 AND dirty_key_id > $2 AND dirty_key_id <= $3 AND " IS_DUE("$5")
				"ORDER BY dirty_key_id LIMIT $4 FOR UPDATE SKIP LOCKED",
				SPI_ARGS(spi_int8(mapping_id), spi_int8(after), spi_int8(upto), spi_int4(limit),
						 spi_bool(due_only)));
	batch->n = (int) n;
	batch->ids = MemoryContextAlloc(scope.caller, sizeof(int64) * Max(n, 1));
	batch->keys = MemoryContextAlloc(scope.caller, sizeof(Datum) * Max(n, 1));
	batch->every = MemoryContextAlloc(scope.caller, sizeof(bool) * Max(n, 1));
	batch->changed = MemoryContextAlloc(scope.caller, sizeof(bool) * Max(n, 1));
	batch->passed = MemoryContextAlloc(scope.caller, sizeof(bool) * Max(n, 1));
	batch->lookups = MemoryContextAlloc(scope.caller, sizeof(Datum) * Max(n, 1));
	for (uint64 i = 0; i < n; i++)
	{
		batch->ids[i] = spi_get_int8(i, 1);
		batch->every[i] = spi_is_null(i, 2);
		batch->keys[i] = spi_get_copy(&scope, i, 2);
		batch->changed[i] = spi_get_bool(i, 3);
		batch->passed[i] = spi_get_bool(i, 4);
		batch->lookups[i] = spi_get_copy(&scope, i, 5);
	}
	spi_close(&scope);
}

/* The newest row's id, or that of the newest that is due; 0 if there is none. */
int64
dirty_key_last(int64 mapping_id, bool due_only)
{
	SpiScope	scope;
	int64		id = 0;

	open_in_order(&scope);
	if (spi_run("SELECT dirty_key_id FROM migrate_ext.dirty_key "
				"WHERE mapping_id = $1 AND " IS_DUE("$2") "ORDER BY dirty_key_id DESC LIMIT 1",
				SPI_ARGS(spi_int8(mapping_id), spi_bool(due_only))) > 0)
		id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* Are there rows up to an id that nobody has tried to settle, as far as can be seen? */
bool
dirty_key_any_untried(int64 mapping_id, int64 upto)
{
	SpiScope	scope;
	bool		any;

	open_in_order(&scope);
	any = spi_run("SELECT FROM migrate_ext.dirty_key WHERE mapping_id = $1 AND dirty_key_id <= $2 AND retry_at IS NULL LIMIT 1",
				  SPI_ARGS(spi_int8(mapping_id), spi_int8(upto))) > 0;
	spi_close(&scope);
	return any;
}

/* Deletes the rows that were read and settled; later ones of the same key stay. */
void
dirty_key_settled(int64 mapping_id, const int64 *ids, int n)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("DELETE FROM migrate_ext.dirty_key WHERE mapping_id = $1 AND " HAS_ID("$2"),
			SPI_ARGS(spi_int8(mapping_id), id_array(ids, n)));
	spi_close(&scope);
}

/* Notes that keys could not be settled, and why; the next try is after 1 s, 2 s, 4 s ... 10 min. */
void
dirty_key_failed(int64 mapping_id, const int64 *ids, int n, const DirtyKeyError *error)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("UPDATE migrate_ext.dirty_key SET attempts = attempts + 1, sqlstate = $3, message = $4, constraint_name = $5, "
			"retry_at = clock_timestamp() + least(interval '1 second' * (1 << least(attempts, 10)), "
			"interval '10 minutes') "
			"WHERE mapping_id = $1 AND " HAS_ID("$2"),
			SPI_ARGS(spi_int8(mapping_id), id_array(ids, n), spi_text(error->sqlstate),
					 spi_text(error->message), spi_text(error->constraint)));
	spi_close(&scope);
}

/* How many rows the queues of a migration hold. */
int64
dirty_key_count(int64 migration_id)
{
	SpiScope	scope;
	int64		n;

	spi_open_catalog(&scope);
	spi_run("SELECT count(*) FROM migrate_ext.dirty_key JOIN migrate_ext.mapping USING (mapping_id) "
			"WHERE migration_id = $1", SPI_ARGS(spi_int8(migration_id)));
	n = spi_get_int8(0, 1);
	spi_close(&scope);
	return n;
}

/* A key that could not be settled, with its message; false if there is none. */
bool
dirty_key_first_error(int64 migration_id, char **key, char **message)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT coalesce(d.key::text, 'every key'), d.message "
					"FROM migrate_ext.dirty_key d JOIN migrate_ext.mapping USING (mapping_id) "
					"WHERE migration_id = $1 AND d.message IS NOT NULL ORDER BY dirty_key_id LIMIT 1",
					SPI_ARGS(spi_int8(migration_id))) > 0;
	if (found)
	{
		*key = spi_get_text(&scope, 0, 1);
		*message = spi_get_text(&scope, 0, 2);
	}
	spi_close(&scope);
	return found;
}

/* Is there a key whose settling has failed? */
bool
dirty_key_any_failed(int64 migration_id)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT FROM migrate_ext.dirty_key JOIN migrate_ext.mapping USING (mapping_id) "
					"WHERE migration_id = $1 AND attempts > 0 LIMIT 1",
					SPI_ARGS(spi_int8(migration_id))) > 0;
	spi_close(&scope);
	return found;
}

/* May any key of a mapping be wrong? */
bool
dirty_key_any_every(int64 migration_id)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT FROM migrate_ext.dirty_key JOIN migrate_ext.mapping USING (mapping_id) "
					"WHERE migration_id = $1 AND dirty_key.key IS NULL AND lookup IS NULL LIMIT 1",
					SPI_ARGS(spi_int8(migration_id))) > 0;
	spi_close(&scope);
	return found;
}

/* The keys of a mapping whose settling has failed: a list of FailedKey *. */
List *
dirty_key_list_failed(int64 mapping_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT dirty_key_id, key, sqlstate, message, constraint_name FROM migrate_ext.dirty_key WHERE mapping_id = $1 "
				"AND attempts > 0 AND key IS NOT NULL AND length(sqlstate) = 5 AND message IS NOT NULL ORDER BY dirty_key_id",
				SPI_ARGS(spi_int8(mapping_id)));
	for (uint64 i = 0; i < n; i++)
	{
		FailedKey  *f = MemoryContextAllocZero(scope.caller, sizeof(FailedKey));
		char	   *state = spi_get_text(&scope, i, 3);
		MemoryContext old;

		f->id = spi_get_int8(i, 1);
		f->key = spi_get_copy(&scope, i, 2);
		f->error.sqlerrcode = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
		f->error.message = spi_get_text(&scope, i, 4);
		f->error.constraint_name = spi_get_text(&scope, i, 5);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, f);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* The keys pending in the active snapshot, in text form. */
void
dirty_key_read_pending(int64 mapping_id, List **keys, bool *every)
{
	SpiScope	scope;
	uint64		n;

	*keys = NIL;
	*every = false;
	spi_open_catalog(&scope);
	n = spi_read("SELECT DISTINCT key::text FROM migrate_ext.dirty_key WHERE mapping_id = $1",
				 SPI_ARGS(spi_int8(mapping_id)));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old;
		char	   *key = spi_get_text(&scope, i, 1);

		if (key == NULL)
			*every = true;
		old = MemoryContextSwitchTo(scope.caller);
		if (key != NULL)
			*keys = lappend(*keys, key);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
}

/* Empties the queues of one direction, when it no longer applies. */
void
dirty_key_delete_all(int64 migration_id, bool reverse)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("DELETE FROM migrate_ext.dirty_key d USING migrate_ext.mapping m "
			"WHERE m.mapping_id = d.mapping_id AND m.migration_id = $1 "
			"AND (m.direction = 'reverse') = $2",
			SPI_ARGS(spi_int8(migration_id), spi_bool(reverse)));
	spi_close(&scope);
}
