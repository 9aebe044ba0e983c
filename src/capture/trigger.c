/*
 * trigger.c
 *		Installs and removes the triggers of a migration.
 *
 * The caller holds a lock that keeps writers out (SHARE ROW EXCLUSIVE to
 * install, ACCESS EXCLUSIVE to remove), taken with a short timeout: nothing
 * here may be the first to wait for the application.
 *
 * A trigger depends on the extension (DEPENDS ON EXTENSION), so that DROP
 * EXTENSION takes it along.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "base/spi.h"
#include "capture/trigger.h"
#include "catalog/mapping.h"
#include "projection/projection.h"

/* Fires after (almost) all others of its kind, which fire in the order of their names. */
#define LAST "~"

static char *
trigger_name(int64 migration_id, const char *direction, const char *event)
{
	return psprintf("migrate_ext_" INT64_FORMAT "_%s_%s", migration_id, direction, event);
}

/* A trigger to create. */
typedef struct TriggerDef
{
	const char *event;			/* ends its name */
	const char *timing;
	const char *level;			/* transition tables and FOR EACH */
	const char *function;
	const char *enabled;		/* in which session_replication_role */
	const char *argument;		/* a third one, or NULL */
	bool		last;
} TriggerDef;

/* Creates one trigger and ties it to the extension. */
static void
create_trigger(Oid relid, const TriggerDef *def, int64 migration_id, const char *direction)
{
	char	   *relation = quote_relation(relid);
	const char *name = quote_identifier(psprintf("%s%s", def->last ? LAST : "",
												 trigger_name(migration_id, direction, def->event)));

	spi_run(psprintf("CREATE TRIGGER %s %s ON %s %s "
					 "EXECUTE FUNCTION " MIGRATE_SCHEMA ".%s(" INT64_FORMAT ", %s%s%s)",
					 name, def->timing, relation, def->level, def->function, migration_id, direction,
					 def->argument ? ", " : "", def->argument ? def->argument : ""),
			SPI_NO_ARGS);
	spi_run(psprintf("ALTER TRIGGER %s ON %s DEPENDS ON EXTENSION migrate_ext", name, relation),
			SPI_NO_ARGS);
	spi_run(psprintf("ALTER TABLE %s ENABLE %s TRIGGER %s", relation, def->enabled, name), SPI_NO_ARGS);
}

/* The distinct sources (or targets) of mappings, each with its descendants. */
static List *
relations_of(List *mappings)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, mappings)
		relids = list_concat_unique_oid(relids,
										find_all_inheritors(((Mapping *) lfirst(lc))->source,
															NoLock, NULL));
	return relids;
}

/*
 * Installs the triggers of mappings in place, which keep the two shapes of a
 * row equal.  stale_writes says what becomes of a write to the columns that
 * follow the others: "reject" or "forward".
 */
void
trigger_install_in_place(const Migration *m, List *mappings, const char *direction, const char *stale_writes)
{
	TriggerDef	set_columns = {"row", "BEFORE INSERT OR UPDATE", "FOR EACH ROW", "set_columns", "ALWAYS",
	stale_writes, true};
	SpiScope	scope;
	ListCell   *lc;

	spi_open_catalog(&scope);
	foreach(lc, relations_of(mapping_select(mappings, true)))
	{
		if (!get_rel_relispartition(lfirst_oid(lc)))
			create_trigger(lfirst_oid(lc), &set_columns, m->id, direction);
	}
	spi_close(&scope);
}

/*
 * Installs the dual-write triggers on the source of every mapping, and on its
 * partitions and children: a statement trigger fires only for the relation
 * that the statement names.  They fire in every session_replication_role.
 * The apply of logical replication fires row triggers only, and has one of
 * its own.  direction is one of the CAPTURE_ words.
 */
