/*
 * profile_date.c
 *		Dates that are written as text.
 *
 * Where a day and a month are separated by / or - the one above 12 tells which is
 * the day; without one the format is ??/??/YYYY.  With full stops the day is first.
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/datetime.h"

#include "verify/profile_date.h"

typedef enum DateFormat
{
	DATE_NONE,
	DATE_NO_SUCH_DAY,
	DATE_YMD_DASH,
	DATE_YMD_SLASH,
	DATE_YMD_DOT,
	DATE_YMD_PLAIN,
	DATE_TIMESTAMP,
	DATE_DMY_SLASH,				/* the day first, the month first, either */
	DATE_MDY_SLASH,
	DATE_XXY_SLASH,
	DATE_DMY_DASH,
	DATE_MDY_DASH,
	DATE_XXY_DASH,
	DATE_DMY_DOT,
	DATE_NAMED_MONTH,
	DATE_SHORT					/* to be added to those of a year of two digits */
} DateFormat;

const char *const profile_date_names[PROFILE_DATE_FORMATS] = {
	[DATE_NO_SUCH_DAY] = "no such day",
	[DATE_YMD_DASH] = "YYYY-MM-DD",
	[DATE_YMD_SLASH] = "YYYY/MM/DD",
	[DATE_YMD_DOT] = "YYYY.MM.DD",
	[DATE_YMD_PLAIN] = "YYYYMMDD",
	[DATE_TIMESTAMP] = "ISO timestamp",
	[DATE_DMY_SLASH] = "DD/MM/YYYY",
	[DATE_MDY_SLASH] = "MM/DD/YYYY",
	[DATE_XXY_SLASH] = "\?\?/\?\?/YYYY",
	[DATE_DMY_DASH] = "DD-MM-YYYY",
	[DATE_MDY_DASH] = "MM-DD-YYYY",
	[DATE_XXY_DASH] = "\?\?-\?\?-YYYY",
	[DATE_DMY_DOT] = "D.M.YYYY",
	[DATE_NAMED_MONTH] = "DD-Mon-YYYY",
	[DATE_DMY_SLASH + DATE_SHORT] = "DD/MM/YY",
	[DATE_MDY_SLASH + DATE_SHORT] = "MM/DD/YY",
	[DATE_XXY_SLASH + DATE_SHORT] = "\?\?/\?\?/YY",
	[DATE_DMY_DASH + DATE_SHORT] = "DD-MM-YY",
	[DATE_MDY_DASH + DATE_SHORT] = "MM-DD-YY",
	[DATE_XXY_DASH + DATE_SHORT] = "\?\?-\?\?-YY",
	[DATE_DMY_DOT + DATE_SHORT] = "D.M.YY",
	[DATE_NAMED_MONTH + DATE_SHORT] = "DD-Mon-YY",
};

/* What is left of a text. */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

/* Reads digits, up to 8; returns how many. */
static int
read_digits(Reader *r, int *value)
{
	const char *start = r->at;

	*value = 0;
	while (r->at < r->end && isdigit((unsigned char) *r->at) && r->at - start < 8)
		*value = *value * 10 + (*r->at++ - '0');
	return r->at - start;
}

/* Reads one character; 0 at the end. */
static char
read_char(Reader *r)
{
	return r->at < r->end ? *r->at++ : '\0';
}

static bool
is_day(int year, int month, int day)
{
	return month >= 1 && month <= 12 && day >= 1 && day <= day_tab[isleap(year)][month - 1];
}

/* Is the rest a time of day, with what may follow it? */
static bool
is_time(Reader *r)
{
	int			hour;
	int			minute;

	if (read_digits(r, &hour) != 2 || hour > 24 || read_char(r) != ':' || read_digits(r, &minute) != 2 || minute > 59)
		return false;
	for (; r->at < r->end; r->at++)
	{
		if (!isdigit((unsigned char) *r->at) && strchr(":.,+-Z ", *r->at) == NULL)
			return false;
	}
	return true;
}

