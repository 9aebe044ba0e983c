/*
 * profile_order.h
 *		Least and greatest value of a column.
 */
#ifndef MIGRATE_PROFILE_ORDER_H
#define MIGRATE_PROFILE_ORDER_H

#include "postgres.h"
#include "utils/sortsupport.h"

/* A value that is kept; of one that is passed by reference, in memory that is used again. */
typedef struct KeptValue
{
	Datum		value;
	Size		room;
} KeptValue;

typedef struct ProfileOrder
{
	MemoryContext context;
	Oid			type;			/* base type */
	bool		integral;		/* is the order that of int64? */
	int16		typlen;
	bool		typbyval;
	bool		any;			/* has a value come? */
	int64		low;			/* of an integral order */
	int64		high;
	KeptValue	min;			/* of others */
	KeptValue	max;
	SortSupportData of_min;		/* one each: they keep the string that was compared last */
	SortSupportData of_max;
	double		above;			/* numbers between these are neither */
	double		below;
	double		under;			/* numbers beyond these are without comparison */
	double		over;
} ProfileOrder;

extern ProfileOrder *profile_order_create(MemoryContext context, Oid type, Oid collation);
extern void profile_order_compare(ProfileOrder *o, Datum value, double number);
extern bool profile_order_get(const ProfileOrder *o, bool greatest, Datum *value);

/* An integral type's value. */
extern int64 profile_order_integer(Oid type, Datum value);

static inline void
profile_order_add_integer(ProfileOrder *o, int64 n)
{
	if (!o->any)
	{
		o->low = o->high = n;
		o->any = true;
	}
	else if (n < o->low)
		o->low = n;
	else if (n > o->high)
		o->high = n;
}

/* Adds a value that is not integral; number: about what it is, of numbers. */
static inline void
profile_order_add(ProfileOrder *o, Datum value, double number)
{
	if (!(o->above < number && number < o->below))
		profile_order_compare(o, value, number);
}

#endif							/* MIGRATE_PROFILE_ORDER_H */
