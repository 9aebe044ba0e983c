/*
 * plot.h
 *		A plot as inline SVG.
 */
#ifndef MIGRATE_PLOT_H
#define MIGRATE_PLOT_H

#include "postgres.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/* A line: y over x; NaN is a gap. */
typedef struct PlotSeries
{
	const char *name;
	int			n;
	double	   *x;
	double	   *y;
	bool		is_steps;		/* a value holds since the one before */
} PlotSeries;

/* A stretch of x that is marked, such as the time for which a copy waited. */
typedef struct PlotBand
{
	double		from;
	double		to;
	const char *label;
} PlotBand;

typedef struct Plot
{
	const char *title;
	const char *x_label;
	const char *y_label;
	bool		x_is_seconds;	/* ticks such as 30 s, 2 min, 1 h */
	List	   *series;			/* of PlotSeries *; one or two */
	List	   *bands;			/* of PlotBand * */
} Plot;

extern void plot_append(StringInfo buf, const Plot *plot);
extern void plot_append_text(StringInfo buf, const char *text);

#endif							/* MIGRATE_PLOT_H */
