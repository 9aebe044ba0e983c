/*
 * profile_text.c
 *		Text of a column: masks, and what should not be there.
 *
 * The mask of a text has A for a capital, a for any other letter, 9 for a digit and all else
 * as it is.  Runs are shortened, so that values of one form have one mask: of small
 * letters from two on ("a+"), of capitals from five on ("A+"), of digits from nine on
 * ("9+"); codes and dates keep their lengths.  Long masks are cut.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"

#include "hash/value.h"
#include "verify/profile_json.h"
#include "verify/profile_text.h"

#define MASK_BYTES 32
#define PATTERNS 512

/* The longest text that is a number. */
#define NUMBER_BYTES 40

/* ... and the longest that is a boolean. */
#define BOOLEAN_BYTES 5

/* Patterns are those of so many bytes at the beginning. */
#define FORM_BYTES 64

/* Where patterns are given up, because most texts have their own, the pattern of one of so many texts is counted; not a regular one, as rows may be. */
#define PATTERN_STRIDE 8

/* Runs above these are shortened. */
#define CAPITALS_RUN 4
#define DIGITS_RUN 8

/* What there is in a text. */
#define SEEN_LETTER		0x01
#define SEEN_DIGIT		0x02
#define SEEN_BLANK		0x04
#define SEEN_CONTROL	0x08
#define SEEN_HIGH		0x10
#define SEEN_OTHER		0x20

/* A byte's place in a mask (0: not ASCII), and what is seen in it. */
static char symbols[256];
static uint8 classes[256];

static void
fill_tables(void)
{
	for (int c = 0; c < 256; c++)
	{
		bool		capital = c >= 'A' && c <= 'Z';
		bool		small = c >= 'a' && c <= 'z';
		bool		digit = c >= '0' && c <= '9';

		symbols[c] = c >= 0x80 ? '\0' : capital ? 'A' : small ? 'a' : digit ? '9' : (char) c;
		classes[c] = c >= 0x80 ? SEEN_HIGH : capital || small ? SEEN_LETTER : digit ? SEEN_DIGIT :
			c == ' ' || (c >= '\t' && c <= '\r') ? SEEN_BLANK : c < 0x20 || c == 0x7F ? SEEN_CONTROL : SEEN_OTHER;
	}
	classes['\v'] = classes['\f'] = SEEN_CONTROL;
}

static void
forget_pattern(void *arg, FrequentEntry *entry)
{
	pfree(DatumGetPointer(entry->value));
}

ProfileText *
profile_text_create(MemoryContext context)
{
	ProfileText *t = MemoryContextAllocZero(context, sizeof(ProfileText));

	fill_tables();
	t->context = context;
	t->utf8 = GetDatabaseEncoding() == PG_UTF8;
	frequent_init(&t->patterns, context, PATTERNS, forget_pattern, t);
	return t;
}

/*
 * The place of a character beyond ASCII in a mask: A or a for letters, else 0; bytes
 * is its length.  Outside of UTF-8 each byte is a letter.
 */
static char
symbol_beyond_ascii(const ProfileText *t, const unsigned char *p, const unsigned char *end, int *bytes)
{
	*bytes = t->utf8 ? Min(pg_utf_mblen(p), end - p) : 1;
	if (!t->utf8)
		return 'a';
	if (p[0] == 0xC3 && *bytes == 2)
		return p[1] == 0x97 || p[1] == 0xB7 ? '\0' : p[1] < 0xA0 ? 'A' : 'a';	/* Latin-1 */
	if (p[0] == 0xD0 && *bytes == 2)
		return p[1] < 0xB0 ? 'A' : 'a'; /* Cyrillic */
	if (p[0] == 0xC2 || p[0] == 0xEF || p[0] >= 0xF0)
		return '\0';			/* signs of Latin-1, forms and specials, symbols */
	if ((p[0] == 0xE2 && p[1] < 0xB0) || (p[0] == 0xE3 && p[1] == 0x80))
		return '\0';			/* punctuation and symbols */
	return 'a';
}

