/*
 * assess_data.c
 *		Findings about the rows that a mapping would move.
 *
 * They are projected as a query, and what the target would refuse is counted in it: nothing
 * is stored.  Of a large table a random share of its blocks is read.  Where a value cannot be
 * had the query fails, and assess_probe.c finds those values.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_data.h"
#include "lifecycle/assess_query.h"
#include "lifecycle/phase.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* Of a table of more rows a sample of about so many is looked at. */
#define MAX_ROWS 1000000
#define SAMPLE_ROWS 200000

/* Rows of a block, where there are no statistics. */
#define ROWS_PER_BLOCK 60

/* The rows of a relation: as many in a block as there were when it was analyzed. */
static double
estimated_rows(Oid relid)
{
	double		rows = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);
		Form_pg_class form = rel->rd_rel;

		if (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_MATVIEW)
			rows += RelationGetNumberOfBlocks(rel) *
				(form->relpages > 0 && form->reltuples > 0 ? (double) form->reltuples / form->relpages : ROWS_PER_BLOCK);
		relation_close(rel, NoLock);
	}
	return rows;
}

/* The share of a source's blocks that is read; 0: all. */
static double
share(Oid relid)
{
	char		kind = get_rel_relkind(relid);
	double		rows;

	if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW && kind != RELKIND_PARTITIONED_TABLE)
		return 0;				/* TABLESAMPLE reads blocks */
	rows = estimated_rows(relid);
	return rows > MAX_ROWS ? 100.0 * SAMPLE_ROWS / rows : 0;
}

/* The source rows as src, as they are, all or a sample. */
char *
data_source_rows(const DataLook *look)
{
	return ref_sampled_rows(look->m, look->percent, true);
}

/* Is a column's value not known, or can it not be had for all rows? */
static bool
is_unknown(const DataLook *look, const char *name)
{
	return bms_is_member(COLUMN_BIT(ref_target_attnum(look->m, name)), look->unknown);
}

/* The key of a row for messages, over src: of what the target's key columns are made, or else the source's own. */
char *
data_key(const DataLook *look, bool expanded)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, look->m->key)
	{
		char	   *name = lfirst(lc);
		MappingColumn *c = projection_column(look->m, name);

		if (c == NULL || (is_unknown(look, name) && projection_copied_column(look->m, name) == NULL) || (c->is_set && !expanded))
			continue;
		appendStringInfo(&buf, "%s%s, to_jsonb(%s)", buf.len ? ", " : "", quote_literal_cstr(name), ref_expression(look->m, c));
	}
	foreach(lc, buf.len == 0 ? key_primary(look->m->source) : NIL)
		appendStringInfo(&buf, "%s%s, to_jsonb(" SOURCE_ALIAS ".%s)", buf.len ? ", " : "", quote_literal_cstr(lfirst(lc)), quote_identifier(lfirst(lc)));
	return psprintf("jsonb_build_object(%s)", buf.data);
}

/* The value that a column of the target gets, over src; sets *unknown if nobody knows. */
static char *
value_of(const DataLook *look, Relation target, Form_pg_attribute att, bool *unknown)
{
	const Mapping *m = look->m;
	char	   *name = NameStr(att->attname);
	Node	   *fallback;

	if (!bms_is_member(COLUMN_BIT(att->attnum), look->unknown))
	{
		if (projection_column(m, name) != NULL)
			return psprintf("%s%s", ref_cast_expression(m, name), ref_collation(m, name));
		if (mapping_is_in_place(m) && !att->attgenerated)
			return psprintf(SOURCE_ALIAS ".%s", quote_identifier(name));
		fallback = att->attgenerated ? NULL : build_column_default(target, att->attnum);
		if (fallback != NULL && !contain_volatile_functions(fallback))
			return psprintf("(%s)::%s%s", deparse_expression(fallback, NIL, false, false), ref_target_type(m, name), ref_collation(m, name));
		*unknown = att->attgenerated || fallback != NULL;
	}
	return psprintf("NULL::%s", quote_type(att->atttypid, att->atttypmod));
}

/* The rows as they would be in the target, as migrate_t; with migrate_key, and what is converted as migrate_r<n>. */
char *
data_projected_rows(const DataLook *look)
{
	const Mapping *m = look->m;
	Relation	target = relation_open(m->target, AccessShareLock);
	StringInfoData buf;
	bool		unknown;

	initStringInfo(&buf);
	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);
		MappingColumn *c = att->attisdropped ? NULL : projection_column(m, NameStr(att->attname));

		if (att->attisdropped)
			continue;
		appendStringInfo(&buf, "%s AS %s, ", value_of(look, target, att, &unknown), quote_identifier(NameStr(att->attname)));
		if (c != NULL && !bms_is_member(COLUMN_BIT(att->attnum), look->unknown))
			appendStringInfo(&buf, "%s AS migrate_r%d, ", ref_expression(m, c), att->attnum);
	}
	relation_close(target, NoLock);
	return psprintf("(SELECT %s%s AS migrate_key FROM %s) AS " TARGET_ALIAS, buf.data, data_key(look, true),
					ref_moved_rows(m, psprintf("%s%s", ref_expanded_rows(m, data_source_rows(look)), ref_where_condition(m->filter))));
}

/* The columns whose value is not known before a row is stored. */
static void
find_unknown(DataLook *look)
{
	Relation	target = relation_open(look->m->target, AccessShareLock);

	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);
		bool		unknown = false;

		if (!att->attisdropped)
			(void) value_of(look, target, att, &unknown);
		if (unknown)
			look->unknown = bms_add_member(look->unknown, COLUMN_BIT(att->attnum));
	}
	relation_close(target, NoLock);
}

