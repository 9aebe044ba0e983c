/*
 * encode.h
 *		Canonical encoding of rows.
 */
#ifndef MIGRATE_ENCODE_H
#define MIGRATE_ENCODE_H

#include "postgres.h"
#include "lib/stringinfo.h"

typedef struct HashEncoder HashEncoder;

extern HashEncoder *hash_encoder_create(MemoryContext context, bool canonical, int ncolumns, const Oid *types);
extern StringInfo hash_encode_row(HashEncoder *encoder, const NullableDatum *values);
extern int	hash_encoder_columns(const HashEncoder *encoder);

#endif							/* MIGRATE_ENCODE_H */