/* Goes to the end of a run of one symbol; returns its length. */
static inline int
skip_run(const ProfileText *t, const unsigned char **at, const unsigned char *end, char symbol, uint8 *seen)
{
	const unsigned char *p = *at;
	int			run = 1;
	int			bytes;

	for (;;)
	{
		while (p < end && symbols[*p] == symbol)
		{
			p++;
			run++;
		}
		if (p == end || *p < 0x80 || symbol_beyond_ascii(t, p, end, &bytes) != symbol)
			break;
		*seen |= SEEN_HIGH;
		p += bytes;
		run++;
	}
	*at = p;
	return run;
}

/* Adds a run of letters or digits to a mask; returns its new length. */
static inline int
put_run(char *mask, int n, char symbol, int run)
{
	int			most = symbol == 'a' ? 1 : symbol == 'A' ? CAPITALS_RUN : DIGITS_RUN;

	if (run > most)
	{
		mask[n++] = symbol;
		mask[n++] = '+';
		return n;
	}
	for (int i = 0; i < run; i++)
		mask[n++] = symbol;
	return n;
}

/* Writes a mask, which has room for some bytes more; returns where it stopped, for want of room or at the end. */
static const unsigned char *
make_mask(const ProfileText *t, const unsigned char *p, const unsigned char *end, char *mask, int *length, uint8 *seen)
{
	int			n = 0;

	while (p < end && n < MASK_BYTES)
	{
		char		symbol = symbols[*p];
		int			bytes = 1;

		*seen |= classes[*p];
		if (symbol == '\0')
			symbol = symbol_beyond_ascii(t, p, end, &bytes);
		if (symbol == 'a' || symbol == 'A' || symbol == '9')
		{
			p += bytes;
			n = put_run(mask, n, symbol, skip_run(t, &p, end, symbol, seen));
			continue;
		}
		memcpy(mask + n, p, bytes);
		n += bytes;
		p += bytes;
	}
	*length = n;
	return p;
}

/* The same byte eight times. */
#define EIGHT(byte) (UINT64CONST(0x0101010101010101) * (byte))

/* Has any of eight bytes a value below n, which is not above 128? */
#define HAS_LESS(word, n) (((word) - EIGHT(n)) & ~(word) & EIGHT(0x80))

/* Which of eight bytes below 128 are from low to high: all of their bits. */
static inline uint64
bytes_between(uint64 word, uint8 low, uint8 high)
{
	uint64		found = ((word + EIGHT(0x80 - low)) & ~(word + EIGHT(0x7F - high))) & EIGHT(0x80);

	return (found >> 7) * 0xFF;
}

/* Is any of eight bytes a control character or beyond ASCII? */
static inline bool
is_special(uint64 word)
{
	return ((word & EIGHT(0x80)) | HAS_LESS(word, 0x20) | HAS_LESS(word ^ EIGHT(0x7F), 1)) != 0;
}

/* Looks for control characters and what is beyond ASCII. */
static uint8
scan_special(const unsigned char *p, const unsigned char *end)
{
	uint8		seen = 0;

	for (; end - p >= (int) sizeof(uint64); p += sizeof(uint64))
	{
		uint64		word;

		memcpy(&word, p, sizeof(word));
		for (int i = 0; i < (int) sizeof(word) && is_special(word); i++)
			seen |= classes[p[i]];
	}
	while (p < end)
		seen |= classes[*p++];
	return seen;
}

/*
 * The hash of the form of up to FORM_BYTES bytes: letters and digits by their symbols, the rest
 * as it is.  False if they are not all ASCII.  Eight bytes at a time.
 */
