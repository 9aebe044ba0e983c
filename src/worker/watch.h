/*
 * watch.h
 *		A worker that looks at the accounts of failed dual writes, once.
 */
#ifndef MIGRATE_WATCH_H
#define MIGRATE_WATCH_H

extern void watch_init(void);

#endif							/* MIGRATE_WATCH_H */
