/*
 * assess.c
 *		Findings about a migration before it starts.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "capture/trigger.h"
#include "catalog/mapping.h"
#include "lifecycle/assess.h"
#include "lifecycle/contract.h"
#include "lifecycle/phase.h"
#include "lifecycle/swap.h"
#include "projection/columns.h"
#include "projection/key.h"
#include "projection/lookup.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Adds a finding. */
void
assess_add(List **findings, const char *severity, const char *subject, const char *finding,
	const char *advice)
{
	Finding    *f = palloc(sizeof(Finding));

	f->severity = severity;
	f->subject = subject;
	f->finding = finding;
	f->advice = advice;
	*findings = lappend(*findings, f);
}

static char *
join_names(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", (char *) lfirst(lc));
	return buf.data;
}

/* Does the mapping's target hold rows that the mapping would answer for? */
static bool
has_rows(const Mapping *m)
{
	SpiScope	scope;
	bool		found;

	spi_open_owner(&scope, m->owner, m->time_zone);
	found = spi_run(projection_target_exists(m), SPI_NO_ARGS) > 0;
	spi_close(&scope);
	return found;
}

/* Does any target hold rows?  Sets the first one that does. */
bool
assess_target_has_rows(const Migration *g, Oid *target)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);

		if (mapping_is_in_place(m) || !has_rows(m))
			continue;
		*target = m->target;
		return true;
	}
	return false;
}

/* Rules, triggers and partitions of the two sides. */
static void
assess_relations(List **findings, const Mapping *m, bool switched)
{
	Relation	target = relation_open(m->target, AccessShareLock);
	char	   *name = name_relation(m->target);
	ListCell   *lc;

	if (target->rd_rules != NULL && !switched)
		assess_add(findings, "blocker", name, "it has rules, with which INSERT ... ON CONFLICT cannot be used",
			"Replace the rules by triggers, or drop them for the migration.");
	if (target->trigdesc != NULL)
	{
		for (int i = 0; i < target->trigdesc->numtriggers; i++)
		{
			Trigger    *t = &target->trigdesc->triggers[i];

			if (!t->tgisinternal && !trigger_is_ours(t) &&
				(!mapping_is_in_place(m) || TRIGGER_FOR_UPDATE(t->tgtype)))
				assess_add(findings, "warning", name,
					psprintf(mapping_is_in_place(m) ? "trigger \"%s\" will fire for every row whose columns are set" :
							 "trigger \"%s\" will fire for every dual write and every copied row", t->tgname),
					"Make sure that it may, or disable it until the cutover.");
		}
	}
	relation_close(target, NoLock);

	if (has_superclass(m->source))
		assess_add(findings, "blocker", name_relation(m->source),
			"it is a partition or child of another table: what is written through that table would not be captured",
			"Map the parent, with a filter where only this part is to be moved.");
	foreach(lc, find_all_inheritors(m->source, NoLock, NULL))
	{
		if (strcmp(m->capture, "none") == 0)
			break;				/* nothing is captured anyway */
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			assess_add(findings, "blocker", name_relation(lfirst_oid(lc)),
				"it is a foreign table among the partitions of a source: its writes cannot be captured",
				"Detach it, or move its rows into a local partition.");
	}
}

/* Does an index lead with the source of a key column? */
static bool
is_indexed(const Mapping *m, const char *name)
{
	const MappingColumn *c = projection_column(m, name);
	char	   *copied = projection_copied_column(m, name);
	ListCell   *lc;

	foreach(lc, c->made_of)
	{
		if (key_expression_indexed(m->source, get_attnum(m->source, lfirst(lc))))
			return true;
	}
	return copied != NULL && key_expression_indexed(m->source, get_attnum(m->source, copied));
}

/* Can source rows be found by their key?  An index that leads with one of its columns will do. */
static void
assess_key_index(List **findings, const Mapping *m)
{
	StringInfoData names;
	StringInfoData expressions;
	ListCell   *lc;
	int			n = 0;

	initStringInfo(&names);
	initStringInfo(&expressions);
	foreach(lc, m->key)
	{
		const char *name = lfirst(lc);

		if (projection_column(m, name)->constant || projection_column(m, name)->is_set)
			continue;
		if (is_indexed(m, name))
			return;
		appendStringInfo(&names, "%s\"%s\"", n > 0 ? ", " : "", name);
		appendStringInfo(&expressions, "%s%s", n++ > 0 ? ", " : "", projection_column(m, name)->expression);
	}
	if (n > 0)
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("no index was found that leads with the source of key column%s %s: %s", n > 1 ? "s" : "", names.data, expressions.data),
			"Settling a dirty key scans the whole source without one; create it.");
}

