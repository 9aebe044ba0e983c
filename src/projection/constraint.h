/*
 * constraint.h
 *		What the rows of a target should fulfil though nothing enforces it.
 */
#ifndef MIGRATE_CONSTRAINT_H
#define MIGRATE_CONSTRAINT_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "catalog/mapping.h"

typedef struct ExpectedConstraint
{
	const char *kind;			/* not null, unique, foreign key */
	char	   *name;			/* of the column, index or constraint that asks for it */
	List	   *columns;		/* of char *: the target's */
	bool		declared;		/* on the target itself, but not validated */
	char	   *sql;			/* how many rows violate it */
} ExpectedConstraint;

extern List *constraint_list(const Mapping *m, List *mappings);
extern List *constraint_list_declared(const Mapping *m);

#endif							/* MIGRATE_CONSTRAINT_H */
