/*
 * profile_date.h
 *		Dates that are written as text.
 */
#ifndef MIGRATE_PROFILE_DATE_H
#define MIGRATE_PROFILE_DATE_H

#include "postgres.h"

/* There are fewer formats than this; 0 is none. */
#define PROFILE_DATE_FORMATS 32

extern const char *const profile_date_names[];

extern int	profile_date_format(const char *text, int length);

#endif							/* MIGRATE_PROFILE_DATE_H */
