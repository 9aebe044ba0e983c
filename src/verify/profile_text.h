/*
 * profile_text.h
 *		Text of a column: masks, and what should not be there.
 */
#ifndef MIGRATE_PROFILE_TEXT_H
#define MIGRATE_PROFILE_TEXT_H

#include "postgres.h"
#include "lib/stringinfo.h"

#include "verify/frequent.h"
#include "verify/profile_date.h"

/* What a text is, as bits. */
#define TEXT_LEADING_BLANK	0x0001
#define TEXT_TRAILING_BLANK	0x0002
#define TEXT_CONTROL		0x0004
#define TEXT_MOJIBAKE		0x0008
#define TEXT_REPLACEMENT	0x0010
#define TEXT_NON_ASCII		0x0020	/* and not double-encoded */
#define TEXT_NUMBER			0x0040
#define TEXT_BOOLEAN		0x0080
#define TEXT_EMPTY			0x0100
#define TEXT_BITS			9

/* A note has these bits, above them the number of the date format, and the number of the pattern from 1 on. */
#define TEXT_DATE_SHIFT		9
#define TEXT_PATTERN_SHIFT	16

/* Of texts of one form that were seen lately. */
typedef struct TextForm
{
	uint64		hash;			/* 0: none */
	uint32		note;			/* the pattern, and what the form tells of blanks and control characters */
} TextForm;

#define TEXT_FORMS 256

typedef struct ProfileText
{
	MemoryContext context;
	bool		utf8;
	int64		texts;			/* that are not empty */
	int64		found[TEXT_BITS];	/* by bit */
	int64		dates[PROFILE_DATE_FORMATS];
	Frequent	patterns;		/* by the hash of the mask; the value is the mask */
	bool		sampled;		/* are there so many patterns that not every text's is counted? */
	uint32		turn;			/* which is: by the hash of this number of the text */
	TextForm	forms[TEXT_FORMS];	/* while all patterns have room */
} ProfileText;

extern ProfileText *profile_text_create(MemoryContext context);
extern uint32 profile_text_look(ProfileText *t, const char *data, int length);
extern void profile_text_count(ProfileText *t, uint32 note, int64 rows);
extern void profile_text_report(const ProfileText *t, StringInfo anomalies);

/* Can the pattern of one more text be told without giving up another? */
static inline bool
profile_text_has_room(const ProfileText *t)
{
	return !frequent_is_full(&t->patterns);
}

#endif							/* MIGRATE_PROFILE_TEXT_H */
