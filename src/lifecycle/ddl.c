/*
 * ddl.c
 *		Event triggers: DDL on the tables of a migration that captures writes.
 *
 * At the end of a command that may matter, every mapping is looked at again,
 * by the same code that looked at it before the start.  What would break one
 * is an error of the command.  What adds or takes away rows without a trigger
 * being fired (a partition that is attached or detached, a table that is
 * rewritten) makes every key dirty, and the triggers follow the tables.
 *
 * A mapping that is broken already, because the event triggers were disabled for
 * a time, makes no command fail: therefore it is looked at before, too.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "tcop/cmdtag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/trigger.h"
#include "catalog/dirty_key.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "lifecycle/assess.h"
#include "lifecycle/phase.h"
#include "lifecycle/swap.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/lookup.h"
#include "projection/projection.h"
#include "projection/reference.h"

MIGRATE_FUNCTION(migrate_ddl_command_start);
MIGRATE_FUNCTION(migrate_ddl_command_end);
MIGRATE_FUNCTION(migrate_ddl_sql_drop);
MIGRATE_FUNCTION(migrate_ddl_table_rewrite);

/* The migrations that were broken before the command, by id. */
#define MAX_BROKEN 64
static int64 broken[MAX_BROKEN];
static int	nbroken = 0;

/* The migrations that capture writes; NIL for DDL of our own, or while the extension comes or goes. */
static List *
list_concerned(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is called only by the extension's event triggers")));
	if (own_ddl_is_under_way() || creating_extension || !identity_catalog_exists())
		return NIL;
	return migration_list_capturing();
}

/* Looks at one mapping again; raises for what does not hold any more. */
static void
check_mapping(const Mapping *m)
{
	Identity	identity;
	ListCell   *lc;

	if (!mapping_relation_exists(m->source) || !mapping_relation_exists(m->target))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("a table of mapping %lld would be gone", (long long) m->id)));
	identity_become_owner(&identity, m->owner, m->time_zone);
	foreach(lc, m->columns)
	{
		MappingColumn *c = lfirst(lc);

		(void) expression_tree(c->expression, m->source, m->target, ref_target_attnum(m, c->target));
	}
	if (m->filter != NULL)
		(void) expression_tree(m->filter, m->source, InvalidOid, InvalidAttrNumber);
	foreach(lc, m->dedupe_by)
		(void) expression_read(lfirst(lc), m->source, SOURCE_ALIAS);
	identity_restore(&identity);
	if (m->key != NIL && !key_identifies(m->target, m->key, m->reverse))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("the key of %s would have no valid, immediate unique index without condition, on columns that are not null",
						name_relation(m->target))));
}

/* Raises for what would have kept the migration from starting. */
static void
check_blockers(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, assess_migration(g))
	{
		const Finding *f = lfirst(lc);

		if (strcmp(f->severity, "blocker") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s: %s", f->subject, f->finding)));
	}
}

/* Raises for a trigger that somebody took away or disabled. */
static void
check_triggers(const Migration *g)
{
	Oid			relid = trigger_find_damage(g);

	if (OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("writes to %s would not be captured any more", name_relation(relid))));
}

/* Work for subxact_try. */
static void
work_check(void *arg)
{
	const Migration *g = arg;
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
		check_mapping(lfirst(lc));
	foreach(lc, mapping_list(g->id, MAPPING_REVERSE))
		check_mapping(lfirst(lc));
	check_blockers(g);
	check_triggers(g);
	swap_check_names(g);
}

static MIGRATE_NORETURN void
reject(const Migration *g, CommandTag tag, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("%s would break migration \"%s\"", GetCommandTagName(tag), g->name),
			 errdetail("%s.", why),
			 errhint("Call migrate_rollback first; after the command change the mapping if need be, and start again.")));
}

/* Any key of the mappings in force may be wrong, and a verification is out of date. */
static void
mark_every_key(const Migration *g, List *mappings, const char *why)
{
	ListCell   *lc;

	if (mappings == NIL)
		return;
	foreach(lc, mappings)
		dirty_key_add_every(((Mapping *) lfirst(lc))->id, "reconcile", NULL);
	event_record(g, "ddl", NULL, NULL, why);
}

