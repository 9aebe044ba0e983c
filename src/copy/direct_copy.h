/*
 * direct_copy.h
 *		Copies a range of blocks into a plain table, below SQL.
 */
#ifndef MIGRATE_DIRECT_COPY_H
#define MIGRATE_DIRECT_COPY_H

#include "postgres.h"
#include "storage/block.h"

#include "catalog/mapping.h"

extern bool direct_copy(const Mapping *m, Oid leaf, BlockNumber first, BlockNumber end, int64 *rows);

#endif							/* MIGRATE_DIRECT_COPY_H */
