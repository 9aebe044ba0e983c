/*
 * stored_expression.h
 *		Expressions of all mappings, wherever they are stored.
 */
#ifndef MIGRATE_STORED_EXPRESSION_H
#define MIGRATE_STORED_EXPRESSION_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef struct StoredExpression
{
	char	   *place;			/* column, filter, scope, condition or rule scope */
	int64		id;				/* of the mapping or rule */
	char	   *column;			/* the target column, or NULL */
	Oid			relation;		/* whose row it is over */
	bool		over_target;	/* the row is known as a target's */
	char	   *text;
	Node	   *tree;			/* for the caller's use */
} StoredExpression;

extern List *stored_expression_list_naming(void);
extern void stored_expression_update(const StoredExpression *e);

#endif							/* MIGRATE_STORED_EXPRESSION_H */
