/*
 * key_default.h
 *		Values from the default of a key column.
 */
#ifndef MIGRATE_KEY_DEFAULT_H
#define MIGRATE_KEY_DEFAULT_H

#include "postgres.h"

typedef struct KeyDefault KeyDefault;

extern KeyDefault *key_default_make(Oid relid, const char *column);
extern char *key_default_take(KeyDefault *d);

#endif							/* MIGRATE_KEY_DEFAULT_H */
