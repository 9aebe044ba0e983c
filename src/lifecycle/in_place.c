/*
 * in_place.c
 *		What a mapping of a table to itself must keep to.
 *
 * The row that is written is all that its trigger has: an expression reads
 * columns that no mapping of the migration in the same direction sets, and
 * nothing else.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/partition.h"
#include "nodes/bitmapset.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/quote.h"
#include "lifecycle/in_place.h"
#include "projection/program.h"

/* Raises for arguments that make no sense in place. */
void
in_place_check_arguments(const Mapping *m, bool no_columns, bool has_filter)
{
	if (no_columns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source and target are the same relation, and no columns are given"),
				 errhint("Name the columns to set and their expressions in \"columns\".")));
	if (has_filter)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping in place has no filter"),
				 errdetail("Every row of the table is a row of both shapes."),
				 errhint("Write the condition into the expressions, with CASE.")));
	if (strcmp(m->capture, "trigger") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping in place has capture \"trigger\""),
				 errdetail("The columns are set in the row that is written.")));
}

/* Is it a column of the key, which stays what it is? */
bool
in_place_keeps(const Mapping *m, const char *column)
{
	ListCell   *lc;

	foreach(lc, m->key)
	{
		if (strcmp(lfirst(lc), column) == 0)
			return true;
	}
	return false;
}

/* Raises for a key column that would change. */
static void
check_key_kept(const Mapping *m, const Program *p)
{
	for (int i = 0; i < p->ncolumns; i++)
	{
		const ProgramColumn *c = &p->columns[i];

		if (c->copied != c->target &&
			in_place_keeps(m, get_attname(m->source, c->target, false)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("key column \"%s\" cannot be changed in place",
							get_attname(m->source, c->target, false)),
					 errhint("Leave it out, or choose another key.")));
	}
}

/* The columns that a program sets to something else than what they are. */
static Bitmapset *
sets(const Program *p)
{
	Bitmapset  *result = NULL;

	for (int i = 0; i < p->ncolumns; i++)
	{
		if (p->columns[i].copied != p->columns[i].target)
			result = bms_add_member(result, p->columns[i].target);
	}
	return result;
}

/* The columns that a program reads, but for those that it keeps as they are and reads for nothing else. */
static Bitmapset *
reads(const Mapping *m, const Program *p)
{
	return bms_difference(p->reads, bms_difference(p->writes, sets(p)));
}

static Program *
compile(const Mapping *m)
{
	Program    *p = program_compile(m);

	if (p == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an expression of a mapping in place has a subquery, or uses the row as a whole"),
				 errhint("Put the subquery into a function, and name the columns.")));
	return p;
}

/* Raises if one mapping reads what the other, or the same, sets. */
static void
check_no_chain(const Mapping *a, const Program *read, const Program *set)
{
	Bitmapset  *both = bms_intersect(reads(a, read), sets(set));
	int			attnum = bms_next_member(both, -1);

	if (attnum >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" is read and set in place", get_attname(a->source, attnum, false)),
				 errhint("Write its own expression where it is read.")));
}

/* Raises for what a trigger before the write does not have, or must not change. */
static void
check_columns(const Mapping *m, const Program *p)
{
	Relation	rel = relation_open(m->source, AccessShareLock);
	Bitmapset  *shifted = NULL;
	bool		in_expression;
	int			attnum = -1;

	while ((attnum = bms_next_member(p->reads, attnum)) >= 0)
	{
		if (attnum > 0 && TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("generated column \"%s\" cannot be read in place", get_attname(m->source, attnum, false)),
					 errdetail("It is computed after the row's triggers."),
					 errhint("Write what it is generated from.")));
	}
	attnum = -1;
	while ((attnum = bms_next_member(sets(p), attnum)) >= 0)
		shifted = bms_add_member(shifted, attnum - FirstLowInvalidHeapAttributeNumber);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && has_partition_attrs(rel, shifted, &in_expression))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("a column of the partition key of %s cannot be set in place", name_relation(m->source)),
				 errdetail("A trigger cannot move a row to another partition."),
				 errhint("Map to another table.")));
	relation_close(rel, NoLock);
}

/* Checks a mapping against itself and those of the same table that are there already. */
void
in_place_check_mapping(const Mapping *m)
{
	Program    *p = compile(m);
	ListCell   *lc;

	check_key_kept(m, p);
	check_columns(m, p);
	check_no_chain(m, p, p);
	if (bms_is_empty(sets(p)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the mapping in place sets no column of %s", name_relation(m->source)),
				 errhint("Name columns and expressions in \"columns\".")));
	foreach(lc, mapping_select(mapping_list(m->migration_id, m->reverse), true))
	{
		Mapping    *other = lfirst(lc);
		Program    *q;

		if (other->source != m->source)
			continue;
		q = compile(other);
		check_no_chain(m, p, q);
		check_no_chain(m, q, p);
		if (bms_overlap(sets(p), sets(q)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("a column of %s is set in place by another mapping already", name_relation(m->source)),
					 errhint("A column has one expression.")));
	}
}

/* The way back, checked; NULL if it sets nothing. */
Mapping *
in_place_check_reverse(const Mapping *m, Mapping *reverse)
{
	if (bms_is_empty(sets(compile(reverse))))
		return NULL;
	in_place_check_mapping(reverse);
	return reverse;
}
