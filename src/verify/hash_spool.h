/*
 * hash_spool.h
 *		How many of very many hashes are different, exactly and in bounded memory.
 */
#ifndef MIGRATE_HASH_SPOOL_H
#define MIGRATE_HASH_SPOOL_H

#include "postgres.h"

typedef struct HashSpool HashSpool;

extern HashSpool *hash_spool_create(MemoryContext context, double expected, Size *memory);
extern void hash_spool_add(HashSpool *spool, uint64 hash);
extern int64 hash_spool_distinct(HashSpool *spool);
extern void hash_spool_free(HashSpool *spool);

#endif							/* MIGRATE_HASH_SPOOL_H */
