/*
 * route.h
 *		migrate_ramp and migrate_route: the application's reads move over by and by.
 */
#ifndef MIGRATE_ROUTE_H
#define MIGRATE_ROUTE_H

extern void route_init(void);

#endif							/* MIGRATE_ROUTE_H */
