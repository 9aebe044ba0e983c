/*
 * profile_number.h
 *		Numbers of a column: what lies far outside, and what is none.
 */
#ifndef MIGRATE_PROFILE_NUMBER_H
#define MIGRATE_PROFILE_NUMBER_H

#include "postgres.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"

/* The largest numbers of all, or, their sign reversed, the smallest. */
typedef struct Extremes
{
	double	   *values;
	int			count;
	int			room;
	double		bound;			/* not less than this is kept */
	bool		bounded;		/* have some been given up? */
} Extremes;

typedef struct ProfileNumber
{
	MemoryContext context;
	int64		count;			/* of finite ones */
	int64		nans;
	int64		infinities;
	double	   *sample;
	int			sample_room;
	int64		next;			/* that replaces one of the sample */
	double		weight;			/* of the choice of the next one */
	pg_prng_state random;
	Extremes	high;
	Extremes	low;
} ProfileNumber;

extern ProfileNumber *profile_number_create(MemoryContext context);
extern double profile_number_of(Oid type, Datum value);
extern void profile_number_add(ProfileNumber *n, double value);
extern void profile_number_report(ProfileNumber *n, StringInfo anomalies);

#endif							/* MIGRATE_PROFILE_NUMBER_H */
