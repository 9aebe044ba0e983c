/*
 * migration.h
 *		Rows of migrate_ext.migration.
 */
#ifndef MIGRATE_MIGRATION_H
#define MIGRATE_MIGRATION_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef struct Migration
{
	int64		id;
	char	   *name;
	Oid			owner;
	char	   *phase;
	char	   *cutover_method; /* NULL before a cutover */
	bool		paused;
	double		ramp;			/* percentage of reads that go to the target */
	bool		frozen;			/* nobody writes the authoritative side */
	Jsonb	   *settings;
	char	   *time_zone;		/* setting, as every statement needs it */
} Migration;

extern int64 migration_insert(const char *name, const char *description, Oid owner,
							  const char *time_zone);
extern Migration *migration_find(const char *name);
extern Migration *migration_get(const char *name);
extern Migration *migration_get_by_id(int64 id);
extern Migration *migration_lock(const char *name);
extern Migration *migration_try_lock(int64 id);
extern List *migration_list_capturing(void);
extern bool migration_is_switched(const Migration *m);
extern bool migration_is_capturing(const Migration *m);
extern void migration_delete(int64 id);
extern void migration_set_phase(int64 id, const char *phase, const char *cutover_method, bool frozen);
extern void migration_set_frozen(int64 id, bool frozen);
extern void migration_set_ramp(int64 id, double percent);
extern void migration_sign_off(int64 id, const char *who);
extern char *migration_signed_off(int64 id);
extern bool migration_in_phase_for(int64 id, int seconds, char **measured);
extern void migration_set_paused(int64 id, bool paused);
extern void migration_set_setting(int64 id, const char *name, const char *value);
extern void migration_mark_changed(int64 id);

#endif							/* MIGRATE_MIGRATION_H */
