/*
 * mapping_column.h
 *		Rows of migrate_ext.mapping_column.
 */
#ifndef MIGRATE_MAPPING_COLUMN_H
#define MIGRATE_MAPPING_COLUMN_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef struct MappingColumn
{
	char	   *target;			/* target column's name */
	char	   *expression;		/* over the source row "src", all names qualified */
	bool		constant;		/* the same for every source row */
	bool		is_set;			/* several values, or none, for one source row: see ref_expanded_rows */
	int64		map;			/* the mapping whose key map stands between it and source columns, or 0 */
	List	   *made_of;		/* of char *: these columns */
	int			part;			/* on the way back: which column of the old key it is ... */
	int			parts;			/* ... of how many */
} MappingColumn;

extern void mapping_column_insert_all(int64 mapping_id, List *columns);
extern List *mapping_column_list(int64 mapping_id);

#endif							/* MIGRATE_MAPPING_COLUMN_H */
