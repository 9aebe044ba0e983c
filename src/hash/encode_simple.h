/*
 * encode_simple.h
 *		Encoding of values of simple types: written in place, behind one pointer.
 *
 * See encode.c for the form of each.
 */
#ifndef MIGRATE_ENCODE_SIMPLE_H
#define MIGRATE_ENCODE_SIMPLE_H

#include "postgres.h"

#include <math.h>

#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/uuid.h"

/* When more than this is kept it is hashed, before the next value. */
#define BUFFER_BYTES 16384

/* The largest piece of a value but for a string of up to BUFFER_BYTES: an array's dimensions. */
#define PIECE_BYTES (32 + 8 * MAXDIM)

typedef enum EncodeKind
{
	ENCODE_BOOL,
	ENCODE_INT2,
	ENCODE_INT4,
	ENCODE_INT8,
	ENCODE_FLOAT4,
	ENCODE_FLOAT8,
	ENCODE_TEXT,				/* varlena whose bytes are text */
	ENCODE_NAME,
	ENCODE_CSTRING,
	ENCODE_CHAR,
	ENCODE_BYTEA,
	ENCODE_SENT_INT4,			/* by what its send function gives, without calling it */
	ENCODE_SENT_INT8,
	ENCODE_UUID,
	ENCODE_NUMERIC,
	ENCODE_JSONB,
	ENCODE_ENUM,
	ENCODE_SEND,
	ENCODE_OUTPUT,
	ENCODE_ARRAY,
	ENCODE_COMPOSITE,
	ENCODE_RANGE,
	ENCODE_MULTIRANGE
} EncodeKind;

/* Writers: they return where the next one goes on. */
static inline char *
put_bytes(char *p, const void *data, uint32 length)
{
	memcpy(p, data, length);
	return p + length;
}

static inline char *
put_char(char *p, char c)
{
	*p = c;
	return p + 1;
}

static inline char *
put_u16(char *p, uint16 value)
{
	uint16		n = pg_hton16(value);

	return put_bytes(p, &n, sizeof(n));
}

static inline char *
put_u32(char *p, uint32 value)
{
	uint32		n = pg_hton32(value);

	return put_bytes(p, &n, sizeof(n));
}

static inline char *
put_u64(char *p, uint64 value)
{
	uint64		n = pg_hton64(value);

	return put_bytes(p, &n, sizeof(n));
}

/* What begins a string of bytes. */
static inline char *
put_head(char *p, char tag, uint32 length)
{
	return put_u32(put_char(p, tag), length);
}

static inline char *
put_float4(char *p, float4 value, bool canonical)
{
	uint32		image;

	if (canonical && value == 0)
		value = 0;				/* not -0 */
	if (isnan(value))
		value = get_float4_nan();
	memcpy(&image, &value, sizeof(image));
	return put_u32(put_char(p, 'f'), image);
}

static inline char *
put_float8(char *p, float8 value, bool canonical)
{
	uint64		image;

	if (canonical && value == 0)
		value = 0;				/* not -0 */
	if (isnan(value))
		value = get_float8_nan();
	memcpy(&image, &value, sizeof(image));
	return put_u64(put_char(p, 'd'), image);
}

/* A numeric as it is stored; digits are of base 10000, as many as size has room for. */
typedef struct StoredNumeric
{
	int16		weight;
	uint16		sign;			/* in numeric_send's form: NaN and infinite values have their own */
	uint16		scale;
	const char *digits;
	uint32		size;
} StoredNumeric;

/*
 * Reads a numeric in the form in which it is stored, which is one that pg_upgrade
 * keeps: 16 bits of sign, scale and weight, or of sign and scale and as many of
 * weight; then the digits.
 */