/* Columns that get no value, and what the key costs. */
static void
assess_columns(List **findings, const Mapping *m)
{
	List	   *uncovered = mapping_is_in_place(m) ? NIL : projection_uncovered_required(m);

	if (uncovered != NIL)
		assess_add(findings, "blocker", name_relation(m->target),
			psprintf("columns without default that must not be null get no value: %s", join_names(uncovered)),
			"Give them an expression in \"columns\", or a default.");
	if (ref_dedupes(m))
		assess_add(findings, "info", name_relation(m->source),
			psprintf("of several rows with one key of %s only the first by \"dedupe_by\" is moved: writes are queued for a sync, which looks at all of them",
					 name_relation(m->target)),
			"migrate_rejected lists the others; setting sync_interval says how far the target may be behind.");
	else if (ref_is_multiset(m))
		assess_add(findings, "info", name_relation(m->source),
			psprintf("rows of %s have no key: their writes are queued, and each batch of a sync counts rows of both tables", name_relation(m->target)),
			"Give the target a key, if there is one, and name it in \"key\": a dirty key is then found by an index.");
	else if (!projection_source_is_unique(m, false))
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("no unique index on the source shows that only one row has each key of %s",
					 name_relation(m->target)),
			"Its writes are then only queued for migrate_sync. Make sure that the keys are unique, create the index, or give \"dedupe_by\".");
	assess_key_index(findings, m);
}

/* Tables that expressions read. */
static void
assess_lookups(List **findings, const Mapping *m)
{
	List	   *any = NIL;
	ListCell   *lc;

	foreach(lc, mapping_is_in_place(m) ? NIL : lookup_list(m))
	{
		Lookup	   *l = lfirst(lc);

		if (!lookup_is_watched(l->relation))
			assess_add(findings, "warning", name_relation(l->relation),
				psprintf("expressions for %s read it, and it is no table: its changes are not seen", name_relation(m->target)),
				"Read the tables that it is made of, or mark keys by touching the source rows.");
		else if (l->columns == NIL && !list_member_oid(any, l->relation))
		{
			any = lappend_oid(any, l->relation);
			assess_add(findings, "info", name_relation(l->relation),
				psprintf("expressions for %s read it in a subquery of several tables, or without comparing a column with the source row: "
						 "when it changes, all keys are compared", name_relation(m->target)),
				"Where it changes often, read one table in a subquery, WHERE a column of it equals something of the source row.");
		}
	}
}

/*
 * Foreign keys that go round among the targets: no order of copying has each row
 * after those that it refers to.
 */
static void
assess_circles(List **findings, const Migration *g)
{
	SpiScope	scope;
	char	   *found;

	if (setting_bool(g->settings, "defer_foreign_keys"))
		return;
	spi_open_catalog(&scope);
	spi_run("WITH RECURSIVE t AS (SELECT DISTINCT target::oid AS relid FROM migrate_ext.mapping WHERE migration_id = $1 AND direction = 'forward' AND source <> target), "
			"edge AS (SELECT DISTINCT conrelid AS a, confrelid AS b FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 "
			"AND conrelid IN (SELECT relid FROM t) AND confrelid IN (SELECT relid FROM t)), "
			"path(a, b) AS (SELECT a, b FROM edge UNION SELECT path.a, edge.b FROM path JOIN edge ON edge.a = path.b) "
			"SELECT string_agg(a::regclass::text, ', ' ORDER BY a::regclass::text) FROM path WHERE a = b", SPI_ARGS(spi_int8(g->id)));
	found = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	if (found != NULL)
		assess_add(findings, "warning", found, "foreign keys go from it round to itself: rows are copied before those that they refer to, fail, and are tried again one by one",
			"Set defer_foreign_keys to on: the keys are dropped while the targets are empty, and added again after the copy.");
}

/* Does a mapping in place set the column? */
static bool
is_set_in_place(const Mapping *m, AttrNumber attnum)
{
	char	   *name = attnum > 0 ? get_attname(m->target, attnum, true) : NULL;

	return name != NULL && projection_column(m, name) != NULL && !ref_is_key(m, name);
}

