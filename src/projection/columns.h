/*
 * columns.h
 *		Columns by name, and the JSON object of names and SQL expressions that callers give.
 */
#ifndef MIGRATE_COLUMNS_H
#define MIGRATE_COLUMNS_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "catalog/mapping.h"
#include "projection/expression.h"

extern void columns_check_names(Jsonb *columns, Oid relid, const char *argument);
extern void columns_add(Mapping *m, const char *name, const Expression *e);
extern bool column_is_not_null(Oid relid, const char *name);
extern bool column_has_default(Oid relid, const char *name);
extern char *columns_find(Jsonb *columns, const char *name, const char *argument);
extern List *columns_add_names(List *names, List *more);

#endif							/* MIGRATE_COLUMNS_H */
