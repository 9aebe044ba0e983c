/*
 * requeue.h
 *		Keys that a query finds become dirty.
 */
#ifndef MIGRATE_REQUEUE_H
#define MIGRATE_REQUEUE_H

#include "postgres.h"
#include "catalog/mapping.h"
#include "catalog/migration.h"
#include "utils/array.h"

extern void requeue_found(const Mapping *m, const char *sql, ArrayType *keys, int column, const char *reason);
extern bool requeue_changes(const Mapping *m, const Datum *changes, int n);
extern void requeue_duplicates(const Migration *g);
extern void requeue_list_duplicates(const Mapping *m, ArrayType *keys);

#endif							/* MIGRATE_REQUEUE_H */