static void
add_refusal(List **findings, const Mapping *m, const char *constraint)
{
	assess_add(findings, "warning", name_relation(m->target),
		psprintf("a row that violates \"%s\" by a column that is set in place is refused, whatever on_error says", constraint),
		"Make sure that the expression cannot violate it, or add it after the cutover.");
}

/* In place, the columns are stored with the application's own row: what the table refuses, it meets. */
static void
assess_in_place(List **findings, const Mapping *m)
{
	Relation	rel = relation_open(m->target, AccessShareLock);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		found = false;

		for (int i = 0; i < index->rd_index->indnatts; i++)
			found = found || is_set_in_place(m, index->rd_index->indkey.values[i]);
		if (found && (index->rd_index->indisunique || index->rd_index->indisexclusion))
			add_refusal(findings, m, RelationGetRelationName(index));
		index_close(index, AccessShareLock);
	}
	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);
		bool		found = false;

		for (int i = 0; i < fk->nkeys; i++)
			found = found || is_set_in_place(m, fk->conkey[i]);
		if (found)
			add_refusal(findings, m, get_constraint_name(fk->conoid));
	}
	relation_close(rel, NoLock);
}

/* What the old columns of a table in place take along when they go. */
static void
assess_old_columns(List **findings, const Migration *g)
{
	ListCell   *lc;

	foreach(lc, strcmp(setting_text(g->settings, "old_side"), "drop") == 0 ? contract_list_columns(g) : NIL)
	{
		OldColumn  *c = lfirst(lc);
		char	   *along = contract_goes_along(c);
		char	   *dependents = contract_find_dependents(c);

		if (along != NULL)
			assess_add(findings, "info", contract_name(c), psprintf("at the cleanup it goes, and with it: %s", along),
				"Give the new columns what they need of it before the cutover: defaults, indexes, constraints.");
		if (dependents != NULL)
			assess_add(findings, "info", contract_name(c), psprintf("the cleanup cannot drop it as long as there is: %s", dependents),
				"Point that at the new columns after the cutover, or set old_side to keep.");
	}
}

/* The columns of a table, as "a, b", to which none of the mappings writes; NULL if there are none. */
static char *
list_not_written(Oid relid, List *mappings)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *lost = NIL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		bool		written = att->attisdropped || att->attgenerated;
		ListCell   *lc;

		foreach(lc, mappings)
		{
			Mapping    *m = lfirst(lc);

			written = written || (m->target == relid && projection_column(m, NameStr(att->attname)) != NULL);
		}
		if (!written)
			lost = lappend(lost, pstrdup(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	return lost ? join_names(lost) : NULL;
}

/* "table: its columns; table: ..." of the old side, to which nothing is written back after a cutover; NULL if there are none. */
char *
assess_not_written_back(const Migration *g)
{
	List	   *reverse = mapping_list(g->id, MAPPING_REVERSE);
	List	   *seen = NIL;
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, mapping_select(mapping_list(g->id, MAPPING_FORWARD), false))
	{
		Oid			relid = ((Mapping *) lfirst(lc))->source;
		char	   *lost = list_member_oid(seen, relid) ? NULL : list_not_written(relid, reverse);

		seen = lappend_oid(seen, relid);
		if (lost != NULL)
			appendStringInfo(&buf, "%s%s: %s", buf.len ? "; " : "", name_relation(relid), lost);
	}
	return buf.len > 0 ? buf.data : NULL;
}

/* Whether rows of the source are another mapping's, where filters might say that they are not. */
static void
assess_owner(List **findings, const Mapping *m, const Mapping *back)
{
	const Mapping *owner = NULL;
	ListCell   *lc;

	foreach(lc, mapping_list(back->migration_id, MAPPING_REVERSE))
	{
		const Mapping *other = lfirst(lc);

		if (other->target != back->target || other->clears)
			continue;
		owner = mapping_get(other->reverse_of);
		if (owner->declared_filter == NULL || strcmp(owner->declared_filter, m->declared_filter) == 0)
			return;				/* columns of the same rows */
	}
	if (owner != NULL)
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("its rows are taken for those of %s: when one is deleted in %s after the cutover, columns become null here, and the row stays",
					 name_relation(owner->target), name_relation(m->target)),
			"That is right for columns of the same rows. Where each row has its own target, write filters that exclude each other by comparisons of one column.");
}

