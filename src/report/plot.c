/*
 * plot.c
 *		A plot as inline SVG.
 *
 * Colors are CSS variables of the page, so that it follows a dark mode and prints.
 * Every plot begins at zero and has one axis; a table beside it has the numbers.
 */
#include "postgres.h"

#include <math.h>

#include "report/plot.h"

/* The drawing, in units of its view box. */
#define WIDTH 640
#define HEIGHT 240
#define LEFT 64
#define RIGHT 16
#define TOP 12
#define BOTTOM 40
#define TICKS 5

/* Where values lie in the drawing. */
typedef struct Scale
{
	double		from;
	double		to;
	double		step;			/* between two ticks */
} Scale;

/* Appends text as HTML. */
void
plot_append_text(StringInfo buf, const char *text)
{
	for (; *text; text++)
	{
		switch (*text)
		{
			case '&':
				appendStringInfoString(buf, "&amp;");
				break;
			case '<':
				appendStringInfoString(buf, "&lt;");
				break;
			case '>':
				appendStringInfoString(buf, "&gt;");
				break;
			case '"':
				appendStringInfoString(buf, "&quot;");
				break;
			default:
				appendStringInfoChar(buf, *text);
		}
	}
}

/* A step of 1, 2 or 5 times a power of ten that divides a span into some parts. */
static double
nice_step(double span, int parts)
{
	double		raw = span / parts;
	double		power = pow(10, floor(log10(raw)));
	double		digit = raw / power;

	return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/* A step for times: whole seconds, minutes, hours or days. */
static double
nice_time_step(double span, int parts)
{
	static const double steps[] = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400};

	for (int i = 0; i < lengthof(steps); i++)
	{
		if (span / steps[i] <= parts && span >= parts)
			return steps[i];
	}
	return span < parts ? nice_step(span, parts) : nice_step(span / 86400, parts) * 86400;
}

/* From zero, or the least value below it, to the greatest value, rounded up to a tick. */
static Scale
make_scale(const Plot *plot, bool is_x)
{
	Scale		s = {0, 0, 1};
	ListCell   *lc;

	foreach(lc, plot->series)
	{
		PlotSeries *series = lfirst(lc);

		for (int i = 0; i < series->n; i++)
		{
			double		v = is_x ? series->x[i] : series->y[i];

			if (!isnan(v) && v > s.to)
				s.to = v;
		}
	}
	if (s.to <= 0)
		s.to = 1;
	s.step = is_x && plot->x_is_seconds ? nice_time_step(s.to, TICKS) : nice_step(s.to, TICKS);
	if (!is_x)
		s.to = ceil(s.to / s.step - 1e-9) * s.step;
	return s;
}

static double
place_x(const Scale *s, double v)
{
	return LEFT + (v - s->from) / (s->to - s->from) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const Scale *s, double v)
{
	return HEIGHT - BOTTOM - (v - s->from) / (s->to - s->from) * (HEIGHT - TOP - BOTTOM);
}

/* A number for a tick: 12, 1.5 k, 3 M. */
static char *
number_label(double v)
{
	static const struct
	{
		double		unit;
		const char *name;
	}			units[] = {{1e9, " G"}, {1e6, " M"}, {1e3, " k"}};

	for (int i = 0; i < lengthof(units); i++)
	{
		if (v >= units[i].unit)
			return psprintf("%g%s", v / units[i].unit, units[i].name);
	}
	return psprintf("%g", v);
}

static char *
time_label(double v)
{
	if (v == 0)
		return "0";
	if (v >= 86400 && fmod(v, 86400) == 0)
		return psprintf("%g d", v / 86400);
	if (v >= 3600 && fmod(v, 1800) == 0)
		return psprintf("%g h", v / 3600);
	if (v >= 60 && fmod(v, 30) == 0)
		return psprintf("%g min", v / 60);
	return psprintf("%g s", v);
}

