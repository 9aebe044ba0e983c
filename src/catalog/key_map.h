/*
 * key_map.h
 *		Rows of migrate_ext.key_map: new keys given to old ones.
 */
#ifndef MIGRATE_KEY_MAP_H
#define MIGRATE_KEY_MAP_H

#include "postgres.h"

extern char *key_map_find_new(int64 mapping_id, const char *source_key);
extern char *key_map_find_old(int64 mapping_id, const char *target_key);
extern bool key_map_add(int64 mapping_id, const char *source_key, const char *target_key);

#endif							/* MIGRATE_KEY_MAP_H */
