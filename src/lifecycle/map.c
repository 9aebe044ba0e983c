/*
 * map.c
 *		migrate_map: checks and stores a mapping, and derives the way back.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/identity.h"
#include "base/quote.h"
#include "catalog/event.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "lifecycle/in_place.h"
#include "lifecycle/phase.h"
#include "projection/columns.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

MIGRATE_FUNCTION(migrate_map);

/* Raises for a foreign table that cannot be a side of a mapping with this capture. */
static void
check_foreign(Oid relid, const char *side, const char *capture)
{
	bool		is_source = strcmp(side, "source") == 0;

	if (is_source && strcmp(capture, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s %s is not a table", side, name_relation(relid)),
				 errdetail("Its writes cannot be captured or its rows copied."),
				 errhint("With capture => 'none' its rows are copied as they are; what is written later is not.")));
	if (!is_source && strcmp(capture, "trigger") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s %s is a foreign table", side, name_relation(relid)),
				 errdetail("The other server commits a dual write by itself, before it is known whether the application's transaction commits."),
				 errhint("With capture => 'queue' a sync writes it.")));
	identity_require_relation_owner(relid);
}

/* Raises for a relation that cannot be a side of a mapping. */
static void
check_side(Oid relid, const char *side, const char *capture)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	char		relkind;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("%s relation with OID %u does not exist", side, relid),
				 errhint("It may have been dropped by another session.")));
	relkind = rel->rd_rel->relkind;
	if (relkind == RELKIND_FOREIGN_TABLE)
	{
		relation_close(rel, NoLock);
		check_foreign(relid, side, capture);
		return;
	}
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s %s is not a table", side, name_relation(relid)),
				 errdetail("Its writes cannot be captured or its rows copied."),
				 errhint("Map the table that holds the rows.")));
	if (IsCatalogRelation(rel) || IsToastRelation(rel) ||
		strcmp(get_namespace_name(RelationGetNamespace(rel)), MIGRATE_SCHEMA) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s %s is a system catalog or belongs to migrate_ext", side,
						name_relation(relid)),
				 errhint("Only user tables can be migrated.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s \"%s\" is a temporary table", side, get_rel_name(relid)),
				 errdetail("Background workers cannot see the temporary tables of a session."),
				 errhint("Map a permanent or unlogged table.")));
	relation_close(rel, NoLock);
	identity_require_relation_owner(relid);
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * The role the mapping's statements run as: an owner of one of the tables who
 * has the rights of the other's.  Never the caller as such, who may be a
 * superuser.
 */
static Oid
choose_owner(Oid source, Oid target)
{
	Oid			of_source = relation_owner(source);
	Oid			of_target = relation_owner(target);

	if (has_privs_of_role(of_target, of_source))
		return of_target;
	if (has_privs_of_role(of_source, of_target))
		return of_source;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("owners of %s and %s have no rights on each other's tables",
					name_relation(source), name_relation(target)),
			 errhint("Make one role the owner of both, or grant one owner's role to the other.")));
}

/*
 * Fills in m->columns from the object, or with the columns of the same name.
 * copied[i] becomes the target column that source column i + 1 is copied to.
 */
static void
read_columns(Mapping *m, Jsonb *columns, char **copied)
{
	Relation	target = table_open(m->target, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(target);
	List	   *names = NIL;

	if (columns != NULL)
		columns_check_names(columns, m->target, "columns");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char	   *name = NameStr(att->attname);
		char	   *text = NULL;
		Expression *e;

		if (att->attisdropped)
			continue;
		if (columns != NULL)
			text = columns_find(columns, name, "columns");
		if (text == NULL && mapping_is_in_place(m) && in_place_keeps(m, name))
			text = psprintf(SOURCE_ALIAS ".%s", quote_identifier(name));
		if (columns == NULL && !att->attgenerated && get_attnum(m->source, name) > 0)
			text = psprintf(SOURCE_ALIAS ".%s", quote_identifier(name));
		if (text == NULL)
			continue;
		if (att->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("column \"%s\" of target %s is generated and cannot be assigned", name,
							name_relation(m->target)),
					 errhint("Leave it out of \"columns\".")));
		if (m->id == 0 && expression_names_lookup(text))
			m->id = mapping_reserve_id();
		e = expression_for_column(text, m->source, m->target, att->attnum, m->id, &names);
		if (e->column > 0)
			copied[e->column - 1] = pstrdup(name);
		columns_add(m, name, e);
	}
	table_close(target, NoLock);
	if (m->columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no column of %s would be mapped", name_relation(m->target)),
				 errhint("Name target columns and expressions in \"columns\".")));
}

