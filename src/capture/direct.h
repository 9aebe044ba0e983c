/*
 * direct.h
 *		Applies the rows of a statement to a plain target, below SQL.
 */
#ifndef MIGRATE_DIRECT_H
#define MIGRATE_DIRECT_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "access/skey.h"
#include "access/tupconvert.h"
#include "utils/tuplestore.h"

#include "catalog/mapping.h"
#include "projection/program.h"

/* How to write one mapping's target directly; made once for a session. */
typedef struct DirectPlan
{
	MemoryContext context;
	Program    *program;
	Oid			key_index;
	int			nkeys;
	ScanKey		keys;			/* sk_argument is filled in for each row */
	AttrNumber *key_columns;	/* target columns, in the index's order */
	Bitmapset  *key_reads;		/* the source columns they are copied from */
	Bitmapset  *identifying;	/* source columns of the key and the filter */
	bool		reads_generated;	/* reads a column that others are the input of */
	int			ndefaults;
	AttrNumber *default_columns;
	ExprState **defaults;
	int			target_natts;
	TupleConversionMap *to_source;	/* from rows of the trigger's relation, or NULL */
	bool		needs_settings;
	bool		removes;		/* may remove rows, too */
} DirectPlan;

/* The rows of a statement. */
typedef struct DirectRows
{
	Relation	relation;		/* the trigger's */
	Tuplestorestate *old_rows;	/* or NULL */
	Tuplestorestate *new_rows;	/* or NULL */
	bool		renames;		/* a row whose key changes is updated, and what names it follows */
} DirectRows;

extern DirectPlan *direct_plan(const Mapping *m, Oid relid, MemoryContext parent);
extern bool direct_may_write(const Mapping *m);
extern void direct_begin_row(const DirectPlan *d, TupleTableSlot *row);
extern bool direct_apply(DirectPlan *d, const Mapping *m, const DirectRows *rows,
						 const bool *stale);

#endif							/* MIGRATE_DIRECT_H */
