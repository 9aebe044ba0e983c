/*
 * rebuild.h
 *		A worker that makes the indexes and foreign keys again that were put off.
 */
#ifndef MIGRATE_REBUILD_H
#define MIGRATE_REBUILD_H

#include "catalog/migration.h"

extern bool rebuild_ensure(const Migration *g);
extern void rebuild_init(void);

#endif							/* MIGRATE_REBUILD_H */
