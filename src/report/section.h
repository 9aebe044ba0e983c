/*
 * section.h
 *		The sections that every form of the report has.
 */
#ifndef MIGRATE_SECTION_H
#define MIGRATE_SECTION_H

#include "postgres.h"

/* A query over views, with the migration's name as parameter. */
typedef struct Section
{
	const char *title;
	const char *key;			/* in the JSON form */
	const char *sql;
} Section;

extern const Section report_sections[];
extern const int report_nsections;

#endif							/* MIGRATE_SECTION_H */
