/*
 * lookup.c
 *		The other tables that a mapping's expressions read.
 *
 * A row of such a table that changes makes keys dirty.  Which ones: where a subquery
 * reads nothing else and compares columns of it with something of the source row, those
 * for which the comparison holds.  What a subquery makes of its rows does not
 * matter, as rows that do not pass its WHERE do not come into it.  Everything else may concern
 * any key.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/quote.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/lookup.h"
#include "projection/projection.h"
#include "projection/reference.h"

#define VALUES_ALIAS "migrate_v"

/* What the walk through an expression's tree collects. */
typedef struct LookupWalk
{
	const Mapping *m;
	int			depth;			/* of subqueries */
	List	   *lookups;
} LookupWalk;

/* The table that is all a subquery reads; NULL if it reads anything else, or there are subqueries in it. */
static RangeTblEntry *
only_table(const Query *query)
{
	RangeTblEntry *rte;

	if (list_length(query->rtable) != 1 || query->cteList != NIL || query->setOperations != NULL || query->hasSubLinks ||
		list_length(query->jointree->fromlist) != 1 || !IsA(linitial(query->jointree->fromlist), RangeTblRef))
		return NULL;
	rte = linitial(query->rtable);
	return rte->rtekind == RTE_RELATION ? rte : NULL;
}

/* What of a tree belongs to the subquery itself, and what to the row outside? */
typedef struct LevelCount
{
	bool		own;
	bool		outer;
} LevelCount;

static bool
count_levels(Node *node, void *context)
{
	LevelCount *count = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == 0)
			count->own = true;
		else
			count->outer = true;
		return false;
	}
	return expression_tree_walker(node, count_levels, context);
}

/* The column of the subquery's table that a node is; 0 if it is anything else. */
static AttrNumber
own_column(Node *node)
{
	if (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return IsA(node, Var) && ((Var *) node)->varlevelsup == 0 && ((Var *) node)->varattno > 0 ? ((Var *) node)->varattno : InvalidAttrNumber;
}

/* Adds "something of the source row = a column", if that is what a condition says. */
static void
add_condition(Lookup *l, const Mapping *m, Node *condition)
{
	OpExpr	   *op = (OpExpr *) condition;
	AttrNumber	column = InvalidAttrNumber;
	int			side;
	LevelCount	count = {false, false};
	Node	   *other;
	char	   *value;
	const char *type;

	if (!IsA(condition, OpExpr) || list_length(op->args) != 2 || get_mergejoin_opfamilies(op->opno) == NIL)
		return;
	for (side = 0; side < 2 && column == InvalidAttrNumber; side++)
		column = own_column(list_nth(op->args, side));
	if (column == InvalidAttrNumber)
		return;
	other = copyObject(list_nth(op->args, side == 1 ? 1 : 0));
	(void) count_levels(other, &count);
	if (count.own || !count.outer)
		return;
	IncrementVarSublevelsUp(other, -1, 1);
	value = expression_write(other, m->source, SOURCE_ALIAS);
	type = quote_type(exprType(list_nth(op->args, side - 1)), -1);
	l->columns = lappend(l->columns, get_attname(l->relation, column, false));
	value = psprintf("(%s) %s (" VALUES_ALIAS ".migrate_v%d)::%s%s", value, quote_operator(op->opno), list_length(l->columns), type,
					 OidIsValid(op->inputcollid) ? psprintf(" COLLATE %s", quote_collation(op->inputcollid)) : "");
	if (side == 1)				/* the column stands on the left */
		value = psprintf("(" VALUES_ALIAS ".migrate_v%d)::%s%s %s (%s)", list_length(l->columns), type,
						 OidIsValid(op->inputcollid) ? psprintf(" COLLATE %s", quote_collation(op->inputcollid)) : "",
						 quote_operator(op->opno), expression_write(other, m->source, SOURCE_ALIAS));
	l->conditions = lappend(l->conditions, value);
}

/* The columns of its table that a subquery uses; NIL if it uses rows as a whole. */
static List *
used_columns(Query *query, Oid relid)
{
	List	   *vars = pull_vars_of_level((Node *) query, 0);
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = lfirst(lc);

		if (var->varattno <= 0)
			return NIL;
		names = columns_add_names(names, list_make1(get_attname(relid, var->varattno, false)));
	}
	return names;
}