/* Rows of the new side that are new there have no old key, unless one can be taken. */
static void
assess_new_keys(List **findings, const Mapping *m, const Mapping *back)
{
	ListCell   *lc;

	foreach(lc, back->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if (c->map != m->id || c->part == 0 || (c->parts == 1 && column_has_default(m->source, c->target)))
			continue;
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("rows inserted in %s after the cutover cannot be written back: nothing gives them a value for \"%s\", which the key map has for the others",
					 name_relation(m->target), c->target),
			"Copy the old key into the new table and give it a value there, or write rows of the new side off: a rollback with a reason leaves them out.");
		return;
	}
}

/* Work for subxact_probe: counts the rows that the way back would change. */
typedef struct ThereAndBack
{
	const Mapping *m;
	const Mapping *back;
	int64		changed;
} ThereAndBack;

static void
work_there_and_back(void *arg)
{
	ThereAndBack *w = arg;
	SpiScope	scope;

	spi_open_owner(&scope, w->m->owner, w->m->time_zone);
	if (spi_read(projection_changed_by_way_back(w->m, w->back), SPI_NO_ARGS) > 0)
		w->changed = spi_get_int8(0, 1);
	spi_close(&scope);
}

/* Rows without keys come back as others, beside those that were there, where the way back does not give just what they were. */
static void
assess_there_and_back(List **findings, const Mapping *m, const Mapping *back)
{
	ThereAndBack work = {m, back, 0};

	if (subxact_probe(work_there_and_back, &work) == NULL && work.changed > 0)
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("%lld rows would not be what they were, there and back: without a key each of them comes back as one row more", (long long) work.changed),
			"Give \"reverse\" that tells what the row was, or a key.");
}

/* What cannot be written back after the cutover. */
static void
assess_reverse(List **findings, const Mapping *m)
{
	Mapping    *r = mapping_find_reverse(m->id);
	char	   *lost;
	List	   *uncovered;

	if (r == NULL && key_is_foreign(m->target))
	{
		assess_add(findings, "warning", name_relation(m->target),
			"it is a foreign table: what is written to it after the cutover cannot be captured, and not be written back",
			"Only force cuts over, and a rollback loses what was written since.");
		assess_add(findings, "warning", name_relation(m->target),
			psprintf("it is a foreign table: whether a unique index of the other server covers its key cannot be seen: %s", join_names(m->key)),
			"Without one a row may be there twice; create it there.");
		return;
	}
	if (r != NULL && ref_is_multiset(r))
		assess_there_and_back(findings, m, r);
	if (r == NULL && ref_is_multiset(m) && !ref_expands(m))
	{
		assess_add(findings, "warning", name_relation(m->target),
			psprintf("what is written to it after the cutover is not written back: its rows have no key, and do not tell all columns of %s", name_relation(m->source)),
			"Copy all columns of the source, or give \"reverse\" for the others.");
		return;
	}
	if (r == NULL && ref_expands(m))
	{
		assess_add(findings, "warning", name_relation(m->target),
			psprintf("what is written to it after the cutover is not written back: a set of %s is made of several of its rows", name_relation(m->source)),
			"Give \"reverse\" for the source's key and what the set is read from, such as (SELECT array_agg(t.tag ORDER BY t.place) FROM tag t WHERE t.doc_id = src.doc_id).");
		return;
	}
	if (r == NULL)
	{
		assess_add(findings, "warning", name_relation(m->source),
			"writes made after the cutover cannot be written back: no unique key of the source is copied to the target",
			"Copy the source's key unchanged, or give \"reverse\".");
		return;
	}
	if (mapping_is_in_place(m))
		return;
	if (r->clears && m->declared_filter != NULL)
		assess_owner(findings, m, r);
	lost = list_not_written(m->source, list_make1(r));
	if (lost != NULL)
		assess_add(findings, "info", name_relation(m->source),
			psprintf("this mapping writes nothing back to: %s", lost),
			"Give \"reverse\" expressions for columns that the new side changes.");
	assess_new_keys(findings, m, r);
	uncovered = projection_uncovered_required(r);
	if (uncovered != NIL)
		assess_add(findings, "warning", name_relation(m->source),
			psprintf("rows inserted in %s after the cutover cannot be written back: no value for %s",
					 name_relation(m->target), join_names(uncovered)),
			"Give \"reverse\" expressions or defaults for these columns.");
}

