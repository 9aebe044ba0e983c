/*
 * subxact.c
 *		Work that may fail, in a subtransaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "base/subxact.h"

/* Runs work in a subtransaction; NULL or the error. */
static ErrorData *
run(SubxactWork work, void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL && error_must_propagate(error))
		ReThrowError(error);
	return error;
}

/*
 * Runs work in a subtransaction.  Returns NULL if it was committed, else the
 * error after which it was rolled back, in the caller's memory context.  An
 * error that nobody may swallow is thrown on.
 */
ErrorData *
subxact_try(SubxactWork work, void *arg)
{
	return run(work, arg, true);
}

/* The same for work that only looks: it is always rolled back, and gives up its locks. */
ErrorData *
subxact_probe(SubxactWork work, void *arg)
{
	return run(work, arg, false);
}

/*
 * Cancel, timeout or shutdown?  A serialization failure is not among them: a
 * SERIALIZABLE transaction that is doomed fails at its commit at the latest,
 * and one that only met a batch of ours must not fail at all.
 */
bool
error_must_propagate(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION;
}

/* Did somebody else get in the way, so that trying again may work? */
bool
error_is_transient(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* An error's five-character code. */
char *
error_sqlstate(const ErrorData *error)
{
	return pstrdup(unpack_sql_state(error->sqlerrcode));
}
