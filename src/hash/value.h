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

/* A bijection that spreads 64 bits: different numbers have different hashes. */
static inline uint64
mix_bits(uint64 x)
{
	x ^= x >> 32;
	x *= UINT64CONST(0xE9846AF9B1A615D);
	x ^= x >> 32;
	x *= UINT64CONST(0xE9846AF9B1A615D);
	x ^= x >> 28;
	return x;
}

#endif							/* MIGRATE_VALUE_H */
