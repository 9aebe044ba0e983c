/*
 * supervisor.h
 *		Resumes jobs whose workers were lost, where the library is preloaded.
 */
#ifndef MIGRATE_SUPERVISOR_H
#define MIGRATE_SUPERVISOR_H

extern void supervisor_init(void);

#endif							/* MIGRATE_SUPERVISOR_H */
