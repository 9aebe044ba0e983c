/*
 * cutover.h
 *		Changes which side is authoritative.
 */
#ifndef MIGRATE_CUTOVER_H
#define MIGRATE_CUTOVER_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "catalog/migration.h"

extern void cutover_lock(const Migration *g, bool both_sides, List *others);
extern int64 cutover_drain(const Migration *g, bool reverse);
extern void cutover_change_stale_writes(const Migration *g);
extern void cutover_advance_sequences(List *mappings);
extern double cutover_elapsed_ms(void);

#endif							/* MIGRATE_CUTOVER_H */
