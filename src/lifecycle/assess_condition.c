/*
 * assess_condition.c
 *		What a target asks of its rows, as conditions over projected rows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/quote.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_data.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* A table of more partitions is not asked where its rows would go. */
#define MAX_PARTITIONS 1000

static void
add(List **list, const char *subject, const char *finding, const char *advice, char *sql, Bitmapset *columns)
{
	Condition  *c = palloc(sizeof(Condition));

	c->subject = subject;
	c->finding = finding;
	c->advice = advice;
	c->sql = sql;
	c->columns = columns;
	*list = lappend(*list, c);
}

/* Does the mapping set the column, rather than leave it as it is? */
static bool
is_assigned(const DataLook *look, AttrNumber attnum)
{
	char	   *name = attnum > 0 ? get_attname(look->m->target, attnum, true) : NULL;

	return !mapping_is_in_place(look->m) || (name != NULL && projection_column(look->m, name) != NULL && !ref_is_key(look->m, name));
}

/* The same of any of some columns. */
static bool
any_is_set(const DataLook *look, const Bitmapset *columns)
{
	int			bit = -1;

	while ((bit = bms_next_member(columns, bit)) >= 0)
	{
		if (is_assigned(look, bit + FirstLowInvalidHeapAttributeNumber))
			return true;
	}
	return false;
}

static char *
column_name(const DataLook *look, const char *name)
{
	return psprintf("%s.%s", name_relation(look->m->target), quote_identifier(name));
}

#define IS_INTEGER(t) ((t) == INT2OID || (t) == INT4OID || (t) == INT8OID)

static bool
is_string(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_STRING;
}

/* Can each value of a type be had back from the other? */
static bool
is_lossless(Oid from, int32 from_typmod, Oid to, int32 to_typmod)
{
	if (from == to && (to_typmod < 0 || from_typmod == to_typmod))
		return true;
	if (is_string(from) || is_string(to))
		return true;			/* too long is looked for otherwise; the text form of a value says all */
	if (to == BITOID || to == VARBITOID)
		return true;			/* likewise */
	if (IS_INTEGER(from) && IS_INTEGER(to))
		return true;			/* or an error */
	return IS_INTEGER(from) && to == NUMERICOID && to_typmod < 0;
}

/* Values too long for a type, which an explicit cast would cut. */
static void
add_length(DataLook *look, Form_pg_attribute att, Oid from, int32 from_typmod, Oid to, int32 to_typmod)
{
	char	   *value = psprintf(TARGET_ALIAS ".migrate_r%d", att->attnum);
	char	   *sql;

	if (to_typmod < 0 || (from == to && from_typmod >= 0 && from_typmod <= to_typmod))
		return;
	if (to == VARCHAROID || to == BPCHAROID)
		sql = psprintf("length(%s::text) > %d AND rtrim(substr(%s::text, %d), ' ') <> ''", value, to_typmod - VARHDRSZ, value, to_typmod - VARHDRSZ + 1);
	else if ((to == BITOID || to == VARBITOID) && (from == BITOID || from == VARBITOID))
		sql = psprintf("length(%s) %s %d", value, to == BITOID ? "<>" : ">", to_typmod);
	else
		return;
	add(&look->conditions, column_name(look, NameStr(att->attname)),
		psprintf("values are too long for type %s", format_type_with_typemod(att->atttypid, att->atttypmod)),
		"Their rows are rejected: make the column wider, or shorten them by an expression.", sql, bms_make_singleton(COLUMN_BIT(att->attnum)));
}

