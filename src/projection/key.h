/*
 * key.h
 *		Keys: the target columns that identify a row.
 */
#ifndef MIGRATE_KEY_H
#define MIGRATE_KEY_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

extern List *key_resolve(Oid target, ArrayType *names);
extern bool key_is_foreign(Oid relid);
extern bool key_identifies(Oid target, List *names, bool may_be_null);
extern bool key_is_usable(Oid relid, List *names, bool may_be_null);
extern Oid	key_index(Oid relid, List *names, bool immediate);
extern bool key_is_unique(Oid relid, List *names, bool immediate);
extern bool key_has_children(Oid relid);
extern bool key_has_null(Datum key);
extern List *key_primary(Oid relid);
extern bool key_references(Oid child, Oid parent);
extern bool key_delete_cascades(Oid relid);
extern bool key_is_cascaded_to(Oid relid);
extern bool key_expression_indexed(Oid relid, AttrNumber attnum);

#endif							/* MIGRATE_KEY_H */
