/*
 * setting.h
 *		The settings of a migration: names, units, limits, defaults.
 */
#ifndef MIGRATE_SETTING_H
#define MIGRATE_SETTING_H

#include "postgres.h"
#include "utils/jsonb.h"

extern char *setting_check(const char *name, const char *value);
extern bool setting_is_set(Jsonb *settings, const char *name);
extern char *setting_text(Jsonb *settings, const char *name);
extern int	setting_int(Jsonb *settings, const char *name);
extern double setting_real(Jsonb *settings, const char *name);
extern bool setting_window(Jsonb *settings, const char *name, int *from, int *until);
extern bool setting_bool(Jsonb *settings, const char *name);
extern void setting_range(Jsonb *settings, const char *name, int *low, int *high);

#endif							/* MIGRATE_SETTING_H */
