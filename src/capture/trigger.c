/*
 * trigger.c
 *		The triggers of a migration: which there should be, and which there are.
 *
 * trigger_follow makes the two equal.  The caller holds a lock that keeps
 * writers out (SHARE ROW EXCLUSIVE to install, ACCESS EXCLUSIVE to remove), taken
 * with a short timeout: nothing here may be the first to wait for the
 * application.
 *
 * A trigger depends on the extension (DEPENDS ON EXTENSION), so that DROP
 * EXTENSION takes it along.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "capture/trigger.h"
#include "catalog/mapping.h"
#include "projection/lookup.h"
#include "projection/projection.h"

/* Fires after (almost) all others of its kind, which fire in the order of their names. */
#define LAST "~"

#define PREFIX "migrate_ext_" INT64_FORMAT "_"

/* A trigger to create. */
typedef struct TriggerDef
{
	const char *event;			/* ends its name */
	const char *timing;
	const char *level;			/* transition tables and FOR EACH */
	const char *function;
	char		enabled;		/* in which session_replication_role */
} TriggerDef;

/*
 * A statement trigger fires only for the relation that the statement names, so
 * each partition and child has its own.  They fire in every
 * session_replication_role.  The apply of logical replication fires row
 * triggers only, and has one of its own.
 */
static const TriggerDef capture[] =
{
	{"insert", "AFTER INSERT", "REFERENCING NEW TABLE AS " NEW_TABLE " FOR EACH STATEMENT",
	"capture", TRIGGER_FIRES_ALWAYS},
	{"update", "AFTER UPDATE", "REFERENCING OLD TABLE AS " OLD_TABLE " NEW TABLE AS " NEW_TABLE " FOR EACH STATEMENT",
	"capture", TRIGGER_FIRES_ALWAYS},
	{"delete", "AFTER DELETE", "REFERENCING OLD TABLE AS " OLD_TABLE " FOR EACH STATEMENT",
	"capture", TRIGGER_FIRES_ALWAYS},
	{"truncate", "AFTER TRUNCATE", "FOR EACH STATEMENT", "capture", TRIGGER_FIRES_ALWAYS},
	{"replicated", "AFTER INSERT OR UPDATE OR DELETE", "FOR EACH ROW", "capture", TRIGGER_FIRES_ON_REPLICA}
};

/* After a cutover only the extension writes the old side. */
static const TriggerDef guard[] =
{
	{"write", "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", "FOR EACH STATEMENT",
	"reject_write", TRIGGER_FIRES_ALWAYS},
	{"replicated", "BEFORE INSERT OR UPDATE OR DELETE", "FOR EACH ROW",
	"reject_write", TRIGGER_FIRES_ON_REPLICA}
};

/* Nobody writes at all. */
static const TriggerDef frozen[] =
{
	{"write", "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE", "FOR EACH STATEMENT",
	"reject_write", TRIGGER_FIRES_ALWAYS},
	{"replicated", "BEFORE INSERT OR UPDATE OR DELETE", "FOR EACH ROW",
	"reject_write", TRIGGER_FIRES_ON_REPLICA}
};

/* In place: the name ends with what becomes of writes to the columns that follow. */
static const TriggerDef in_place[] =
{
	{"reject", "BEFORE INSERT OR UPDATE", "FOR EACH ROW", "set_columns", TRIGGER_FIRES_ALWAYS},
	{"forward", "BEFORE INSERT OR UPDATE", "FOR EACH ROW", "set_columns", TRIGGER_FIRES_ALWAYS}
};

/* A trigger that there is, or should be. */
typedef struct OwnTrigger
{
	Oid			relid;
	char	   *name;
	char		enabled;
	const TriggerDef *def;		/* of one that should be */
	const char *function;
	const char *direction;
} OwnTrigger;

/* Is it a trigger of a migration? */
bool
trigger_is_ours(const Trigger *t)
{
	return get_func_namespace(t->tgfoid) == get_namespace_oid(MIGRATE_SCHEMA, true);
}

