/*
 * stashed_object.c
 *		Rows of migrate_ext.stashed_object.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/spi.h"
#include "catalog/stashed_object.h"

/* What belonged to a table that was dropped is not wanted any more. */
#define HAS_RELATION "EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = relation) "

/* Keeps an object's definition. */
void
stashed_object_insert(int64 migration_id, const StashedObject *o)
{
	spi_change("INSERT INTO migrate_ext.stashed_object (migration_id, kind, relation, name, definition, tablespace, settings) "
		   "VALUES ($1, $2, $3, $4, $5, $6, $7)",
		   SPI_ARGS(spi_int8(migration_id), spi_text(o->kind), spi_oid(REGCLASSOID, o->relation), spi_text(o->name),
					spi_text(o->definition), spi_text(o->tablespace),
					spi_texts(o->settings)));
}

/* The objects that are still to be rebuilt, indexes first. */
List *
stashed_object_list(int64 migration_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT stashed_object_id, kind, relation::oid, name, definition, tablespace, settings, error "
				"FROM migrate_ext.stashed_object WHERE migration_id = $1 AND restored_at IS NULL AND " HAS_RELATION
				"ORDER BY kind = 'index' DESC, stashed_object_id", SPI_ARGS(spi_int8(migration_id)));
	for (uint64 i = 0; i < n; i++)
	{
		StashedObject *o = MemoryContextAllocZero(scope.caller, sizeof(StashedObject));
		MemoryContext old;

		o->id = spi_get_int8(i, 1);
		o->kind = spi_get_text(&scope, i, 2);
		o->relation = spi_get_oid(i, 3);
		o->name = spi_get_text(&scope, i, 4);
		o->definition = spi_get_text(&scope, i, 5);
		o->tablespace = spi_get_text(&scope, i, 6);
		o->error = spi_get_text(&scope, i, 8);
		o->settings = spi_get_texts(&scope, i, 7);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, o);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* The migrations, as int64 *, that wait for objects outside of a copy. */
List *
stashed_object_list_waiting(void)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT DISTINCT migration_id FROM migrate_ext.stashed_object JOIN migrate_ext.migration USING (migration_id) "
				"WHERE restored_at IS NULL AND error IS NULL AND phase IN ('soak', 'rolled_back') AND " HAS_RELATION, SPI_NO_ARGS);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);
		int64	   *id = palloc(sizeof(int64));

		*id = spi_get_int8(i, 1);
		result = lappend(result, id);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* How many objects are still to be rebuilt? */
int64
stashed_object_count(int64 migration_id)
{
	return list_length(stashed_object_list(migration_id));
}

/* Why one of them could not be rebuilt; NULL if none has failed. */
char *
stashed_object_first_error(int64 migration_id, char **sqlstate)
{
	SpiScope	scope;
	char	   *error = NULL;

	spi_open_catalog(&scope);
	if (spi_run("SELECT format('%s %I of %s could not be rebuilt: %s', kind, name, relation, error), sqlstate "
				"FROM migrate_ext.stashed_object WHERE migration_id = $1 AND restored_at IS NULL AND error IS NOT NULL AND " HAS_RELATION
				"ORDER BY stashed_object_id LIMIT 1", SPI_ARGS(spi_int8(migration_id))) > 0)
	{
		error = spi_get_text(&scope, 0, 1);
		*sqlstate = spi_get_text(&scope, 0, 2);
	}
	spi_close(&scope);
	return error;
}

/* They are to be tried again. */
void
stashed_object_clear_errors(int64 migration_id)
{
	spi_change("UPDATE migrate_ext.stashed_object SET error = NULL, sqlstate = NULL WHERE migration_id = $1 AND error IS NOT NULL",
		   SPI_ARGS(spi_int8(migration_id)));
}

void
stashed_object_restored(int64 id)
{
	spi_change("UPDATE migrate_ext.stashed_object SET restored_at = clock_timestamp(), error = NULL, sqlstate = NULL "
		   "WHERE stashed_object_id = $1", SPI_ARGS(spi_int8(id)));
}

void
stashed_object_failed(int64 id, const char *sqlstate, const char *error)
{
	spi_change("UPDATE migrate_ext.stashed_object SET sqlstate = $2, error = $3 WHERE stashed_object_id = $1",
		   SPI_ARGS(spi_int8(id), spi_text(sqlstate), spi_text(error)));
}

/* Forgets what a worker was to do about a constraint. */
void
stashed_object_forget(int64 migration_id, Oid relation, const char *name)
{
	spi_change("DELETE FROM migrate_ext.stashed_object WHERE migration_id = $1 AND kind = '" STASH_VALIDATION "' AND relation = $2 AND name = $3",
			   SPI_ARGS(spi_int8(migration_id), spi_oid(REGCLASSOID, relation), spi_text(name)));
}
