/*
 * request.h
 *		Which job a call for a backfill means.
 */
#ifndef MIGRATE_REQUEST_H
#define MIGRATE_REQUEST_H

#include "postgres.h"
#include "catalog/migration.h"
#include "utils/timestamp.h"

extern int64 request_backfill(Migration *g, int workers, int batch_rows, Interval *run_for,
							  bool *nothing_to_do);

#endif							/* MIGRATE_REQUEST_H */