/* Do the event triggers fire that watch DDL? */
static bool
event_triggers_are_on(void)
{
	SpiScope	scope;
	bool		found;

	spi_open_catalog(&scope);
	found = spi_run("SELECT FROM pg_event_trigger WHERE starts_with(evtname::text, 'migrate_ext_') AND evtenabled NOT IN ('O', 'A')",
					SPI_NO_ARGS) == 0;
	spi_close(&scope);
	return found;
}

/* What a cutover by swap could not move.  It keeps nobody from starting: there is method switch. */
List *
assess_swap(const Migration *g)
{
	List	   *findings = NIL;
	char	   *obstacle;
	ListCell   *lc;

	foreach(lc, swap_relations(g))
	{
		if (!mapping_relation_exists(lfirst_oid(lc)))
			return NIL;			/* which is found already */
	}
	obstacle = swap_obstacle(g);
	if (obstacle != NULL)
		assess_add(&findings, "info", "cutover", psprintf("method swap cannot be used: %s", obstacle),
			"Use method switch, and point the application at the new tables.");
	else
	{
		foreach(lc, swap_plan(g))
		{
			SwapStep   *step = lfirst(lc);

			/* each is found once, where it would be made again */
			if (step->problem != NULL && step->stage >= SWAP_AFTER)
				assess_add(&findings, step->severity, psprintf("cutover by swap: %s", swap_describe(step)),
					step->problem, swap_advice(step));
		}
	}
	return findings;
}

/* Everything found, the worst first within each mapping. */
List *
assess_migration(const Migration *g)
{
	List	   *findings = NIL;
	List	   *mappings = mapping_list(g->id, MAPPING_FORWARD);
	ListCell   *lc;
	Oid			target;

	if (mappings == NIL)
		assess_add(&findings, "blocker", g->name, "it maps nothing", "Call migrate_map.");
	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);

		if (!mapping_relation_exists(m->source) || !mapping_relation_exists(m->target))
		{
			assess_add(&findings, "blocker", psprintf("mapping %lld", (long long) m->id),
				"its source or target was dropped", "Unmap it.");
			return findings;
		}
		assess_columns(&findings, m);
		assess_relations(&findings, m, migration_is_switched(g));
		assess_lookups(&findings, m);
		assess_reverse(&findings, m);
		if (mapping_is_in_place(m))
			assess_in_place(&findings, m);
	}
	assess_old_columns(&findings, g);
	assess_circles(&findings, g);
	if (phase_is(g, "planned") && !setting_bool(g->settings, "allow_nonempty_target") &&
		mappings != NIL && assess_target_has_rows(g, &target))
		assess_add(&findings, "blocker", name_relation(target), "it holds rows already",
			"Empty it, or set allow_nonempty_target to on: the backfill then makes it equal to the source and deletes what is not.");
	if (!event_triggers_are_on())
		assess_add(&findings, "warning", "event triggers", "they are disabled: DDL that breaks the migration, or adds a partition, goes unnoticed",
			"ALTER EVENT TRIGGER ... ENABLE, for each whose name begins with migrate_ext_.");
	if (max_worker_processes < 2)
		assess_add(&findings, "warning", "max_worker_processes", "there is hardly a slot for a worker",
			"Raise it, or use CALL migrate_run.");
	return findings;
}

/* Are the tables of all mappings there?  That they are not is found already. */
static bool
all_exist(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, MAPPING_FORWARD))
	{
		Mapping    *m = lfirst(lc);

		if (!mapping_relation_exists(m->source) || !mapping_relation_exists(m->target))
			return false;
	}
	return true;
}

MIGRATE_FUNCTION(migrate_assess);

/*
 * migrate_assess(migration text): severity, subject, finding, advice.  A
 * blocker keeps migrate_start from starting, one of "cutover by swap" a cutover
 * of that method.  Locks: ACCESS SHARE on what is read.
 */
Datum
migrate_assess(PG_FUNCTION_ARGS)
{
	Migration  *g = migration_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *findings;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	findings = assess_migration(g);
	if (!migration_is_switched(g) && all_exist(g))
	{
		assess_data(&findings, g);
		assess_dependents(&findings, g);
		assess_environment(&findings, g);
		findings = list_concat(findings, assess_swap(g));
	}
	foreach(lc, findings)
	{
		Finding    *f = lfirst(lc);
		Datum		values[4] = {CStringGetTextDatum(f->severity), CStringGetTextDatum(f->subject),
		CStringGetTextDatum(f->finding), CStringGetTextDatum(f->advice)};
		bool		nulls[4] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
