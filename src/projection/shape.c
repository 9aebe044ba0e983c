/*
 * shape.c
 *		Facts about a mapping's shape and state.
 */
#include "postgres.h"

#include "access/relation.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* The mapping's column of that target name; NULL if it is not mapped. */
MappingColumn *
projection_column(const Mapping *m, const char *name)
{
	int			number = ref_column_number(m, name);

	return number > 0 ? list_nth(m->columns, number - 1) : NULL;
}

/* Returns a row if the target holds any that the mapping answers for. */
char *
projection_target_exists(const Mapping *m)
{
	return psprintf("SELECT 1 FROM %s AS " TARGET_ALIAS "%s LIMIT 1",
					quote_relation(m->target), ref_where_condition(m->scope));
}

/* Returns a row if there is a source row whose key has a null in it. */
char *
projection_null_keys(const Mapping *m)
{
	return psprintf("SELECT FROM %s WHERE num_nulls(%s) > 0%s LIMIT 1", ref_source_rows(m), ref_key_list(m, KEY_OF_SOURCE, NULL),
					ref_and_condition(m->filter));
}

/* The numbers of keys $1 that are among keys $2, both a jsonb[]. */
char *
projection_keys_among(const Mapping *m)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
	{
		const char *name = list_nth(m->key, i);

		appendStringInfo(&buf, "%s%s %s (migrate_w.migrate_j ->> %s)::%s%s", i ? " AND " : "", ref_key(m, KEY_OF_SET, KEYS_ALIAS, i),
						 ref_key_operator(m, name), quote_literal_cstr(name), ref_target_type(m, name), ref_collation(m, name));
	}
	return psprintf("SELECT " KEYS_ALIAS ".migrate_n FROM %s WHERE EXISTS (SELECT FROM unnest($2) AS migrate_w (migrate_j) WHERE %s)", ref_key_set(m), buf.data);
}

/* The largest value of a target column, as bigint. */
char *
projection_column_max(const Mapping *m, const char *column)
{
	return psprintf("SELECT max(%s)::bigint FROM %s", quote_identifier(column),
					quote_relation(m->target));
}

/* The source column that a target column copies unchanged; NULL if none. */
char *
projection_copied_column(const Mapping *m, const char *column)
{
	MappingColumn *c = projection_column(m, column);
	AttrNumber	attnum = c != NULL ? expression_copied(c->expression, m->source) : InvalidAttrNumber;

	return attnum != InvalidAttrNumber ? get_attname(m->source, attnum, false) : NULL;
}

/*
 * The source columns that the key is copied from, or stand for it in the key map, without what is the same for all
 * rows, or only tells the target rows of one source row apart; false if something else goes into it.
 */
bool
projection_key_sources(const Mapping *m, List **names)
{
	ListCell   *lc;

	*names = NIL;
	foreach(lc, m->key)
	{
		MappingColumn *c = projection_column(m, lfirst(lc));
		char	   *name = projection_copied_column(m, lfirst(lc));

		if (name != NULL)
			*names = lappend(*names, name);
		else if (c != NULL && c->made_of != NIL)
			*names = columns_add_names(*names, c->made_of);
		else if (c == NULL || !(c->constant || c->is_set))
			return false;
	}
	return *names != NIL;
}

/*
 * Is it known that no two source rows have the same key?  Then whoever removes
 * a source row removes the last one of its key.  always: at any moment, not
 * only when a deferrable constraint is checked.
 */
bool
projection_source_is_unique(const Mapping *m, bool always)
{
	List	   *names;

	return projection_key_sources(m, &names) && key_is_unique(m->source, names, always);
}

/*
 * Are the mapping's keys only recorded?  Also where another source row may
 * have the same key: only a sync, which looks at all of them under locks, can
 * tell what the target row is; and where dual writes failed too often.  A row
 * that is changed in place is at hand.
 */
bool
projection_is_queued(const Mapping *m)
{
	return !mapping_is_in_place(m) &&
		(strcmp(m->capture, "queue") == 0 || ref_dedupes(m) || (m->degraded && !m->reverse) || !projection_source_is_unique(m, false));
}

/* Does the mapping give every column of the target that is stored? */
bool
projection_covers_all(const Mapping *m)
{
	Relation	target = relation_open(m->target, AccessShareLock);
	bool		all = true;

	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);

		all = all && (att->attisdropped || att->attgenerated ||
					  projection_column(m, NameStr(att->attname)) != NULL);
	}
	relation_close(target, NoLock);
	return all;
}

/*
 * May target rows be removed and inserted again, to be made right?  Not where a
 * foreign key would do something to the rows of another table that name them, nor
 * where a row may be a child's, with columns of its own.
 */
bool
projection_may_replace(const Mapping *m)
{
	return !m->clears && !mapping_is_in_place(m) && !key_delete_cascades(m->target) && !key_has_children(m->target);
}

/*
 * The target columns that must have a value, have no default, and get none
 * from the mapping.
 */
List *
projection_uncovered_required(const Mapping *m)
{
	Relation	rel = relation_open(m->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || !att->attnotnull || att->atthasdef || att->attidentity ||
			projection_column(m, NameStr(att->attname)) != NULL)
			continue;
		result = lappend(result, pstrdup(NameStr(att->attname)));
	}
	relation_close(rel, NoLock);
	return result;
}

/*
 * The condition over a row of the target, by an alias, that it is one of this mapping's:
 * key columns that are the same for all its rows have that value, as where several sources are
 * merged into one target.  NULL if there are none.
 */
char *
projection_discriminator(const Mapping *m, const char *alias)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, mapping_is_in_place(m) ? NIL : m->key)
	{
		const char *name = lfirst(lc);

		if (projection_column(m, name)->constant)
			appendStringInfo(&buf, "%s%s.%s %s %s", buf.len ? " AND " : "", alias, quote_identifier(name), ref_key_operator(m, name),
							 ref_cast_expression(m, name));
	}
	return buf.len > 0 ? buf.data : NULL;
}

/*
 * Does an INSERT see, by the key's index, the row that is there already?  NOT NULL is
 * checked before a conflict is seen, an index knows no rows of children, and those of a
 * foreign table cannot be named.
 */
bool
projection_sees_conflict(const Mapping *m)
{
	return projection_uncovered_required(m) == NIL && !key_has_children(m->target) && !key_is_foreign(m->target);
}
