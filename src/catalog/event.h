/*
 * event.h
 *		Rows of migrate_ext.event: the audit trail, and its NOTIFY.
 */
#ifndef MIGRATE_EVENT_H
#define MIGRATE_EVENT_H

#include "postgres.h"
#include "catalog/migration.h"

extern void event_record(const Migration *m, const char *kind, const char *phase,
						 const char *detail, const char *reason);
extern char *event_json_string(const char *text);
extern double event_rehearsed_seconds(const Migration *m);
extern bool event_last_rehearsal(const Migration *m, char **measured);

#endif							/* MIGRATE_EVENT_H */
