/*
 * profile_column.h
 *		What a profile knows of one column.
 */
#ifndef MIGRATE_PROFILE_COLUMN_H
#define MIGRATE_PROFILE_COLUMN_H

#include "postgres.h"
#include "catalog/pg_attribute.h"
#include "fmgr.h"

#include "hash/value.h"
#include "verify/distinct.h"
#include "verify/profile_number.h"
#include "verify/profile_order.h"
#include "verify/profile_text.h"

/* What more is looked at in a value. */
typedef enum ProfileKind
{
	PROFILE_PLAIN,
	PROFILE_TEXT,				/* varlena whose bytes are text */
	PROFILE_NAME,
	PROFILE_NUMBER,
	PROFILE_DATE,				/* of any kind */
	PROFILE_BYTEA,
	PROFILE_ARRAY,
	PROFILE_JSONB
} ProfileKind;

/* What all columns of a profile share. */
typedef struct ProfileShared
{
	MemoryContext context;		/* of all that is kept */
	MemoryContext row;			/* reset for each row */
	double		expected;		/* rows, about */
	bool		whole;			/* are all rows read? */
	int			entries;		/* values that a column counts one by one */
	SpoolBudget spools;
} ProfileShared;

typedef struct ProfileColumn
{
	ProfileShared *shared;
	NameData	name;
	AttrNumber	attnum;
	Oid			type;			/* as declared */
	Oid			base;			/* base type */
	int32		typmod;
	Oid			collation;
	bool		notnull;
	int16		typlen;
	bool		typbyval;
	ProfileKind kind;
	FmgrInfo	output;
	bool		unique;			/* does an index show that all values are different? */
	bool		equal_by_form;	/* are values equal, to their type, only if they have one canonical form? */
	bool		text_by_value;	/* is each text looked at once, and its rows counted with its entry? */
	int64		nulls;
	int64		values;			/* rows that are not null */
	int64		empties;
	int64		out_of_range;	/* dates */
	int64		first_date;		/* that is in range, of a date's type */
	int64		end_date;		/* and the first that is not any more */
	int64		infinities;		/* the same */
	double		width;			/* sum of bytes */
	ValueHasher *hasher;
	Distinct	distinct;
	int64		forms;			/* in the end: different values, in canonical form */
	bool		exact;			/* ... counted, not estimated */
	int64		different;		/* different values, to their type */
	bool		proven;			/* ... is that known? */
	ProfileOrder *order;		/* NULL: the type has none */
	ProfileNumber *number;
	ProfileText *text;
	char	   *orphans;		/* rows without parent, as JSON; NULL: none */
} ProfileColumn;

#define PROFILE_FIELDS 12

extern void profile_column_init(ProfileColumn *c, ProfileShared *shared, Form_pg_attribute att);
extern void profile_column_add(ProfileColumn *c, Datum value);
extern bool profile_column_count(ProfileColumn *c);
extern void profile_column_counted(ProfileColumn *c, int64 values, int64 different);
extern void profile_column_finish(ProfileColumn *c, Datum *values, bool *nulls);

#endif							/* MIGRATE_PROFILE_COLUMN_H */