/* A worker settles what is dirty, if one is wanted.  Nobody is waited for. */
static void
want_sync(const Migration *g)
{
	Migration  *locked = migration_try_lock(g->id);

	if (locked != NULL)
		sync_wanted_hook(locked, migration_is_switched(locked));
}

/* The tables that the command has changed. */
static List *
list_changed_tables(void)
{
	SpiScope	scope;
	List	   *result = NIL;
	uint64		n;

	spi_open_catalog(&scope);
	n = spi_run("SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass", SPI_NO_ARGS);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		result = list_append_unique_oid(result, spi_get_oid(i, 1));
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
	return result;
}

/* Is one of the tables a mapping's source, or a descendant of it? */
static bool
is_of_source(const Mapping *m, List *tables)
{
	List	   *tree = find_all_inheritors(m->source, NoLock, NULL);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, tables)
		found = found || list_member_oid(tree, lfirst_oid(lc));
	return found;
}

/* Do expressions of the mapping read one of the tables, or one above it? */
static bool
is_read(const Mapping *m, List *tables)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, lookup_relations(list_make1((void *) m)))
	{
		List	   *tree = find_all_inheritors(lfirst_oid(lc), NoLock, NULL);
		ListCell   *table;

		foreach(table, tables)
			found = found || list_member_oid(tree, lfirst_oid(table));
	}
	return found;
}

/* Expressions that read the row as a whole give something else when it has other columns. */
static List *
list_whole_row(const Migration *g)
{
	List	   *result = NIL;
	List	   *tables = NIL;
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, migration_is_switched(g)))
	{
		Mapping    *m = lfirst(lc);

		if (!m->whole_row)
			continue;
		if (tables == NIL)
			tables = list_changed_tables();
		if (is_of_source(m, tables))
			result = lappend(result, m);
	}
	return result;
}

/* A new table that belongs to no other, or one that is empty, changes nothing by itself. */
static bool
is_new_table(const Node *parsetree)
{
	return IsA(parsetree, CreateStmt) || IsA(parsetree, CreateForeignTableStmt);
}

static bool
stands_alone(const Node *parsetree)
{
	return (IsA(parsetree, CreateStmt) && ((const CreateStmt *) parsetree)->inhRelations == NIL) ||
		(IsA(parsetree, CreateForeignTableStmt) &&
		 ((const CreateForeignTableStmt *) parsetree)->base.inhRelations == NIL);
}

/*
 * May the command have given a table another parent?  Only then do triggers
 * follow: a restore makes tables, rows and triggers one after the other, and
 * none of its commands must find the triggers there already.
 */
static bool
changes_ancestry(const Node *parsetree)
{
	ListCell   *lc;

	if (is_new_table(parsetree))
		return true;
	if (!IsA(parsetree, AlterTableStmt) || ((const AlterTableStmt *) parsetree)->objtype == OBJECT_INDEX)
		return false;
	foreach(lc, ((const AlterTableStmt *) parsetree)->cmds)
	{
		switch (((const AlterTableCmd *) lfirst(lc))->subtype)
		{
			case AT_AttachPartition:
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
			case AT_AddInherit:
			case AT_DropInherit:
				return true;
			default:
				break;
		}
	}
	return false;
}

/* What is wrong with a migration; NULL if nothing is. */
static ErrorData *
find_fault(Migration *g)
{
	return subxact_probe(work_check, g);
}

static bool
was_broken(const Migration *g)
{
	for (int i = 0; i < nbroken; i++)
	{
		if (broken[i] == g->id)
			return true;
	}
	return false;
}

/* migrate_ext.ddl_command_start(): notes which migrations are broken already. */
Datum
migrate_ddl_command_start(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	ListCell   *lc;

	nbroken = 0;
	if (CALLED_AS_EVENT_TRIGGER(fcinfo) && stands_alone(data->parsetree))
		return (Datum) 0;
	foreach(lc, list_concerned(fcinfo))
	{
		Migration  *g = lfirst(lc);

		if (nbroken < MAX_BROKEN && find_fault(g) != NULL)
			broken[nbroken++] = g->id;
	}
	return (Datum) 0;
}

