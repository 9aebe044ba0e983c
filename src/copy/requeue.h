/*
 * requeue.h
 *		Keys that a query finds become dirty.
 */
#ifndef MIGRATE_REQUEUE_H
#define MIGRATE_REQUEUE_H

#include "postgres.h"
#include "catalog/mapping.h"
#include "utils/array.h"

/* What is to be done with the rows that SPI has read. */
typedef void (*RowsFound) (const Mapping *m, uint64 rows, void *arg);

extern ArrayType *requeue_read_column(uint64 rows, int column);
extern void requeue_scan(const Mapping *m, const char *sql, ArrayType *keys, int batch_rows, RowsFound found, void *arg);
extern void requeue_found(const Mapping *m, const char *sql, ArrayType *keys, int column, const char *reason);
extern bool requeue_changes(const Mapping *m, const Datum *changes, int n);

#endif							/* MIGRATE_REQUEUE_H */
