/*
 * way_back.c
 *		The mapping back, which is in force after the cutover.
 *
 * A mapping like any other, with the sides exchanged.
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "lifecycle/way_back.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* The source columns that the key's columns are copied from; NIL if one is not. */
static List *
copied_key(const Mapping *m, char **copied, int natts)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, m->key)
	{
		int			i;

		for (i = 0; i < natts; i++)
		{
			if (copied[i] != NULL && strcmp(copied[i], lfirst(lc)) == 0)
				break;
		}
		if (i == natts)
			return NIL;
		result = lappend(result, get_attname(m->source, i + 1, false));
	}
	return result;
}

/* Are all names among the columns of a mapping? */
static bool
all_mapped(List *names, const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		ListCell   *column;
		bool		found = false;

		foreach(column, m->columns)
			found = found || strcmp(((MappingColumn *) lfirst(column))->target, lfirst(lc)) == 0;
		if (!found)
			return false;
	}
	return names != NIL;
}

/* A stored condition over the source as a list of clauses. */
static List *
filter_clauses(const char *filter, Oid relid)
{
	return make_ands_implicit((Expr *) eval_const_expressions(NULL, (Node *) expression_tree(filter, relid, InvalidOid, InvalidAttrNumber)));
}

/* Is it certain that no row of the relation passes both conditions? */
static bool
are_disjoint(const char *a, const char *b, Oid relid)
{
	return a != NULL && b != NULL && predicate_refuted_by(filter_clauses(a, relid), filter_clauses(b, relid), true);
}

/*
 * Does an earlier mapping back already own the rows of this target?  Not where
 * the filters of the two tell that each has rows of its own.
 */
static bool
rows_are_owned(const Mapping *reverse, const char *filter)
{
	ListCell   *lc;

	foreach(lc, mapping_list(reverse->migration_id, MAPPING_REVERSE))
	{
		Mapping    *other = lfirst(lc);

		if (other->target == reverse->target && !other->clears &&
			!are_disjoint(filter, mapping_get(other->reverse_of)->declared_filter, reverse->target))
			return true;
	}
	return false;
}

/* The column that is a new key; NULL if there is none. */
static const MappingColumn *
find_new_key(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if (c->map == m->id && c->map != 0)
			return c;
	}
	return NULL;
}

/* On the way back: a column of an old key, by way of the key map. */
static void
unmap_column(Mapping *r, const Mapping *m, const char *column)
{
	AttrNumber	attnum = get_attnum(m->source, column);
	ListCell   *lc;
	ListCell   *part;

	foreach(lc, m->columns)
	{
		const MappingColumn *mapped = lfirst(lc);

		foreach(part, mapped->made_of)
		{
			MappingColumn *c;

			if (strcmp(lfirst(part), column) != 0)
				continue;
			columns_add(r, column, expression_for_column(psprintf("migrate_ext.unmap_key(" INT64_FORMAT ", (" SOURCE_ALIAS ".%s)::text, %d)::%s",
																  mapped->map, quote_identifier(mapped->target), foreach_current_index(part) + 1,
																  quote_type(get_atttype(m->source, attnum), -1)),
														 m->target, m->source, attnum, 0, NULL));
			c = llast(r->columns);
			c->map = mapped->map;
			c->made_of = list_make1(pstrdup(mapped->target));
			c->part = foreach_current_index(part) + 1;
			c->parts = list_length(mapped->made_of);
			return;
		}
	}
}

/*
 * New keys that several mappings give out in one target: each answers for its own
 * and, as long as no other mapping has given it, for one that nobody has given.
 */
void
way_back_share_target(const Mapping *m)
{
	List	   *sharing = NIL;
	ListCell   *lc;

	foreach(lc, find_new_key(m) != NULL ? mapping_list(m->migration_id, MAPPING_FORWARD) : NIL)
	{
		const Mapping *other = lfirst(lc);

		if (other->target == m->target && find_new_key(other) != NULL)
			sharing = lappend(sharing, (void *) other);
	}
	foreach(lc, list_length(sharing) > 1 ? sharing : NIL)
	{
		const Mapping *one = lfirst(lc);
		const Mapping *back = mapping_find_reverse(one->id);
		const char *call = "migrate_ext.key_belongs(" INT64_FORMAT ", (%s.%s)::text)%s";
		const char *column = quote_identifier(find_new_key(one)->target);

		mapping_set_side(one->id, one->declared_filter, psprintf(call, one->id, TARGET_ALIAS, column, " IS NOT FALSE"));
		if (back != NULL)
			mapping_set_side(back->id, psprintf(call, one->id, SOURCE_ALIAS, column, ""), back->scope);
	}
}

