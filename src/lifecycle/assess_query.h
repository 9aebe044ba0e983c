/*
 * assess_query.h
 *		Findings that queries of the catalog return.
 */
#ifndef MIGRATE_ASSESS_QUERY_H
#define MIGRATE_ASSESS_QUERY_H

#include "postgres.h"

#include "base/spi.h"

/* A query returns severity, subject, finding and advice. */
typedef struct AssessQuery
{
	const char *what;			/* it looks at */
	bool		two_sides;		/* makes no sense in place */
	const char *sql;
} AssessQuery;

extern void assess_ask(List **findings, const AssessQuery *query, const SpiArg *args, int nargs);
extern char *assess_error_text(const ErrorData *error, bool values);
extern void assess_could_not(List **findings, const char *what, const ErrorData *error, bool values);

#endif							/* MIGRATE_ASSESS_QUERY_H */