/* Grid, ticks and the names of the axes. */
static void
append_axes(StringInfo buf, const Plot *plot, const Scale *x, const Scale *y)
{
	for (double v = y->from; v <= y->to + y->step / 1000; v += y->step)
	{
		double		at = place_y(y, v);

		appendStringInfo(buf, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
						 "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
						 LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4, number_label(v < y->step / 1000 ? 0 : v));
	}
	for (double v = x->from; v <= x->to + x->step / 1000; v += x->step)
		appendStringInfo(buf, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
						 place_x(x, v), HEIGHT - BOTTOM + 16, plot->x_is_seconds ? time_label(v) : number_label(v));
	appendStringInfo(buf, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
	plot_append_text(buf, plot->x_label);
	appendStringInfo(buf, "</text>\n<text transform=\"rotate(-90)\" x=\"%d\" y=\"14\" text-anchor=\"middle\">", -(TOP + HEIGHT - BOTTOM) / 2);
	plot_append_text(buf, plot->y_label);
	appendStringInfoString(buf, "</text>\n");
}

/* One line, broken where there is no value. */
static void
append_series(StringInfo buf, const PlotSeries *series, int number, const Scale *x, const Scale *y)
{
	bool		open = false;

	for (int i = 0; i < series->n; i++)
	{
		if (isnan(series->y[i]))
		{
			appendStringInfoString(buf, open ? "\"/>\n" : "");
			open = false;
			continue;
		}
		if (!open)
			appendStringInfo(buf, "<polyline class=\"s%d\" points=\"", number);
		open = true;
		if (series->is_steps && i > 0)
			appendStringInfo(buf, "%.1f,%.1f ", place_x(x, series->x[i - 1]), place_y(y, series->y[i]));
		appendStringInfo(buf, "%.1f,%.1f ", place_x(x, series->x[i]), place_y(y, series->y[i]));
	}
	appendStringInfoString(buf, open ? "\"/>\n" : "");
}

/* The names of lines and marks, where there is more than one thing to tell. */
static void
append_legend(StringInfo buf, const Plot *plot)
{
	const char *last = NULL;
	int			number = 1;
	ListCell   *lc;

	if (list_length(plot->series) < 2 && plot->bands == NIL)
		return;
	appendStringInfoString(buf, "<p class=\"legend\">");
	foreach(lc, plot->series)
	{
		appendStringInfo(buf, "<span><i class=\"k%d\"></i>", number++);
		plot_append_text(buf, ((PlotSeries *) lfirst(lc))->name);
		appendStringInfoString(buf, "</span> ");
	}
	foreach(lc, plot->bands)
	{
		PlotBand   *band = lfirst(lc);

		if (last == NULL || strcmp(last, band->label) != 0)
		{
			appendStringInfoString(buf, "<span><i class=\"band\"></i>");
			plot_append_text(buf, band->label);
			appendStringInfoString(buf, "</span> ");
		}
		last = band->label;
	}
	appendStringInfoString(buf, "</p>\n");
}

/* Appends a figure. */
void
plot_append(StringInfo buf, const Plot *plot)
{
	Scale		x = make_scale(plot, true);
	Scale		y = make_scale(plot, false);
	int			number = 1;
	ListCell   *lc;

	appendStringInfoString(buf, "<figure>\n<figcaption>");
	plot_append_text(buf, plot->title);
	appendStringInfo(buf, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	plot_append_text(buf, plot->title);
	appendStringInfoString(buf, "\">\n");
	foreach(lc, plot->bands)
	{
		PlotBand   *band = lfirst(lc);
		double		from = place_x(&x, Max(band->from, x.from));
		double		to = place_x(&x, Min(band->to, x.to));

		appendStringInfo(buf, "<rect class=\"band\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>", from, TOP, Max(to - from, 1), HEIGHT - TOP - BOTTOM);
		plot_append_text(buf, band->label);
		appendStringInfoString(buf, "</title></rect>\n");
	}
	append_axes(buf, plot, &x, &y);
	foreach(lc, plot->series)
		append_series(buf, lfirst(lc), number++, &x, &y);
	appendStringInfoString(buf, "</svg>\n");
	append_legend(buf, plot);
	appendStringInfoString(buf, "</figure>\n");
}