static bool
hash_form(const unsigned char *p, int length, uint64 *hash)
{
	uint64		form[FORM_BYTES / sizeof(uint64)] = {0};
	uint64		all = 0;

	for (int at = 0; at < length; at += sizeof(uint64))
	{
		uint64		word = 0;
		uint64		small;
		uint64		capitals;
		uint64		digits;

		if (length - at >= (int) sizeof(word))
			memcpy(&word, p + at, sizeof(word));
		else
			memcpy(&word, p + at, length - at);
		all |= word;
		small = bytes_between(word, 'a', 'z');
		capitals = bytes_between(word, 'A', 'Z');
		digits = bytes_between(word, '0', '9');
		form[at / sizeof(word)] = (word & ~(small | capitals | digits)) |
			(small & EIGHT('a')) | (capitals & EIGHT('A')) | (digits & EIGHT('9'));
	}
	*hash = bytes_hash((char *) form, length);
	return (all & EIGHT(0x80)) == 0;
}

/* The byte of Windows-1252 that a character was, 0x80 to 0xBF, or -1. */
static int
as_continuation(uint32 c)
{
	static const uint16 windows[32] = {
		0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
		0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178
	};

	if (c >= 0x80 && c <= 0xBF)
		return c;
	for (int i = 0; i < lengthof(windows); i++)
	{
		if (windows[i] != 0 && windows[i] == c)
			return 0x80 + i;
	}
	return -1;
}

/* Reads n characters that were continuation bytes; returns their length, 0 if they are something else. */
static int
continuations(const unsigned char *p, const unsigned char *end, int n)
{
	const unsigned char *start = p;

	for (int i = 0; i < n; i++)
	{
		if (p >= end || *p < 0x80 || as_continuation(utf8_to_unicode(p)) < 0)
			return 0;
		p += pg_utf_mblen(p);
	}
	return p - start;
}

/*
 * The length of a character that was encoded twice; 0 if there is none here.  Only the
 * first bytes of the scripts and signs that are met most are looked for, as other
 * letters stand before quotation marks in proper text.
 */
static int
double_encoded(const unsigned char *p, const unsigned char *end)
{
	uint32		lead = utf8_to_unicode(p);
	int			first;
	int			second;

	switch (lead)
	{
		case 0xC2:				/* Latin-1 */
		case 0xC3:
			first = continuations(p + 2, end, 1);
			return first > 0 ? 2 + first : 0;
		case 0xE2:				/* punctuation */
		case 0xEF:				/* a byte order mark */
			first = continuations(p + 2, end, 2);
			return first > 0 ? 2 + first : 0;
		case 0xF0:				/* emoji */
			first = continuations(p + 2, end, 3);
			return first > 0 ? 2 + first : 0;
		case 0xD0:				/* Cyrillic: two of them in a row */
		case 0xD1:
			first = continuations(p + 2, end, 1);
			if (first == 0 || p + 2 + first >= end || p[2 + first] != 0xC3)
				return 0;
			lead = utf8_to_unicode(p + 2 + first);
			second = lead == 0xD0 || lead == 0xD1 ? continuations(p + 4 + first, end, 1) : 0;
			return second > 0 ? 4 + first + second : 0;
		default:
			return 0;
	}
}

/* What there is beyond ASCII. */
static uint32
look_beyond_ascii(const unsigned char *p, const unsigned char *end)
{
	uint32		note = 0;
	bool		proper = false;

	while (p < end)
	{
		int			bytes = *p < 0x80 ? 1 : pg_utf_mblen(p);
		int			twice;
		uint32		c;

		if (bytes == 1 || p + bytes > end)
		{
			p++;
			continue;
		}
		twice = double_encoded(p, end);
		c = utf8_to_unicode(p);
		if (twice > 0)
			note |= TEXT_MOJIBAKE;
		else if (c == 0xFFFD)
			note |= TEXT_REPLACEMENT;
		else if (c < 0xA0)
			note |= TEXT_CONTROL;
		else
			proper = true;
		p += twice > 0 ? twice : bytes;
	}
	if (proper && (note & TEXT_MOJIBAKE) == 0)
		note |= TEXT_NON_ASCII;
	return note;
}

