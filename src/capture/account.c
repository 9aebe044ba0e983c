/*
 * account.c
 *		Dual writes that fail too often are switched off.
 *
 * A dual write that fails costs the application a subtransaction and its
 * rollback each time.  Above max_write_error_rate the mapping only queues keys,
 * which loses nothing and cannot fail: no need to begin again afterwards.
 * migrate_resume switches it on again.
 *
 * After a cutover, and in place, there is only the alarm: the old side shall
 * follow the new one as closely as it can, and a row that is being written has
 * its other columns at hand.
 *
 * The application only notes its errors, and now and then asks for a worker
 * that looks at the account.  It could not do that itself: what it has locked
 * or notified, it keeps until it ends, and a NOTIFY keeps it from being prepared.
 */
#include "postgres.h"

#include "base/quote.h"
#include "base/setting.h"
#include "capture/account.h"
#include "catalog/event.h"

/* Somebody asks for a look each time this many errors were noted. */
#define LOOK_EVERY 64

/* Asks for a look at a migration's accounts, in another session: see worker/watch.c. */
void		(*account_look_hook) (const Migration *g) = NULL;

/* Is the rate of errors above the limit, and are they enough to tell? */
bool
account_is_exceeded(const Migration *g, const WriteAccount *account)
{
	return account->errors >= setting_int(g->settings, "min_write_errors") &&
		account->rate > setting_real(g->settings, "max_write_error_rate");
}

/* Notes a dual write that failed; key is one of the keys, or 0. */
void
account_note(const Mapping *m, int64 keys, Datum key, const DirtyKeyError *error)
{
	Migration  *g;

	if (write_error_add(m->id, keys, key, error) % LOOK_EVERY != 0 || m->degraded)
		return;
	g = migration_get_by_id(m->migration_id);
	if (g != NULL)
		account_look_hook(g);
}

/* Switches one mapping off if its account says so. */
static void
watch(const Migration *g, const Mapping *m)
{
	bool		only_alarm = m->reverse || mapping_is_in_place(m);
	WriteAccount account;

	write_error_measure(m->id, &account);
	if (account.degraded || !account_is_exceeded(g, &account) || !write_error_degrade(m->id))
		return;
	mapping_invalidate(g->id);
	event_record(g, "alarm", NULL,
				 psprintf("{\"mapping\": %lld, \"errors\": %lld, \"writes\": %lld}", (long long) m->id,
						  (long long) account.errors, (long long) account.writes),
				 psprintf("dual writes to %s fail too often%s", name_relation(m->target),
						  only_alarm ? "" : ": their keys are only queued from now on"));
}

/* Looks at the accounts of the direction in force. */
void
account_watch(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, mapping_list(g->id, migration_is_switched(g)))
		watch(g, lfirst(lc));
}
