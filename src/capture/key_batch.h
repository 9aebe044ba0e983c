/*
 * key_batch.h
 *		New keys for many rows, added to the map together.
 */
#ifndef MIGRATE_KEY_BATCH_H
#define MIGRATE_KEY_BATCH_H

#include "postgres.h"

typedef struct KeyBatch KeyBatch;

extern KeyBatch *key_batch_begin(void);
extern void key_batch_keep_many(KeyBatch *b);
extern void key_batch_finish(KeyBatch *b);
extern void key_batch_leave(KeyBatch *b);
extern bool key_batch_is_open(void);
extern char *key_batch_new_key(int64 mapping_id, Oid target, const char *column, const char *source_key);

#endif							/* MIGRATE_KEY_BATCH_H */