/* Raises for a key column that gets no value. */
static void
check_key_mapped(const Mapping *m)
{
	ListCell   *lc;

	foreach(lc, m->key)
	{
		ListCell   *column;
		bool		found = false;

		foreach(column, m->columns)
			found = found || strcmp(((MappingColumn *) lfirst(column))->target, lfirst(lc)) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("key column \"%s\" of target %s is not mapped", (char *) lfirst(lc),
							name_relation(m->target)),
					 errhint("Give it an expression in \"columns\".")));
	}
}

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

/*
 * The condition over a row of the target, by an alias, that it is one of this mapping's:
 * key columns that are the same for all its rows have that value, as where several sources are
 * merged into one target.  NULL if there are none.
 */
static char *
discriminator(const Mapping *m, const char *alias)
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
static void
share_target(const Mapping *m)
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

/* Raises for new keys that are not what they can be. */
static void
check_new_key(const Mapping *m)
{
	const MappingColumn *found = NULL;
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);
		AttrNumber	attnum = get_attnum(m->target, c->target);
		Relation	rel;
		bool		has_default;

		if (c->map != m->id || c->map == 0)
			continue;
		if (found != NULL || !ref_is_key(m, c->target) || mapping_is_in_place(m))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("column \"%s\" of target %s cannot be a new key", c->target, name_relation(m->target)),
					 errdetail("One column of the key can, of a target that is another table.")));
		found = c;
		rel = table_open(m->target, AccessShareLock);
		has_default = build_column_default(rel, attnum) != NULL;
		table_close(rel, NoLock);
		if (!has_default)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
					 errmsg("column \"%s\" of target %s has no default to take new keys from", c->target, name_relation(m->target)),
					 errhint("Make it an identity column, or give it a default such as gen_random_uuid().")));
	}
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
static Mapping *
derive_reverse(const Mapping *m, Jsonb *given, char **copied, const char *filter)
{
	Mapping    *r = palloc0(sizeof(Mapping));
	Relation	source = table_open(m->source, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(source);
	List	   *names = NIL;
	int			natts;

	*r = *m;
	r->id = 0;
	r->reverse = true;
	r->source = m->target;
	r->target = m->source;
	r->columns = NIL;
	r->whole_row = false;
	r->filter = discriminator(m, SOURCE_ALIAS);
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
	natts = desc->natts;
	r->key = copied_key(m, copied, natts);
	table_close(source, NoLock);
	if (!all_mapped(r->key, r) || !key_is_usable(m->source, r->key, false))
		r->key = key_primary(m->source);
	if (!all_mapped(r->key, r))
		r->key = copied_key(m, copied, natts);
	if (!all_mapped(r->key, r) || !key_is_usable(m->source, r->key, true))
		return NULL;
	r->scope = reverse_scope(r, filter);
	r->clears = !mapping_is_in_place(r) && rows_are_owned(r, m->filter);
	return r;
}

static int
count_columns(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	int			n = RelationGetNumberOfAttributes(rel);

	table_close(rel, NoLock);
	return n;
}

static char *
text_arg(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* Checks "capture" and "on_error". */
static void
read_modes(FunctionCallInfo fcinfo, Mapping *m)
{
	m->capture = PG_ARGISNULL(8) ? "trigger" : text_arg(fcinfo, 8);
	m->on_error = PG_ARGISNULL(9) ? "defer" : text_arg(fcinfo, 9);
	if (strcmp(m->capture, "watermark") == 0 || strcmp(m->capture, "logical") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("capture \"%s\" is not supported by this version", m->capture),
				 errhint("CHANGELOG.md lists what each version supports.")));
	if (strcmp(m->capture, "trigger") != 0 && strcmp(m->capture, "queue") != 0 &&
		strcmp(m->capture, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"capture\": \"%s\"", m->capture),
				 errhint("It is trigger, queue or none.")));
	if (strcmp(m->on_error, "defer") != 0 && strcmp(m->on_error, "abort") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"on_error\": \"%s\"", m->on_error),
				 errhint("It is defer or abort.")));
}

