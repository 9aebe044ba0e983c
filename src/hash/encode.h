/*
 * encode.h
 *		Canonical encoding of rows, and its hash.
 */
#ifndef MIGRATE_ENCODE_H
#define MIGRATE_ENCODE_H

#include "postgres.h"
#include "fmgr.h"

#include "hash/checksum.h"

typedef struct HashEncoder HashEncoder;

extern HashEncoder *hash_encoder_create(MemoryContext context, bool canonical, int ncolumns, const Oid *types);
extern HashEncoder *hash_encoder_for_call(FunctionCallInfo fcinfo, int first, int end, bool canonical);
extern Checksum hash_row(HashEncoder *encoder, const NullableDatum *values);
extern bool hash_rows_identical(HashEncoder *a, const NullableDatum *a_values, HashEncoder *b, const NullableDatum *b_values);

#endif							/* MIGRATE_ENCODE_H */