/* Adds what should be on a relation and its descendants; function: instead of that of the definitions, or NULL. */
static void
expect(List **expected, const Migration *g, Oid root, const TriggerDef *defs, int n, const char *function, const char *direction)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(root, NoLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);

		for (int i = 0; i < n; i++)
		{
			OwnTrigger *t;

			/* a partitioned table gives its row triggers to its partitions itself */
			if (strcmp(defs[i].level, "FOR EACH ROW") == 0 && get_rel_relispartition(relid))
				continue;
			t = palloc(sizeof(OwnTrigger));
			t->relid = relid;
			t->name = psprintf("%s" PREFIX "%s_%s", strcmp(defs[i].function, "set_columns") == 0 ? LAST : "",
							   g->id, direction, defs[i].event);
			t->enabled = defs[i].enabled;
			t->def = &defs[i];
			t->function = function ? function : defs[i].function;
			t->direction = direction;
			*expected = lappend(*expected, t);
		}
	}
}

/* The same for the sources of some mappings, those in place or the others. */
static void
expect_all(List **expected, const Migration *g, List *mappings, bool are_in_place, const TriggerDef *defs, int n,
		   const char *direction)
{
	List	   *roots = NIL;
	ListCell   *lc;

	foreach(lc, mapping_select(mappings, are_in_place))
	{
		Mapping    *m = lfirst(lc);

		if (defs != capture || strcmp(m->capture, "none") != 0)
			roots = list_append_unique_oid(roots, m->source);
	}
	foreach(lc, roots)
	{
		if (mapping_relation_exists(lfirst_oid(lc)))
			expect(expected, g, lfirst_oid(lc), defs, n, NULL, direction);
	}
}

/*
 * The triggers that there should be: on the authoritative side those that
 * capture; after a cutover also what watches writes of applications to the old
 * side that have not moved yet; and what keeps everybody from writing.
 */
static List *
list_expected(const Migration *g)
{
	List	   *expected = NIL;
	bool		switched = migration_is_switched(g);
	bool		forward = strcmp(setting_text(g->settings, "stale_writes"), "forward") == 0;
	List	   *mappings = mapping_list(g->id, switched);
	const char *direction = switched ? CAPTURE_REVERSE : CAPTURE_FORWARD;
	ListCell   *lc;

	if (!migration_is_capturing(g))
		return NIL;
	expect_all(&expected, g, mappings, false, capture, lengthof(capture), direction);
	expect_all(&expected, g, mappings, true, &in_place[!switched || forward], 1, direction);
	foreach(lc, lookup_relations(mappings))
		expect(&expected, g, lfirst_oid(lc), capture, lengthof(capture), "capture_lookup",
			   switched ? CAPTURE_LOOKUP_REVERSE : CAPTURE_LOOKUP_FORWARD);
	if (switched && forward)
		expect_all(&expected, g, mapping_list(g->id, MAPPING_FORWARD), false, capture, lengthof(capture), CAPTURE_STALE);
	else if (switched)
		expect_all(&expected, g, mapping_list(g->id, MAPPING_FORWARD), false, guard, lengthof(guard), CAPTURE_GUARD);
	if (g->frozen)
	{
		expect_all(&expected, g, mappings, false, frozen, lengthof(frozen), CAPTURE_FROZEN);
		expect_all(&expected, g, mappings, true, frozen, lengthof(frozen), CAPTURE_FROZEN);
		if (switched && forward)
			expect_all(&expected, g, mapping_list(g->id, MAPPING_FORWARD), false, frozen, lengthof(frozen), CAPTURE_FROZEN);
	}
	return expected;
}

/* The triggers that there are, but for a partition's copies of its parent's. */
static List *
list_existing(int64 migration_id)
{
	SpiScope	scope;
	List	   *existing = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT tgrelid, tgname, tgenabled FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
				"WHERE p.pronamespace = '" MIGRATE_SCHEMA "'::regnamespace "
				"AND starts_with(ltrim(tgname::text, '" LAST "'), $1) AND tgparentid = 0 ORDER BY 1, 2",
				SPI_ARGS(spi_text(psprintf(PREFIX, migration_id))));
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);
		OwnTrigger *t = palloc0(sizeof(OwnTrigger));

		t->relid = spi_get_oid(i, 1);
		t->name = spi_get_text(&scope, i, 2);
		t->enabled = spi_get_text(&scope, i, 3)[0];
		existing = lappend(existing, t);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return existing;
}

