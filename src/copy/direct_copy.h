/*
 * direct_copy.h
 *		Copies a stretch of rows into a plain table, below SQL.
 */
#ifndef MIGRATE_DIRECT_COPY_H
#define MIGRATE_DIRECT_COPY_H

#include "postgres.h"

#include "catalog/mapping.h"
#include "copy/position.h"

extern bool direct_set_in_place(const Mapping *m, Oid leaf, Stretch stretch, int64 *set, int64 *busy);
extern bool direct_copy(const Mapping *m, Oid leaf, Stretch stretch, ArrayType *lost, int64 *rows);

#endif							/* MIGRATE_DIRECT_COPY_H */
