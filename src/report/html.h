/*
 * html.h
 *		The report as one HTML page.
 */
#ifndef MIGRATE_HTML_H
#define MIGRATE_HTML_H

#include "postgres.h"

extern char *report_html(const char *name);

#endif							/* MIGRATE_HTML_H */