/* Is a text a number: a sign, digits, a decimal point or comma, an exponent? */
static bool
is_number(const char *p, const char *end)
{
	int			digits = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && symbols[(unsigned char) *p] == '9'; p++)
		digits++;
	if (p < end && (*p == '.' || *p == ','))
		p++;
	for (; p < end && symbols[(unsigned char) *p] == '9'; p++)
		digits++;
	if (digits == 0)
		return false;
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		p++;
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		if (p == end)
			return false;
		while (p < end && symbols[(unsigned char) *p] == '9')
			p++;
	}
	return p == end;
}

static bool
is_boolean(const char *data, int length)
{
	static const char *const words[] = {"t", "f", "true", "false", "y", "n", "yes", "no", "on", "off"};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i]) == length && pg_strncasecmp(words[i], data, length) == 0)
			return true;
	}
	return false;
}

/* Is a text with digits a date, or a number? */
static uint32
look_at_digits(const char *data, int length)
{
	uint32		date = symbols[(unsigned char) *data] == '9' ? profile_date_format(data, length) : 0;

	if (date > 0)
		return date << TEXT_DATE_SHIFT;
	return is_number(data, data + length) ? TEXT_NUMBER : 0;
}

/* What the bytes at both ends are. */
static uint32
look_at_ends(const ProfileText *t, const unsigned char *p, int length)
{
	const unsigned char *last = p + length - 1;
	uint32		note = 0;

	if (classes[*p] == SEEN_BLANK || (t->utf8 && length >= 2 && p[0] == 0xC2 && p[1] == 0xA0))
		note |= TEXT_LEADING_BLANK;
	if (classes[*last] == SEEN_BLANK || (t->utf8 && length >= 2 && last[-1] == 0xC2 && last[0] == 0xA0))
		note |= TEXT_TRAILING_BLANK;
	return note;
}

/* The number of a mask's pattern, from 1 on. */
static uint32
find_pattern(ProfileText *t, const char *mask, int length)
{
	uint64		hash = bytes_hash(mask, length);
	FrequentEntry *e = frequent_find(&t->patterns, hash);

	if (e == NULL)
	{
		char	   *copy = MemoryContextAlloc(t->context, length + 1);

		memcpy(copy, mask, length);
		copy[length] = '\0';
		e = frequent_add(&t->patterns, hash);
		e->rows = 0;			/* until it is counted */
		e->value = PointerGetDatum(copy);
	}
	return e - t->patterns.entries + 1;
}

/* The pattern of a text's beginning, and what is seen on the way; cut: there is more of the text. */
static uint32
look_at_mask(ProfileText *t, const unsigned char *p, const unsigned char *end, bool cut, uint8 *seen)
{
	char		mask[2 * MASK_BYTES];
	int			n;
	const unsigned char *rest;

	if (t->sampled && murmurhash32(t->turn++) % PATTERN_STRIDE != 0)
	{
		*seen |= scan_special(p, end);
		return 0;
	}
	rest = make_mask(t, p, end, mask, &n, seen);
	if (rest < end)
		*seen |= scan_special(rest, end);
	if (cut || rest < end)
	{
		memcpy(mask + n, "...", 3);
		n += 3;
	}
	return find_pattern(t, mask, n) << TEXT_PATTERN_SHIFT;
}

/* The pattern of a text's beginning; of ASCII it is remembered by its form. */
static uint32
look_at_beginning(ProfileText *t, const unsigned char *p, int length, bool cut, uint8 *seen)
{
	uint64		hash;
	TextForm   *form = NULL;
	uint32		note;

	if (!t->sampled && hash_form(p, length, &hash))
	{
		hash += cut ? 1 : 0;
		form = &t->forms[hash % TEXT_FORMS];
		if (form->hash == hash && form->note != 0)
			return form->note;
	}
	note = look_at_mask(t, p, p + length, cut, seen);
	if (*seen & SEEN_CONTROL)
		note |= TEXT_CONTROL;
	t->sampled = !frequent_is_exact(&t->patterns);
	if (form != NULL)
	{
		form->hash = hash;
		form->note = note;
	}
	return note;
}