/* Parses "dedupe_by". */
static void
read_dedupe(Mapping *m, const char *text)
{
	if (mapping_is_in_place(m))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping in place has no duplicates"),
				 errdetail("Each row is its own target.")));
	expression_for_order(text, "dedupe_by", m->source, &m->dedupe_by, &m->dedupe_order);
}

/* Raises for what the first three arguments must not be. */
static void
check_required(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"migration", "source", "target"};

	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i]),
					 errhint("A mapping needs a migration, a source and a target.")));
	}
}

/*
 * migrate_map(migration, source, target, columns, key, filter, dedupe_by,
 * reverse, capture, on_error) RETURNS bigint: the mapping's id.
 *
 * Expressions are parsed with the caller's rights and search_path.  Locks both
 * relations in ACCESS SHARE mode.
 */
Datum
migrate_map(PG_FUNCTION_ARGS)
{
	Migration  *g;
	Mapping    *m = palloc0(sizeof(Mapping));
	Mapping    *reverse;
	char	   *filter = text_arg(fcinfo, 5);
	Jsonb	   *given = PG_ARGISNULL(7) ? NULL : PG_GETARG_JSONB_P(7);
	char	  **copied;

	check_required(fcinfo);
	g = migration_lock(text_arg(fcinfo, 0));
	phase_require(g, "migrate_map", PHASES("planned", "rolled_back"));
	m->migration_id = g->id;
	m->source = PG_GETARG_OID(1);
	m->target = PG_GETARG_OID(2);
	read_modes(fcinfo, m);
	check_side(m->source, "source", m->capture);
	check_side(m->target, "target", m->capture);
	if (mapping_is_in_place(m))
		in_place_check_arguments(m, PG_ARGISNULL(3), filter != NULL);
	m->owner = choose_owner(m->source, m->target);
	m->time_zone = g->time_zone;
	m->key = key_resolve(m->target, PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4));
	copied = palloc0(sizeof(char *) * count_columns(m->source));
	read_columns(m, PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), copied);
	if (mapping_is_in_place(m))
		in_place_check_mapping(m);
	check_key_mapped(m);
	check_new_key(m);
	if (filter != NULL)
	{
		Expression *e = expression_for_condition(filter, "filter", m->source);

		m->filter = e->sql;
		m->whole_row = m->whole_row || e->whole_row;
	}
	if (!PG_ARGISNULL(6))
		read_dedupe(m, text_arg(fcinfo, 6));
	m->scope = discriminator(m, TARGET_ALIAS);
	m->id = mapping_insert(m);

	/* no trigger tells what is written to a foreign table */
	reverse = key_is_foreign(m->target) ? NULL : derive_reverse(m, given, copied, filter);
	if (reverse != NULL && mapping_is_in_place(m))
		reverse = in_place_check_reverse(m, reverse);
	if (reverse != NULL)
	{
		reverse->reverse_of = m->id;
		(void) mapping_insert(reverse);
	}
	else if (given != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"reverse\" does not identify a row of %s", name_relation(m->source)),
				 key_is_foreign(m->target) ? errhint("There is no way back from a foreign table: its writes cannot be captured.") :
				 errhint("It must give every column of a unique key of the source.")));
	share_target(m);
	migration_mark_changed(g->id);
	event_record(g, "mapped", NULL, psprintf("{\"mapping\": %lld}", (long long) m->id), NULL);
	PG_RETURN_INT64(m->id);
}