/* The year came first. */
static DateFormat
year_first(Reader *r, int year, char separator)
{
	int			month;
	int			day;
	int			digits = read_digits(r, &month);
	DateFormat	format = separator == '-' ? DATE_YMD_DASH : separator == '/' ? DATE_YMD_SLASH : DATE_YMD_DOT;

	if (digits < 1 || digits > 2 || read_char(r) != separator)
		return DATE_NONE;
	digits = read_digits(r, &day);
	if (digits < 1 || digits > 2)
		return DATE_NONE;
	if (r->at < r->end)
	{
		char		c = read_char(r);

		if (separator != '-' || (c != ' ' && c != 'T') || !is_time(r))
			return DATE_NONE;
		format = DATE_TIMESTAMP;
	}
	return is_day(year, month, day) ? format : DATE_NO_SUCH_DAY;
}

/* A year at the end, of two digits or four, and nothing after it. */
static bool
read_year(Reader *r, int *year, int *shorter)
{
	int			digits = read_digits(r, year);

	*shorter = digits == 2 ? DATE_SHORT : 0;
	if (digits == 2)
		*year += 2000;			/* whose leap years are also those of 1900, but for its first */
	return (digits == 2 || digits == 4) && r->at == r->end;
}

/* Two numbers of up to two digits came first, or the first of them did. */
static DateFormat
year_last(Reader *r, int first, char separator)
{
	int			second;
	int			year;
	int			shorter;
	int			digits = read_digits(r, &second);
	bool		day_first;
	bool		month_first;

	if (digits < 1 || digits > 2 || read_char(r) != separator || !read_year(r, &year, &shorter))
		return DATE_NONE;
	day_first = is_day(year, second, first);
	month_first = separator != '.' && is_day(year, first, second);
	if (!day_first && !month_first)
		return DATE_NO_SUCH_DAY;
	if (separator == '.')
		return DATE_DMY_DOT + shorter;
	return (separator == '/' ? DATE_DMY_SLASH : DATE_DMY_DASH) + shorter +
		(day_first && month_first && first != second ? 2 : day_first ? 0 : 1);
}

/* A day came first, and the month is a word. */
static DateFormat
named_month(Reader *r, int day, char separator)
{
	int			year;
	int			shorter;

	if (r->end - r->at < 4)
		return DATE_NONE;
	for (int month = 1; month <= 12; month++)
	{
		if (pg_strncasecmp(r->at, months[month - 1], 3) != 0)
			continue;
		r->at += 3;
		if (read_char(r) != separator || !read_year(r, &year, &shorter))
			return DATE_NONE;
		return is_day(year, month, day) ? DATE_NAMED_MONTH + shorter : DATE_NO_SUCH_DAY;
	}
	return DATE_NONE;
}

/* The format of a date; 0 if it is none. */
int
profile_date_format(const char *text, int length)
{
	Reader		r = {text, text + length};
	int			first;
	int			digits;
	char		separator;

	if (length < 6 || length > 40)
		return DATE_NONE;
	digits = read_digits(&r, &first);
	if (digits == 8 && length == 8)
		return first / 10000 >= 1900 && first / 10000 < 2100 && is_day(first / 10000, first / 100 % 100, first % 100) ?
			DATE_YMD_PLAIN : DATE_NONE;
	separator = read_char(&r);
	if (digits == 4 && (separator == '-' || separator == '/' || separator == '.'))
		return year_first(&r, first, separator);
	if (digits < 1 || digits > 2)
		return DATE_NONE;
	if ((separator == '-' || separator == ' ') && r.at < r.end && isalpha((unsigned char) *r.at))
		return named_month(&r, first, separator);
	if (separator == '-' || separator == '/' || separator == '.')
		return year_last(&r, first, separator);
	return DATE_NONE;
}
