/*
 * value.h
 *		Hash of one value, by what it shows in canonical form.
 */
#ifndef MIGRATE_VALUE_H
#define MIGRATE_VALUE_H

#include "postgres.h"

typedef struct ValueHasher ValueHasher;

extern ValueHasher *value_hasher_create(MemoryContext context, Oid type);
extern uint64 value_hash(const ValueHasher *hasher, Datum value);
extern uint64 bytes_hash(const char *data, Size length);

#endif							/* MIGRATE_VALUE_H */
