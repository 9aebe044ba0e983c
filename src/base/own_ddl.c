/*
 * own_ddl.c
 *		DDL of our own, which our event triggers leave alone.
 */
#include "postgres.h"

#include "base/own_ddl.h"

static int	depth = 0;

/* Runs work whose DDL is the extension's own. */
void
own_ddl_run(void (*work) (void *arg), void *arg)
{
	depth++;
	PG_TRY();
	{
		work(arg);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
}

bool
own_ddl_is_under_way(void)
{
	return depth > 0;
}