/* Adds a condition that does not hold for some rows. */
void
data_report(const DataLook *look, const Condition *c, bool at_least, int64 n, const char *key)
{
	StringInfoData buf;

	if (n == 0)
		return;
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s%lld of %s%lld %s", at_least ? "at least " : "", (long long) n, look->percent > 0 ? "a sample of " : "",
					 (long long) look->rows, c->finding);
	if (key != NULL && strcmp(key, "{}") != 0)
		appendStringInfo(&buf, "; for example the one of key %s", key);
	assess_add(look->findings, "warning", c->subject, buf.data, c->advice);
}

/* Can a condition be looked at, or needs it a column that is not known, or the row as a value? */
static bool
is_answerable(const DataLook *look, const Condition *c)
{
	return !bms_overlap(c->columns, look->unknown) && !bms_is_member(COLUMN_BIT(InvalidAttrNumber), c->columns);
}

/* Some conditions at work. */
typedef struct Count
{
	DataLook   *look;
	List	   *conditions;
} Count;

/* Work for subxact_probe: counts all rows, and those of each condition, in one statement. */
static void
work_count(void *arg)
{
	Count	   *count = arg;
	DataLook   *look = count->look;
	StringInfoData buf;
	SpiScope	scope;
	ListCell   *lc;
	int			column = 1;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT count(*)");
	foreach(lc, count->conditions)
	{
		Condition  *c = lfirst(lc);

		appendStringInfo(&buf, ", count(*) FILTER (WHERE %s), min(migrate_key::text) FILTER (WHERE %s)", c->sql, c->sql);
	}
	foreach(lc, look->conversions)
	{
		Conversion *c = lfirst(lc);

		if (!bms_is_member(COLUMN_BIT(c->attnum), look->unknown))
			appendStringInfo(&buf, ", count(" TARGET_ALIAS ".%s)", quote_identifier(c->column));
	}
	appendStringInfo(&buf, " FROM %s", data_projected_rows(look));
	spi_open_owner(&scope, look->m->owner, look->m->time_zone);
	spi_read(buf.data, SPI_NO_ARGS);
	look->rows = spi_get_int8(0, column++);
	foreach(lc, count->conditions)
	{
		int64		n = spi_get_int8(0, column);
		char	   *key = spi_get_text(&scope, 0, column + 1);
		MemoryContext old = MemoryContextSwitchTo(scope.caller);

		data_report(look, lfirst(lc), false, n, key);
		MemoryContextSwitchTo(old);
		column += 2;
	}
	spi_close(&scope);
}

/* Work for subxact_probe: a condition with a statement of its own. */
static void
work_statement(void *arg)
{
	Count	   *count = arg;
	const Condition *c = linitial(count->conditions);
	SpiScope	scope;
	int64		n;
	char	   *key;

	spi_open_owner(&scope, count->look->m->owner, count->look->m->time_zone);
	spi_read(c->sql, SPI_NO_ARGS);
	n = spi_get_int8(0, 1);
	key = spi_get_text(&scope, 0, 2);
	spi_close(&scope);
	data_report(count->look, c, false, n, key);
}

/* Counts one condition; that it cannot be is a finding. */
static void
count_one(DataLook *look, Condition *c, SubxactWork work)
{
	Count		count = {look, list_make1(c)};
	ErrorData  *error = is_answerable(look, c) ? subxact_probe(work, &count) : NULL;

	if (error != NULL)
		assess_add(look->findings, "info", c->subject, psprintf("could not be looked at: how many %s (%s)", c->finding, assess_error_text(error, look->values)),
				   "Let the mapping's owner read what that needs; migrate_rehearse tries a sample of the rows.");
}

/* Work for subxact_probe: one mapping, as its owner. */
static void
work_look(void *arg)
{
	DataLook   *look = arg;
	Count		count = {look};
	Identity	saved;
	ListCell   *lc;

	identity_become_owner(&saved, look->m->owner, look->m->time_zone);
	look->percent = share(look->m->source);
	find_unknown(look);
	data_add_conditions(look);
	foreach(lc, look->conditions)
	{
		if (is_answerable(look, lfirst(lc)))
			count.conditions = lappend(count.conditions, lfirst(lc));
	}
	if (subxact_probe(work_count, &count) != NULL)
	{
		data_probe(look);
		count.conditions = NIL;
		(void) subxact_probe(work_count, &count);	/* how many there are */
		foreach(lc, look->conditions)
			count_one(look, lfirst(lc), work_count);
	}
	if (!look->gave_up)
		data_add_statements(look);
	foreach(lc, look->statements)
		count_one(look, lfirst(lc), work_statement);
	identity_restore(&saved);
}

/* Findings about the rows of a migration that has not begun. */
void
assess_data(List **findings, const Migration *g)
{
	List	   *mappings = mapping_list(g->id, MAPPING_FORWARD);
	List	   *targets = NIL;
	ListCell   *lc;

	if (!phase_is(g, "planned") && !phase_is(g, "rolled_back"))
		return;					/* the rows are in the targets, or among the rejected ones */
	foreach(lc, mappings)
		targets = lappend_oid(targets, ((Mapping *) lfirst(lc))->target);
	foreach(lc, mappings)
	{
		const Mapping *m = lfirst(lc);
		DataLook	look = {g, m, targets, findings, setting_bool(g->settings, "store_values")};
		ErrorData  *error = subxact_probe(work_look, &look);

		if (error != NULL)
			assess_could_not(findings, psprintf("rows of %s", name_relation(m->source)), error, look.values);
	}
}