static pg_attribute_always_inline StoredNumeric
read_numeric(const char *data, uint32 size)
{
	StoredNumeric n;
	uint16		header;

	memcpy(&header, data, sizeof(header));
	data += sizeof(header);
	size -= sizeof(header);
	if ((header & 0x8000) != 0)
	{
		/* short, or, with 0x4000, NaN or infinite */
		n.weight = (int16) (((header & 0x0040) ? ~0x003F : 0) | (header & 0x003F));
		n.sign = (header & 0x4000) ? header & 0xF000 : (header & 0x2000) ? 0x4000 : 0;
		n.scale = (header & 0x1F80) >> 7;
	}
	else
	{
		memcpy(&n.weight, data, sizeof(n.weight));
		data += sizeof(n.weight);
		size -= sizeof(n.weight);
		n.sign = header & 0xC000;
		n.scale = header & 0x3FFF;
	}
	n.digits = data;
	n.size = size;
	return n;
}

/* What numeric_send gives, without calling it. */
static pg_attribute_always_inline char *
put_numeric(char *p, const char *data, uint32 size)
{
	StoredNumeric n = read_numeric(data, size);

	p = put_head(p, 's', 4 * sizeof(int16) + n.size);
	p = put_u16(p, n.size / sizeof(int16));
	p = put_u16(p, (uint16) n.weight);
	p = put_u16(p, n.sign);
	p = put_u16(p, n.scale);
	for (uint32 i = 0; i < n.size / sizeof(int16); i++)
	{
		uint16		digit;

		memcpy(&digit, n.digits + i * sizeof(digit), sizeof(digit));
		p = put_u16(p, digit);
	}
	return p;
}

/* Is the value a string of bytes in its place, and not too long to be copied? */
static inline bool
is_short(Datum value)
{
	const char *v = DatumGetPointer(value);

	return !VARATT_IS_COMPRESSED(v) && !VARATT_IS_EXTERNAL(v) && VARSIZE_ANY_EXHDR(v) <= BUFFER_BYTES;
}

/* Writes a value of a simple type; NULL, and nothing written, if it is not. */
static pg_attribute_always_inline char *
put_simple(bool canonical, EncodeKind kind, Datum value, char *p)
{
	switch (kind)
	{
		case ENCODE_BOOL:
			return put_char(put_char(p, 'b'), DatumGetBool(value) ? 1 : 0);
		case ENCODE_INT2:
			return put_u64(put_char(p, 'i'), (uint64) (int64) DatumGetInt16(value));
		case ENCODE_INT4:
			return put_u64(put_char(p, 'i'), (uint64) (int64) DatumGetInt32(value));
		case ENCODE_INT8:
			return put_u64(put_char(p, 'i'), (uint64) DatumGetInt64(value));
		case ENCODE_FLOAT4:
			return put_float4(p, DatumGetFloat4(value), canonical);
		case ENCODE_FLOAT8:
			return put_float8(p, DatumGetFloat8(value), canonical);
		case ENCODE_TEXT:
		case ENCODE_BYTEA:
			if (!is_short(value) || canonical)
				return NULL;
			p = put_head(p, kind == ENCODE_TEXT ? 't' : 's', VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
			return put_bytes(p, VARDATA_ANY(DatumGetPointer(value)), VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
		case ENCODE_CHAR:
			return put_char(put_head(p, 't', 1), DatumGetChar(value));
		case ENCODE_SENT_INT4:
			return put_u32(put_head(p, 's', sizeof(int32)), (uint32) DatumGetInt32(value));
		case ENCODE_SENT_INT8:
			return put_u64(put_head(p, 's', sizeof(int64)), (uint64) DatumGetInt64(value));
		case ENCODE_UUID:
			return put_bytes(put_head(p, 's', UUID_LEN), DatumGetUUIDP(value)->data, UUID_LEN);
		case ENCODE_NUMERIC:
			if (!is_short(value))
				return NULL;
			return put_numeric(p, VARDATA_ANY(DatumGetPointer(value)), VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
		default:
			return NULL;
	}
}

#endif							/* MIGRATE_ENCODE_SIMPLE_H */
