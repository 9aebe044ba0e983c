/*
 * quote.h
 *		Names in generated SQL: only from OIDs, always quoted.
 */
#ifndef MIGRATE_QUOTE_H
#define MIGRATE_QUOTE_H

#include "postgres.h"

extern char *quote_relation(Oid relid);
extern char *quote_type(Oid typid, int32 typmod);
extern char *quote_operator(Oid operator);
extern char *quote_collation(Oid collation);
extern char *name_relation(Oid relid);
extern const char *quote_extension_schema(void);

#endif							/* MIGRATE_QUOTE_H */