/* Adds a table that is read. */
static Lookup *
add_lookup(LookupWalk *walk, Oid relid)
{
	Lookup	   *l = palloc0(sizeof(Lookup));

	l->relation = relid;
	walk->lookups = lappend(walk->lookups, l);
	return l;
}

static bool
find_lookups(Node *node, void *context)
{
	LookupWalk *walk = context;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION)
			(void) add_lookup(walk, rte->relid);
		return false;			/* subqueries in it are walked by themselves */
	}
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		RangeTblEntry *table = walk->depth == 0 ? only_table(query) : NULL;
		bool		done;

		if (table != NULL)
		{
			Lookup	   *l = add_lookup(walk, table->relid);
			ListCell   *lc;

			foreach(lc, make_ands_implicit((Expr *) query->jointree->quals))
				add_condition(l, walk->m, lfirst(lc));
			l->uses = used_columns(query, table->relid);
			return false;
		}
		walk->depth++;
		done = query_tree_walker(query, find_lookups, context, QTW_EXAMINE_RTES_BEFORE);
		walk->depth--;
		return done;
	}
	return expression_tree_walker(node, find_lookups, context);
}

/* May an expression read other tables? */
static bool
has_subquery(const char *sql)
{
	return sql != NULL && strstr(sql, "SELECT") != NULL;
}

/* May the mapping's expressions read other tables?  A look at their text, which does not fail where one is gone. */
bool
lookup_any(const Mapping *m)
{
	bool		any = has_subquery(m->filter);
	ListCell   *lc;

	foreach(lc, m->columns)
		any = any || has_subquery(((MappingColumn *) lfirst(lc))->expression);
	foreach(lc, m->dedupe_by)
		any = any || has_subquery(lfirst(lc));
	return any;
}

/*
 * Does a mapping's key read other tables?  Then a change of them gives a source row other
 * target rows, and does not tell which it had.
 */
bool
lookup_makes_key(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if ((c->is_set || ref_is_multiset(m) || ref_is_key(m, c->target)) && has_subquery(c->expression))
			return true;
	}
	return false;
}

/* Does its filter? */
bool
lookup_filters(const Mapping *m)
{
	return has_subquery(m->filter);
}

/* Adds what an expression reads. */
static void
walk_expression(LookupWalk *walk, const char *sql)
{
	if (has_subquery(sql))
		(void) find_lookups(expression_read(sql, walk->m->source, SOURCE_ALIAS), walk);
}

/* The tables that the mapping's expressions read, one a subquery. */
List *
lookup_list(const Mapping *m)
{
	LookupWalk	walk = {m, 0, NIL};
	ListCell   *lc;

	foreach(lc, m->columns)
		walk_expression(&walk, ((MappingColumn *) lfirst(lc))->expression);
	walk_expression(&walk, m->filter);
	foreach(lc, m->dedupe_by)
		walk_expression(&walk, lfirst(lc));
	return walk.lookups;
}

static bool
same_names(List *a, List *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		if (strcmp(lfirst(la), lfirst(lb)) != 0)
			return false;
	}
	return true;
}

/* Are rows that changed noted for one lookup as for another?  Then that uses the columns of both. */
static bool
merge_into(Lookup *l, const Lookup *other)
{
	if (l->relation != other->relation || !same_names(l->columns, other->columns))
		return false;
	l->uses = l->uses == NIL || other->uses == NIL ? NIL : columns_add_names(list_copy(l->uses), other->uses);
	return true;
}