/* Values that come back as others. */
static void
add_loss(DataLook *look, Form_pg_attribute att, Oid from, int32 from_typmod, Oid to, int32 to_typmod)
{
	TypeCacheEntry *entry = lookup_type_cache(from, TYPECACHE_EQ_OPR);
	Oid			function;

	if (is_lossless(from, from_typmod, to, to_typmod) || !OidIsValid(entry->eq_opr) ||
		(from != to && find_coercion_pathway(from, to, COERCION_EXPLICIT, &function) == COERCION_PATH_NONE))
		return;
	add(&look->conditions, column_name(look, NameStr(att->attname)),
		psprintf("values are not the same any more as %s", format_type_with_typemod(att->atttypid, att->atttypmod)),
		"They are rounded or cut without an error, and the way back does not know what they were: widen the type, or see that nobody needs it.",
		psprintf("NOT (" TARGET_ALIAS ".migrate_r%d %s (" TARGET_ALIAS ".%s)::%s)", att->attnum, quote_operator(entry->eq_opr),
				 quote_identifier(NameStr(att->attname)), quote_type(from, -1)),
		bms_make_singleton(COLUMN_BIT(att->attnum)));
}

/* Between a time with its zone and one without, the migration's zone decides. */
static void
find_time_zone(DataLook *look, const char *name, Oid from, Oid to)
{
#define HAS_NO_ZONE(t) ((t) == TIMESTAMPOID || (t) == DATEOID || (t) == TIMEOID)
	if ((from == TIMESTAMPTZOID && HAS_NO_ZONE(to)) || (to == TIMESTAMPTZOID && HAS_NO_ZONE(from)))
		assess_add(look->findings, "info", column_name(look, name),
				   psprintf("%s becomes %s by the time zone %s", format_type_be(from), format_type_be(to), look->m->time_zone ? look->m->time_zone : "of the server"),
				   "Setting time_zone is the one: make it that of the application.");
}

/* What a column asks of the values that it gets. */
static void
add_column(DataLook *look, Form_pg_attribute att, const MappingColumn *c)
{
	char	   *name = NameStr(att->attname);
	char	   *copied = projection_copied_column(look->m, name);
	Node	   *tree = expression_read(c->expression, look->m->source, SOURCE_ALIAS);
	int32		from_typmod = exprTypmod(tree);
	Oid			from = getBaseTypeAndTypmod(exprType(tree), &from_typmod);
	int32		to_typmod = att->atttypmod;
	Oid			to = getBaseTypeAndTypmod(att->atttypid, &to_typmod);

	if (att->attnotnull)
		add(&look->conditions, column_name(look, name), "rows give no value, and it must not be null",
			"Their rows are rejected: give a value by an expression such as coalesce(), or leave them out by \"filter\" or a rule.",
			psprintf("num_nulls(" TARGET_ALIAS ".%s) > 0", quote_identifier(name)), bms_make_singleton(COLUMN_BIT(att->attnum)));
	if (copied == NULL || exprType(tree) != att->atttypid || exprTypmod(tree) != att->atttypmod)
	{
		Conversion *conversion = palloc(sizeof(Conversion));

		conversion->column = pstrdup(name);
		conversion->attnum = att->attnum;
		look->conversions = lappend(look->conversions, conversion);
	}
	if (from == UNKNOWNOID)
		return;
	add_length(look, att, from, from_typmod, to, to_typmod);
	add_loss(look, att, from, from_typmod, to, to_typmod);
	find_time_zone(look, name, from, to);
}

/* An expression of the target's, over migrate_t. */
static char *
deparse(Node *tree, Oid relid)
{
	return deparse_expression(tree, deparse_context_for(TARGET_ALIAS, relid), true, false);
}

static void
add_checks(DataLook *look, Relation target)
{
	TupleConstr *constr = RelationGetDescr(target)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		ConstrCheck *check = &constr->check[i];
		Node	   *tree = stringToNode(check->ccbin);
		Bitmapset  *columns = NULL;

		pull_varattnos(tree, 1, &columns);
		if (CHECK_IS_ENFORCED(check) && any_is_set(look, columns))
			add(&look->conditions, name_relation(look->m->target), psprintf("rows violate check %s", quote_identifier(check->ccname)),
				"They are rejected: change the check, the rows or the expressions, or leave them out by \"filter\" or a rule.",
				psprintf("NOT (%s)", deparse(tree, look->m->target)), columns);
	}
}

