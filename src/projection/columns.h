/*
 * columns.h
 *		The JSON object of column names and SQL expressions that callers give.
 */
#ifndef MIGRATE_COLUMNS_H
#define MIGRATE_COLUMNS_H

#include "postgres.h"
#include "utils/jsonb.h"

extern void columns_check_names(Jsonb *columns, Oid relid, const char *argument);
extern char *columns_find(Jsonb *columns, const char *name, const char *argument);

#endif							/* MIGRATE_COLUMNS_H */
