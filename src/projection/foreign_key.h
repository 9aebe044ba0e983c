/*
 * foreign_key.h
 *		Foreign keys between targets: which keys name which.
 */
#ifndef MIGRATE_FOREIGN_KEY_H
#define MIGRATE_FOREIGN_KEY_H

#include "postgres.h"
#include "nodes/pg_list.h"

#include "catalog/mapping.h"

extern List *foreign_key_list(Oid relid);
extern List *foreign_key_named(const Mapping *child, const Mapping *parent);
extern List *foreign_key_naming(const Mapping *child, const Mapping *parent);
extern bool foreign_key_follows_alike(const Mapping *m, List *mappings);

#endif							/* MIGRATE_FOREIGN_KEY_H */