/*
 * migrate_ext.ddl_command_end(): rejects what would break a migration, and
 * follows what adds a relation to a source or takes one away.
 */
Datum
migrate_ddl_command_end(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	ListCell   *lc;

	if (CALLED_AS_EVENT_TRIGGER(fcinfo) && stands_alone(data->parsetree))
		return (Datum) 0;
	foreach(lc, list_concerned(fcinfo))
	{
		Migration  *g = lfirst(lc);
		ErrorData  *error = find_fault(g);

		if (error != NULL && was_broken(g))
			continue;
		if (error != NULL)
			reject(g, data->tag, error->message);
		if (changes_ancestry(data->parsetree) && trigger_follow(g))
		{
			if (!is_new_table(data->parsetree))
				mark_every_key(g, mapping_list(g->id, migration_is_switched(g)),
							   "a table was attached or detached");
			want_sync(g);
		}
		mark_every_key(g, list_whole_row(g), "a table that is mapped as a whole was changed");
	}
	return (Datum) 0;
}

/* Does the relation belong to a source of the migration, or is it read by expressions, in either direction? */
static bool
is_of_migration(const Migration *g, Oid relid)
{
	ListCell   *lc;

	foreach(lc, list_concat(mapping_list(g->id, MAPPING_FORWARD), mapping_list(g->id, MAPPING_REVERSE)))
	{
		Mapping    *m = lfirst(lc);

		if (mapping_relation_exists(m->source) && (is_of_source(m, list_make1_oid(relid)) || is_read(m, list_make1_oid(relid))))
			return true;
	}
	return false;
}

/*
 * migrate_ext.ddl_sql_drop(): triggers of ours went.  With a partition, whose
 * rows no trigger has seen go; or alone, which is an error.
 */
Datum
migrate_ddl_sql_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = (EventTriggerData *) fcinfo->context;
	ListCell   *lc;

	foreach(lc, list_concerned(fcinfo))
	{
		Migration  *g = lfirst(lc);
		SpiScope	scope;
		uint64		n;
		bool		went = false;

		spi_open_catalog(&scope);
		n = spi_run("SELECT DISTINCT to_regclass(format('%I.%I', address_names[1], address_names[2])) "
					"FROM pg_event_trigger_dropped_objects() WHERE object_type = 'trigger' "
					"AND starts_with(ltrim(address_names[3], '~'), $1)",
					SPI_ARGS(spi_text(psprintf("migrate_ext_" INT64_FORMAT "_", g->id))));
		for (uint64 i = 0; i < n; i++)
		{
			if (spi_is_null(i, 1))
				went = true;
			else if (is_of_migration(g, spi_get_oid(i, 1)))
				reject(g, data->tag, psprintf("writes to %s would not be captured any more",
											  name_relation(spi_get_oid(i, 1))));
		}
		spi_close(&scope);
		if (!went)
			continue;
		mark_every_key(g, mapping_list(g->id, migration_is_switched(g)), "a table was dropped");
		want_sync(g);
	}
	return (Datum) 0;
}

/*
 * migrate_ext.ddl_table_rewrite(): ALTER TABLE gives rows new values past all
 * triggers.
 */
Datum
migrate_ddl_table_rewrite(PG_FUNCTION_ARGS)
{
	ListCell   *lc;

	foreach(lc, list_concerned(fcinfo))
	{
		Migration  *g = lfirst(lc);
		List	   *rewritten = NIL;
		ListCell   *mapping;
		SpiScope	scope;
		Oid			relid;

		spi_open_catalog(&scope);
		spi_run("SELECT pg_event_trigger_table_rewrite_oid()", SPI_NO_ARGS);
		relid = spi_get_oid(0, 1);
		spi_close(&scope);
		foreach(mapping, mapping_list(g->id, migration_is_switched(g)))
		{
			Mapping    *m = lfirst(mapping);

			if (is_of_source(m, list_make1_oid(relid)) || is_read(m, list_make1_oid(relid)) ||
				list_member_oid(find_all_inheritors(m->target, NoLock, NULL), relid))
				rewritten = lappend(rewritten, m);
		}
		mark_every_key(g, rewritten, "a table was rewritten");
		if (rewritten != NIL)
			want_sync(g);
	}
	return (Datum) 0;
}
