/*
 * lookup.h
 *		The other tables that a mapping's expressions read.
 */
#ifndef MIGRATE_LOOKUP_H
#define MIGRATE_LOOKUP_H

#include "postgres.h"
#include "catalog/mapping.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

/*
 * A table in a subquery.  Where the subquery reads this table alone, and some of its
 * columns must equal something of the source row, its row concerns those
 * source rows only.
 */
typedef struct Lookup
{
	Oid			relation;
	List	   *columns;		/* of char *: those that must equal something; NIL: any source row may be concerned */
	List	   *conditions;		/* of char *: over src and migrate_v.migrate_v1, ..., as many */
	List	   *uses;			/* of char *: the columns that are used at all; NIL: whichever they are */
} Lookup;

extern bool lookup_any(const Mapping *m);
extern bool lookup_makes_key(const Mapping *m);
extern bool lookup_filters(const Mapping *m);
extern List *lookup_list(const Mapping *m);
extern List *lookup_merge(List *lookups);
extern List *lookup_relations(List *mappings);
extern char *lookup_changed_values(const Mapping *m, const Lookup *l, bool old_rows, bool new_rows, int limit);
extern char *lookup_concerned_keys(const Mapping *m, const Lookup *l);
extern bool lookup_is_watched(Oid relid);

#endif							/* MIGRATE_LOOKUP_H */
