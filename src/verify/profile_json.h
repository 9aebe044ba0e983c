/*
 * profile_json.h
 *		Objects of findings and lists of values, as jsonb.
 */
#ifndef MIGRATE_PROFILE_JSON_H
#define MIGRATE_PROFILE_JSON_H

#include "postgres.h"
#include "lib/stringinfo.h"

/* The longest list of values or patterns. */
#define PROFILE_LIST 10

extern char *profile_json_cut(char *text);
extern void profile_json_key(StringInfo object, const char *key);
extern void profile_json_count(StringInfo object, const char *key, int64 rows);
extern void profile_json_flag(StringInfo object, const char *key);
extern void profile_json_item(StringInfo list, const char *key, const char *text, int64 rows, bool about);
extern Datum profile_json_object(StringInfo object);
extern Datum profile_json_list(StringInfo list);

#endif							/* MIGRATE_PROFILE_JSON_H */