/* What a text is, as a note: to be counted before the next one may push its pattern out. */
uint32
profile_text_look(ProfileText *t, const char *data, int length)
{
	const unsigned char *p = (const unsigned char *) data;
	int			beginning = Min(length, FORM_BYTES);
	uint8		seen = 0;
	uint32		note;

	if (length == 0)
		return TEXT_EMPTY;
	while (t->utf8 && beginning < length && (p[beginning] & 0xC0) == 0x80)
		beginning--;			/* not within a character */
	note = look_at_beginning(t, p, beginning, beginning < length, &seen);
	if (beginning < length)
		seen |= scan_special(p + beginning, p + length);
	if (seen & SEEN_CONTROL)
		note |= TEXT_CONTROL;
	if ((seen & SEEN_HIGH) && t->utf8)
		note |= look_beyond_ascii(p, p + length);
	note |= look_at_ends(t, p, length);
	if (classes[*p] == SEEN_LETTER && length <= BOOLEAN_BYTES && is_boolean(data, length))
		note |= TEXT_BOOLEAN;
	else if ((classes[*p] & (SEEN_DIGIT | SEEN_OTHER)) && length <= NUMBER_BYTES)
		note |= look_at_digits(data, length);
	return note;
}

/* Counts rows of a note. */
void
profile_text_count(ProfileText *t, uint32 note, int64 rows)
{
	uint32		pattern = note >> TEXT_PATTERN_SHIFT;
	uint32		date = (note >> TEXT_DATE_SHIFT) % PROFILE_DATE_FORMATS;

	if ((note & TEXT_EMPTY) == 0)
		t->texts += rows;
	if (pattern > 0)
		t->patterns.entries[pattern - 1].rows += t->sampled ? rows * PATTERN_STRIDE : rows;
	if (date > 0)
		t->dates[date] += rows;
	note &= (1 << TEXT_BITS) - 1;
	for (int i = 0; note != 0; i++, note >>= 1)
	{
		if (note & 1)
			t->found[i] += rows;
	}
}

/* The number of texts that are something. */
static int64
found(const ProfileText *t, uint32 bit)
{
	return t->found[pg_rightmost_one_pos32(bit)];
}

static void
report_dates(const ProfileText *t, StringInfo anomalies)
{
	int64		all = 0;
	const char *separator = "";

	for (int i = 1; i < PROFILE_DATE_FORMATS; i++)
		all += t->dates[i];
	if (all * 2 <= t->texts)
		return;
	profile_json_key(anomalies, "date_formats");
	appendStringInfoChar(anomalies, '{');
	for (int i = 1; i < PROFILE_DATE_FORMATS; i++)
	{
		if (t->dates[i] == 0)
			continue;
		appendStringInfo(anomalies, "%s\"%s\": " INT64_FORMAT, separator, profile_date_names[i], t->dates[i]);
		separator = ", ";
	}
	appendStringInfoChar(anomalies, '}');
}

/* Adds what was found to an object of anomalies. */
void
profile_text_report(const ProfileText *t, StringInfo anomalies)
{
	profile_json_count(anomalies, "leading_blanks", found(t, TEXT_LEADING_BLANK));
	profile_json_count(anomalies, "trailing_blanks", found(t, TEXT_TRAILING_BLANK));
	profile_json_count(anomalies, "control_characters", found(t, TEXT_CONTROL));
	profile_json_count(anomalies, "mojibake", found(t, TEXT_MOJIBAKE));
	profile_json_count(anomalies, "replacement_characters", found(t, TEXT_REPLACEMENT));
	if (found(t, TEXT_MOJIBAKE) > 0)
		profile_json_count(anomalies, "mixed_encodings", found(t, TEXT_NON_ASCII));
	if (found(t, TEXT_NUMBER) * 2 > t->texts)
		profile_json_count(anomalies, "numbers_as_text", found(t, TEXT_NUMBER));
	if (found(t, TEXT_BOOLEAN) * 2 > t->texts)
		profile_json_count(anomalies, "booleans_as_text", found(t, TEXT_BOOLEAN));
	report_dates(t, anomalies);
}
