/*
 * program.h
 *		The projection as expressions to evaluate, for a row in hand.
 */
#ifndef MIGRATE_PROGRAM_H
#define MIGRATE_PROGRAM_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"

#include "catalog/mapping.h"

/* One mapped column. */
typedef struct ProgramColumn
{
	AttrNumber	target;
	AttrNumber	copied;			/* source column that is taken as it is, or 0 */
	ExprState  *value;			/* what is evaluated otherwise */
	Bitmapset  *reads;			/* source columns, as attribute numbers */
	bool		byval;
	int16		len;
} ProgramColumn;

typedef struct Program
{
	ExprContext *econtext;
	int			ncolumns;
	ProgramColumn *columns;
	ExprState  *filter;			/* NULL: every row passes */
	Bitmapset  *reads;			/* source columns, as attribute numbers */
	AttrNumber	last_read;		/* the last of these, or less than 1 */
	Bitmapset  *filter_reads;	/* of these, what the filter reads */
	Bitmapset  *writes;			/* target columns, likewise */
	bool		needs_settings;	/* what it gives may depend on settings */
	bool		calls_user_code;
} Program;

extern Program *program_compile(const Mapping *m);
extern bool program_passes(Program *p, TupleTableSlot *row);
extern bool program_is_plain(const Program *p);
extern void program_evaluate_column(Program *p, int i, TupleTableSlot *row, Datum *values, bool *nulls);
extern void program_evaluate(Program *p, TupleTableSlot *row, Datum *values, bool *nulls);
extern bool program_images_equal(Datum a, bool a_null, Datum b, bool b_null, bool byval, int16 len);
extern bool program_reads_same(const Program *p, TupleTableSlot *a, TupleTableSlot *b);

#endif							/* MIGRATE_PROGRAM_H */