/*
 * On the way back from sets: the rows that a source row has become give it one and the
 * same row back, so that the first of them will do.  Without any of them it has an empty
 * set; it is not theirs to delete.
 */
static void
gather_sets(Mapping *r, const Mapping *m)
{
	StringInfoData sets;
	ListCell   *lc;

	initStringInfo(&sets);
	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if (!c->is_set)
			continue;
		appendStringInfo(&sets, "%s%s", sets.len ? ", " : "",
						 expression_write(expression_read(c->expression, m->source, SOURCE_ALIAS), m->source, TARGET_ALIAS));
		if (!ref_is_key(m, c->target))
			continue;
		r->dedupe_by = lappend(r->dedupe_by, psprintf(SOURCE_ALIAS ".%s", quote_identifier(c->target)));
		r->dedupe_order = lappend(r->dedupe_order, "ASC NULLS LAST");
	}
	r->scope = psprintf("%sEXISTS (SELECT FROM (SELECT %s) AS " SET_ALIAS ")", r->scope ? psprintf("(%s) AND ", r->scope) : "", sets.data);
	r->clears = true;
}

/*
 * Which rows of the old side the way back answers for: those that were moved.  Where
 * its unique key may be null, not those without one: they have no row on the new side.
 */
static char *
reverse_scope(const Mapping *r, const char *filter)
{
	char	   *scope = filter != NULL ? expression_condition_over_target(filter, r->target) : NULL;
	ListCell   *lc;

	foreach(lc, r->key)
	{
		if (!column_is_not_null(r->target, lfirst(lc)))
			scope = psprintf("%snum_nulls(" TARGET_ALIAS ".%s) = 0", scope ? psprintf("(%s) AND ", scope) : "", quote_identifier(lfirst(lc)));
	}
	return scope;
}

/*
 * Derives the mapping back: the expressions given, and the columns that are
 * copied unchanged.  NULL if the source row cannot be found by them.
 */
Mapping *
way_back_derive(const Mapping *m, Jsonb *given, char **copied, const char *filter)
{
	Mapping    *r = palloc0(sizeof(Mapping));
	Relation	source = table_open(m->source, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(source);
	List	   *names = NIL;
	int			natts = desc->natts;

	if (ref_expands(m) && given == NULL)
	{
		table_close(source, NoLock);
		return NULL;
	}
	*r = *m;
	r->id = 0;
	r->reverse = true;
	r->source = m->target;
	r->target = m->source;
	r->columns = NIL;
	r->whole_row = false;
	r->filter = projection_discriminator(m, SOURCE_ALIAS);
	r->scope = NULL;
	r->dedupe_by = NIL;
	r->dedupe_order = NIL;
	if (given != NULL)
		columns_check_names(given, m->source, "reverse");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *text = NULL;

		if (att->attisdropped || att->attgenerated)
			continue;
		if (given != NULL)
			text = columns_find(given, NameStr(att->attname), "reverse");
		if (text == NULL && copied[i] != NULL)
		{
			AttrNumber	from = get_attnum(m->target, copied[i]);

			/* a copy into another type may have lost something: ask for an expression */
			if (get_atttype(m->target, from) != att->atttypid)
				continue;
			text = psprintf(SOURCE_ALIAS ".%s", quote_identifier(copied[i]));
		}
		if (text != NULL)
			columns_add(r, NameStr(att->attname),
					   expression_for_column(text, m->target, m->source, att->attnum, 0, &names));
		else
			unmap_column(r, m, NameStr(att->attname));
	}
	r->key = copied_key(m, copied, natts);
	table_close(source, NoLock);
	if (!all_mapped(r->key, r) || !key_is_usable(m->source, r->key, false))
		r->key = key_primary(m->source);
	if (!all_mapped(r->key, r))
		r->key = copied_key(m, copied, natts);
	if (!all_mapped(r->key, r) || !key_is_usable(m->source, r->key, true))
	{
		/* rows of which all is known can be counted */
		if (!ref_is_multiset(m) || ref_expands(m) || !projection_covers_all(r))
			return NULL;
		r->key = NIL;
	}
	r->scope = reverse_scope(r, filter);
	r->clears = !mapping_is_in_place(r) && rows_are_owned(r, m->filter);
	if (ref_expands(r))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-returning functions are not allowed in \"reverse\""),
				 errhint("An expression gives one value for a row of the target.")));
	if (ref_expands(m))
		gather_sets(r, m);
	return r;
}