/* The trigger in a list; NULL if it is not there. */
static OwnTrigger *
find(List *triggers, const OwnTrigger *wanted)
{
	ListCell   *lc;

	foreach(lc, triggers)
	{
		OwnTrigger *t = lfirst(lc);

		if (t->relid == wanted->relid && strcmp(t->name, wanted->name) == 0)
			return t;
	}
	return NULL;
}

/* Creates one trigger and ties it to the extension. */
static void
create_trigger(const Migration *g, const OwnTrigger *t)
{
	char	   *relation = quote_relation(t->relid);
	const char *name = quote_identifier(t->name);
	bool		has_event = t->def->function == in_place[0].function;

	spi_run(psprintf("CREATE TRIGGER %s %s ON %s %s EXECUTE FUNCTION " MIGRATE_SCHEMA ".%s(" INT64_FORMAT ", %s%s%s)",
					 name, t->def->timing, relation, t->def->level, t->function, g->id, t->direction,
					 has_event ? ", " : "", has_event ? t->def->event : ""),
			SPI_NO_ARGS);
	spi_run(psprintf("ALTER TRIGGER %s ON %s DEPENDS ON EXTENSION migrate_ext", name, relation), SPI_NO_ARGS);
	spi_run(psprintf("ALTER TABLE %s ENABLE %s TRIGGER %s", relation,
					 t->enabled == TRIGGER_FIRES_ALWAYS ? "ALWAYS" : "REPLICA", name), SPI_NO_ARGS);
}

/* What is to be created, and what removed. */
typedef struct Change
{
	const Migration *g;
	List	   *create;
	List	   *drop;
} Change;

static void
work_change(void *arg)
{
	Change	   *change = arg;
	SpiScope	scope;
	ListCell   *lc;

	spi_open_catalog(&scope);
	foreach(lc, change->drop)
	{
		OwnTrigger *t = lfirst(lc);

		spi_run(psprintf("DROP TRIGGER %s ON %s", quote_identifier(t->name), quote_relation(t->relid)),
				SPI_NO_ARGS);
	}
	foreach(lc, change->create)
		create_trigger(change->g, lfirst(lc));
	spi_close(&scope);
}

/* Creates some triggers and removes others. */
static void
change(const Migration *g, List *create, List *drop)
{
	Change		c = {g, create, drop};

	own_ddl_run(work_change, &c);
}

/* Does a list name the relation? */
static bool
has_relation(List *triggers, Oid relid)
{
	ListCell   *lc;

	foreach(lc, triggers)
	{
		if (((OwnTrigger *) lfirst(lc))->relid == relid)
			return true;
	}
	return false;
}

/*
 * A relation that lost a trigger, or on which one was disabled; InvalidOid if
 * there is none.  One without any is new among the descendants of a source.
 */
Oid
trigger_find_damage(const Migration *g)
{
	List	   *existing = list_existing(g->id);
	ListCell   *lc;

	foreach(lc, list_expected(g))
	{
		OwnTrigger *t = lfirst(lc);
		OwnTrigger *found = find(existing, t);

		if (found ? found->enabled != t->enabled : has_relation(existing, t->relid))
			return t->relid;
	}
	return InvalidOid;
}

/*
 * Makes the triggers those that there should be in the migration's phase; were
 * there others on some relation?
 */
bool
trigger_follow(const Migration *g)
{
	List	   *expected = list_expected(g);
	List	   *existing = list_existing(g->id);
	List	   *create = NIL;
	List	   *drop = NIL;
	ListCell   *lc;

	foreach(lc, expected)
	{
		if (find(existing, lfirst(lc)) == NULL)
			create = lappend(create, lfirst(lc));
	}
	foreach(lc, existing)
	{
		if (find(expected, lfirst(lc)) == NULL)
			drop = lappend(drop, lfirst(lc));
	}
	if (create == NIL && drop == NIL)
		return false;
	change(g, create, drop);
	return true;
}

/* The relations that carry a trigger of the migration. */
List *
trigger_relations(int64 migration_id)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list_existing(migration_id))
		result = list_append_unique_oid(result, ((OwnTrigger *) lfirst(lc))->relid);
	return result;
}

/* Removes every trigger of the migration. */
void
trigger_remove_all(const Migration *g)
{
	change(g, NIL, list_existing(g->id));
}
