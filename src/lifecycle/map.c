/*
 * map.c
 *		migrate_map: checks and stores a mapping.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
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
#include "lifecycle/way_back.h"
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

/* The type of a column of the source, as ref_target_type writes it. */
static char *
source_column_type(const Mapping *m, const char *name)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(m->source, get_attnum(m->source, name), &type, &typmod, &collation);
	return quote_type(type, typmod);
}

/* Raises where rows without keys cannot be counted. */
static void
check_multiset(const Mapping *m)
{
	ListCell   *lc;

	if (ref_is_multiset(m) && (mapping_is_in_place(m) || m->dedupe_by != NIL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a mapping %s needs a key", mapping_is_in_place(m) ? "in place" : "with \"dedupe_by\""),
				 errhint("Name the columns of a unique index in \"key\".")));
	if (ref_is_multiset(m) && key_is_foreign(m->target))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign table %s needs a key", name_relation(m->target)),
				 errhint("Name in \"key\" the columns of a unique index that the other server has.")));
	foreach(lc, ref_is_multiset(m) ? m->columns : NIL)
	{
		const char *name = ((MappingColumn *) lfirst(lc))->target;
		Oid			type = getBaseType(get_atttype(m->target, get_attnum(m->target, name)));
		char	   *copied = projection_copied_column(m, name);

		if ((type == BITOID || type == VARBITOID) && (copied == NULL || strcmp(source_column_type(m, copied), ref_target_type(m, name)) != 0))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of target %s, whose rows have no key, cannot become another type of bits", name, name_relation(m->target)),
					 errdetail("A value that was cut could not be told from others.")));
	}
	foreach(lc, mapping_list(m->migration_id, MAPPING_FORWARD))
	{
		const Mapping *other = lfirst(lc);

		if (other->target == m->target && (ref_is_multiset(m) || ref_is_multiset(other)))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("target %s has two mappings, and rows without a key", name_relation(m->target)),
					 errdetail("Nobody could tell whose row it is."),
					 errhint("Give it a key with a constant that tells the sources apart.")));
	}
}

/* Raises for sets that cannot be told apart, or cannot be. */
static void
check_sets(const Mapping *m)
{
	const char *set = NULL;
	bool		in_key = false;
	ListCell   *lc;

	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);

		if (!c->is_set)
			continue;
		set = c->target;
		in_key = in_key || ref_is_key(m, c->target);
	}
	if (set == NULL)
		return;
	if (mapping_is_in_place(m))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" cannot be a set in place", set),
				 errdetail("Each row is its own target.")));
	if (m->dedupe_by != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"dedupe_by\" cannot be used with a set"),
				 errhint("Let the expression of column \"%s\" give each value once.", set)));
	if (!in_key && !ref_is_multiset(m))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" of target %s is a set, and no column of the key is", set, name_relation(m->target)),
				 errdetail("Nothing would tell the target rows of one source row apart."),
				 errhint("Give a column of the key as a set, such as generate_subscripts(lines, 1) beside unnest(lines).")));
}

/* Does an expression ask for a new key of a mapping? */
static bool
asks_for_new_key(const MappingColumn *c, int64 mapping_id)
{
	return strstr(c->expression, "migrate_lookup(") != NULL && strstr(c->expression, psprintf("'" INT64_FORMAT "'::bigint", mapping_id)) != NULL;
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

		if (m->id != 0 && c->map == 0 && asks_for_new_key(c, m->id))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("column \"%s\" of target %s cannot be a new key", c->target, name_relation(m->target)),
					 errdetail("The old key is not given by columns of the source alone."),
					 errhint("Write migrate_lookup(migration, NULL, column, ...) as the whole expression.")));
	}

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
	check_multiset(m);
	check_sets(m);
	m->scope = projection_discriminator(m, TARGET_ALIAS);
	m->id = mapping_insert(m);

	/* no trigger tells what is written to a foreign table */
	reverse = key_is_foreign(m->target) ? NULL : way_back_derive(m, given, copied, filter);
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
	way_back_share_target(m);
	migration_mark_changed(g->id);
	event_record(g, "mapped", NULL, psprintf("{\"mapping\": %lld}", (long long) m->id), NULL);
	PG_RETURN_INT64(m->id);
}
