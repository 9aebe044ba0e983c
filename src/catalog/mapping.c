/*
 * mapping.c
 *		Rows of migrate_ext.mapping.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/array.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/setting.h"
#include "base/spi.h"
#include "catalog/mapping.h"

/*
 * What a rule rejects does not pass the filter; on the way back, where the
 * source row is the target, it is out of scope.
 */
#define MAPPING_SELECT \
	"SELECT m.mapping_id, m.migration_id, m.direction = 'reverse', coalesce(m.reverse_of, 0), " \
	"m.source::oid, m.target::oid, m.key, " \
	"CASE WHEN r.passes IS NULL OR m.direction = 'reverse' THEN m.filter ELSE concat_ws(' AND ', '(' || m.filter || ')', r.passes) END, " \
	"CASE WHEN r.in_scope IS NULL OR m.direction = 'forward' THEN m.scope ELSE concat_ws(' AND ', '(' || m.scope || ')', r.in_scope) END, " \
	"m.capture, m.on_error, m.clears, m.whole_row OR (m.direction = 'forward' AND coalesce(r.whole_row, false)), " \
	"m.complete, m.owner::oid, g.settings, m.degraded, m.filter, r.any_rule, m.dedupe_by, m.dedupe_order " \
	"FROM migrate_ext.mapping m JOIN migrate_ext.migration g USING (migration_id) " \
	"CROSS JOIN LATERAL (SELECT string_agg(format('(%s) IS NOT TRUE', condition), ' AND ' ORDER BY mapping_rule_id) FILTER (WHERE action = 'reject') AS passes, " \
	"string_agg(format('(%s) IS NOT TRUE', scope), ' AND ' ORDER BY mapping_rule_id) FILTER (WHERE action = 'reject') AS in_scope, " \
	"bool_or(whole_row) FILTER (WHERE action = 'reject') AS whole_row, count(*) > 0 AS any_rule " \
	"FROM migrate_ext.mapping_rule WHERE mapping_id = coalesce(m.reverse_of, m.mapping_id)) r "

/* An id for a mapping that is going to be inserted. */
int64
mapping_reserve_id(void)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run("SELECT nextval(pg_get_serial_sequence('migrate_ext.mapping', 'mapping_id'))", SPI_NO_ARGS);
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	return id;
}

/* Sets which rows of its two sides a mapping answers for. */
void
mapping_set_side(int64 id, const char *filter, const char *scope)
{
	spi_change("UPDATE migrate_ext.mapping SET filter = $2, scope = $3 WHERE mapping_id = $1",
			   SPI_ARGS(spi_int8(id), spi_text(filter), spi_text(scope)));
}

/* Inserts a mapping and its columns; returns its id, the reserved one if there is. */
int64
mapping_insert(const Mapping *m)
{
	SpiScope	scope;
	int64		id;

	spi_open_catalog(&scope);
	spi_run("INSERT INTO migrate_ext.mapping (mapping_id, migration_id, direction, reverse_of, source, "
			"target, key, filter, scope, capture, on_error, clears, whole_row, owner, dedupe_by, dedupe_order) OVERRIDING SYSTEM VALUE VALUES "
			"(coalesce(nullif($16, 0), nextval(pg_get_serial_sequence('migrate_ext.mapping', 'mapping_id'))), $1, CASE WHEN $2 THEN 'reverse' ELSE 'forward' END, nullif($3, 0), $4, $5, $6, $7, "
			"$8, $9, $10, $11, $12, $13, $14, $15) RETURNING mapping_id",
			SPI_ARGS(spi_int8(m->migration_id), spi_bool(m->reverse), spi_int8(m->reverse_of),
					 spi_oid(REGCLASSOID, m->source), spi_oid(REGCLASSOID, m->target),
					 spi_texts(m->key), spi_text(m->filter),
					 spi_text(m->scope), spi_text(m->capture), spi_text(m->on_error),
					 spi_bool(m->clears), spi_bool(m->whole_row),
					 spi_oid(REGROLEOID, m->owner), spi_texts(m->dedupe_by), spi_texts(m->dedupe_order),
					 spi_int8(m->id)));
	id = spi_get_int8(0, 1);
	spi_close(&scope);
	mapping_column_insert_all(id, m->columns);
	return id;
}