/* The lookups of one list for which changes of their tables are to be noted each. */
List *
lookup_merge(List *lookups)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, lookups)
	{
		Lookup	   *l = palloc(sizeof(Lookup));
		ListCell   *known;
		bool		merged = false;

		*l = *(Lookup *) lfirst(lc);
		foreach(known, result)
			merged = merged || merge_into(lfirst(known), l);
		if (merged)
			continue;
		/* what may concern any key first: nothing else is noted then */
		result = l->columns == NIL ? lcons(l, result) : lappend(result, l);
	}
	return result;
}

/* Can changes of a relation be seen? */
bool
lookup_is_watched(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE;
}

/* The tables that expressions of some mappings read, and whose changes can be seen. */
List *
lookup_relations(List *mappings)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, mappings)
	{
		Mapping    *m = lfirst(lc);
		ListCell   *lookup;

		if (mapping_is_in_place(m) || strcmp(m->capture, "none") == 0 || !mapping_relation_exists(m->source))
			continue;
		foreach(lookup, lookup_list(m))
		{
			Oid			relid = ((Lookup *) lfirst(lookup))->relation;

			if (lookup_is_watched(relid))
				relids = list_append_unique_oid(relids, relid);
		}
	}
	return relids;
}

/* prefix.a, prefix.b, ... with a suffix each. */
static char *
name_columns(List *columns, const char *prefix, const char *suffix)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, columns)
		appendStringInfo(&buf, "%s%s%s%s", buf.len ? ", " : "", prefix, quote_identifier(lfirst(lc)), suffix);
	return buf.data;
}

/*
 * The values, one jsonb array of texts a row, that rows of a statement's transition tables
 * had or have in the columns that must equal something; at most limit.  An update that leaves the
 * columns alone that are used changes nothing.
 */
char *
lookup_changed_values(const Mapping *m, const Lookup *l, bool old_rows, bool new_rows, int limit)
{
	StringInfoData rows;
	char	   *values = l->columns ? psprintf("jsonb_build_array(%s)", name_columns(l->columns, "k.", "::text")) : "'[]'::jsonb";
	char	   *used = l->uses ? name_columns(l->uses, "", "") : NULL;

	initStringInfo(&rows);
	if (old_rows && new_rows && used != NULL)
		appendStringInfo(&rows, "(SELECT * FROM (SELECT *, sum(migrate_s) OVER (PARTITION BY %s) AS migrate_n FROM ("
						 "SELECT %s, -1 AS migrate_s FROM " OLD_TABLE " UNION ALL SELECT %s, 1 FROM " NEW_TABLE
						 ") AS x) AS x WHERE migrate_n <> 0)",
						 name_columns(l->uses, "", "::text"), used, used);
	else if (old_rows && new_rows)
		appendStringInfoString(&rows, "(TABLE " OLD_TABLE " UNION ALL TABLE " NEW_TABLE ")");
	else
		appendStringInfoString(&rows, old_rows ? OLD_TABLE : NEW_TABLE);
	return psprintf("SELECT DISTINCT %s FROM %s AS k LIMIT %d", values, rows.data, limit);
}

/* The keys, one jsonb a row, of source rows that values $1, a jsonb[] of such arrays, concern. */
char *
lookup_concerned_keys(const Mapping *m, const Lookup *l)
{
	StringInfoData values;
	StringInfoData conditions;
	ListCell   *lc;

	initStringInfo(&values);
	initStringInfo(&conditions);
	for (int i = 0; i < list_length(l->columns); i++)
		appendStringInfo(&values, "%smigrate_j ->> %d AS migrate_v%d", i ? ", " : "", i, i + 1);
	foreach(lc, l->conditions)
		appendStringInfo(&conditions, "%s%s", conditions.len ? " AND " : "", (char *) lfirst(lc));
	/* rows that only a change of what the filter reads has kept from passing are concerned, too */
	return psprintf("SELECT DISTINCT %s FROM %s, (SELECT %s FROM unnest($1) AS u(migrate_j)) AS " VALUES_ALIAS " WHERE %s%s",
					ref_key_json(m, KEY_OF_SOURCE, NULL), ref_source_rows(m), values.data, conditions.data,
					ref_and_condition(ref_expands(m) && !lookup_filters(m) ? m->declared_filter : NULL));
}
