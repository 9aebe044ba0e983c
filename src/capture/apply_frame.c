/*
 * apply_frame.c
 *		Tells writes of the extension from those of an application.
 *
 * A stack local to the backend.  Its frames live on the C stack of their
 * owners, who take them off in PG_FINALLY or, where a subtransaction failed,
 * by apply_reset.
 */
#include "postgres.h"

#include "capture/apply_frame.h"

static ApplyFrame *apply_stack = NULL;

/* Marks writes of ours as such; undone by apply_end, also after an error. */
void
apply_begin(ApplyFrame *frame, int64 migration_id, bool reverse)
{
	frame->migration_id = migration_id;
	frame->reverse = reverse;
	frame->previous = apply_stack;
	apply_stack = frame;
}

void
apply_end(ApplyFrame *frame)
{
	apply_stack = frame->previous;
}

/*
 * Is a write of a migration under way in this direction?  Whatever happens in
 * the course of it (triggers of the application, cascades) belongs to it.
 */
bool
apply_is_under_way(int64 migration_id, bool reverse)
{
	for (ApplyFrame *f = apply_stack; f != NULL; f = f->previous)
	{
		if (f->migration_id == migration_id && f->reverse == reverse)
			return true;
	}
	return false;
}

/* The innermost frame, to come back to after an error. */
ApplyFrame *
apply_innermost(void)
{
	return apply_stack;
}

void
apply_reset(ApplyFrame *innermost)
{
	apply_stack = innermost;
}
