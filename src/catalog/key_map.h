/*
 * key_map.h
 *		Rows of migrate_ext.key_map: new keys given to old ones.
 */
#ifndef MIGRATE_KEY_MAP_H
#define MIGRATE_KEY_MAP_H

#include "postgres.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* A new key given to an old one. */
typedef struct KeyPair
{
	int64		mapping_id;
	const char *source_key;
	const char *target_key;
} KeyPair;

/* The map, open to be looked at by one of its indexes as it is at one moment. */
typedef struct KeyMapReader
{
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	AttrNumber	by;				/* the key that is given */
	AttrNumber	wanted;			/* the other one */
} KeyMapReader;

extern void key_map_open(KeyMapReader *r, bool by_source);
extern char *key_map_look(const KeyMapReader *r, int64 mapping_id, const char *key);
extern void key_map_close(KeyMapReader *r);
extern char *key_map_find_new(int64 mapping_id, const char *source_key);
extern char *key_map_find_old(int64 mapping_id, const char *target_key);
extern bool key_map_add(int64 mapping_id, const char *source_key, const char *target_key);
extern void key_map_add_all(KeyPair *pairs, int n);

#endif							/* MIGRATE_KEY_MAP_H */
