/*
 * assess_query.c
 *		Findings that queries of the catalog return.
 *
 * They run as the caller, who sees what the server shows him; one that fails is a
 * finding itself.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "lifecycle/assess.h"
#include "lifecycle/assess_query.h"

/* A query at work. */
typedef struct Ask
{
	List	  **findings;
	const AssessQuery *query;
	const SpiArg *args;
	int			nargs;
} Ask;

/* Was it found already?  A table of several mappings is looked at with each. */
static bool
is_found(List *findings, const char *subject, const char *finding)
{
	ListCell   *lc;

	foreach(lc, findings)
	{
		Finding    *f = lfirst(lc);

		if (strcmp(f->subject, subject) == 0 && strcmp(f->finding, finding) == 0)
			return true;
	}
	return false;
}

/* Work for subxact_probe. */
static void
work_ask(void *arg)
{
	Ask		   *ask = arg;
	SpiScope	scope;
	uint64		n;

	spi_open_reader(&scope);
	n = spi_run(ask->query->sql, ask->args, ask->nargs);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *fields[4];
		MemoryContext old;

		for (int k = 0; k < 4; k++)
			fields[k] = spi_get_text(&scope, i, k + 1);
		if (is_found(*ask->findings, fields[1], fields[2]))
			continue;
		old = MemoryContextSwitchTo(scope.caller);
		assess_add(ask->findings, fields[0], fields[1], fields[2], fields[3]);
		MemoryContextSwitchTo(old);
	}
	spi_close(&scope);
}

/* Adds what a query finds. */
void
assess_ask(List **findings, const AssessQuery *query, const SpiArg *args, int nargs)
{
	Ask			ask = {findings, query, args, nargs};
	ErrorData  *error = subxact_probe(work_ask, &ask);

	if (error != NULL)
		assess_could_not(findings, query->what, error, false);
}

/* What may be shown of an error: values are in the messages about data. */
char *
assess_error_text(const ErrorData *error, bool values)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	bool		harmless = category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION || category == ERRCODE_FEATURE_NOT_SUPPORTED ||
		category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE || category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_INTERNAL_ERROR;

	return harmless || values ? psprintf("SQLSTATE %s, %s", error_sqlstate(error), error->message) : psprintf("SQLSTATE %s", error_sqlstate(error));
}

/* Adds that something could not be looked at. */
void
assess_could_not(List **findings, const char *what, const ErrorData *error, bool values)
{
	assess_add(findings, "info", what, psprintf("could not be looked at: %s", assess_error_text(error, values)),
			   "Look at it yourself, or call migrate_assess as a role that may.");
}