/* Rows that no partition takes. */
static void
add_partitions(DataLook *look, Relation target)
{
	StringInfoData buf;
	Bitmapset  *columns = NULL;
	List	   *leaves;
	ListCell   *lc;

	if (target->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || mapping_is_in_place(look->m))
		return;
	leaves = find_all_inheritors(RelationGetRelid(target), AccessShareLock, NULL);
	if (list_length(leaves) > MAX_PARTITIONS)
		return;
	initStringInfo(&buf);
	foreach(lc, leaves)
	{
		Relation	leaf = relation_open(lfirst_oid(lc), NoLock);
		List	   *qual = leaf->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? NIL : RelationGetPartitionQual(leaf);

		if (leaf->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
			appendStringInfo(&buf, "%s(%s)", buf.len ? " OR " : "",
							 qual ? deparse((Node *) make_ands_explicit(qual), RelationGetRelid(leaf)) : "true");
		relation_close(leaf, NoLock);
	}
	for (int bit = COLUMN_BIT(1); bit <= COLUMN_BIT(RelationGetNumberOfAttributes(target)); bit++)
	{
		if (bms_is_member(bit, look->unknown) && has_partition_attrs(target, bms_make_singleton(bit), NULL))
			columns = bms_add_member(columns, bit);
	}
	add(&look->conditions, name_relation(look->m->target), "rows have no partition", "They are rejected: create the partitions, or a default one.",
		buf.len ? psprintf("(%s) IS NOT TRUE", buf.data) : "true", columns);
}

/* All that is counted in one statement. */
void
data_add_conditions(DataLook *look)
{
	Relation	target = relation_open(look->m->target, AccessShareLock);

	for (int i = 0; i < RelationGetNumberOfAttributes(target); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(target), i);
		MappingColumn *c = att->attisdropped ? NULL : projection_column(look->m, NameStr(att->attname));

		/* new keys are given out when rows are written */
		if (c != NULL && expression_names_lookup(c->expression))
			look->unknown = bms_add_member(look->unknown, COLUMN_BIT(att->attnum));
		else if (c != NULL && is_assigned(look, att->attnum))
			add_column(look, att, c);
	}
	add_checks(look, target);
	add_partitions(look, target);
	relation_close(target, NoLock);
}

/* Is a unique index of the target on columns that are unique in the source? */
static bool
is_copied_unique(const DataLook *look, Relation index)
{
	const Mapping *m = look->m;
	List	   *names = NIL;

	if (RelationGetIndexExpressions(index) != NIL || mapping_is_in_place(m))
		return false;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		char	   *copied = projection_copied_column(m, get_attname(m->target, attnum, false));
		Oid			type[2];
		Oid			collation[2];
		int32		typmod;

		if (copied == NULL)
			return false;
		get_atttypetypmodcoll(m->target, attnum, &type[0], &typmod, &collation[0]);
		get_atttypetypmodcoll(m->source, get_attnum(m->source, copied), &type[1], &typmod, &collation[1]);
		if (type[0] != type[1] || collation[0] != collation[1])
			return false;
		names = lappend(names, copied);
	}
	return OidIsValid(key_index(m->source, names, false));
}

/* Is it an index on the mapping's key? */
static bool
is_of_key(const DataLook *look, Relation index)
{
	if (index->rd_index->indnkeyatts != list_length(look->m->key) || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];

		if (attnum <= 0 || !ref_is_key(look->m, get_attname(look->m->target, attnum, false)))
			return false;
	}
	return true;
}

/* The columns of an index over migrate_t, with its collations: "a, b". */
static char *
index_columns(const DataLook *look, Relation index, Bitmapset **columns)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Oid			collation = index->rd_indcollation[i];
		char	   *sql;

		if (attnum != 0)
		{
			sql = psprintf(TARGET_ALIAS ".%s", quote_identifier(get_attname(look->m->target, attnum, false)));
			*columns = bms_add_member(*columns, COLUMN_BIT(attnum));
		}
		else
		{
			pull_varattnos(linitial(expressions), 1, columns);
			sql = psprintf("(%s)", deparse(linitial(expressions), look->m->target));
			expressions = list_delete_first(expressions);
		}
		appendStringInfo(&buf, "%s%s%s", i ? ", " : "", sql, OidIsValid(collation) ? psprintf(" COLLATE %s", quote_collation(collation)) : "");
	}
	return buf.data;
}