/* Builds a Mapping from row i of the result of a MAPPING_SELECT. */
static Mapping *
read_row(SpiScope *scope, uint64 i)
{
	Mapping    *m = MemoryContextAllocZero(scope->caller, sizeof(Mapping));
	Jsonb	   *settings;
	MemoryContext old;

	m->id = spi_get_int8(i, 1);
	m->migration_id = spi_get_int8(i, 2);
	m->reverse = spi_get_bool(i, 3);
	m->reverse_of = spi_get_int8(i, 4);
	m->source = spi_get_oid(i, 5);
	m->target = spi_get_oid(i, 6);
	m->key = spi_get_texts(scope, i, 7);
	m->filter = spi_get_text(scope, i, 8);
	m->scope = spi_get_text(scope, i, 9);
	m->capture = spi_get_text(scope, i, 10);
	m->on_error = spi_get_text(scope, i, 11);
	m->clears = spi_get_bool(i, 12);
	m->whole_row = spi_get_bool(i, 13);
	m->complete = spi_get_bool(i, 14);
	m->owner = spi_get_oid(i, 15);
	settings = DatumGetJsonbP(spi_get_copy(scope, i, 16));
	m->degraded = spi_get_bool(i, 17);
	m->declared_filter = spi_get_text(scope, i, 18);
	m->has_rules = spi_get_bool(i, 19);
	m->dedupe_by = spi_get_texts(scope, i, 20);
	m->dedupe_order = spi_get_texts(scope, i, 21);
	old = MemoryContextSwitchTo(scope->caller);
	m->time_zone = setting_text(settings, "time_zone");
	m->lock_timeout = setting_int(settings, "lock_timeout");
	MemoryContextSwitchTo(old);
	return m;
}

/* Runs a MAPPING_SELECT; returns the mappings with their columns. */
static List *
fetch(const char *sql, const SpiArg *args, int nargs)
{
	SpiScope	scope;
	List	   *result = NIL;
	ListCell   *lc;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run_fixed(sql, args, nargs);
	for (uint64 i = 0; i < n; i++)
	{
		Mapping    *m = read_row(&scope, i);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		result = lappend(result, m);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	foreach(lc, result)
		((Mapping *) lfirst(lc))->columns = mapping_column_list(((Mapping *) lfirst(lc))->id);
	return result;
}

/* The mappings of one direction, in the order they were defined. */
List *
mapping_list(int64 migration_id, bool reverse)
{
	return fetch(MAPPING_SELECT "WHERE m.migration_id = $1 AND (m.direction = 'reverse') = $2 "
				 "ORDER BY m.mapping_id",
				 SPI_ARGS(spi_int8(migration_id), spi_bool(reverse)));
}

/* A mapping by id; NULL if there is none. */
Mapping *
mapping_get(int64 id)
{
	List	   *l = fetch(MAPPING_SELECT "WHERE m.mapping_id = $1", SPI_ARGS(spi_int8(id)));

	return l ? linitial(l) : NULL;
}

/* The mapping back from a mapping's target to its source; NULL if there is none. */
Mapping *
mapping_find_reverse(int64 id)
{
	List	   *l = fetch(MAPPING_SELECT "WHERE m.reverse_of = $1", SPI_ARGS(spi_int8(id)));

	return l ? linitial(l) : NULL;
}

void
mapping_delete(int64 id)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run(MAPPING_FORGET("mapping_id = $1 OR reverse_of = $1")
			"DELETE FROM migrate_ext.mapping WHERE mapping_id = $1", SPI_ARGS(spi_int8(id)));
	spi_close(&scope);
}

/*
 * Makes sessions read a migration's mappings again: they keep them in a cache
 * that the relcache invalidation of a source clears.
 */
void
mapping_invalidate(int64 migration_id)
{
	SpiScope	scope;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT DISTINCT source::oid FROM migrate_ext.mapping WHERE migration_id = $1",
				SPI_ARGS(spi_int8(migration_id)));
	for (uint64 i = 0; i < n; i++)
	{
		if (mapping_relation_exists(spi_get_oid(i, 1)))
			CacheInvalidateRelcacheByRelid(spi_get_oid(i, 1));
	}
	spi_close(&scope);
}

/* Sets whether every source row of a migration has been copied. */
void
mapping_set_complete(int64 migration_id, bool reverse, bool complete)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run("UPDATE migrate_ext.mapping SET complete = $3 WHERE migration_id = $1 "
			"AND (direction = 'reverse') = $2",
			SPI_ARGS(spi_int8(migration_id), spi_bool(reverse), spi_bool(complete)));
	spi_close(&scope);
	mapping_invalidate(migration_id);
}

/* Those of the mappings that are in place, or that are not. */
List *
mapping_select(List *mappings, bool in_place)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, mappings)
	{
		if (mapping_is_in_place(lfirst(lc)) == in_place)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/* Does a mapped relation still exist? */
bool
mapping_relation_exists(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid));
}
