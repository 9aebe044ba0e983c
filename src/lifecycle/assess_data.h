/*
 * assess_data.h
 *		Findings about the rows that a mapping would move.
 */
#ifndef MIGRATE_ASSESS_DATA_H
#define MIGRATE_ASSESS_DATA_H

#include "postgres.h"
#include "nodes/bitmapset.h"
#include "utils/rel.h"

#include "catalog/mapping.h"
#include "catalog/migration.h"

/* Something that should hold for no row. */
typedef struct Condition
{
	const char *subject;
	const char *finding;		/* "rows violate ..." */
	const char *advice;
	char	   *sql;			/* over migrate_t; of a statement of its own, all of it: how many, and a key */
	Bitmapset  *columns;		/* of the target, that it looks at */
} Condition;

/* A column whose value may not be had. */
typedef struct Conversion
{
	char	   *column;
	AttrNumber	attnum;
} Conversion;

/* The rows of a mapping, as they would be in the target. */
typedef struct DataLook
{
	const Migration *g;
	const Mapping *m;
	List	   *targets;		/* of the migration: OIDs */
	List	  **findings;
	bool		values;			/* may values be shown? */
	double		percent;		/* of the source's blocks that are read; 0: all */
	Bitmapset  *unknown;		/* the target's columns whose value is not known before a row is stored */
	List	   *conversions;	/* of Conversion * */
	List	   *conditions;		/* of Condition *: counted in one statement */
	List	   *statements;		/* of Condition *: each counted in its own */
	int64		rows;			/* that were looked at */
	bool		gave_up;		/* the filter fails: nothing can be counted */
} DataLook;

#define COLUMN_BIT(attnum) ((attnum) - FirstLowInvalidHeapAttributeNumber)

/* assess_condition.c */
extern void data_add_conditions(DataLook *look);
extern void data_add_statements(DataLook *look);

/* assess_data.c */
extern char *data_source_rows(const DataLook *look);
extern char *data_projected_rows(const DataLook *look);
extern char *data_key(const DataLook *look, bool expanded);
extern void data_report(const DataLook *look, const Condition *c, bool at_least, int64 n, const char *key);

/* assess_probe.c */
extern void data_probe(DataLook *look);

#endif							/* MIGRATE_ASSESS_DATA_H */