/* Rows that are more than one for what has to be unique. */
static void
add_unique(DataLook *look, Relation index)
{
	Form_pg_index form = index->rd_index;
	List	   *predicate = RelationGetIndexPredicate(index);
	Bitmapset  *columns = NULL;
	char	   *list;
	bool		of_key = is_of_key(look, index);
	const char *advice = "They are rejected: change the rows, leave some out by a rule, or drop the index.";
	const char *finding = psprintf("rows have in unique index %s what another has, too", quote_identifier(RelationGetRelationName(index)));

	if (!form->indisunique || form->indisexclusion || !form->indisready || (of_key && ref_dedupes(look->m)) || is_copied_unique(look, index))
		return;
	list = index_columns(look, index, &columns);
	pull_varattnos((Node *) predicate, 1, &columns);
	if (!any_is_set(look, columns))
		return;
	if (of_key)
	{
		finding = "rows have the key of another";
		advice = "One of each key is moved, and no verification is clean: give \"dedupe_by\", or make them one.";
	}
	add(&look->statements, name_relation(look->m->target), finding, advice,
		psprintf("SELECT coalesce(sum(migrate_n - 1), 0)::bigint, min(migrate_key) FROM (SELECT count(*) AS migrate_n, min(" TARGET_ALIAS ".migrate_key::text) AS migrate_key "
				 "FROM %s WHERE %s%s GROUP BY %s HAVING count(*) > 1) AS migrate_d", data_projected_rows(look),
				 form->indnullsnotdistinct ? "true" : psprintf("num_nulls(%s) = 0", list),
				 predicate ? psprintf(" AND (%s)", deparse((Node *) make_ands_explicit(predicate), look->m->target)) : "", list), columns);
}

/* Rows that name no row of another table. */
static void
add_orphans(DataLook *look, const ForeignKeyCacheInfo *fk)
{
	Bitmapset  *columns = NULL;
	StringInfoData not_null;
	StringInfoData equal;

	if (list_member_oid(look->targets, fk->confrelid))
		return;					/* its rows come with the migration */
	initStringInfo(&not_null);
	initStringInfo(&equal);
	for (int i = 0; i < fk->nkeys; i++)
	{
		char	   *column = psprintf(TARGET_ALIAS ".%s", quote_identifier(get_attname(look->m->target, fk->conkey[i], false)));

		columns = bms_add_member(columns, COLUMN_BIT(fk->conkey[i]));
		appendStringInfo(&not_null, "%s%s", i ? ", " : "", column);
		appendStringInfo(&equal, "%smigrate_p.%s %s %s", i ? " AND " : "", quote_identifier(get_attname(fk->confrelid, fk->confkey[i], false)),
						 quote_operator(fk->conpfeqop[i]), column);
	}
	if (any_is_set(look, columns))
		add(&look->statements, name_relation(look->m->target),
			psprintf("rows name no row of %s by foreign key %s", name_relation(fk->confrelid), quote_identifier(get_constraint_name(fk->conoid))),
			"They are rejected: bring the missing rows, set their columns to null by an expression, or leave them out by a rule.",
			psprintf("SELECT count(*), min(" TARGET_ALIAS ".migrate_key::text) FROM %s WHERE num_nulls(%s) = 0 AND NOT EXISTS (SELECT FROM %s AS migrate_p WHERE %s)",
					 data_projected_rows(look), not_null.data, quote_relation(fk->confrelid), equal.data), columns);
}

/* What needs a statement each. */
void
data_add_statements(DataLook *look)
{
	Relation	target = relation_open(look->m->target, AccessShareLock);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		add_unique(look, index);
		index_close(index, NoLock);
	}
	foreach(lc, copyObject(RelationGetFKeyList(target)))
		add_orphans(look, lfirst(lc));
	relation_close(target, NoLock);
}