void
trigger_install_capture(const Migration *m, List *mappings, const char *direction)
{
	static const TriggerDef statement[] =
	{
		{"insert", "AFTER INSERT", "REFERENCING NEW TABLE AS " NEW_TABLE " FOR EACH STATEMENT", "capture", "ALWAYS"},
		{"update", "AFTER UPDATE", "REFERENCING OLD TABLE AS " OLD_TABLE " NEW TABLE AS " NEW_TABLE
		" FOR EACH STATEMENT", "capture", "ALWAYS"},
		{"delete", "AFTER DELETE", "REFERENCING OLD TABLE AS " OLD_TABLE " FOR EACH STATEMENT", "capture", "ALWAYS"},
		{"truncate", "AFTER TRUNCATE", "FOR EACH STATEMENT", "capture", "ALWAYS"},
	};
	static const TriggerDef replicated =
	{"replicated", "AFTER INSERT OR UPDATE OR DELETE", "FOR EACH ROW", "capture", "REPLICA"};
	SpiScope	scope;
	ListCell   *lc;

	spi_open_catalog(&scope);
	foreach(lc, relations_of(mapping_select(mappings, false)))
	{
		Oid			relid = lfirst_oid(lc);

		for (int i = 0; i < lengthof(statement); i++)
			create_trigger(relid, &statement[i], m->id, direction);

		/* a partitioned table gives its row triggers to its partitions itself */
		if (!get_rel_relispartition(relid))
			create_trigger(relid, &replicated, m->id, direction);
	}
	spi_close(&scope);
}

/*
 * Installs, on the source of every mapping, the trigger that rejects writes
 * which do not come from the extension: after a cutover nobody else may write
 * the old side.
 */
void
trigger_install_guard(const Migration *m, List *mappings)
{
	static const TriggerDef statement =
	{"write", "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", "FOR EACH STATEMENT", "reject_stale_write", "ALWAYS"};
	static const TriggerDef replicated =
	{"replicated", "BEFORE INSERT OR UPDATE OR DELETE", "FOR EACH ROW", "reject_stale_write", "REPLICA"};
	SpiScope	scope;
	ListCell   *lc;

	spi_open_catalog(&scope);
	foreach(lc, relations_of(mapping_select(mappings, false)))
	{
		create_trigger(lfirst_oid(lc), &statement, m->id, "guard");
		if (!get_rel_relispartition(lfirst_oid(lc)))
			create_trigger(lfirst_oid(lc), &replicated, m->id, "guard");
	}
	spi_close(&scope);
}

/* Is it a trigger of a migration? */
bool
trigger_is_ours(const Trigger *t)
{
	return get_func_namespace(t->tgfoid) == get_namespace_oid(MIGRATE_SCHEMA, true);
}

/* The triggers whose names begin with $1, but for a partition's copies of its parent's. */
#define OWN_TRIGGERS \
	"SELECT DISTINCT tgrelid, tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid " \
	"WHERE p.pronamespace = '" MIGRATE_SCHEMA "'::regnamespace " \
	"AND starts_with(ltrim(tgname::text, '" LAST "'), $1) AND tgparentid = 0 ORDER BY 1, 2"

/* The relations that carry a trigger of the migration. */
List *
trigger_relations(int64 migration_id)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run(OWN_TRIGGERS, SPI_ARGS(spi_text(psprintf("migrate_ext_" INT64_FORMAT "_", migration_id))));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		result = list_append_unique_oid(result, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* Removes the triggers whose names begin with the prefix, wherever they are. */
static void
remove_by_prefix(const char *prefix)
{
	SpiScope	scope;
	uint64		n;
	SPITupleTable *found;

	spi_open_catalog(&scope);
	n = spi_run(OWN_TRIGGERS, SPI_ARGS(spi_text(prefix)));
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));

		spi_run(psprintf("DROP TRIGGER %s ON %s",
						 quote_identifier(SPI_getvalue(found->vals[i], found->tupdesc, 2)),
						 quote_relation(relid)), SPI_NO_ARGS);
	}
	spi_close(&scope);
}

/* Removes every trigger of the migration. */
void
trigger_remove_all(int64 migration_id)
{
	remove_by_prefix(psprintf("migrate_ext_" INT64_FORMAT "_", migration_id));
}

/* Removes what watches the side that was replaced: the guard, the forwarding, what does both in place. */
void
trigger_remove_stale(int64 migration_id)
{
	remove_by_prefix(trigger_name(migration_id, "guard", ""));
	remove_by_prefix(trigger_name(migration_id, CAPTURE_STALE, ""));
	remove_by_prefix(trigger_name(migration_id, CAPTURE_REVERSE, "row"));
}
