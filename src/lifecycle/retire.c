/*
 * retire.c
 *		May the side that a cutover replaced go?
 */
#include "postgres.h"

#include "base/quote.h"
#include "base/spi.h"
#include "catalog/mapping.h"
#include "lifecycle/retire.h"

/* The old side: what was a source, and is not the new side in place. */
List *
retire_list_relations(const Migration *g)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, mapping_select(mapping_list(g->id, MAPPING_FORWARD), false))
	{
		Mapping    *m = lfirst(lc);

		if (mapping_relation_exists(m->source))
			relids = list_append_unique_oid(relids, m->source);
	}
	return relids;
}

/* OIDs in the first column of a query with an array of OIDs as parameter. */
static List *
query_oids(const char *sql, List *relids)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		found;

	spi_open_catalog(&scope);
	found = spi_run(sql, SPI_ARGS(spi_oids(relids)));
	for (uint64 i = 0; i < found; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		result = lappend_oid(result, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* What foreign keys of the tables, or of their partitions, refer to: dropping one locks both. */
List *
retire_list_parents(List *relids)
{
	return query_oids("WITH RECURSIVE tree(relid) AS (SELECT unnest($1) UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relid) "
					  "SELECT DISTINCT confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT relid FROM tree) "
					  "AND confrelid <> ALL ($1)", relids);
}

/* Raises for a table that another migration still maps. */
void
retire_check_other_migrations(const Migration *g, List *relids)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		SpiScope	scope;

		spi_open_catalog(&scope);
		if (spi_run("SELECT o.name FROM migrate_ext.mapping m JOIN migrate_ext.migration o USING (migration_id) "
					"WHERE migration_id <> $2 AND $1 IN (m.source, m.target) AND o.phase NOT IN ('done', 'rolled_back') LIMIT 1",
					SPI_ARGS(spi_oid(OIDOID, lfirst_oid(lc)), spi_int8(g->id))) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("%s is mapped by migration \"%s\", too", name_relation(lfirst_oid(lc)), spi_get_text(&scope, 0, 1)),
					 errhint("End or roll back that migration first, or set old_side to keep.")));
		spi_close(&scope);
	}
}

/*
 * What uses a table of one side of the migration, but for other tables of that side and what a
 * worker is going to point elsewhere; NULL if nothing does.
 */
char *
retire_find_dependents(const Migration *g, Oid relid)
{
	SpiScope	scope;
	char	   *found;

	spi_open_catalog(&scope);
	spi_run("WITH m AS (SELECT source::oid, target::oid FROM migrate_ext.mapping WHERE migration_id = $2 AND direction = 'forward'), "
			"side AS (SELECT CASE WHEN $1 IN (SELECT source FROM m) THEN source ELSE target END AS relid FROM m) "
			"SELECT string_agg(x, ', ' ORDER BY x) FROM ("
			"SELECT DISTINCT format('%s %s', CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.oid::regclass) FROM pg_rewrite r "
			"JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid JOIN pg_class c ON c.oid = r.ev_class "
			"WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND r.ev_class <> $1 AND r.ev_class::regclass::text NOT IN "
			"(SELECT name FROM migrate_ext.stashed_object WHERE migration_id = $2 AND kind = 'materialized view' AND restored_at IS NULL) "
			"UNION ALL SELECT format('foreign key %I of %s', conname, conrelid::regclass) FROM pg_constraint "
			"WHERE contype = 'f' AND confrelid = $1 AND conparentid = 0 AND conrelid NOT IN (SELECT relid FROM side) "
			"UNION ALL SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d "
			"WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'n' AND d.classid = 'pg_proc'::regclass "
			"UNION ALL SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d JOIN pg_type y ON d.refobjid IN (y.oid, y.typarray) "
			"JOIN pg_class c ON c.reltype = y.oid WHERE c.oid = $1 AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'n') y (x)",
			SPI_ARGS(spi_oid(OIDOID, relid), spi_int8(g->id)));
	found = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return found;
}
