/*
 * stash.c
 *		Puts off indexes and foreign keys of targets until their rows are copied.
 *
 * Nobody uses the targets yet: they are empty, and the dual writes are about to
 * be turned on.  What is dropped goes into the catalog, in the same
 * transaction, with all that it takes to make it again as it was.
 *
 * Only what does nothing but help readers, or can be checked when all rows are
 * there: no unique or exclusion index, which decide what a row may be; none that
 * stands for something else (replica identity, clustering, an extension).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/stashed_object.h"
#include "lifecycle/stash.h"

void		(*stash_rebuild_hook) (const Migration *g) = NULL;

/* Indexes of a table that can be made again as they were. */
#define FIND_INDEXES \
	"SELECT c.oid, c.relname::text, pg_get_indexdef(c.oid), coalesce(t.spcname::text, ''), " \
	"array_remove(ARRAY[CASE WHEN d.description IS NOT NULL THEN format('COMMENT ON INDEX %I.%I IS %L', n.nspname, c.relname, d.description) END] " \
	"|| ARRAY(SELECT format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, c.relname, a.attnum, a.attstattarget) " \
	"FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0 AND i.indkey[a.attnum - 1] = 0), NULL) " \
	"FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace " \
	"LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace " \
	"LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0 " \
	"WHERE i.indrelid = $1 AND i.indisvalid AND i.indisready AND NOT i.indisunique AND NOT i.indisexclusion " \
	"AND NOT i.indisreplident AND NOT i.indisclustered AND NOT c.relispartition " \
	"AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype IN ('e', 'x')) " \
	"AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.refclassid = 'pg_class'::regclass AND x.refobjid = c.oid) " \
	"ORDER BY c.relname"

/* Foreign keys of a table, also to itself. */
#define FIND_FOREIGN_KEYS \
	"SELECT k.oid, k.conname::text, pg_get_constraintdef(k.oid), '', " \
	"array_remove(ARRAY[CASE WHEN d.description IS NOT NULL THEN " \
	"format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, c.relname, d.description) END], NULL) " \
	"FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace " \
	"LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid " \
	"WHERE k.conrelid = $1 AND k.contype = 'f' AND k.convalidated AND k.conparentid = 0 " \
	"AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_constraint'::regclass AND x.objid = k.oid AND x.deptype = 'e') " \
	"ORDER BY k.conname"

/* What a query finds of a table, as objects to be stashed; their OIDs go to *oids. */
static List *
find(const char *sql, const char *kind, Oid relid, List **oids)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	*oids = NIL;
	spi_open_catalog(&scope);
	n = spi_run(sql, SPI_ARGS(spi_oid(OIDOID, relid)));
	for (uint64 i = 0; i < n; i++)
	{
		StashedObject *o = MemoryContextAllocZero(scope.caller, sizeof(StashedObject));
		MemoryContext old;

		o->kind = kind;
		o->relation = relid;
		o->name = spi_get_text(&scope, i, 2);
		o->definition = spi_get_text(&scope, i, 3);
		o->tablespace = spi_get_text(&scope, i, 4);
		o->settings = spi_get_texts(&scope, i, 5);
		old = MemoryContextSwitchTo(scope.caller);
		result = lappend(result, o);
		*oids = lappend_oid(*oids, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* The tables that foreign keys of a table name: dropping one locks both. */
static List *
list_parents(Oid relid)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT DISTINCT confrelid FROM pg_constraint WHERE conrelid = $1 AND contype = 'f'",
				SPI_ARGS(spi_oid(OIDOID, relid)));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		result = lappend_oid(result, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* Keeps the definitions of objects of a class, and drops them. */
static int
stash(const Migration *g, const Mapping *m, const char *sql, const char *kind, Oid class)
{
	List	   *oids;
	List	   *objects = find(sql, kind, m->target, &oids);
	ListCell   *object;
	ListCell   *oid;

	forboth(object, objects, oid, oids)
	{
		ObjectAddress address;

		stashed_object_insert(g->id, lfirst(object));
		ObjectAddressSet(address, class, lfirst_oid(oid));
		performDeletion(&address, DROP_RESTRICT, 0);
		CommandCounterIncrement();
	}
	return list_length(objects);
}

/* The mappings whose targets have something that may be put off: one of each target. */
static List *
list_candidates(const Migration *g)
{
	List	   *candidates = NIL;
	List	   *targets = NIL;
	ListCell   *lc;

	if (!setting_bool(g->settings, "defer_indexes") && !setting_bool(g->settings, "defer_foreign_keys"))
		return NIL;
	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);

		/* the indexes of a partitioned table belong to its partitions, too */
		if (mapping_is_in_place(m) || get_rel_relkind(m->target) != RELKIND_RELATION || list_member_oid(targets, m->target))
			continue;
		identity_require_relation_owner(m->target);
		targets = lappend_oid(targets, m->target);
		candidates = lappend(candidates, m);
	}
	return candidates;
}

/*
 * What has to be locked in ACCESS EXCLUSIVE mode for stash_targets: the targets, and
 * what their foreign keys name.
 */
List *
stash_list_relations(const Migration *g)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, list_candidates(g))
	{
		Mapping    *m = lfirst(lc);

		relids = list_append_unique_oid(relids, m->target);
		if (setting_bool(g->settings, "defer_foreign_keys"))
			relids = list_concat_unique_oid(relids, list_parents(m->target));
	}
	return relids;
}

/*
 * Puts off what the settings defer_indexes and defer_foreign_keys say.  Called
 * where the targets are empty, before the dual writes are turned on.  The caller
 * has locked stash_list_relations.
 */
void
stash_targets(const Migration *g)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, list_candidates(g))
	{
		if (setting_bool(g->settings, "defer_foreign_keys"))
			n += stash(g, lfirst(lc), FIND_FOREIGN_KEYS, STASH_FOREIGN_KEY, ConstraintRelationId);
		if (setting_bool(g->settings, "defer_indexes"))
			n += stash(g, lfirst(lc), FIND_INDEXES, STASH_INDEX, RelationRelationId);
	}
	if (n > 0)
		event_record(g, "stashed", NULL, psprintf("{\"objects\": %d}", n), NULL);
}
