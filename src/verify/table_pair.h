/*
 * table_pair.h
 *		Two tables to compare without a migration.
 */
#ifndef MIGRATE_TABLE_PAIR_H
#define MIGRATE_TABLE_PAIR_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "catalog/mapping.h"

extern Mapping *table_pair_read(FunctionCallInfo fcinfo, int columns, int filter);
extern List *table_pair_columns(const Mapping *m, ArrayType *names, const char *what);

#endif							/* MIGRATE_TABLE_PAIR_H */
